"""The verb verify: the emitted C, or a board, against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from tinyllm.boards.description import HOST
from tinyllm.codegen.arithmetic.integer_model import LARGEST_CONTEXT
from tinyllm.codegen.verify.library import BUILDS
from tinyllm.codegen.verify.verify import Verdict
from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.cli.completion import complete_board
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option, port_option, seed_option, virtual_option
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.link.messages import Setting
from tinyllm.host.link.settings import encode_setting
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.model.trim_report import saving_line
from tinyllm.host.output import Output
from tinyllm.host.prove.prove import COUNT, Comparison


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option(
    "--board",
    metavar="NAME",
    shell_complete=complete_board,
    help="Prove a running board instead, over its serial protocol.",
)
@virtual_option
@port_option
@click.option(
    "--build",
    "builds",
    metavar="NAME",
    multiple=True,
    help=f"How to compile: {', '.join(BUILDS)}; repeatable. Default: O2.",
)
@click.option(
    "--temperature",
    "temperatures",
    metavar="T",
    type=float,
    multiple=True,
    default=(0.0, 0.8),
    show_default=True,
    help="Sample with it; repeatable.",
)
@seed_option
@click.option(
    "--positions", metavar="N", type=int, help=f"How many to compare; default: the context, of a board {COUNT}."
)
@load_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    model: str | None,
    board: str | None,
    virtual: bool,
    port: str | None,
    builds: tuple[str, ...],
    temperatures: tuple[float, ...],
    seed: int,
    positions: int | None,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Compare the emitted C with the reference, bit by bit: logits, KV cache and sampled tokens.

    With --board or --port a running board is compared: its logits and tokens.
    """
    output = Output(as_json)
    for name in builds:
        if name not in BUILDS:
            raise UserError(f"--build {name}: expected one of {', '.join(BUILDS)}.")
    for temperature in temperatures:
        encode_setting(Setting.TEMPERATURE, temperature, "--temperature")
    encode_setting(Setting.SEED, seed, "--seed")
    if positions is not None and not 1 <= positions <= LARGEST_CONTEXT:
        raise UserError(f"--positions {positions}: expected 1 to {LARGEST_CONTEXT}.")
    if board is None and port is None and not virtual:
        exact = _verify_library(model, options, builds or ("O2",), temperatures, seed, positions, output)
    elif builds:
        raise UserError("--build is about the C as a library of this computer; leave it out with a board.")
    else:
        request = BoardRequest(model, options, HOST if board is None else board, port, virtual)
        exact = _verify_board(request, temperatures, seed, positions or COUNT, output)
    if not exact:
        ctx.exit(1)


def _verify_library(
    model: str | None,
    options: LoadOptions,
    builds: Sequence[str],
    temperatures: Sequence[float],
    seed: int,
    positions: int | None,
    output: Output,
) -> bool:
    """The emitted C as a library of this computer: every position, and the KV cache too."""
    loaded = LanguageModel.read(model, options)
    if loaded.saving is not None:
        output.note(saving_line(loaded.saving))

    def show(verdict: Verdict) -> None:
        _show(output, str(verdict), f"{verdict.build}, temperature {verdict.temperature:g}", verdict.difference)

    with output.working(f"verifying {loaded.name}") as step:
        verdicts = loaded.verify(builds, temperatures, seed, positions, step, show)
    exact = all(verdict.bit_exact for verdict in verdicts)
    if output.as_json:
        runs = [asdict(verdict) for verdict in verdicts]
        output.document({"model": loaded.name, "context": loaded.context, "bit_exact": exact, "runs": runs})
    return exact


def _verify_board(request: BoardRequest, temperatures: Sequence[float], seed: int, count: int, output: Output) -> bool:
    """A running board, over its own protocol: its logits at some positions and all tokens."""
    with Board(request, output) as board:
        hello = board.hello

        def show(comparison: Comparison) -> None:
            temperature = comparison.temperature
            how = "logits" if temperature is None else f"temperature {temperature:g}"
            _show(output, str(comparison), f"{hello.board}, {how}", comparison.difference)

        with output.working(f"verifying {hello.model} on {hello.board}") as step:
            comparisons = board.verify(temperatures, seed, count, step, show)
    exact = all(comparison.bit_exact for comparison in comparisons)
    if output.as_json:
        output.document(
            {
                "model": hello.model,
                "model_hash": hello.model_hash,
                "board": hello.board,
                "build_id": hello.build_id,
                "context": hello.context,
                "bit_exact": exact,
                "runs": [asdict(comparison) for comparison in comparisons],
            }
        )
    return exact


def _show(output: Output, verdict: str, how: str, difference: str | None) -> None:
    """A line as soon as there is a verdict, and the first difference."""
    if output.as_json:
        return
    output.line(f"{verdict}  ({how})")
    if difference:
        output.line(f"  first difference: {difference}", style="red")
