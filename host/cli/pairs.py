"""The verb pairs: training data of a chat model that answers commands with calls."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tinyllm.codegen.actions.catalogue import BUNDLED
from tinyllm.host.cli.options import json_option
from tinyllm.host.output import Output
from tinyllm.models.pairs.generate import generate

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--actions", metavar="FILE", type=_PATH, help="The catalogue of calls; default: the bundled one.")
@click.option("--phrases", metavar="FILE", type=_PATH, help="A phrase book of your own, beside those that come along.")
@click.option("--small-talk", metavar="FILE", type=_PATH, help="Questions and answers as a .qna file.")
@click.option("-o", "--out", metavar="FOLDER", type=_PATH, required=True, help="The folder to write the files into.")
@click.option(
    "--count",
    metavar="N",
    type=click.IntRange(10, 5_000_000),
    default=80_000,
    show_default=True,
    help="Conversations to train on.",
)
@click.option(
    "--held-out",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=500,
    show_default=True,
    help="Questions of each kind to measure with, in words that are never trained on.",
)
@click.option("--seed", metavar="N", type=int, default=1, show_default=True, help="The same gives the same files.")
@json_option
def command(
    actions: Path | None,
    phrases: Path | None,
    small_talk: Path | None,
    out: Path,
    count: int,
    held_out: int,
    seed: int,
    as_json: bool,
) -> None:
    """Write the training data of a chat model that answers commands with calls of a catalogue.

    FOLDER gets train.jsonl, and the held-out files that `tinyllm grade` measures a model with.
    """
    output = Output(as_json)
    catalogue = actions or BUNDLED
    with output.progress(f"writing pairs for {catalogue.name}") as report:
        made = generate(catalogue, out, count, seed, small_talk, phrases, held_out, report)
    if as_json:
        output.document({"folder": str(out), **asdict(made)})
        return
    rows = [[name, f"{trained:,}", f"{tested:,}"] for name, (trained, tested) in made.templates.items()]
    output.table(["of", "templates trained on", "held out"], rows)
    output.table(["file", "conversations"], [[str(out / name), f"{n:,}"] for name, n in made.conversations.items()])
