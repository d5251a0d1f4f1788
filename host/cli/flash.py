"""The verb flash: from a model to a board that runs it."""

from __future__ import annotations

from dataclasses import asdict

import click

from tinyllm.host.api.model import LanguageModel
from tinyllm.host.build.flash import board_to_flash
from tinyllm.host.cli.completion import complete_board, complete_port
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.link.kernels import kernels_warning
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.model.trim_report import trimming_of
from tinyllm.host.output import Output


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option(
    "--board",
    metavar="NAME",
    shell_complete=complete_board,
    help="A board of `tinyllm boards`; default: the one attached.",
)
@click.option(
    "--port",
    metavar="PORT",
    shell_complete=complete_port,
    help="Where the board is; default: found by its USB numbers.",
)
@load_options
@json_option
def command(model: str | None, board: str | None, port: str | None, options: LoadOptions, as_json: bool) -> None:
    """Build, upload to the board, and check that it runs what was built."""
    output = Output(as_json)
    target = board_to_flash(board, port)
    loaded = LanguageModel.read(model, options)
    with output.working(f"flashing {loaded.name} to {target.name}") as step:
        flashed = loaded.flash(target, port, step, output.note)
        step("measuring the perplexity")
        trimming = trimming_of(loaded, options.stories())
    if warning := kernels_warning(flashed.hello):
        output.warning(warning)
    if as_json:
        document = {"port": flashed.port, "hello": asdict(flashed.hello), "built": asdict(flashed.built)}
        output.document(document | {"trimming": trimming and asdict(trimming)})
        return
    hello = flashed.hello
    output.line(f"{hello.model} runs on {hello.board} at {flashed.port}, context {hello.context}", style="bold")
    output.line(f"the board says: model {hello.model_hash}, build {hello.build_id}, as built")
    for line in trimming.lines() if trimming else ():
        output.line(line)
    output.line(f"talk to it: tinyllm chat --port {flashed.port}")
