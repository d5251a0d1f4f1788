"""A real board behind the odd ports that people have: adapters that echo or eat bytes, lines that reset boards."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import socket
import struct
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serial import serialposix

from tinyllm.boards.description import load_board
from tinyllm.errors import UserError
from tinyllm.host.build.build import build
from tinyllm.host.connect import connection
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.answer import collect
from tinyllm.host.link.errors import LostFrame
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Setting
from tinyllm.host.link.serial_port import open_port
from tinyllm.host.model.load import load_model

LONG = 120.0
"""Seconds. A computer may be slow, but not as slow as this."""

PROMPT = "Once upon a time"
FLOW = b"\x11\x13"

Carry = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def board() -> Iterator[BoardProcess]:
    with BoardProcess([build(load_model(None), load_board("host"), 64).program]) as running:
        yield running


@contextmanager
def adapter(
    board: BoardProcess, to_board: Carry = bytes, from_board: Carry = bytes, echo: bool = False
) -> Iterator[str]:
    """A serial port, a pseudo-terminal, that leads to the board through what `to_board` and `from_board` make of bytes.

    echo: the adapter hears what it sends.
    """
    adapter_end, port = pty.openpty()
    tty.setraw(port)
    stop_reader, stop_writer = os.pipe()

    def carry() -> None:
        with socket.create_connection(("127.0.0.1", int(board.url.rsplit(":", 1)[1]))) as there:
            while True:
                readable, _, _ = select.select([adapter_end, there, stop_reader], [], [])
                if stop_reader in readable:
                    return
                if adapter_end in readable:
                    data = os.read(adapter_end, 4096)
                    if echo:
                        os.write(adapter_end, data)
                    there.sendall(to_board(data))
                if there in readable:
                    os.write(adapter_end, from_board(there.recv(4096)))

    carrying = threading.Thread(target=carry, daemon=True)
    carrying.start()
    try:
        yield os.ttyname(port)
    finally:
        os.write(stop_writer, b"x")
        carrying.join()
        for end in (adapter_end, port, stop_reader, stop_writer):
            os.close(end)


def without_flow_control(data: bytes) -> bytes:
    return data.translate(None, FLOW)


# --- Bytes ------------------------------------------------------------------------------------------------------------


def test_a_half_duplex_adapter_that_hears_itself_changes_nothing(board: BoardProcess) -> None:
    answers = []
    for echo in (False, True):
        with adapter(board, echo=echo) as port, Link(port) as link:
            link.set(Setting.TEMPERATURE, 0)
            link.reset()
            answers.append(collect(link.prompt(PROMPT, 20)).tokens)
            assert collect(link.prompt("", 0)).reason == "length"
            assert len(link.logits()) == link.hello.vocab_size
            assert len(link.get()) == len(Setting)
            assert link.damaged_frames == 0
            assert (link.echoed_frames > 10) == echo
    assert answers[0] == answers[1]


@pytest.mark.parametrize("way", ["to the board", "from the board", "both ways"])
def test_xon_and_xoff_that_are_eaten_on_the_way_are_told_without_waiting_for_a_handshake(
    board: BoardProcess, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_SECONDS", 2 * LONG)
    ways = {
        "to the board": (without_flow_control, bytes),
        "from the board": (bytes, without_flow_control),
        "both ways": (without_flow_control, without_flow_control),
    }
    with adapter(board, *ways[way]) as port:
        begun = time.monotonic()
        with pytest.raises(UserError, match=r"XON and XOFF \(the bytes 11 and 13\) are lost on the way"):
            Connection(port).open()
        assert time.monotonic() - begun < LONG


def test_flow_control_that_is_switched_on_later_is_told_with_the_frame_that_is_lost(board: BoardProcess) -> None:
    eaten = b""
    with adapter(board, from_board=lambda data: data.translate(None, eaten)) as port, Link(port) as link:
        link.set(Setting.TEMPERATURE, 0)
        link.reset()
        link.number_from(2)  # A number under which no CRC of an earlier token holds one of the two bytes.
        eaten = FLOW
        with pytest.raises(LostFrame, match=r"token 17 of the answer never arrived.*XON and XOFF"):
            collect(link.prompt(PROMPT, 40))
        eaten = b""


@pytest.mark.parametrize("period", [2, 3, 4, 5])
@pytest.mark.parametrize("way", ["to_board", "from_board"])
def test_a_line_that_loses_other_bytes_is_not_taken_for_flow_control(
    board: BoardProcess, period: int, way: str
) -> None:
    """Of so many frames one arrives damaged."""
    count = iter(range(1000))

    def damage(data: bytes) -> bytes:
        return data[:-2] + b"\xff" + data[-1:] if next(count) % period == 1 else data

    with adapter(board, **{way: damage}) as port, Link(port) as link:
        assert link.hello.board == "host"


# --- Lines ------------------------------------------------------------------------------------------------------------

DTR, RTS = serialposix.TIOCM_DTR, serialposix.TIOCM_RTS
LINES = {serialposix.TIOCMBIS, serialposix.TIOCMBIC, serialposix.TIOCMSET}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The states of DTR and RTS, from both raised at open, after each request of this process to change them.

    A pseudo-terminal refuses these requests, as it has no such lines; the kernel raises both when a port is opened.
    """
    states = [DTR | RTS]
    real = fcntl.ioctl

    def ioctl(fd: int, request: int, argument: object = 0, *rest: object) -> object:
        if request in LINES:
            assert isinstance(argument, bytes)
            (bits,) = struct.unpack("I", argument)
            before = states[-1]
            kept = {serialposix.TIOCMBIS: before | bits, serialposix.TIOCMBIC: before & ~bits}
            states.append(kept.get(request, bits))
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        return real(fd, request, argument, *rest)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return states


def changes(states: list[int]) -> list[int]:
    return [state for state, before in zip(states, [None, *states], strict=False) if state != before]


def test_opening_a_port_lowers_rts_before_dtr_so_that_no_board_is_held_in_reset(lines: list[int]) -> None:
    with adapter_end() as port:
        open_port(port, 115200).close()
    assert changes(lines) == [DTR | RTS, DTR, 0]
    assert RTS not in lines, "RTS raised with DTR low is the reset state of ESP32 boards"


def test_both_lines_are_low_before_a_port_closes_so_that_hanging_up_changes_nothing(lines: list[int]) -> None:
    """The kernel lowers both lines at the last close (HUPCL)."""
    with adapter_end() as port:
        opened = open_port(port, 115200)
        before = list(lines)
        opened.close()
    assert before[-1] == 0
    assert lines == before


def test_a_port_that_is_in_use_is_left_without_a_change_of_its_lines(lines: list[int]) -> None:
    with adapter_end() as port, open_port(port, 115200):
        before = list(lines)
        with pytest.raises(UserError, match="the port is in use"):
            open_port(port, 115200)
        assert lines == before


def test_a_board_that_vanishes_while_its_port_opens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.ioctl

    def ioctl(fd: int, request: int, *rest: object) -> object:
        if request == serialposix.TIOCMBIC:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, request, *rest)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    descriptors = len(list(Path("/dev/fd").iterdir()))
    with adapter_end() as port:
        with pytest.raises(UserError, match=f"{port}: cannot be opened: .*Input/output error"):
            open_port(port, 115200)
        assert len(list(Path("/dev/fd").iterdir())) == descriptors + 2, "the pseudo-terminal's own"


@contextmanager
def adapter_end() -> Iterator[str]:
    """A serial port at which nobody answers."""
    ends = pty.openpty()
    try:
        yield os.ttyname(ends[1])
    finally:
        for end in ends:
            os.close(end)
