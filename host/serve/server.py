"""The server's process: its socket, its signals, and how it ends."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from tinyllm.errors import UserError
from tinyllm.text import shown

END_SECONDS = 3
"""How long a client may take to read the end of its answer when the server ends."""
MOST_CONNECTIONS = 256
LARGEST_MESSAGE = 1 << 20
"""Bytes of one message of a WebSocket."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at the address. Who connects waits for the server. Raises UserError if it cannot be bound.

    Two sockets may be bound to an address of which neither listens yet, so only listening says whether it is free.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no name of a computer"
        raise UserError(f"--host {shown(host)}: {why}. Expected an address of this computer.") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        bound.close()
        raise UserError(
            f"{host}:{port}: {error.strerror or error}. Choose another with --http-port, 0 for any that is free."
        ) from None
    return bound


def url_of(bound: socket.socket, path: str = "/v1") -> str:
    """The URL of a path on the bound socket, by default that of the API."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


class Server(uvicorn.Server):
    """A server that ends its answers when it is asked to stop, instead of waiting for them.

    end: called on that signal. websockets: uvicorn's implementation of WebSockets.
    """

    def __init__(
        self, app: ASGIApp, end: Callable[[], None], websockets: Literal["none", "websockets-sansio"] = "none"
    ) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws=websockets,
            ws_max_size=LARGEST_MESSAGE,
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=END_SECONDS,
        )
        super().__init__(config)
        self._end = end

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._end()


def serve(server: Server, bound: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    with _interrupted_by_sigterm(), contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[bound])


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt as SIGINT does: uvicorn raises the signal that ended it once more."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
