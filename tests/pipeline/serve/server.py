"""A server with a board in this process, for the tests: its queue and its board can be looked at."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import openai

import tinyllm
from tinyllm.host.serve.app import application
from tinyllm.host.serve.board_queue import BoardQueue
from tinyllm.host.serve.conversations import Conversations
from tinyllm.host.serve.guard import Access
from tinyllm.host.serve.server import Server, bind, url_of

SECONDS = 60.0
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
GREEDY = {"model": "chat", "temperature": 0}


@dataclass(frozen=True)
class Served:
    """A running server. url: with /v1."""

    url: str
    board: tinyllm.Board
    queue: BoardQueue

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=SECONDS)

    def connect(self) -> HTTPConnection:
        return HTTPConnection(urlsplit(self.url).netloc, timeout=SECONDS)

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and JSON of the response. body: bytes as they are, anything else as JSON."""
        connection = self.connect()
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        said = response.read()
        connection.close()
        return response.status, dict(response.headers), json.loads(said) if said else None

    def wait_for_jobs(self, number: int) -> None:
        """Until so many requests are answered or wait."""
        until(lambda: self.queue.length == number)

    @contextmanager
    def board_held(self) -> Iterator[None]:
        """The board computes nothing meanwhile: its process is stopped."""
        process = self.board.connection.process
        assert process is not None and process._process is not None
        os.kill(process._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process._process.pid, signal.SIGCONT)


@contextmanager
def served(
    board: tinyllm.Board, access: Access | None = None, most_waiting: int = 4, with_system: bool = True
) -> Iterator[Served]:
    queue = BoardQueue(Conversations(board, with_system), most_waiting)
    with bind("127.0.0.1", 0) as bound:
        server = Server(application(queue, access or Access("127.0.0.1")), queue.end)
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        until(lambda: server.started)
        try:
            yield Served(url_of(bound), board, queue)
        finally:
            server.should_exit = True
            queue.end()
            thread.join(SECONDS)
            queue.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def user(*said: str) -> list[dict[str, Any]]:
    """A chat of these messages in turn: the user's, the assistant's, ..."""
    return [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(said)]


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
