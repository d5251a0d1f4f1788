"""What is refused, by raw HTTP: wrong bodies, wrong callers; each in OpenAI's form and with what was expected."""

from __future__ import annotations

import json
from typing import Any

import pytest

import tinyllm
from tests.pipeline.serve.server import CHAT, COMPLETIONS, GREEDY, Served, served, user
from tinyllm.host.serve.app import LARGEST_BODY
from tinyllm.host.serve.guard import Access

HELLO = {**GREEDY, "messages": user("Hello!"), "max_tokens": 4}
TEXT = {**GREEDY, "prompt": "hello", "max_tokens": 4}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in HELLO.items() if key != name}


def message(**fields: Any) -> dict[str, Any]:
    return {**HELLO, "messages": [fields]}


@pytest.mark.parametrize(
    ("body", "status", "said", "param"),
    [
        (b"", 400, "no JSON", None),
        (b"{", 400, "no JSON", None),
        (b"[1]", 400, "the body is [1]", None),
        (b'{"model": "chat", "messages": ' + b"[" * 5000, 400, "no JSON", None),
        (b'{"model": "chat", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, "no JSON", None),
        (b"\xff\xfe", 400, "no JSON", None),
        (without("model"), 400, "model is missing", "model"),
        ({**HELLO, "model": 7}, 400, "model is 7: Input should be a valid string", "model"),
        ({**HELLO, "model": "gpt-4o"}, 404, "there is no model 'gpt-4o'; this board runs 'chat'", "model"),
        (without("messages"), 400, "messages is missing", "messages"),
        ({**HELLO, "messages": []}, 400, "at least 1 item", "messages"),
        ({**HELLO, "messages": "hello"}, 400, "messages is 'hello': Input should be a valid array", "messages"),
        ({**HELLO, "messages": user(*"x" * 129)}, 400, "at most 128 items", "messages"),
        (message(role="wizard", content="x"), 400, "'wizard': Input should be 'system'", "messages.0.role"),
        (message(role="user", content=5), 400, "content is 5: expected a text", "messages.0.content"),
        (message(role="user", content=[{"type": "image_url"}]), 400, "boards take no images", "messages.0.content"),
        ({**HELLO, "messages": user("a", "b")}, 400, "the last is the assistant's", "messages"),
        ({**HELLO, "messages": [{"role": "assistant", "content": "a"}, *user("b")]}, 400, "the first is", "messages"),
        ({**HELLO, "messages": [*user("b"), {"role": "system", "content": "a"}, *user("b")]}, 400, "after", "messages"),
        ({**HELLO, "messages": [*user("b"), {"role": "tool", "content": "a"}]}, 400, "no call is known", "messages"),
        (
            {**HELLO, "max_tokens": -1},
            400,
            "max_tokens is -1: Input should be greater than or equal",
            "max_tokens",
        ),
        ({**HELLO, "max_completion_tokens": 0}, 400, "greater than or equal to 1", "max_completion_tokens"),
        ({**HELLO, "max_tokens": "5"}, 400, "max_tokens is '5': Input should be a valid integer", "max_tokens"),
        ({**HELLO, "max_tokens": True}, 400, "valid integer", "max_tokens"),
        ({**HELLO, "temperature": -0.5}, 400, "temperature -0.5: expected a number from 0 to 100", "temperature"),
        ({**HELLO, "temperature": "hot"}, 400, "temperature is 'hot': Input should be a valid number", "temperature"),
        (json.dumps(HELLO).replace('"temperature": 0', '"temperature": NaN').encode(), 400, "temperature nan", None),
        ({**HELLO, "top_p": 0}, 400, "top_p 0: expected a number from", "top_p"),
        ({**HELLO, "seed": -1}, 400, "seed -1: expected a whole number from 0 to 4294967295", "seed"),
        ({**HELLO, "seed": 2**70}, 400, "seed", None),
        ({**HELLO, "stop": [""]}, 400, "at least 1 character", "stop.0"),
        ({**HELLO, "stop": ["a"] * 5}, 400, "at most 4 items", "stop"),
        ({**HELLO, "n": 2}, 400, "n is 2: Input should be 1", "n"),
        ({**HELLO, "frequency_penalty": 1}, 400, "boards have repetition_penalty alone", "frequency_penalty"),
        ({**HELLO, "logprobs": True}, 400, "Input should be False", "logprobs"),
        ({**HELLO, "response_format": {"type": "json_object"}}, 400, "Input should be 'text'", "response_format.type"),
        ({**HELLO, "tool_choice": "required"}, 400, "Input should be 'auto'", "tool_choice"),
        ({**HELLO, "tools": [{"type": "function"}]}, 400, "tools.0.function is missing", "tools.0.function"),
        (message(role="user", content="x" * 20_000), 400, "the prompt is too long: this board takes 256", "messages"),
        ({**TEXT, "prompt": ["a", "b"]}, 400, "expected one text", "prompt"),
        ({**TEXT, "echo": True}, 400, "Input should be False", "echo"),
    ],
)
def test_a_wrong_body_is_refused_with_what_was_expected(
    server: Served, body: Any, status: int, said: str, param: str | None
) -> None:
    path = COMPLETIONS if isinstance(body, dict) and "prompt" in body else CHAT
    got, _, document = server.request("POST", path, body)
    assert got == status, document
    error = document["error"]
    assert said in error["message"]
    assert param is None or error["param"] == param
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == ("not_found_error" if status == 404 else "invalid_request_error")


def test_a_board_answers_after_refusals(server: Served) -> None:
    assert server.request("POST", CHAT, HELLO)[0] == 200


def test_a_body_that_is_too_large_is_refused_before_it_has_come(server: Served) -> None:
    connection = server.connect()
    connection.putrequest("POST", CHAT)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(LARGEST_BODY + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413 and "262,144 bytes" in json.loads(response.read())["error"]["message"]
    connection.close()


def test_a_body_without_a_length_is_refused_once_it_is_too_large(server: Served) -> None:
    connection = server.connect()
    chunks = (b" " * 4096 for _ in range(LARGEST_BODY // 4096 + 1))
    connection.request("POST", CHAT, chunks, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_is_said_to_be_json(server: Served, kind: str) -> None:
    """A page of the web may send other kinds without asking the browser's leave."""
    status, _, document = server.request("POST", CHAT, HELLO, {"Content-Type": kind})
    assert status == 415 and "Content-Type: application/json" in document["error"]["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("GET", CHAT, 405), ("POST", "/v1/x", 404)])
def test_another_path_is_refused_with_those_that_there_are(server: Served, method: str, path: str, status: int) -> None:
    got, _, document = server.request(method, path)
    assert got == status and "POST /v1/chat/completions" in document["error"]["message"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "[", "192.168.1.5"])
def test_a_name_that_was_rebound_to_this_computer_is_refused(server: Served, host: str) -> None:
    status, _, document = server.request("GET", "/v1/models", headers={"Host": host})
    assert status == 403 and "expected localhost or 127.0.0.1" in document["error"]["message"]


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
def test_the_names_of_this_computer_are_served(server: Served, host: str) -> None:
    assert server.request("GET", "/v1/models", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000"])
def test_a_page_from_elsewhere_is_refused_and_told_nothing(server: Served, origin: str) -> None:
    status, headers, _ = server.request("POST", CHAT, HELLO, {"Origin": origin})
    assert status == 403
    status, preflight, _ = server.request("OPTIONS", CHAT, headers={"Origin": origin})
    assert status == 403
    assert not [name for name in (*headers, *preflight) if name.lower().startswith("access-control")]


def test_a_page_and_a_name_that_were_allowed_are_served(chat_board: tinyllm.Board) -> None:
    page = "http://localhost:3000"
    access = Access("127.0.0.1", hosts=("desk.local",), origins=(page,))
    with served(chat_board, access) as server:
        asking = {"Origin": page, "Access-Control-Request-Method": "POST"}
        connection = server.connect()
        connection.request("OPTIONS", CHAT, headers=asking)
        assert connection.getresponse().headers["access-control-allow-origin"] == page
        connection.close()
        status, headers, _ = server.request("POST", CHAT, HELLO, {"Origin": page, "Host": "desk.local:8080"})
        assert status == 200 and headers["access-control-allow-origin"] == page
        status, headers, _ = server.request("POST", CHAT, HELLO, {"Origin": "https://evil.example"})
        assert status == 403 and "access-control-allow-origin" not in headers


def test_with_a_key_only_those_who_have_it_are_served(chat_board: tinyllm.Board) -> None:
    with served(chat_board, Access("0.0.0.0", key="sésame")) as server:
        for given in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Basic s"}, {"Authorization": "Bearer"}):
            status, headers, document = server.request("GET", "/v1/models", headers={"Host": "desk", **given})
            assert status == 401 and document["error"]["code"] == "invalid_api_key"
            assert headers["www-authenticate"] == "Bearer"
        right = {"Host": "desk", "Authorization": "Bearer sésame".encode().decode("latin-1")}
        assert server.request("GET", "/v1/models", headers=right)[0] == 200
