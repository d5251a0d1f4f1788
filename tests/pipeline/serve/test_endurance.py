"""A server that is used for long, and what it adds to a token: figures for a reader, printed with `pytest -s`."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import tinyllm
from tests.pipeline.serve.server import CHAT, COMPLETIONS, GREEDY, Served, served, tool, user

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


@pytest.mark.parametrize("clients", [2, pytest.param(8, marks=pytest.mark.sweep)])
def test_clients_at_once_get_what_each_would_get_alone(
    chat_board: tinyllm.Board, clients: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Each takes the board's memory from the others: single turns, a chat of two, a tool's result, and leaving."""
    wrong: list[str] = []
    with served(chat_board, most_waiting=clients) as server:
        expected = {said: answer(server, said) for said in SAID}

        def talk(number: int) -> None:
            for turn in range(5 * clients):
                said = SAID[(number + turn) % len(SAID)]
                if turn % 5 == 4:
                    leave_in_mid_stream(server)
                elif turn % 2 and (got := answer(server, said, stream=turn % 3 == 0)) != expected[said]:
                    wrong.append(f"{said} {got}")
                elif turn % 2 == 0 and str(10 + number) not in (got := with_tool(server, str(10 + number))):
                    wrong.append(f"{10 + number}: {got}")

        threads = [threading.Thread(target=talk, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.wait_for_jobs(0)
    assert wrong == []
    assert caplog.records == []


def with_tool(server: Served, result: str) -> str:
    """What the model says of the temperature that a client's tool gave."""
    ask = {**GREEDY, "tools": [tool("sensor_read")]}
    messages: list[Any] = user("What is the temperature?")
    _, _, document = server.request("POST", CHAT, {**ask, "messages": messages})
    called = document["choices"][0]["message"]
    messages += [called, {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": result}]
    _, _, document = server.request("POST", CHAT, {**ask, "messages": messages})
    return str(document["choices"][0]["message"]["content"])
