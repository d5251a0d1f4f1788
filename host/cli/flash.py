"""The verb flash: puts a model on a board and checks that it runs there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from tinyllm.codegen.memory.plan import PARTITION
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.build.flash import Flashed, board_to_flash
from tinyllm.host.cli.all_attached import (
    Outcome,
    Step,
    all_attached_option,
    refuse_port,
    tell_drives,
    tell_failures,
    work_on_all,
)
from tinyllm.host.cli.completion import complete_board, complete_port
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.link.attached import board_on
from tinyllm.host.link.kernels import kernels_warning
from tinyllm.host.link.serial_port import PortInfo
from tinyllm.host.link.usb import every_attached
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
@all_attached_option
@click.option(
    "--model-only",
    is_flag=True,
    help="Compile nothing and upload the weights alone: for a board that has a program of the same dimensions, "
    "vocabulary and context, with its weights beside it.",
)
@load_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    model: str | None,
    board: str | None,
    port: str | None,
    everywhere: bool,
    model_only: bool,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Build, upload to the board, and check that it runs what was built."""
    output = Output(as_json)
    if everywhere:
        refuse_port(port)
        outcomes = _flash_all(LanguageModel.read(model, options), board, model_only, output)
        _show_all(outcomes, output)
        tell_drives(output)
        if any(outcome.error for outcome in outcomes):
            ctx.exit(1)
        return
    target = board_to_flash(board, port)
    loaded = LanguageModel.read(model, options)
    with output.working(f"flashing {loaded.name} to {target.name}") as step:
        flashed = loaded.flash(target, port, step, output.note, model_only)
        step("measuring the perplexity")
        trimming = trimming_of(loaded, options.stories())
    if warning := kernels_warning(flashed.hello):
        output.warning(warning)
    if as_json:
        output.document(_document(flashed) | {"trimming": trimming and asdict(trimming)})
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


def _document(flashed: Flashed) -> dict[str, Any]:
    built = flashed.built and asdict(flashed.built)
    return {"port": flashed.port, "hello": asdict(flashed.hello), "built": built, "uploaded": flashed.uploaded}


def _flash_all(loaded: LanguageModel, named: str | None, model_only: bool, output: Output) -> list[Outcome[Flashed]]:
    """Flash every attached board, or those named `named`. The outcomes are in the order of the ports.

    Boards of one kind take turns if two of them that wait for a program look alike.
    """
    found = every_attached(None if named is None else board_to_flash(named, None))
    fitting = {port.device: boards for port, boards in found}
    asked = work_on_all(
        output,
        "asking the boards what they are",
        [[port] for port, _ in found],
        lambda port, step: board_on(port, fitting[port.device]),
    )
    kinds = {outcome.port: outcome.result for outcome in asked if outcome.result is not None}
    lanes: dict[str, list[PortInfo]] = {}
    for port, _ in found:
        if port.device in kinds:
            kind = kinds[port.device]
            lanes.setdefault(port.device if kind.uploads_to_port else kind.name, []).append(port)

    def flash(port: PortInfo, step: Step) -> Flashed:
        kind = kinds[port.device]
        return loaded.flash(kind, port.device, lambda text: step(f"{kind.name}: {text}"), output.note, model_only)

    done = work_on_all(output, f"flashing {loaded.name} to {len(kinds)} boards", list(lanes.values()), flash)
    unknown = [Outcome[Flashed](outcome.port, None, outcome.error) for outcome in asked if outcome.error is not None]
    order = list(fitting)
    return sorted([*done, *unknown], key=lambda outcome: order.index(outcome.port))


def _show_all(outcomes: Sequence[Outcome[Flashed]], output: Output) -> None:
    """Print what each board runs now, the failures, and the number of boards."""
    flashed = [outcome.result for outcome in outcomes if outcome.result is not None]
    for each in flashed:
        if warning := kernels_warning(each.hello):
            output.warning(f"{each.port}: {warning}")
    if output.as_json:
        failed = [{"port": each.port, "error": each.error} for each in outcomes if each.error is not None]
        output.document({"boards": [_document(each) for each in flashed], "failed": failed})
        return
    if flashed:
        output.table(
            ["port", "board", "model", "context", "build", "uploaded"],
            [
                [
                    each.port,
                    each.hello.board,
                    each.hello.model,
                    str(each.hello.context),
                    each.hello.build_id,
                    " and ".join(each.uploaded) or "nothing new",
                ]
                for each in flashed
            ],
        )
    tell_failures(output, outcomes, "flashed")
