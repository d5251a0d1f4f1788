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
from tinyllm.host.model.load import AS_STORED, LoadOptions, load_model
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
    options: LoadOptions = AS_STORED,
    as_json: JsonOption = False,
) -> None:
    """Build, upload to the board, and check that it runs what was built."""
    output = Output(as_json)
    target = load_board(board) if board is not None else find_board()
    check_flashable(target)
    loaded = load_model(model, options)
    with output.working(f"flashing {loaded.name} to {target.name}") as step:
        flashed = flash_board(loaded, target, loaded.context, port, step, output.note)
        step("measuring the perplexity")
        trimming = trimming_of(loaded, options.stories())
    if as_json:
        document = {"port": flashed.port, "facts": asdict(flashed.hello), "built": asdict(flashed.built)}
        output.document(document | {"trimming": trimming and asdict(trimming)})
        return
    hello = flashed.hello
    output.line(f"{hello.model} runs on {hello.board} at {flashed.port}, context {hello.context}", style="bold")
    output.line(f"the board says: model {hello.model_hash}, build {hello.build_id}, as built")
    for line in trimming.lines() if trimming else ():
        output.line(line)
    output.line(f"talk to it: tinyllm chat --port {flashed.port}")
