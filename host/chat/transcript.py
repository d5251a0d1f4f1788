"""Writes a conversation as a JSON document, for --json and /save, and reads it back for /load."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from tinyllm.errors import UserError
from tinyllm.files import read_json_object, write_file
from tinyllm.host.chat.conversation import Conversation, Sent, Turn
from tinyllm.host.link.answer import rate, reason_name
from tinyllm.host.link.messages import UNTIL_STOP, Done, HelloReply, Overflow, Reason, Setting
from tinyllm.host.link.settings import RANGES, encode_setting, setting_value
from tinyllm.text import shown

FORMAT = 1
LONGEST_FILE = 1 << 24
U32_END = 1 << 32
TIMES_AND_COUNTS = ("prompt_tokens", "prefill_us", "decode_us", "context_used")
"""Fields of Done that a turn's document has unchanged."""


def transcript(conversation: Conversation, hello: HelloReply, settings: dict[Setting, int]) -> dict[str, Any]:
    """Model, board, settings, and every turn with its text and token ids."""
    return {
        "transcript": FORMAT,
        "model": hello.model,
        "model_hash": hello.model_hash,
        "board": hello.board,
        "settings": {setting.name.lower(): setting_value(setting, value) for setting, value in settings.items()},
        "turns": [_turn_document(turn) for turn in conversation.turns],
    }


def _turn_document(turn: Turn) -> dict[str, Any]:
    """The fields of a turn. A replay sends `sent` to the board; the digests prove that the replay is exact."""
    content, done = turn.sent.content, turn.done
    sent: dict[str, Any] = {"text": content} if isinstance(content, str) else {"tokens": list(content)}
    speed = rate(done.tokens, done.decode_us) if done else None
    return {
        "prompt": turn.prompt,
        "sent": sent | {"chat": turn.sent.chat, "anew": turn.sent.anew},
        "max_tokens": 0 if turn.max_tokens == UNTIL_STOP else turn.max_tokens,
        "text": turn.text,
        "tokens": turn.answer,
        "reason": reason_name(done) if done else "interrupted",
        **{name: getattr(done, name) if done else None for name in TIMES_AND_COUNTS},
        "tokens_per_second": None if speed is None else round(speed, 1),
        "digest": f"{done.digest:08x}" if done else None,
        "conversation_digest": f"{done.conversation_digest:08x}" if done else None,
    }


def save_transcript(name: str | Path, document: dict[str, Any]) -> Path:
    """Write a new file, JSON if its name ends in .json; UserError if it exists or cannot be written."""
    path = Path(name).expanduser()
    if path.suffix == ".json":
        text = json.dumps(document, indent=2) + "\n"
    else:
        text = "".join(f"> {turn['prompt']}\n{turn['text']}\n\n" for turn in document["turns"])
    try:
        if path.exists():
            raise UserError(f"{path}: there is such a file already. Choose another name.")
        if not path.parent.is_dir():
            raise UserError(f"{path}: cannot be written (there is no such folder).")
        write_file(path, text.encode(errors="replace"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}).") from None
    return path


def load_transcript(name: str | Path, hello: HelloReply) -> tuple[list[Turn], dict[Setting, int]]:
    """The turns and settings of a file that /save wrote as JSON.

    Checks every field's type and range. Only a replay proves that the tokens are those of the conversation. Raises
    UserError for any other file, and for a conversation with another model than the board's.
    """
    path = Path(name).expanduser()
    if path.suffix != ".json":
        raise UserError(f"{path}: /load reads what `/save NAME.json` wrote. Other names hold text for people.")
    document = read_json_object(path, LONGEST_FILE)
    if document.get("transcript") != FORMAT or not isinstance(document.get("turns"), list):
        raise UserError(f'{path}: is no conversation that this /save wrote (it has no "transcript": {FORMAT}).')
    if document.get("model_hash") != hello.model_hash:
        theirs = f"{shown(document.get('model'))}, hash {shown(document.get('model_hash'))}"
        raise UserError(
            f"{path}: the conversation was held with the model {theirs}; the board runs {hello.model}, hash "
            f"'{hello.model_hash}'. Start the chat with that model."
        )
    turns = [
        _Reader(f"{path}: turn {number}", turn).turn(hello.vocab_size)
        for number, turn in enumerate(document["turns"], 1)
    ]
    if any(turn.done is None for turn in turns[:-1]):
        raise UserError(f"{path}: only the last turn may be interrupted. The file was changed after /save.")
    return turns, _Reader(f"{path}: settings", document.get("settings")).settings()


class _Reader:
    """Reads an untrusted JSON object. Each method raises UserError for a value that /save never writes."""

    def __init__(self, place: str, value: object) -> None:
        self._place = place
        self._fields: dict[str, Any] = value if isinstance(value, dict) else self._refuse("", value, "an object")

    def turn(self, vocab_size: int) -> Turn:
        sent = _Reader(f"{self._place}: sent", self._fields.get("sent"))
        content = sent._text("text") if "text" in sent._fields else tuple(sent._ids("tokens", vocab_size))
        return Turn(
            self._text("prompt"),
            Sent(content, sent._truth("chat"), sent._truth("anew")),
            self._number("max_tokens") or UNTIL_STOP,
            self._ids("tokens", vocab_size),
            self._text("text"),
            self._done(),
        )

    def settings(self) -> dict[Setting, int]:
        settings = {}
        for setting in RANGES:
            value = self._fields.get(setting.name.lower())
            if not isinstance(value, int | float) or isinstance(value, bool):
                self._refuse(setting.name.lower(), value, "a number")
            settings[setting] = encode_setting(setting, value)
        overflow = self._text("overflow").upper()
        if overflow not in Overflow.__members__:
            self._refuse("overflow", overflow, "slide or stop")
        return {**settings, Setting.OVERFLOW: Overflow[overflow]}

    def _done(self) -> Done | None:
        reason = self._text("reason").upper()
        if reason == "INTERRUPTED":
            return None
        if reason not in Reason.__members__:
            self._refuse("reason", reason, "why the answer ended")
        return Done(
            reason=Reason[reason],
            prompt_tokens=self._number("prompt_tokens"),
            tokens=len(self._fields["tokens"]),
            prefill_us=self._number("prefill_us"),
            decode_us=self._number("decode_us"),
            digest=self._digest("digest"),
            context_used=self._number("context_used"),
            conversation_digest=self._digest("conversation_digest"),
        )

    def _text(self, name: str) -> str:
        value = self._fields.get(name)
        if not isinstance(value, str):
            self._refuse(name, value, "a text")
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            self._refuse(name, value, "text that UTF-8 can write")
        return value

    def _truth(self, name: str) -> bool:
        value = self._fields.get(name)
        return value if isinstance(value, bool) else self._refuse(name, value, "true or false")

    def _number(self, name: str, end: int = U32_END) -> int:
        value = self._fields.get(name)
        if not _is_number(value, end):
            self._refuse(name, value, f"a whole number from 0 to {end - 1}")
        return value

    def _ids(self, name: str, vocab_size: int) -> list[int]:
        value = self._fields.get(name)
        if not (isinstance(value, list) and all(_is_number(token, vocab_size) for token in value)):
            self._refuse(name, value, f"token ids, each from 0 to {vocab_size - 1}")
        return value

    def _digest(self, name: str) -> int:
        value = self._text(name)
        if not re.fullmatch("[0-9a-f]{8}", value):
            self._refuse(name, value, "eight hexadecimal digits")
        return int(value, 16)

    def _refuse(self, name: str, value: object, expected: str) -> NoReturn:
        what = f"{name} is {shown(value)}" if name else f"is {shown(value)}"
        raise UserError(f"{self._place}: {what}, expected {expected}. The file was changed after /save.")


def _is_number(value: object, end: int) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < end
