"""A bad cable: a TCP port of this computer that leads to a board, and drops or flips bytes on the way."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable

import serial

from tinyllm.host.link.frame_port import BAUD
from tinyllm.host.link.serial_port import open_port

Damage = Callable[[random.Random, int], bytes]


def drop(noise: random.Random, byte: int) -> bytes:
    """The byte never arrives."""
    return b""


def flip(noise: random.Random, byte: int) -> bytes:
    """One bit of it arrives as the other."""
    return bytes([byte ^ 1 << noise.randrange(8)])


class NoisyLine:
    """Carries bytes both ways between whoever connects to `url` and the board on a port, one connection at a time.

    rate: the share of bytes that `damage` is done to; it may change at any time, 0 is a good cable.
    """

    def __init__(self, port: str, damage: Damage, seed: int) -> None:
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
                        board.write(self._pass("to", data))
                    board.close()
                    back.join()

    def _carry_back(self, board: serial.SerialBase, host: socket.socket) -> None:
        """Until either end is closed."""
        board.timeout = 0.01
        with contextlib.suppress(OSError, TypeError, AttributeError):
            while board.is_open:
                host.sendall(self._pass("from", board.read(4096)))

    def _pass(self, way: str, data: bytes) -> bytes:
        noise = self._noise[way]
        passed = bytearray()
        for byte in data:
            hit = noise.random() < self.rate
            self.damaged += hit
            passed += self.damage(noise, byte) if hit else bytes([byte])
        return bytes(passed)
