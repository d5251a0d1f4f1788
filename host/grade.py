"""Asks a chat model questions with known answers and counts the right ones.

The model runs in a board's C, as a library of this process. Answers are greedy. After each call of the model its result
is inserted, as a board does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.chat.derive import Unsuited, derive
from tinyllm.codegen.emit.project import Project
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece, encode
from tinyllm.codegen.verify.library import HostLibrary, compile_library
from tinyllm.errors import UserError
from tinyllm.host.model.load import LoadedModel
from tinyllm.models.pairs.questions import Question, calls_of

CALLED = b"</call>"
READING, READ, DONE = "sensor.read(", "21", "ok"
"""How a call that asks for a number begins, its result, and that of other calls, as on host and virtual boards."""
SHOWN = (b"<call>", CALLED, b"<result>", b"</result>")
"""Control pieces that are kept in the text of an answer."""
GREEDY = SamplerSettings.from_float(temperature=0.0)
LONGEST_ANSWER = 160
"""Tokens: enough for a call with a long text and the words after it."""


class Answerer:
    """A chat model in C, as a library of this process. Its calls are constrained to the model's catalogue."""

    def __init__(self, model: LoadedModel, project: Project, folder: Path) -> None:
        """Compile the project into `folder`. Raises UserError without a compiler, or if the model is no chat model."""
        config = model.model.config
        template = model.model.config.chat_template
        if template is None:
            raise UserError(f"{model.name} has no chat template; only a chat model answers questions")
        try:
            self.plan = derive(template, model.tokenizer, None)
        except Unsuited as unsuited:
            raise UserError(f"{model.name}: its chat template cannot be written turn by turn ({unsuited})") from None
        self.tokenizer = model.tokenizer
        self.context = model.context
        self.c = HostLibrary(compile_library(project.files, folder, weights=project.weights), config)
        self.shown = {self.tokenizer.control_ids[name]: name for name in SHOWN if name in self.tokenizer.control_ids}
        self.makes_calls = len(self.shown) == len(SHOWN)

    def answers(self, users: Sequence[str]) -> list[str]:
        """The answers to the user's turns in one conversation, which ends early if the context is full."""
        self.c.begin()
        random, position = self.c.seed(1), 0
        unread: list[int] = []  # As on a board, the last token of an answer is prefilled with the next turn.
        found: list[str] = []
        for user in users:
            ids = unread + self.plan.turn(self.tokenizer, user, not found, unread[-1] if unread else None)
            said: list[int] = []
            while position + len(ids) < self.context and len(said) < LONGEST_ANSWER:
                self.c.prefill(ids[:-1], position)
                self.c.forward(ids[-1], position + len(ids) - 1)
                position += len(ids)
                token = self.c.sample(GREEDY, random)
                said.append(token)
                self.c.read_call(token)
                ids = [token]
                if token in self.tokenizer.stop_ids:
                    break
                if self.makes_calls and token == self.tokenizer.control_ids[CALLED]:
                    result = self.result(said)
                    said += result
                    ids += result
            unread = ids
            found.append(self.text(said))
        return found

    def result(self, said: Sequence[int]) -> list[int]:
        """The tokens that a board inserts after the last call of an answer."""
        last = self.text(said).rpartition("<call>")[2]
        result = READ if last.startswith(READING) else DONE
        return encode(self.tokenizer, f"<result>{result}</result>", special=True)

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer, with the control pieces of SHOWN."""
        said = [token for token in ids if token not in self.tokenizer.stop_ids]
        pieces = [self.shown.get(token) or decode_piece(self.tokenizer, token) for token in said]
        return b"".join(pieces).decode("utf-8", "replace").strip()


@dataclass
class Grade:
    """The counts for the questions of one kind in one file.

    right: number of right answers. calls: number of answers with a call. wrong: the other questions and answers.
    """

    file: str
    kind: str
    questions: int = 0
    right: int = 0
    calls: int = 0
    wrong: list[tuple[Question, str]] = field(default_factory=list)

    def add(self, question: Question, answer: str) -> None:
        """Count one question and its answer."""
        self.questions += 1
        self.calls += bool(calls_of(answer))
        if question.is_right(answer):
            self.right += 1
        else:
            self.wrong.append((question, answer))


def grade(
    answer: Callable[[Sequence[str]], list[str]],
    files: Sequence[tuple[str, Sequence[Question]]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Grade]:
    """One Grade for each file and kind of question, in their order. answer: returns the answers to a user's turns."""
    grades: dict[tuple[str, str], Grade] = {}
    total = sum(len(questions) for _, questions in files)
    done = 0
    for name, questions in files:
        for question in questions:
            answers = answer(question.users)
            key = (name, question.kind)
            grades.setdefault(key, Grade(*key)).add(question, answers[-1] if answers else "")
            done += 1
            progress(done, total)
    return list(grades.values())
