"""A conversation as a document, for --json and /save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinyllm.errors import UserError
from tinyllm.host.chat.conversation import Conversation
from tinyllm.host.link.answer import rate, reason_name
from tinyllm.host.link.messages import HelloReply, Setting
from tinyllm.host.link.settings import setting_value


def transcript(conversation: Conversation, hello: HelloReply, settings: dict[Setting, int]) -> dict[str, Any]:
    """Model, board, settings, and every turn with its text and token ids."""
    turns = []
    for turn in conversation.turns:
        speed = rate(turn.done.tokens, turn.done.decode_us) if turn.done else None
        turns.append(
            {
                "prompt": turn.prompt,
                "text": turn.text,
                "tokens": turn.answer,
                "reason": reason_name(turn.done) if turn.done else "interrupted",
                "prompt_tokens": turn.done.prompt_tokens if turn.done else None,
                "tokens_per_second": None if speed is None else round(speed, 1),
            }
        )
    return {
        "model": hello.model,
        "model_hash": hello.model_hash,
        "board": hello.board,
        "settings": {setting.name.lower(): setting_value(setting, value) for setting, value in settings.items()},
        "turns": turns,
    }


def save_transcript(name: str, document: dict[str, Any]) -> Path:
    """Write a new file, JSON where its name ends in .json; UserError where it exists or cannot be written."""
    path = Path(name).expanduser()
    if path.suffix == ".json":
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    else:
        text = "".join(f"> {turn['prompt']}\n{turn['text']}\n\n" for turn in document["turns"])
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path}: there is such a file already. Choose another name.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}).") from None
    return path
