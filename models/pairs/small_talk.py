"""Reads small talk from a file of questions and answers, in the .qna format of Microsoft's Bot Framework.

Format: github.com/microsoft/botframework-sdk, "qna file format": `# ? question`, `- variant` lines, and the answer
between lines of three backticks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.files import read_bytes

LARGEST_FILE = 1 << 24
LONGEST_QUESTION = 120
"""Characters. Longer questions are left out, because the context of a small model is short."""


@dataclass(frozen=True)
class Intent:
    """One thing that people say in several ways, and the answer to it."""

    answer: str
    questions: tuple[str, ...]


def read_qna(path: Path, answers: Mapping[str, str]) -> list[Intent]:
    """The intents of a file. Intents with the same answer become one, and no question comes twice.

    answers: our own answers, by the first question of an intent. An empty one leaves the intent out.
    Raises UserError, with the line, if the file is not of this format.
    """
    try:
        text = read_bytes(path, LARGEST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    found: dict[str, dict[str, None]] = {}
    seen: set[str] = set()
    first, questions, lines = "", [""], list(enumerate(text.splitlines(), 1))
    at = 0
    while at < len(lines):
        number, line = lines[at]
        at += 1
        if line.startswith("# ?"):
            first = _plain(line[3:])
            questions = [first]
        elif line.startswith("- ") and first and "=" not in line:
            questions.append(_plain(line[2:]))
        elif line.startswith("```"):
            end = next((place for place in range(at, len(lines)) if lines[place][1].startswith("```")), None)
            if end is None or not first:
                raise UserError(f"{path}:{number}: an answer that does not end, or has no `# ? question` before it")
            answer = answers.get(first, _plain(" ".join(line for _, line in lines[at:end])))
            if answer:
                kept = found.setdefault(answer, {})
                for question in questions:
                    if 0 < len(question) <= LONGEST_QUESTION and question.lower() not in seen:
                        seen.add(question.lower())
                        kept[question] = None
            first, at = "", end + 1
    intents = [Intent(answer, tuple(questions)) for answer, questions in found.items() if questions]
    if not intents:
        raise UserError(f"{path}: no question with an answer; expected lines `# ? question` and an answer in ``` marks")
    return intents


def _plain(text: str) -> str:
    """The text as one line, with ASCII quotes and without marks of Markdown and the grammar."""
    text = text.replace("\u2019", "'").replace("\u2018", "'").replace("\u201c", '"').replace("\u201d", '"')
    text = text.replace("\u2026", "...").replace("\u00a0", " ").replace("*", "")
    return re.sub(r"[<>{}]", "", " ".join(text.split()))
