"""Reads questions with known answers: from held-out files, or from the list that was written by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tinyllm.codegen.actions.catalogue import Catalogue
from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.models.pairs.conversations import COMMAND, read_line
from tinyllm.models.pairs.phrasebook import ASIDE, SMALL_TALK, UNKNOWN
from tinyllm.text import shown

STRANGERS = Path(__file__).parent / "strangers.txt"
"""Questions that people might type, written by hand instead of by the grammar."""
LARGEST_FILE = 1 << 26
CALL = re.compile(r"<call>(.*?)</call>", re.DOTALL)
NOT_KNOWN = "don't know"
"""Words in every right answer to a question about the world."""
TURNS, ANSWER = " / ", "=>"


@dataclass(frozen=True)
class Question:
    """What the user says in one conversation, and the right last answer.

    users: one text a turn. calls: the texts of the calls that the last answer must have. answer: the whole last answer.
    """

    kind: str
    users: tuple[str, ...]
    calls: tuple[str, ...] = ()
    answer: str = ""

    def is_right(self, answer: str) -> bool:
        """Whether an answer is right: for a command the same calls, for small talk the same words, else no call.

        To a question about the world it must say NOT_KNOWN too.
        """
        calls = calls_of(answer)
        if self.kind == COMMAND:
            return calls == self.calls
        if self.kind == SMALL_TALK:
            return answer.strip() == self.answer
        return not calls and (self.kind == ASIDE or NOT_KNOWN in answer)


def calls_of(answer: str) -> tuple[str, ...]:
    """The texts of the calls in an answer. If the only call does not end, its text is ""."""
    return tuple(CALL.findall(answer)) or (("",) if "<call>" in answer else ())


def read_questions(path: Path, catalogue: Catalogue) -> list[Question]:
    """Read the questions of a file: held-out conversations (.jsonl), or lines `question => call`.

    catalogue: of the calls in such lines. Raises UserError, with the line, for a file that holds anything else.
    """
    try:
        lines = read_bytes(path, LARGEST_FILE).decode().split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    read = _held_out if path.suffix == ".jsonl" else _by_hand
    questions = [
        read(line.strip(), f"{path}:{number}", catalogue)
        for number, line in enumerate(lines, 1)
        if line.strip() and (path.suffix == ".jsonl" or not line.startswith("#"))
    ]
    if not questions:
        raise UserError(f"{path}: no question; expected lines of JSON, or lines `question {ANSWER} call`")
    return questions


def _held_out(line: str, place: str, catalogue: Catalogue) -> Question:
    kind, users, answers = read_line(line, place)
    if kind not in (COMMAND, ASIDE, UNKNOWN, SMALL_TALK):
        raise UserError(f"{place}: kind {shown(kind)}, expected one of {COMMAND}, {ASIDE}, {UNKNOWN}, {SMALL_TALK}")
    return Question(kind, users, calls_of(answers[-1]), answers[-1].strip())


def _by_hand(line: str, place: str, catalogue: Catalogue) -> Question:
    said, mark, call = line.partition(ANSWER)
    users = tuple(part.strip() for part in said.split(TURNS))
    if not mark or not all(users):
        raise UserError(f"{place}: {shown(line)}: expected `question {ANSWER} call`, or nothing behind {ANSWER}")
    if not call.strip():
        return Question(ASIDE, users)
    try:
        catalogue.parse(call.strip())
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    return Question(COMMAND, users, (call.strip(),))
