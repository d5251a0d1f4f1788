"""tinyllm grade asks the C of a board: its answers are those of the reference, and they are counted by kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.conftest import BASE, random_model
from tests.unit.chat_templates import CHATML, FAMILIES, small_tokenizer
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.chat.derive import derive
from tinyllm.codegen.emit.project import emit_project
from tinyllm.errors import UserError
from tinyllm.host.grade import LONGEST_ANSWER, Answerer, grade
from tinyllm.host.model.load import LoadedModel
from tinyllm.models.pairs.questions import Question

CONTEXT = 128
TOKENIZER = small_tokenizer(FAMILIES["chatml"])
SAID = ("Hello there!", "And now off")


def chat_model(template: str | None) -> LoadedModel:
    """A random model with a chat template."""
    config = replace(BASE, name="chatty", vocab_size=TOKENIZER.vocab_size, context=CONTEXT, chat_template=template)
    return LoadedModel(Path("chatty"), random_model(config, seed=3), Path("tokenizer"), TOKENIZER, CONTEXT)


def answerer(template: str | None, folder: Path) -> Answerer:
    """The model in C."""
    model = chat_model(template)
    return Answerer(model, emit_project(quantize(model.model), TOKENIZER, load_board("host")), folder)


def test_answers_are_the_likeliest_tokens_of_the_reference(tmp_path: Path) -> None:
    asked = answerer(CHATML, tmp_path)
    plan = derive(CHATML, TOKENIZER, None)
    reference = Reference(quantize(chat_model(CHATML).model))
    ids = plan.turn(TOKENIZER, SAID[0], True)
    said: list[int] = []
    logits = reference.forward(np.array(ids))[-1]
    while len(ids) + len(said) < CONTEXT and len(said) < LONGEST_ANSWER:
        said.append(int(np.argmax(logits)))
        if said[-1] in TOKENIZER.stop_ids:
            break
        logits = reference.forward(np.array(said[-1:]))[-1]
    assert asked.answers(SAID[:1]) == [asked.text(said)]
    assert asked.answers(SAID)[0] == asked.text(said)
    assert len(asked.answers(SAID)) == 2
    assert asked.answers(SAID) == asked.answers(SAID)


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no chat template"):
        answerer(None, tmp_path)


def test_right_answers_and_false_calls_are_counted_by_kind() -> None:
    call = 'led.set(color="red")'
    questions = [
        Question("command", ("red",), (call,)),
        Question("command", ("blue",), ('led.set(color="blue")',)),
        Question("aside", ("red roses",)),
        Question("aside", ("I see",)),
    ]
    answers = {"red": f"<call>{call}</call>", "blue": f"<call>{call}</call>", "red roses": f"<call>{call}</call>"}
    command, aside = grade(lambda users: [answers.get(users[-1], "I see.")], [("mine", questions)])
    assert (command.questions, command.right, command.calls) == (2, 1, 2)
    assert (aside.questions, aside.right, aside.calls) == (2, 1, 1)
    assert [question.users for question, _ in command.wrong + aside.wrong] == [("blue",), ("red roses",)]
