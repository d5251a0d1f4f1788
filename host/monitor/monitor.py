"""A serial monitor: shows the bytes from a board, sends it the keys typed, and reconnects when the port comes back."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import serial

from tinyllm.errors import UserError
from tinyllm.host.link.frame_port import BAUD
from tinyllm.host.link.frames import Frame, encode_frame
from tinyllm.host.link.messages import ATTENTION, Bye, Hello, to_frame
from tinyllm.host.link.port_names import find_port_again, resolve_port
from tinyllm.host.link.serial_port import open_port, port_info, read_available
from tinyllm.host.monitor.display import Display, Frames
from tinyllm.host.monitor.keyboard import keyboard

LEAVE = b"\x1d"
"""Ctrl-]."""
INTERRUPT = b"\x03"
RETRY_SECONDS = 0.25
IDLE_SECONDS = 0.2
"""After this long without a byte, text without a line end is shown."""
BYE_SECONDS = 0.1

Note = Callable[[str], None]


class Monitor:
    """One port and its display. With a display of frames it says HELLO when it connects, and BYE at the end."""

    def __init__(self, name: str, display: Display, note: Note, baud: int = BAUD) -> None:
        """name: as resolve_port takes it. note: gets a line for people when the port goes or comes."""
        self._name, self._display, self._note, self._baud = name, display, note, baud
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._port: serial.SerialBase | None = None
        self._port_name = ""

    def run(self, seconds: float | None = None) -> None:
        """Run until Ctrl-] on a terminal, Ctrl-C elsewhere, or for `seconds`. Errors as resolve_port and open_port."""
        deadline = None if seconds is None else time.monotonic() + seconds
        self._open(resolve_port(self._name))
        self._device = port_info(self._port_name)
        leave = " Ctrl-] leaves, Ctrl-C goes to the board." if sys.stdin and sys.stdin.isatty() else ""
        try:
            with self._signals(), keyboard(self._typed):
                self._note(f"{self._port_name} is open.{leave}")
                self._show(deadline)
        finally:
            self._close()
            self._display.fresh_line()

    def _show(self, deadline: float | None) -> None:
        heard = time.monotonic()
        while not self._ended.is_set() and (deadline is None or time.monotonic() < deadline):
            if self._port is None:
                self._reopen()
                continue
            try:
                data = read_available(self._port)
            except (serial.SerialException, OSError):
                self._lost()
                continue
            if data:
                self._display.feed(data)
                heard = time.monotonic()
            elif time.monotonic() - heard > IDLE_SECONDS:
                self._display.idle()

    def _typed(self, data: bytes) -> None:
        """Take keys from the keyboard's thread. Keys typed while the port is away are lost."""
        if LEAVE in data and sys.stdin.isatty():
            data = data[: data.index(LEAVE)]
            self._ended.set()
        self._write(data)

    def _write(self, data: bytes) -> None:
        with self._writing, contextlib.suppress(serial.SerialException, OSError):
            if self._port is not None:
                self._port.write(data)

    # --- The port -----------------------------------------------------------------------------------------------------

    def _open(self, port_name: str) -> None:
        self._port = open_port(port_name, self._baud)
        self._port_name = port_name
        if isinstance(self._display, Frames):
            # Any sequence number but 0, which marks replies to no request.
            self._send(self._display, to_frame(Hello(), 1), before=ATTENTION)

    def _send(self, display: Frames, frame: Frame, before: bytes = b"") -> None:
        self._write(before + encode_frame(frame))
        display.sent(frame)

    def _lost(self) -> None:
        assert self._port is not None
        with self._writing:
            self._port.close()
            self._port = None
        self._display.fresh_line()
        self._note(f"{self._port_name} went away; waiting for it to come back.")

    def _reopen(self) -> None:
        with contextlib.suppress(UserError):
            port_name = find_port_again(self._name, self._device)
            if port_name is not None:
                self._open(port_name)
                self._note(f"{port_name} is there again.")
                return
        self._ended.wait(RETRY_SECONDS)

    def _close(self) -> None:
        if self._port is None:
            return
        if isinstance(self._display, Frames):
            with contextlib.suppress(serial.SerialException, OSError):
                self._send(self._display, to_frame(Bye(), 2))
                deadline = time.monotonic() + BYE_SECONDS
                while time.monotonic() < deadline:
                    self._display.feed(read_available(self._port))
        self._port.close()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """A signal ends the monitor and restores the terminal. Ctrl-C on a Windows console goes to the board."""

        def end(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGINT and sys.platform == "win32" and sys.stdin.isatty():
                self._write(INTERRUPT)
            else:
                self._ended.set()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
