"""The receive and send buffers between an emulated UART, which works byte by byte, and its line."""

from __future__ import annotations

from tinyllm.host.virtual.line import Line

SEND_BYTES = 4096
"""Bytes that are collected before they are sent. Reading and waiting send them earlier."""


class UartLine:
    """Receives and sends the bytes of a line one at a time."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._received = b""
        self._taken = 0
        self._unsent = bytearray()

    def readable(self) -> bool:
        """Whether a byte has come. Does not wait."""
        if self._taken < len(self._received):
            return True
        self.flush()
        self._received, self._taken = self._line.receive(0), 0
        return bool(self._received)

    def take(self) -> int:
        """The next byte, or 0 if there is none."""
        if not self.readable():
            return 0
        self._taken += 1
        return self._received[self._taken - 1]

    def put(self, byte: int) -> None:
        """Send a byte."""
        self._unsent.append(byte)
        if len(self._unsent) >= SEND_BYTES:
            self.flush()

    def wait(self) -> None:
        """Sleep until a byte comes."""
        self.flush()
        while self._taken == len(self._received):
            self._received, self._taken = self._line.receive(None), 0

    def flush(self) -> None:
        """Send the collected bytes. They are lost if nobody takes them."""
        data, self._unsent = bytes(self._unsent), bytearray()
        self._line.send(data)
