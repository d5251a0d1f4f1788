"""The board's end of its serial line: a TCP port with one listener at a time, or a pseudo-terminal.

If nobody listens, the bytes that are sent are lost, as on a wire.
"""

from __future__ import annotations

import abc
import contextlib
import os
import select
import socket
import sys
import threading

from tinyllm.errors import UserError

try:
    import tty
except ImportError:
    tty = None  # type: ignore[assignment]  # Windows has none, and no PtyLine.

STALL_SECONDS = 1.0
"""A listener that takes no bytes for this long loses what is sent to it."""
RECEIVE_BYTES = 4096


class Line(abc.ABC):
    """A line. `port` is the name of its other end, as --port takes it. One thread may send while another receives."""

    def __init__(self) -> None:
        self.port = ""
        self._stalled = False

    @abc.abstractmethod
    def receive(self, timeout: float | None) -> bytes:
        """Wait at most `timeout` seconds (None: for ever) for bytes, and return them; b"" if none came."""

    def send(self, data: bytes) -> None:
        """Send the bytes. Those that nobody takes are lost; a listener that has stalled is not waited for again."""
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
    def _write(self, data: bytes) -> int:
        """Send as many bytes as can go at once, and return how many. Raises BlockingIOError if none can."""

    @abc.abstractmethod
    def _writer(self) -> int:
        """The file descriptor that select waits for when no byte could be sent."""


class TcpLine(Line):
    """Listens on 127.0.0.1 alone; port 0 is any free one. Raises UserError if the port cannot be opened."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._client: socket.socket | None = None
        self._hanging_up = threading.RLock()
        """Held while bytes are sent, so that the client's socket is not closed meanwhile."""
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # on Windows it would let two processes listen on one port
                self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", port))
            self._listener.listen(1)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"cannot listen on 127.0.0.1:{port}: {reason}; choose another port, or 0 for any free one."
            ) from None
        self._listener.setblocking(False)
        self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def receive(self, timeout: float | None) -> bytes:
        client = self._client
        if not select.select([client or self._listener], [], [], timeout)[0]:
            return b""
        if client is None:
            self._accept()
            return b""
        try:
            data = client.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def send(self, data: bytes) -> None:
        with self._hanging_up:
            super().send(data)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client, self._stalled = client, False

    def _hang_up(self) -> None:
        with self._hanging_up:
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
            # The other end is gone. `receive` notices that too, and hangs up.
            return len(data)

    def _writer(self) -> int:
        assert self._client is not None
        return self._client.fileno()


class PtyLine(Line):
    """A pseudo-terminal that any serial monitor opens. Raises UserError if the system has none."""

    def __init__(self) -> None:
        super().__init__()
        if sys.platform == "win32":
            raise UserError("there are no pseudo-terminals on Windows; use --tcp instead.")
        try:
            # Kept open here, so that monitors may open and close the other side again and again.
            self._side, self._other = os.openpty()
            tty.setraw(self._other)
            os.set_blocking(self._side, False)
        except OSError as error:
            raise UserError(f"cannot open a pseudo-terminal: {error.strerror}; use --tcp instead.") from None
        self.port = os.ttyname(self._other)

    def receive(self, timeout: float | None) -> bytes:
        if select.select([self._side], [], [], timeout)[0]:
            with contextlib.suppress(BlockingIOError):
                return os.read(self._side, RECEIVE_BYTES)
        return b""

    def _write(self, data: bytes) -> int:
        return os.write(self._side, data)

    def _writer(self) -> int:
        return self._side
