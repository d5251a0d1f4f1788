"""Splits the messages of a chat request into the system message, the past turns and the new message."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tinyllm.host.serve.errors import ApiError
from tinyllm.host.serve.request_body import Message

SYSTEM = ("system", "developer")


@dataclass(frozen=True)
class History:
    """The conversation of one request. It ends with a new user text, `said`, or with `results` of the last call.

    messages: all but the system messages. past: the messages before the new ones. turns: the past as pairs of the
    user's text and the text of its answer.
    """

    system: str | None
    messages: tuple[Message, ...]
    past: tuple[Message, ...]
    said: str
    results: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]


def read_history(messages: Sequence[Message], with_system: bool) -> History:
    """Split the messages. with_system: False leaves system messages out. Raises ApiError if their order is wrong."""
    told = [message.content for message in messages if message.role in SYSTEM]
    start = next((number for number, message in enumerate(messages) if message.role not in SYSTEM), len(messages))
    if any(message.role in SYSTEM for message in messages[start:]):
        raise ApiError(400, "messages: a system message stands after others; expected it first.", "messages")
    last = messages[-1].role
    if last not in ("user", "tool"):
        raise ApiError(400, f"messages: the last is the {last}'s; expected the user's, or a tool's result.", "messages")
    new = len(messages)
    while new > start and messages[new - 1].role == last:
        new -= 1
    if messages[start].role != "user":
        raise ApiError(400, f"messages: the first is the {messages[start].role}'s; expected the user's.", "messages")
    texts = tuple(message.content for message in messages[new:])
    return History(
        "\n\n".join(told) if told and with_system else None,
        tuple(messages[start:]),
        tuple(messages[start:new]),
        "\n\n".join(texts) if last == "user" else "",
        texts if last == "tool" else (),
        tuple(_turns(messages[start:new])),
    )


def _turns(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """The past as pairs of user text and answer text. Calls and results are left out: text cannot stand for them."""
    turns: list[tuple[str, str]] = []
    before = ""
    for message in messages:
        if message.role == "user":
            said = f"{turns.pop()[0]}\n\n{message.content}" if before == "user" else message.content
            turns.append((said, ""))
        elif message.role == "assistant":
            said, answered = turns[-1]
            turns[-1] = (said, answered + message.content)
        before = message.role
    return turns


def fingerprint(model_hash: str, system: str | None, messages: Sequence[Message]) -> bytes:
    """A SHA-256 of a conversation with a model. White space at the ends of texts and ids of calls do not change it."""
    said = [
        (
            message.role,
            message.content.strip(),
            [(call.function.name, call.function.arguments.strip()) for call in message.tool_calls],
        )
        for message in messages
    ]
    return hashlib.sha256(json.dumps([model_hash, system, said]).encode()).digest()
