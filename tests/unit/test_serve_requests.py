"""Bodies of requests: whatever comes, it is read or refused in words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.host.serve.errors import ApiError
from tinyllm.host.serve.history import fingerprint, read_history
from tinyllm.host.serve.request_body import ChatBody, Message, read_body

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
roles = st.sampled_from(["system", "developer", "user", "assistant", "tool", "wizard"])
calls = st.just([{"id": "1", "type": "function", "function": {"name": "led_set", "arguments": "{}"}}])
messages = st.lists(
    st.fixed_dictionaries(
        {"role": roles | values, "content": st.text(max_size=8) | values}, optional={"tool_calls": calls}
    ),
    max_size=5,
)
fields = st.sampled_from([*ChatBody.model_fields])
bodies = st.builds(
    lambda body, wrong: {**body, **wrong},
    st.fixed_dictionaries({"model": st.just("chat"), "messages": messages | values}),
    st.dictionaries(fields, values, max_size=2),
)


@given(bodies | values)
def test_a_body_of_any_form_is_a_conversation_or_a_refusal(body: Any) -> None:
    try:
        read = read_body(ChatBody, json.dumps(body).encode())
        history = read_history(read.messages, True)
    except ApiError as error:
        assert error.status == 400 and len(str(error)) < 400
        return
    assert bool(history.results) != any(message.role == "user" for message in history.messages[len(history.past) :])
    assert fingerprint("hash", history.system, history.past)


@given(st.binary(max_size=64))
def test_bytes_of_any_kind_are_refused(data: bytes) -> None:
    with pytest.raises(ApiError):
        read_body(ChatBody, data)


def chat(*said: tuple[str, str]) -> list[Message]:
    return [Message.model_validate({"role": role, "content": text}) for role, text in said]


def test_a_conversation_is_taken_apart_by_turns() -> None:
    history = read_history(
        chat(
            ("system", "Be brief."),
            ("user", "a"),
            ("user", "b"),
            ("assistant", "calls"),
            ("tool", "result"),
            ("assistant", " and ends"),
            ("user", "c"),
        ),
        with_system=True,
    )
    assert (history.system, history.said, history.results) == ("Be brief.", "c", ())
    assert history.turns == (("a\n\nb", "calls and ends"),)
    assert len(history.past) == 5 and len(history.messages) == 6


def test_a_conversation_is_known_again_but_for_white_space_and_ids() -> None:
    said = chat(("user", "a"), ("assistant", " b\n"))
    assert fingerprint("m", None, said) == fingerprint("m", None, chat(("user", "a"), ("assistant", "b")))
    others = [("other", None, said), ("m", "Be brief.", said), ("m", None, said[:1])]
    assert len({fingerprint("m", None, said), *(fingerprint(*other) for other in others)}) == 4
