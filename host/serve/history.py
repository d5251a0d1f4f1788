"""The conversation that a chat request holds: its system message, its past turns, and what is new."""

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
    """What is new is `said`, a user text, or else `results` of the last call.

    messages: all but the system's. past: of them those before what is new. turns: of the past, what the user said and
    the text that was answered to it.
    """

    system: str | None
    messages: tuple[Message, ...]
    past: tuple[Message, ...]
    said: str
    results: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]


def read_history(messages: Sequence[Message], with_system: bool) -> History:
    """Raises ApiError for an order that no conversation has. with_system: whether system messages count."""
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
    """The texts of the past by turns. Calls and their results are left out: only tokens could tell of them."""
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
    """The same for the same conversation with the same model, whatever white space and ids a client puts around."""
    said = [
        (
            message.role,
            message.content.strip(),
            [(call.function.name, call.function.arguments.strip()) for call in message.tool_calls],
        )
        for message in messages
    ]
    return hashlib.sha256(json.dumps([model_hash, system, said]).encode()).digest()
