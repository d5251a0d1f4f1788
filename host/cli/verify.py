"""The verb verify: compares the emitted C, or a board, with the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from tinyllm.boards.description import HOST, board_names
from tinyllm.codegen.arithmetic.float_model import LARGEST_CONTEXT
from tinyllm.codegen.kernels.choose import ALL, KERNEL_SETS, named_sets
from tinyllm.codegen.verify.library import BUILDS
from tinyllm.codegen.verify.verify import Verdict
from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.cli.completion import complete_board, one_of
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option, port_option, seed_option, virtual_option
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.link.messages import Setting
from tinyllm.host.link.settings import encode_setting
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.model.trim_report import saving_line
from tinyllm.host.output import Output
from tinyllm.host.prove.prove import COUNT, Comparison

EACH_LEVEL = ("O0", "O2", "O3")
"""How named kernels are compiled: every level must give the same integers."""


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
    help=f"How to compile: {', '.join(BUILDS)}; repeatable. Default: O2, with --kernels O0, O2 and O3.",
)
@click.option(
    "--kernels",
    metavar="NAME",
    multiple=True,
    shell_complete=one_of(lambda: dict.fromkeys([ALL, *KERNEL_SETS, *board_names()])),
    help=f"With which kernels: {', '.join(KERNEL_SETS)}, those of a board, or {ALL}; repeatable. Default: {HOST}.",
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
    kernels: tuple[str, ...],
    temperatures: tuple[float, ...],
    seed: int,
    positions: int | None,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Compare the emitted C with the reference, bit by bit: logits, KV cache and sampled tokens.

    The kernels of every board compile on this computer, with that board's layout of the weights: --kernels pico2. With
    --board or --port a running board is compared: its logits and tokens.
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
        sets, levels = (kernels, EACH_LEVEL) if kernels else ((HOST,), ("O2",))
        named_sets(sets)  # Raises for a wrong name before the model is read.
        exact = _verify_library(model, options, sets, builds or levels, temperatures, seed, positions, output)
    elif builds or kernels:
        raise UserError(
            "--build and --kernels are about the C as a library of this computer; leave them out with a board, "
            "which has its own."
        )
    else:
        request = BoardRequest(model, options, HOST if board is None else board, port, virtual)
        exact = _verify_board(request, temperatures, seed, positions or COUNT, output)
    if not exact:
        ctx.exit(1)


def _verify_library(
    model: str | None,
    options: LoadOptions,
    kernels: Sequence[str],
    builds: Sequence[str],
    temperatures: Sequence[float],
    seed: int,
    positions: int | None,
    output: Output,
) -> bool:
    """Verify the emitted C as a library of this computer: every position, and the KV cache too."""
    loaded = LanguageModel.read(model, options)
    if loaded.saving is not None:
        output.note(saving_line(loaded.saving))
    with output.working(f"verifying {loaded.name}") as step:
        verdicts = loaded.verify(builds, temperatures, seed, positions, step, kernels=kernels, notice=output.note)
    exact = all(verdict.bit_exact for verdict in verdicts)
    if output.as_json:
        runs = [asdict(verdict) for verdict in verdicts]
        output.document({"model": loaded.name, "context": loaded.context, "bit_exact": exact, "runs": runs})
    else:
        _show_verdicts(output, loaded.name, verdicts, temperatures)
    return exact


def _show_verdicts(output: Output, name: str, verdicts: Sequence[Verdict], temperatures: Sequence[float]) -> None:
    """Print a row for each kernel set and build, with a column for each temperature; then the differences."""
    output.line(f"{name}: positions at which the C and the reference agree, bit for bit", style="bold")
    rows = []
    for start in range(0, len(verdicts), len(temperatures)):
        of_build = verdicts[start : start + len(temperatures)]
        rows.append([of_build[0].kernels, of_build[0].build, *(f"{each.exact}/{each.positions}" for each in of_build)])
    output.table(["kernels", "build", *(f"temperature {temperature:g}" for temperature in temperatures)], rows)
    wrong = [verdict for verdict in verdicts if not verdict.bit_exact]
    for verdict in wrong:
        how = f"{verdict.kernels}, {verdict.build}, temperature {verdict.temperature:g}"
        output.line(f"first difference of {how}: {verdict.difference}", style="red")
    if not wrong:
        output.line("bit-exact: logits, KV cache and tokens")


def _verify_board(request: BoardRequest, temperatures: Sequence[float], seed: int, count: int, output: Output) -> bool:
    """Verify a running board over its protocol: logits at some positions, and all tokens."""
    with Board(request, output) as board:
        hello = board.hello

        def show(comparison: Comparison) -> None:
            temperature = comparison.temperature
            how = "logits" if temperature is None else f"temperature {temperature:g}"
            if not output.as_json:
                output.line(f"{comparison}  ({hello.board}, {how})")
                if comparison.difference:
                    output.line(f"  first difference: {comparison.difference}", style="red")

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
                "kernels": hello.kernels,
                "context": hello.context,
                "bit_exact": exact,
                "runs": [asdict(comparison) for comparison in comparisons],
            }
        )
    return exact
