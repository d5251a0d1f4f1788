"""What OpenAI's own client gets from a board: chats, streams, tools, completions."""

from __future__ import annotations

import json
import threading
from typing import Any

import openai
import pytest

import tinyllm
from tests.pipeline.serve.server import COMPLETIONS, GREEDY, Served, served, tool, user

ON, OFF = "Turn on the light in the kitchen, please", "Now turn it off again"
LIGHT_ON = '[light.set(room="kitchen", on=true): ok]The kitchen light is on.'


def said_by(board: tinyllm.Board, *texts: str) -> list[str]:
    """What `tinyllm run` and `tinyllm chat` show for these turns."""
    chat = board.chat()
    return ["".join(chat.ask(text, 256, temperature=0)) for text in texts]


def answer(server: Served, messages: list[Any], **more: Any) -> Any:
    return server.client().chat.completions.create(**{**GREEDY, "messages": messages, **more})


def content(server: Served, messages: list[Any], **more: Any) -> str:
    return str(answer(server, messages, **more).choices[0].message.content)


def test_the_model_on_the_board_is_listed(server: Served) -> None:
    (model,) = server.client().models.list().data
    assert (model.id, model.owned_by) == ("chat", "tinyllm on host")
    assert server.client().models.retrieve("chat") == model


def test_a_chat_shows_what_tinyllm_run_shows(server: Served, chat_board: tinyllm.Board) -> None:
    shown = said_by(chat_board, ON)
    assert shown == [LIGHT_ON]
    reply = answer(server, user(ON))
    assert [reply.choices[0].message.content] == shown
    assert reply.choices[0].finish_reason == "stop"
    assert reply.choices[0].message.tool_calls is None


def test_a_stream_has_the_same_text_piece_by_piece_and_its_counts(server: Served) -> None:
    whole = answer(server, user(ON))
    chunks = list(answer(server, user(ON), stream=True, stream_options={"include_usage": True}))
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert "".join(pieces) == whole.choices[0].message.content and len(pieces) > 3
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].usage == whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_a_chat_that_goes_on_reads_its_new_turn_alone(server: Served, chat_board: tinyllm.Board) -> None:
    _, shown = said_by(chat_board, ON, OFF)
    context_used = chat_board.link.update_hello().context_used
    first = answer(server, user(ON))
    second = answer(server, user(ON, first.choices[0].message.content, OFF))
    assert second.choices[0].message.content == shown
    assert second.usage.total_tokens == context_used
    assert second.usage.prompt_tokens_details.cached_tokens == first.usage.total_tokens


def test_chats_in_turn_get_what_each_would_get_alone(server: Served) -> None:
    """The board has one memory; a chat that lost it to another gets the same tokens back."""
    first = content(server, user(ON))
    content(server, user("Hello! Who are you?"))
    again = answer(server, user(ON, first, OFF))
    assert again.choices[0].message.content == '[light.set(room="kitchen", on=false): ok]The kitchen light is off.'
    assert again.usage.prompt_tokens_details.cached_tokens == 0
    assert again.usage.prompt_tokens > 40


def test_a_chat_that_was_held_elsewhere_is_read_as_text(server: Served) -> None:
    reply = answer(server, user("Hello!", "Hi there.", "Who are you?"))
    alone = answer(server, user("Who are you?"))
    assert reply.usage.prompt_tokens > alone.usage.prompt_tokens + 4
    assert reply.choices[0].message.content


def test_a_call_goes_to_the_client_that_has_a_tool_of_its_name(server: Served) -> None:
    messages: list[Any] = user("What is the temperature?")
    reply = answer(server, messages, tools=[tool("sensor_read")])
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("sensor_read", '{"kind": "temperature"}')
    messages += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "37"},
    ]
    end = answer(server, messages, tools=[tool("sensor_read")])
    assert "37" in end.choices[0].message.content and "[" not in end.choices[0].message.content
    assert end.usage.prompt_tokens_details.cached_tokens == reply.usage.total_tokens
    content(server, user("Hello!"))
    later = answer(server, messages, tools=[tool("sensor_read")])
    assert later.choices == end.choices and later.usage.total_tokens == end.usage.total_tokens


def test_a_streamed_call_of_a_tool_has_its_arguments(server: Served) -> None:
    chunks = list(answer(server, user(ON), tools=[tool("light.set")], stream=True))
    (call,) = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert (call.function.name, call.function.arguments) == ("light.set", '{"room": "kitchen", "on": true}')
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("more", [{"tools": [tool("led_set")]}, {"tools": [tool("light_set")], "tool_choice": "none"}])
def test_the_board_carries_out_what_the_client_has_no_tool_for(server: Served, more: dict[str, Any]) -> None:
    assert content(server, user(ON), **more) == LIGHT_ON


def test_an_answer_ends_at_its_limit_and_at_a_stop_text(server: Served) -> None:
    whole = content(server, user("Hello! Who are you?"))
    cut = answer(server, user("Hello! Who are you?"), max_completion_tokens=3)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 3)
    assert whole.startswith(cut.choices[0].message.content)
    tools = answer(server, user("Hello! Who are you?"), max_tokens=3, tools=[tool("led_set")])
    assert tools.choices == cut.choices and tools.usage.total_tokens >= cut.usage.total_tokens
    head, stop, _ = whole.partition(" name")
    ended = answer(server, user("Hello! Who are you?"), stop=["nowhere", " name"])
    assert stop and (ended.choices[0].message.content, ended.choices[0].finish_reason) == (head, "stop")


def test_a_seed_gives_the_same_answer_and_without_one_answers_differ(server: Served) -> None:
    ask = {"model": "chat", "prompt": "hello", "max_tokens": 12, "temperature": 2.0, "top_p": 1}
    client = server.client()
    seeded = {client.completions.create(**ask, seed=7).choices[0].text for _ in range(2)}
    free = {client.completions.create(**ask).choices[0].text for _ in range(4)}
    assert len(seeded) == 1 and len(free) > 1


def test_a_completion_goes_on_from_the_text_without_the_chat_template(
    server: Served, chat_board: tinyllm.Board
) -> None:
    chat_board.reset()
    expected = chat_board.ask("hello", 5, temperature=0).read()
    reply = server.client().completions.create(**GREEDY, prompt="hello", max_tokens=5)
    assert (reply.choices[0].text, reply.choices[0].finish_reason) == (expected.text, "length")
    assert reply.usage is not None and reply.usage.total_tokens == expected.context_used


def test_a_system_message_goes_to_the_model_or_is_left_out(server: Served, chat_board: tinyllm.Board) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *user("Hello!")]
    with_it = answer(server, messages)
    plain = answer(server, user("Hello!"))
    assert with_it.usage.prompt_tokens > plain.usage.prompt_tokens
    with served(chat_board, with_system=False) as without:
        assert answer(without, messages).usage.prompt_tokens == plain.usage.prompt_tokens


def test_two_clients_at_once_are_served_in_turn(server: Served) -> None:
    answers: dict[str, str] = {}

    def ask(said: str) -> None:
        answers[said] = content(server, user(said))

    asked = (ON, "Hello! Who are you?", "Who was Napoleon?")
    with server.board_held():
        threads = []
        for waiting, said in enumerate(asked):
            threads.append(threading.Thread(target=ask, args=(said,)))
            threads[-1].start()
            server.wait_for_jobs(waiting + 1)
    for thread in threads:
        thread.join()
    log = "\n".join(server.board.wire.lines())
    places = [log.index(f"content={said!r}") for said in asked[1:]]
    assert places == sorted(places)
    assert answers == {said: content(server, user(said)) for said in asked}


def test_a_full_queue_refuses_and_frees_itself(server: Served) -> None:
    body = {**GREEDY, "prompt": "hello", "max_tokens": 4}
    with server.board_held():
        waiting = [server.connect() for _ in range(5)]
        for number, connection in enumerate(waiting):
            connection.request("POST", COMPLETIONS, json.dumps(body), {"Content-Type": "application/json"})
            server.wait_for_jobs(number + 1)
        with pytest.raises(openai.RateLimitError, match="one request at a time, and 4 may wait") as refused:
            server.client().completions.create(**body)
        assert refused.value.response.headers["retry-after"] == "1"
        waiting[3].close()
        server.wait_for_jobs(4)
    for connection in (*waiting[:3], waiting[4]):
        assert connection.getresponse().status == 200
        connection.close()
    server.wait_for_jobs(0)
