"""Who may use the server: clients with the key, and in browsers only pages of this computer.

Any web page can make its reader's browser send requests to this computer and open WebSockets. The Host header shows a
name that was rebound to 127.0.0.1 (DNS rebinding). The Origin header shows a page from elsewhere.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tinyllm.host.serve.errors import ApiError
from tinyllm.text import shown

REFUSED = 1008
"""The code of a WebSocket that breaks a rule (RFC 6455, section 7.4.1)."""


@dataclass(frozen=True)
class Access:
    """host: the address that the server is bound to. key: the key that requests must send; None if they need none.

    hosts, origins: host names and page origins that are allowed besides those of this computer. verb: the command whose
    options allow more of them, for error messages; "" if no option does.
    """

    host: str
    key: str | None = None
    hosts: Collection[str] = ()
    origins: Collection[str] = ()
    verb: str = "tinyllm serve"


def is_loopback(host: str) -> bool:
    """Whether a host is localhost or a loopback address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware that refuses requests that `access` does not allow."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(Headers(scope=scope))
            except ApiError as error:
                if scope["type"] == "http":
                    await error.response()(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": REFUSED})  # before it was accepted: status 403
                return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        """Raises ApiError for headers that `access` does not allow."""
        access = self._access
        host = headers.get("host", "")
        name = _name(f"//{host}")
        if is_loopback(access.host) and not is_loopback(name) and name not in access.hosts:
            raise ApiError(
                403, f"Host {shown(host)}: expected localhost or 127.0.0.1.{self._advice('--allow-host', 'a name')}"
            )
        origin = headers.get("origin")
        if origin is not None and origin not in access.origins and origin != f"http://{host}":
            raise ApiError(
                403,
                f"Origin {shown(origin)}: pages from elsewhere are refused.{self._advice('--allow-origin', 'one')}",
            )
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if access.key is not None and not (
            scheme.lower() == "bearer" and secrets.compare_digest(key.strip().encode("latin-1"), access.key.encode())
        ):
            raise ApiError(
                401,
                "the key is missing or wrong; expected the header Authorization: Bearer KEY.",
                code="invalid_api_key",
            )

    def _advice(self, option: str, what: str) -> str:
        return f" `{self._access.verb} {option}` allows {what}." if self._access.verb else ""


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
