"""The text voice of a board, used by a program: docs/protocol.md, section "The text voice"."""

from __future__ import annotations

import time

import serial

from tinyllm.host.link.errors import BoardGone
from tinyllm.text import printable

READY = b"\r\n> "
SECONDS = 60.0
"""Longest wait for an answer to end."""


class Terminal:
    """A serial monitor: lines in, text out. Every method raises BoardGone if the board falls silent."""

    def __init__(self, name: str, port: serial.SerialBase) -> None:
        """Stop whatever the board does and wait until it is ready."""
        self._name, self._port = name, port
        self._seen = b""
        self._write(b"\x03")
        self._until(b"^C" + READY)

    def enter(self, line: str) -> str:
        """Type a line and return the board's reply, without the echo, with \\n between lines."""
        data = line.encode()
        self._write(data + b"\r")
        self._until(data + b"\r\n")
        # After a command without a reply only the prompt comes.
        if not self._seen.startswith(READY[2:]):
            return self._until(READY).decode("utf-8", "replace").replace("\r\n", "\n")
        self._until(READY[2:])
        return ""

    def _write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise BoardGone(f"{self._name}: the board went away ({error}).") from None

    def _until(self, mark: bytes) -> bytes:
        """The board's text up to `mark`, which is removed too."""
        deadline = time.monotonic() + SECONDS
        while mark not in self._seen:
            if time.monotonic() > deadline:
                shown = printable(self._seen[-60:].decode("utf-8", "replace"))
                raise BoardGone(f"{self._name}: the text voice fell silent after {shown!r}.")
            try:
                self._seen += self._port.read(1)
            except (serial.SerialException, OSError) as error:
                raise BoardGone(f"{self._name}: the board went away ({error}).") from None
        seen, _, self._seen = self._seen.partition(mark)
        return seen
