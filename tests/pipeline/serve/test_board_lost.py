"""Clients that go away, and boards that do."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import openai
import pytest

import tinyllm
from tests.pipeline.serve.server import COMPLETIONS, GREEDY, Served, served, until, user
from tinyllm.boards.description import HOST, load_board
from tinyllm.host.build.build import build
from tinyllm.host.model.load import load_model
from tinyllm.host.serve import request_body

MANY = 1_000_000
LONG = {**GREEDY, "prompt": "hello", "max_tokens": MANY, "stream": True}
"""Goes on up to the limit, for the chat model never stops after half a text."""


@pytest.fixture(autouse=True)
def long_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So long that no test's answer ends by itself, however busy the computer is."""
    monkeypatch.setattr(request_body, "MOST_TOKENS", MANY)


def test_a_client_that_leaves_in_mid_stream_ends_the_boards_answer_and_frees_the_queue(server: Served) -> None:
    connection = server.connect()
    connection.request("POST", COMPLETIONS, json.dumps(LONG), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline().startswith(b"data: ")
    with server.board_held():
        response.close()
        connection.close()
        # If tokens were on their way still, the answer is left at once, and ended before the next one.
        until(lambda: server.queue.leaving or server.queue.length == 0)
    server.wait_for_jobs(0)
    server.board.link.get()
    ends = re.findall(r"< #\d+ Done reason=(\d) .* tokens=(\d+) ", "\n".join(server.board.wire.lines()))
    reason, tokens = ends[-1]
    assert reason == "3" and int(tokens) < MANY
    assert server.client().completions.create(**{**LONG, "max_tokens": 3, "stream": False}).usage is not None


@contextmanager
def plugged_in(program: Path, port: int) -> Iterator[None]:
    """A board on a port of this computer, which another program had started."""
    command = [str(program), "--tcp", str(port), "--parent-pipe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_board_that_was_unplugged_is_said_to_be_away_and_comes_back_by_itself() -> None:
    program = build(load_model("chat"), load_board(HOST)).program
    port = free_port()
    ask = {**GREEDY, "messages": user("Hello!")}
    with ExitStack() as plugged:
        plugged.enter_context(plugged_in(program, port))
        with tinyllm.Board.open(f"socket://127.0.0.1:{port}") as board, served(board) as server:
            client = server.client()
            said = client.chat.completions.create(**ask).choices
            plugged.close()
            for _ in range(2):
                with pytest.raises(openai.InternalServerError) as away:
                    client.chat.completions.create(**ask)
                assert (away.value.status_code, away.value.code) == (503, "board_unavailable")
                assert away.value.response.headers["retry-after"] == "1"
                assert client.models.list().data
            plugged.enter_context(plugged_in(program, port))
            assert client.chat.completions.create(**ask).choices == said
            plugged.close()
            plugged.enter_context(plugged_in(program, port))
            assert client.chat.completions.create(**ask).choices == said, "it came back before it was missed"


def test_a_board_that_goes_in_mid_stream_ends_the_stream_with_an_error(server: Served) -> None:
    stream = server.client().completions.create(**LONG)
    next(iter(stream))
    server.board.cut_power()
    with pytest.raises(openai.APIError, match="the board went away"):
        for _ in stream:
            pass
    assert server.client().chat.completions.create(**GREEDY, messages=user("Hello!")).choices[0].message.content
