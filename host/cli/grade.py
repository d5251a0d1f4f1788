"""The verb grade: how many questions a chat model answers right, in the C that a board runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from tinyllm.codegen.actions.catalogue import BUNDLED, parse_catalogue, read_catalogue_text
from tinyllm.errors import UserError
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.grade import Answerer, Grade, grade
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.models.pairs.generate import HELD_OUT, QUESTIONS
from tinyllm.models.pairs.questions import STRANGERS, read_questions

_PATH = click.Path(path_type=Path)
RIGHT = {
    "command": "the exact call",
    "aside": "no call",
    "unknown": "I don't know",
    "small talk": "the right words",
}
"""What counts as a right answer, by kind."""


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option("--pairs", metavar="FOLDER", type=_PATH, help="The held-out files that `tinyllm pairs` wrote there.")
@click.option(
    "--questions",
    metavar="FILE",
    type=_PATH,
    multiple=True,
    help="A list of your own: lines `question => call`; repeatable. Without both: the list that comes along.",
)
@click.option("--show", metavar="N", type=click.IntRange(0), default=0, help="Show N wrong answers of each kind.")
@load_options
@json_option
def command(
    model: str | None,
    pairs: Path | None,
    questions: tuple[Path, ...],
    show: int,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Ask a chat model questions with known answers, in the C that a board runs, and count the right ones."""
    output = Output(as_json)
    names = [*HELD_OUT.values(), QUESTIONS]
    held_out = [] if pairs is None else [pairs / name for name in names if (pairs / name).exists()]
    if pairs is not None and not held_out:
        raise UserError(f"{pairs}: no held-out file; expected those that `tinyllm pairs -o {pairs}` writes")
    paths = [*held_out, *questions] or [STRANGERS]
    loaded = LanguageModel.read(model, options)
    catalogue = parse_catalogue(loaded.model.config.actions or read_catalogue_text(BUNDLED))
    files = [(path.name, read_questions(path, catalogue)) for path in paths]
    with tempfile.TemporaryDirectory(prefix="tinyllm-grade-") as folder:
        with output.working(f"compiling {loaded.name}") as step:
            answerer = Answerer(loaded, loaded.emit(progress=step), Path(folder))
        with output.progress(f"asking {loaded.name}") as report:
            grades = grade(answerer.answers, files, report)
    if as_json:
        output.document({"model": loaded.name, "grades": [_document(one) for one in grades]})
        return
    rows = [
        [one.file, one.kind, RIGHT[one.kind], f"{one.questions:,}", f"{one.right / one.questions:.1%}", _calls(one)]
        for one in grades
    ]
    output.table(["file", "kind", "right is", "questions", "right", "false calls"], rows)
    for one in grades:
        for question, answer in one.wrong[:show]:
            output.line(f"{one.kind}: {' / '.join(question.users)}", indent=4)
            output.line(f"    expected {', '.join(question.calls) or question.answer or 'no call'}", indent=4)
            output.line(f"    answered {answer}", indent=4)


def _calls(one: Grade) -> str:
    """The share of answers with a false call; "" for commands, which need a call."""
    return "" if one.kind == "command" else f"{one.calls / one.questions:.1%}"


def _document(one: Grade) -> dict[str, object]:
    wrong = [{"users": question.users, "calls": question.calls, "answered": answer} for question, answer in one.wrong]
    counts = {"questions": one.questions, "right": one.right, "calls": one.calls}
    return {"file": one.file, "kind": one.kind, **counts, "wrong": wrong}
