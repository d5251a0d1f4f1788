"""A bad cable: a TCP port of this computer that leads to a board, and harms bytes on the way."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable

import serial

from tinyllm.host.link.frame_port import BAUD
from tinyllm.host.link.serial_port import open_port

LONGEST_DELAYS = (0.01, 0.9)
"""Seconds: of a usual delay, and of one in a hundred, which is longer than a request is waited for."""

Damage = Callable[[random.Random, bytes], tuple[bytes, bytes]]
"""Takes a byte and what follows it in the same piece; gives what arrives for the byte, and what still follows."""


def drop(noise: random.Random, data: bytes) -> tuple[bytes, bytes]:
    """The byte never arrives."""
    return b"", data[1:]


def flip(noise: random.Random, data: bytes) -> tuple[bytes, bytes]:
    """One bit of it arrives as the other."""
    return bytes([data[0] ^ 1 << noise.randrange(8)]), data[1:]


def duplicate(noise: random.Random, data: bytes) -> tuple[bytes, bytes]:
    """It arrives twice."""
    return 2 * data[:1], data[1:]


def delay(noise: random.Random, data: bytes) -> tuple[bytes, bytes]:
    """It arrives late, and so does all that follows."""
    time.sleep(noise.uniform(0, LONGEST_DELAYS[noise.random() < 0.01]))
    return data[:1], data[1:]


def reorder(noise: random.Random, data: bytes) -> tuple[bytes, bytes]:
    """The next byte arrives before it."""
    return data[1:2] + data[:1], data[2:]


DAMAGES: dict[str, Damage] = {
    "dropped": drop,
    "flipped": flip,
    "duplicated": duplicate,
    "delayed": delay,
    "reordered": reorder,
}


class NoisyLine:
    """Carries bytes both ways between whoever connects to `url` and the board on a port, one connection at a time.

    rate: the share of bytes that `damage` is done to. Both may change at any time; rate 0 is a good cable.
    """

    def __init__(self, port: str, damage: Damage, seed: object) -> None:
        self.port, self.damage = port, damage
        self.rate = 0.0
        self.damaged = 0
        self._noise = {way: random.Random(f"{seed} {way}") for way in ("to", "from")}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                with self._listener.accept()[0] as host, open_port(self.port, BAUD) as board:
                    host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    back = threading.Thread(target=self._carry_back, args=(board, host), daemon=True)
                    back.start()
                    while data := host.recv(4096):
                        self._pass("to", data, board.write)
                    board.close()
                    back.join()

    def _carry_back(self, board: serial.SerialBase, host: socket.socket) -> None:
        """Until either end is closed."""
        board.timeout = 0.01
        with contextlib.suppress(OSError, TypeError, AttributeError):
            while board.is_open:
                self._pass("from", board.read(4096), host.sendall)

    def _pass(self, way: str, data: bytes, write: Callable[[bytes], object]) -> None:
        noise, passed = self._noise[way], bytearray()
        while data:
            if noise.random() < self.rate:
                self.damaged += 1
                # What came before a late byte does not wait for it.
                write(bytes(passed))
                arrives, data = self.damage(noise, data)
                passed[:] = arrives
            else:
                passed += data[:1]
                data = data[1:]
        write(bytes(passed))
