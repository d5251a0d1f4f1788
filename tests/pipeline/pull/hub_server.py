"""A server on this computer that speaks the part of the hub's API that a pull needs, and misbehaves on demand.

Large files are sent by redirection to another origin, as the hub does; small ones at once.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = 5000
"""Bytes from which a file is stored as a large one, with a sha256 in the listing."""


@dataclass
class Repository:
    """What one repository holds at its one commit; the fields may be set to anything a test wants told instead."""

    files: dict[str, bytes]
    commit: str = "c0ffee" + "0" * 34
    tags: list[str] = field(default_factory=lambda: ["license:mit"])
    hashes: bool = True
    told_sizes: dict[str, int] = field(default_factory=dict)
    told_sha256: dict[str, str] = field(default_factory=dict)

    def description(self) -> dict[str, Any]:
        """The JSON of the hub's API."""
        return {"id": "x", "sha": self.commit, "tags": self.tags, "siblings": [self._entry(p) for p in self.files]}

    def _entry(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        entry: dict[str, Any] = {"rfilename": path, "size": self.told_sizes.get(path, len(content))}
        if self.hashes:
            entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if len(content) >= LARGE:
                digest = self.told_sha256.get(path, hashlib.sha256(content).hexdigest())
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
        return entry


@dataclass
class Request:
    """A request that came: its path with the origin's name before it, and its headers in lower case."""

    path: str
    headers: dict[str, str]


@dataclass
class HubServer:
    """The server. What it serves is `repositories`; how it fails is in the other fields, by the end of a path.

    cuts: after how many bytes the connection is closed, one number for each time. refusals: a status, and the hub's
    error code. garbage: a body in place of the description. ranges: whether a Range is honoured.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    stop: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> str:
        """The origin that large files come from."""
        return f"http://localhost:{self.port}"

    def asked(self, end: str) -> list[Request]:
        """The requests for a path with this end, and for what it was redirected to."""
        return [request for request in self.requests if request.path.endswith(end)]


def _by_end(table: dict[str, Any], path: str) -> Any:
    return next((value for end, value in table.items() if path.endswith(end)), None)


def _handler(server: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append(Request(headers["host"].split(":")[0] + path, headers))
            if (refusal := _by_end(server.refusals, path)) is not None:
                self._answer(refusal[0], b"no", {"x-error-code": refusal[1], **server.headers})
            elif (body := _by_end(server.bodies, path)) is not None:
                self._answer(200, body)
            elif api := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
                self._describe(*api.groups())
            elif file := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._resolve(*file.groups())
            elif stored := re.fullmatch(r"/stored/([^/]+/[^/]+)/(.+)", path):
                self._send(stored[2], server.repositories[stored[1]].files[stored[2]])
            else:
                self._answer(404, b"", {"x-error-code": "RepoNotFound"})

        def _describe(self, repo: str, revision: str) -> None:
            repository = server.repositories.get(repo)
            if repository is None:
                self._answer(401, b"")
            elif revision not in ("main", repository.commit):
                self._answer(404, b"", {"x-error-code": "RevisionNotFound"})
            else:
                self._answer(200, json.dumps(repository.description()).encode())

        def _resolve(self, repo: str, revision: str, path: str) -> None:
            repository = server.repositories[repo]
            if revision != repository.commit or path not in repository.files:
                self._answer(404, b"", {"x-error-code": "EntryNotFound"})
            elif len(repository.files[path]) >= LARGE:
                self._answer(302, b"", {"location": f"{server.storage}/stored/{repo}/{path}"})
            else:
                self._send(path, repository.files[path])

        def _send(self, path: str, content: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", "")) if server.ranges else None
            start = int(asked[1]) if asked else 0
            if start > len(content):
                self._answer(416, b"")
                return
            told = {"content-range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if asked else {}
            cuts = _by_end(server.cuts, path)
            self._answer(206 if asked else 200, content[start:], told, cuts.pop(0) if cuts else None)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.close_connection = cut is not None
            self.wfile.write(body if cut is None else body[:cut])

    return Handler


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Show no error if the client has gone: it may have read enough."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A server that runs until the block is left, or `stop` is called."""
    hub = HubServer()
    server = _Listener(("127.0.0.1", 0), _handler(hub))
    hub.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()
        hub.stop = lambda: None

    hub.stop = stop
    try:
        yield hub
    finally:
        hub.stop()
