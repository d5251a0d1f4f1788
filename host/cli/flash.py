"""The verb flash: from a model to a board that runs it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tinyllm.boards.description import load_board
from tinyllm.host.build.flash import check_flashable
from tinyllm.host.build.flash import flash as flash_board
from tinyllm.host.cli.options import JsonOption, ModelArgument, reads_model
from tinyllm.host.link.usb import find_board
from tinyllm.host.model.load import AS_IT_IS, Reading, choose
from tinyllm.host.model.trim_report import trimming_of
from tinyllm.host.output import Output


@reads_model
def flash(
    model: ModelArgument = None,
    board: Annotated[
        str | None,
        typer.Option("--board", metavar="NAME", help="A board of `tinyllm boards`; default: the one attached."),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option("--port", metavar="PORT", help="Where the board is; default: found by its USB numbers."),
    ] = None,
    reading: Reading = AS_IT_IS,
    as_json: JsonOption = False,
) -> None:
    """Build, upload to the board, and check that it runs what was built."""
    output = Output(as_json)
    target = load_board(board) if board is not None else find_board()
    check_flashable(target)
    choice = choose(model, reading)
    with output.working(f"flashing {choice.name} to {target.name}") as step:
        flashed = flash_board(choice, target, choice.context, port, step, output.note)
        step("measuring the perplexity")
        trimming = trimming_of(choice, reading.stories())
    if as_json:
        document = {"port": flashed.port, "facts": asdict(flashed.facts), "built": asdict(flashed.built)}
        output.document(document | {"trimming": trimming and asdict(trimming)})
        return
    facts = flashed.facts
    output.line(f"{facts.model} runs on {facts.board} at {flashed.port}, context {facts.context}", style="bold")
    output.line(f"the board says: model {facts.model_hash}, build {facts.build_id}, as built")
    for line in trimming.lines() if trimming else ():
        output.line(line)
    output.line(f"talk to it: tinyllm chat --port {flashed.port}")
