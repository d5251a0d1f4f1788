"""Chat templates: a conversation written as the text that the model was trained on, by the checkpoint's Jinja template.

They are rendered as transformers' apply_chat_template renders them, in a sandbox within a process of bounded time and
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
from tinyllm.text import one_line

TEMPLATE_CHARACTERS = 1 << 18
WALL_SECONDS = 10 if sys.platform == "win32" else 60
"""The process bounds its own time if the system can; a busy computer lets it wait for its turn."""
MESSAGE_CHARACTERS = 200

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """The text of one role."""

    role: Role
    content: str


@dataclass(frozen=True)
class Chat:
    """Messages in order; with `generate` the text ends where the model's answer begins."""

    messages: tuple[Message, ...]
    generate: bool = True


@dataclass(frozen=True)
class Rendered:
    """The text of one chat, or why the template refused it; the other is empty."""

    text: str
    refusal: str = ""


def render(
    template: str, messages: Sequence[Message], bos_token: str | None, eos_token: str | None, generate: bool = True
) -> str:
    """The text of one conversation; arguments and errors as render_chats.

    UserError too if the template refuses the conversation.
    """
    (result,) = render_chats(template, [Chat(tuple(messages), generate)], bos_token, eos_token)
    if result.refusal:
        raise UserError(f"the chat template refuses this conversation: {result.refusal}. --raw does without it.")
    return result.text


def render_chats(
    template: str, chats: Sequence[Chat], bos_token: str | None, eos_token: str | None, clock: bool = True
) -> list[Rendered]:
    """Render each chat by itself, all in one process.

    bos_token, eos_token: as they are written in the text; None leaves them undefined. clock: whether the template may
    ask for the date. Raises UserError for a template that takes too much time or memory; one that is no valid Jinja
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
            [sys.executable, "-m", "tinyllm.codegen.chat.worker"],
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
