"""Reads conversations from pairs files: JSONL with messages or with prompt and answer, or TSV with prompt TAB answer.

`{"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}, ...]}` is the form of Hugging
Face's chat data sets. An error names the number of the wrong line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tinyllm.errors import UserError
from tinyllm.models.training.texts import read_utf8
from tinyllm.text import shown

ROLES = ("user", "assistant")
EXPECTED = (
    'expected {"messages": [{"role": "user", "content": TEXT}, {"role": "assistant", "content": TEXT}, ...]} '
    'or {"prompt": TEXT, "answer": TEXT}'
)


class Turn(NamedTuple):
    """What the user says, and the answer that the model must learn."""

    prompt: str
    answer: str


class Conversation(NamedTuple):
    """Turns in order. place: the file and line that they come from, for messages."""

    turns: tuple[Turn, ...]
    place: str


def read_pairs(paths: Sequence[Path]) -> list[Conversation]:
    """The conversations of all files. Empty lines are skipped.

    A file whose first line begins with `{` is JSONL, any other is TSV. Raises UserError that names the wrong line.
    """
    return [conversation for path in paths for conversation in _read(path)]


def _read(path: Path) -> Iterator[Conversation]:
    text = read_utf8(path)
    read = _json_turns if text.lstrip().startswith("{") else _tab_turns
    # Not splitlines, which also splits at characters such as U+2028: JSON allows them in a string.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"{path}: line {number}"
            yield Conversation(tuple(read(line.removesuffix("\r"), place)), place)


def _tab_turns(line: str, place: str) -> Iterator[Turn]:
    cells = line.split("\t")
    if len(cells) != 2 or not all(cell.strip() for cell in cells):
        tabs = len(cells) - 1
        what = f"{tabs} tabs" if tabs != 1 else "nothing on one side of the tab"
        raise UserError(f"{place} has {what}; expected prompt TAB answer. JSONL can hold tabs and several turns.")
    yield Turn(*cells)


def _json_turns(line: str, place: str) -> Iterator[Turn]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not JSON ({error}); expected one JSON object a line") from None
    if not isinstance(row, dict) or not ("messages" in row or {"prompt", "answer"} <= row.keys()):
        raise UserError(f"{place}: {EXPECTED}, found {shown(row)}")
    if "messages" not in row:
        yield Turn(_text(row["prompt"], place, "prompt"), _text(row["answer"], place, "answer"))
        return
    messages = row["messages"]
    if not isinstance(messages, list) or len(messages) < 2 or len(messages) % 2:
        raise UserError(f"{place}: messages is {shown(messages)}; expected user and assistant in turn, to an answer")
    for index in range(0, len(messages), 2):
        contents = [_content(message, role, place) for message, role in zip(messages[index:], ROLES, strict=False)]
        yield Turn(*contents)


def _content(message: Any, role: str, place: str) -> str:
    if not isinstance(message, dict) or message.get("role") != role:
        raise UserError(f"{place}: found {shown(message)} where a message of the {role} belongs; {EXPECTED}")
    return _text(message.get("content"), place, f"the {role}'s content")


def _text(value: Any, place: str, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: {name} is {shown(value)}; expected a text that is not empty")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UserError(f"{place}: {name} holds half a surrogate pair; expected text that can be written as UTF-8")
    return value
