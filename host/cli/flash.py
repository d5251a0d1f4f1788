"""The verb flash: from a model to a board that runs it."""

from __future__ import annotations

from dataclasses import asdict

import click

from tinyllm.codegen.memory.plan import PARTITION
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
@click.option(
    "--model-only",
    is_flag=True,
    help="Compile nothing and upload the weights alone: for a board that has a program of the same dimensions, "
    "vocabulary and context, with its weights beside it.",
)
@load_options
@json_option
def command(
    model: str | None, board: str | None, port: str | None, model_only: bool, options: LoadOptions, as_json: bool
) -> None:
    """Build, upload to the board, and check that it runs what was built."""
    output = Output(as_json)
    target = board_to_flash(board, port)
    loaded = LanguageModel.read(model, options)
    with output.working(f"flashing {loaded.name} to {target.name}") as step:
        flashed = loaded.flash(target, port, step, output.note, model_only)
        step("measuring the perplexity")
        trimming = trimming_of(loaded, options.stories())
    if warning := kernels_warning(flashed.hello):
        output.warning(warning)
    if as_json:
        built = flashed.built and asdict(flashed.built)
        document = {"port": flashed.port, "hello": asdict(flashed.hello), "built": built}
        output.document(document | {"uploaded": flashed.uploaded, "trimming": trimming and asdict(trimming)})
        return
    hello = flashed.hello
    output.line(f"{hello.model} runs on {hello.board} at {flashed.port}, context {hello.context}", style="bold")
    output.line(f"the board says: model {hello.model_hash}, build {hello.build_id}, as built")
    if flashed.about.weights_in == PARTITION:
        sent = " and ".join(flashed.uploaded)
        output.line(f"uploaded: {sent}" if sent else "nothing was uploaded: program and weights are there already")
    for line in trimming.lines() if trimming else ():
        output.line(line)
    output.line(f"talk to it: tinyllm chat --port {flashed.port}")
