"""The ASGI application of the site: its files, and the bridge to a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinyllm.host.serve.guard import Access, Guard
from tinyllm.host.web.bridge import Bridge
from tinyllm.host.web.site import SITE

BRIDGE = "/bridge"
HEADERS = {
    # The page's own <meta> says what it may load. Browsers obey frame-ancestors only in a header.
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def application(folder: Path, document: dict[str, Any], bridge: Bridge, access: Access) -> Starlette:
    """The application. folder: of the site's files. document: site.json, which names the board behind the bridge."""

    async def about(request: Request) -> Response:
        return JSONResponse(document)

    routes: list[BaseRoute] = [
        Route(f"/{SITE}", about),
        WebSocketRoute(BRIDGE, bridge.serve),
        Mount("/", StaticFiles(directory=folder, html=True)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, access=access), Middleware(Headers)])


class Headers:
    """ASGI middleware that gives every response HEADERS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
