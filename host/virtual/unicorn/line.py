"""The board's end of its serial line: one listener at a time on a TCP port, or whoever opens a pseudo-terminal.

Nobody needs to listen: what is sent then is lost, as on a wire.
"""

from __future__ import annotations

import abc
import contextlib
import os
import select
import socket
import sys

from tinyllm.errors import UserError

STALL_SECONDS = 1.0
"""A listener that takes nothing for so long loses what is sent to it."""
RECEIVE_BYTES = 4096
SEND_BYTES = 4096
"""Bytes that are kept before they are sent; reading and waiting send them too."""


class Line(abc.ABC):
    """What a UART reads from and writes to; `where` says how to reach its other end."""

    def __init__(self) -> None:
        self.where = ""
        self._received = b""
        self._taken = 0
        self._unsent = bytearray()
        self._stalled = False

    def readable(self) -> bool:
        """Whether a byte is there; does not wait."""
        if self._taken < len(self._received):
            return True
        self.flush()
        self._receive(0)
        return self._taken < len(self._received)

    def take(self) -> int:
        """The next byte, or 0 where there is none."""
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
        """Sleep until a byte is there."""
        self.flush()
        while self._taken == len(self._received):
            self._receive(None)

    def flush(self) -> None:
        """Send what was put, or lose it where nobody takes it."""
        data, self._unsent = bytes(self._unsent), bytearray()
        while data:
            try:
                data = data[self._write(data) :]
                self._stalled = False
            except BlockingIOError:
                ready = select.select([], [self._writer()], [], 0 if self._stalled else STALL_SECONDS)[1]
                if not ready:
                    self._stalled = True
                    return

    @abc.abstractmethod
    def _receive(self, timeout: float | None) -> None:
        """Take what has come, after waiting for it no longer than `timeout` seconds."""

    @abc.abstractmethod
    def _write(self, data: bytes) -> int:
        """Send what can be sent at once, and say how much; BlockingIOError where that is nothing."""

    @abc.abstractmethod
    def _writer(self) -> int:
        """What select waits for when nothing could be sent."""


class TcpLine(Line):
    """On 127.0.0.1 alone. Raises UserError where the port cannot be had; 0 is any free one."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._client: socket.socket | None = None
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # elsewhere it would let two listen on one port
                self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", port))
            self._listener.listen(1)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"cannot listen on 127.0.0.1:{port}: {error}; choose another port, or 0 for any free one."
            ) from None
        self._listener.setblocking(False)
        self.where = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def _receive(self, timeout: float | None) -> None:
        source = self._client or self._listener
        if not select.select([source], [], [], timeout)[0]:
            return
        if self._client is None:
            self._accept()
            return
        try:
            self._received, self._taken = self._client.recv(RECEIVE_BYTES), 0
        except BlockingIOError:
            return
        except OSError:
            self._received, self._taken = b"", 0
        if not self._received:
            self._hang_up()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client, self._stalled = client, False

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _write(self, data: bytes) -> int:
        if self._client is None:
            return len(data)
        try:
            return self._client.send(data)
        except BlockingIOError:
            raise
        except OSError:
            self._hang_up()
            return len(data)

    def _writer(self) -> int:
        assert self._client is not None
        return self._client.fileno()


class PtyLine(Line):
    """A pseudo-terminal that any serial monitor opens. Raises UserError where the system has none."""

    def __init__(self) -> None:
        super().__init__()
        if sys.platform == "win32":
            raise UserError("there are no pseudo-terminals on Windows; use --tcp instead.")
        import tty

        try:
            # The other side stays open here too, so that it may be opened, closed and opened again.
            self._side, self._other = os.openpty()
            tty.setraw(self._other)
            os.set_blocking(self._side, False)
        except OSError as error:
            raise UserError(f"cannot open a pseudo-terminal: {error.strerror}; use --tcp instead.") from None
        self.where = os.ttyname(self._other)

    def _receive(self, timeout: float | None) -> None:
        if select.select([self._side], [], [], timeout)[0]:
            with contextlib.suppress(BlockingIOError):
                self._received, self._taken = os.read(self._side, RECEIVE_BYTES), 0

    def _write(self, data: bytes) -> int:
        return os.write(self._side, data)

    def _writer(self) -> int:
        return self._side
