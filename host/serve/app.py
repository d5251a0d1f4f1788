"""The paths of OpenAI's API as an ASGI application."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tinyllm.host.serve.board_queue import BoardQueue, Job
from tinyllm.host.serve.errors import ApiError
from tinyllm.host.serve.guard import Access, Guard
from tinyllm.host.serve.parts import End
from tinyllm.host.serve.replies import Reply, event, model_document
from tinyllm.host.serve.request_body import Body, ChatBody, CompletionBody, read_body
from tinyllm.text import shown

LARGEST_BODY = 1 << 18
BODY_SECONDS = 30.0
"""How long a client may take to send a request."""
JSON = "application/json"

_B = TypeVar("_B", bound=Body)


def application(queue: BoardQueue, access: Access) -> Starlette:
    """The application for one board."""
    paths = Paths(queue)
    middleware = [Middleware(Guard, access=access)]
    if access.origins:
        # Before the guard: a browser sends its preflight request without the key.
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware, allow_origins=list(access.origins), allow_methods=["GET", "POST"], allow_headers=["*"]
            ),
        )
    return Starlette(
        routes=[
            Route("/v1/models", paths.models),
            Route("/v1/models/{name:path}", paths.model),
            Route("/v1/chat/completions", paths.chat, methods=["POST"]),
            Route("/v1/completions", paths.complete, methods=["POST"]),
        ],
        middleware=middleware,
        exception_handlers={ApiError: _refuse, HTTPException: _refuse_path},
    )


class Paths:
    """The handlers of the paths."""

    def __init__(self, queue: BoardQueue) -> None:
        self._queue = queue
        self._since = int(time.time())

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [model_document(self._queue.hello, self._since)]})

    async def model(self, request: Request) -> Response:
        self._check_model(request.path_params["name"])
        return JSONResponse(model_document(self._queue.hello, self._since))

    async def chat(self, request: Request) -> Response:
        return await self._answer(request, await self._read(request, ChatBody))

    async def complete(self, request: Request) -> Response:
        return await self._answer(request, await self._read(request, CompletionBody))

    async def _read(self, request: Request, kind: type[_B]) -> _B:
        """Read the body of a request. Raises ApiError if it is wrong, or does not come within BODY_SECONDS."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise ApiError(415, f"expected the header Content-Type: {JSON}.")
        try:
            data = await asyncio.wait_for(_bytes(request), BODY_SECONDS)
        except ClientDisconnect:
            raise _gone() from None
        except asyncio.TimeoutError:
            raise ApiError(408, f"the body did not come within {BODY_SECONDS:g} s.") from None
        body = read_body(kind, data)
        self._check_model(body.model)
        return body

    def _check_model(self, name: str) -> None:
        if name != self._queue.hello.model:
            raise ApiError(
                404,
                f"there is no model {shown(name)}; this board runs '{self._queue.hello.model}'.",
                "model",
                "model_not_found",
            )

    async def _answer(self, request: Request, body: Body) -> Response:
        """Queue a request, and wait for its whole answer or, for a stream, for the beginning of its answer."""
        reply = Reply(body, self._queue.hello)
        job = self._queue.submit(body)
        stream = EventStream(job, reply, asyncio.create_task(_leave_with_client(request, job)))
        try:
            await job.part()  # Begun
            if body.stream:
                return stream
            parts = [await job.part()]
            while not isinstance(parts[-1], End):
                parts.append(await job.part())
        except BaseException:
            stream.close()
            raise
        stream.close()
        return JSONResponse(reply.whole(parts))


class EventStream(Response):
    """An answer as server-sent events. watch: the task that leaves the job when the client disconnects."""

    def __init__(self, job: Job, reply: Reply, watch: asyncio.Task[None]) -> None:
        super().__init__()
        self._job, self._reply, self._watch = job, reply, watch

    def close(self) -> None:
        self._watch.cancel()
        self._job.leave()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": self._reply.first(), "more_body": True})
            last = False
            while not last:
                try:
                    part = await self._job.part()
                    data, last = self._reply.events(part), isinstance(part, End)
                except ApiError as error:
                    data, last = event(error.document()), True
                await send({"type": "http.response.body", "body": data, "more_body": not last})
                # Many parts may be waiting. Let other requests run in between, and notice a client that disconnects.
                await asyncio.sleep(0)
        finally:
            self.close()


async def _leave_with_client(request: Request, job: Job) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    job.leave(_gone())


def _gone() -> ApiError:
    """The error for a client that has disconnected: nobody reads it."""
    return ApiError(499, "the client has gone.")


async def _bytes(request: Request) -> bytes:
    """The body. Raises ApiError if it is too large; a Content-Length header that says so is enough."""
    said = request.headers.get("content-length", "")
    data = bytearray()
    if not (said.isdecimal() and int(said[:12]) > LARGEST_BODY):
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST_BODY:
                break
        else:
            return bytes(data)
    raise ApiError(413, f"the body has more than {LARGEST_BODY:,} bytes; no board takes such a conversation.")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _refuse_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    expected = "expected GET /v1/models, POST /v1/chat/completions or POST /v1/completions."
    return ApiError(error.status_code, f"{request.method} {shown(request.url.path)}: {expected}").response()
