"""Writes a conversation with the checkpoint's Jinja template, as the text that the model was trained on.

The template is rendered as transformers' apply_chat_template does it, in a sandbox within a process of bounded time and
memory (see worker).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tinyllm.codegen.chat.worker import CPU_SECONDS, MEMORY_BYTES
from tinyllm.errors import UserError
from tinyllm.processes import python_module
from tinyllm.text import one_line

TEMPLATE_CHARACTERS = 1 << 18
WALL_SECONDS = 10 if sys.platform == "win32" else 60
"""Where the system can, the process bounds its own CPU time. It needs more wall time than that on a busy computer."""
MESSAGE_CHARACTERS = 200

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """A message of a conversation: who says it, and its text."""

    role: Role
    content: str


@dataclass(frozen=True)
class Chat:
    """Messages in order. generate: whether the rendered text ends where the model's answer begins."""

    messages: tuple[Message, ...]
    generate: bool = True


@dataclass(frozen=True)
class Rendered:
    """The text of one chat, or the reason why the template refused it; the other one is empty."""

    text: str
    refusal: str = ""


def render(
    template: str, messages: Sequence[Message], bos_token: str | None, eos_token: str | None, generate: bool = True
) -> str:
    """The text of one conversation; arguments and errors are those of render_chats.

    Raises UserError also if the template refuses the conversation.
    """
    (result,) = render_chats(template, [Chat(tuple(messages), generate)], bos_token, eos_token)
    if result.refusal:
        raise UserError(f"the chat template refuses this conversation: {result.refusal}. --raw does without it.")
    return result.text


def render_chats(
    template: str, chats: Sequence[Chat], bos_token: str | None, eos_token: str | None, clock: bool = True
) -> list[Rendered]:
    """Render each chat by itself, all in one process.

    bos_token, eos_token: their text; None leaves them undefined. clock: whether the template may ask for the date.
    Raises UserError if the template is too long or takes too much time or memory. A template that is not valid Jinja
    refuses every chat.
    """
    if len(template) > TEMPLATE_CHARACTERS:
        raise UserError(
            f"the chat template has {len(template)} characters, expected at most {TEMPLATE_CHARACTERS}. "
            "--raw does without it."
        )
    names = {"bos_token": bos_token, "eos_token": eos_token}
    known = {name: text for name, text in names.items() if text is not None}
    fields: list[dict[str, Any]] = [
        {
            "messages": [vars(message) for message in chat.messages],
            "add_generation_prompt": chat.generate,
            "tools": None,
            "documents": None,
            **known,
        }
        for chat in chats
    ]
    job = json.dumps({"template": template, "clock": clock, "chats": fields})
    try:
        done = subprocess.run(
            python_module("tinyllm.codegen.chat.worker"),
            input=job.encode(),
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode != 0:
        raise UserError(
            f"the chat template cannot be rendered within {CPU_SECONDS} s and {MEMORY_BYTES >> 20} MB of memory. "
            "--raw does without it."
        )
    return [
        Rendered(one.get("text", ""), one_line(one.get("error", ""), MESSAGE_CHARACTERS).rstrip("."))
        for one in json.loads(done.stdout)
    ]
