"""A server that is used for long, and what it adds to a token: figures for a reader, printed with `pytest -s`."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

import tinyllm
from tests.pipeline.serve.server import CHAT, COMPLETIONS, GREEDY, Served, user

SAID = ("Hello!", "Turn on the light in the kitchen, please", "Who are you?", "What is the temperature?")
STREAM_TOKENS = 300


@pytest.mark.parametrize("requests", [40, pytest.param(1000, marks=pytest.mark.sweep)])
def test_requests_in_a_row_of_which_some_are_cancelled_leave_no_trace(
    server: Served, requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Every twentieth client leaves in mid-stream."""
    board, start = server.board, time.monotonic()
    expected = {said: answer(server, said) for said in SAID}
    memory, threads, files = board.link.memory(), threading.active_count(), open_files()
    for number in range(requests):
        if number % 20 == 10:
            leave_in_mid_stream(server)
        else:
            said = SAID[number % len(SAID)]
            assert answer(server, said, stream=number % 3 == 0) == expected[said], number
    server.wait_for_jobs(0)
    assert board.link.memory() == memory
    assert board.link.update_hello().corrupt_frames == 0
    assert threading.active_count() <= threads + 1
    assert open_files() <= files + 2
    assert {said: answer(server, said) for said in SAID} == expected
    assert caplog.records == []
    print(f"\n{requests} requests, {requests // 20} of them cancelled: {time.monotonic() - start:.1f} s")


def answer(server: Served, said: str, stream: bool = False) -> str:
    """The text of an answer, streamed or not."""
    connection = server.connect()
    body = {**GREEDY, "messages": user(said), "stream": stream}
    connection.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    assert response.status == 200, data
    if not stream:
        return str(json.loads(data)["choices"][0]["message"]["content"])
    events = [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: {")]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events)


def leave_in_mid_stream(server: Served) -> None:
    connection = server.connect()
    body = {**GREEDY, "prompt": "hello", "max_tokens": 4096, "stream": True}
    connection.request("POST", COMPLETIONS, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline().startswith(b"data: ")
    response.close()
    connection.close()


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def test_what_the_server_adds_to_a_token_is_printed(server: Served, chat_board: tinyllm.Board) -> None:
    """The same answer from the board alone and through the server: the rest of the time is the server's."""
    body = {**GREEDY, "prompt": "hello", "max_tokens": STREAM_TOKENS, "stream": True}
    chat_board.reset()
    start = time.perf_counter()
    for _ in chat_board.ask("hello", STREAM_TOKENS, temperature=0):
        pass
    alone = time.perf_counter() - start
    connection = server.connect()
    start = time.perf_counter()
    connection.request("POST", COMPLETIONS, json.dumps(body), {"Content-Type": "application/json"})
    events = sum(line.startswith(b"data: {") for line in connection.getresponse())
    served = time.perf_counter() - start
    connection.close()
    assert events > STREAM_TOKENS / 2
    added = 1000 * (served - alone) / STREAM_TOKENS
    print(f"\na token: {1000 * alone / STREAM_TOKENS:.3f} ms from the board, and {added:.3f} ms of the server")
