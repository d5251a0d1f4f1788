"""The verb bench: what a token costs a board, prefilled and generated, and what kind of figure that is."""

from __future__ import annotations

from pathlib import Path

import click

from tinyllm.codegen.arithmetic.sampler_settings import U32_MAX
from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.cli.bench_tables import show
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, json_option, port_option, virtual_option
from tinyllm.host.cli.result_file import check_result_file
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.prove import records
from tinyllm.host.prove.expected_answers import Expected
from tinyllm.host.prove.prove import COUNT
from tinyllm.host.prove.report import report
from tinyllm.host.virtual.emulators import RP2040JS

PREFILL = 64
"""Tokens of a long prompt."""


def _positions(ctx: click.Context, parameter: click.Parameter, given: str) -> tuple[int, ...]:
    parts = [part.strip() for part in given.split(",")] if given else []
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise click.BadParameter(f"{given!r}: expected positions of the conversation, such as 0,64,255.")
    return tuple(int(part) for part in parts)


@click.command(epilog=MODEL_HELP)
@model_argument
@board_option
@virtual_option
@port_option
@click.option(
    "-n",
    "--tokens",
    metavar="N",
    type=click.IntRange(min=1, max=U32_MAX),
    default=COUNT,
    show_default=True,
    help="Tokens to generate.",
)
@click.option(
    "--prefill",
    metavar="N",
    type=click.IntRange(min=0, max=U32_MAX),
    default=PREFILL,
    show_default=True,
    help="Tokens of a long prompt to read; 0: none. At most the context.",
)
@click.option(
    "--positions",
    metavar="P,P,...",
    default="",
    callback=_positions,
    help="Look at one token at each of these positions too: 0,64,255.",
)
@click.option("--functions", is_flag=True, help="Show the dearest functions of each part; virtual boards.")
@click.option(
    "--cores", metavar="N", type=click.IntRange(1, 2), help="Cores that a virtual board computes on; default: all."
)
@click.option("--emulator", type=click.Choice([RP2040JS]), help="Count cycles of a virtual pico instead.")
@click.option(
    "--save",
    metavar="[FILE]",
    is_flag=False,
    flag_value="",
    help="Append a record to a TOML file; default: benchmarks/BOARD.toml.",
)
@load_options
@json_option
def command(
    model: str | None,
    board: str,
    virtual: bool,
    port: str | None,
    tokens: int,
    prefill: int,
    positions: tuple[int, ...],
    functions: bool,
    cores: int | None,
    emulator: str | None,
    save: str | None,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Measure what a token takes: instructions of an emulated chip, or time of a real one. Tokens are greedy.

    Of a virtual board also by part, and what the chip would make of it, estimated.
    """
    if not virtual and (cores or emulator or functions):
        raise UserError("--cores, --emulator and --functions are for virtual boards: add --virtual.")
    if save and not save.endswith(".toml"):
        raise UserError(f"--save {save}: expected a file that ends in .toml, or --save as the last option without one.")
    output = Output(as_json)
    request = BoardRequest(model, options, board, port, virtual, count=virtual, emulator=emulator, cores=cores)
    with Board(request, output) as running:
        hello = running.hello
        path = None if save is None else Path(save) if save else records.default_file(hello.board)
        if path is not None:  # a file that cannot be appended to is told before the work
            check_result_file("--save", path, ".toml")
            if path.exists():
                records.read(path)
        with output.working(f"bench of {hello.model} on {hello.board}") as step:
            measured = running.bench(tokens, positions, min(prefill, hello.context), step)
            made = report(hello, measured, _model(running, output))
    if as_json:
        output.document(made.document())
    else:
        show(output, made, functions)
    if path is not None:
        records.save(made, path, emulator)
        output.note(f"saved: {path.as_posix()}. {_thanks(running)}".rstrip())


def _thanks(board: Board) -> str:
    """What to do with a record of hardware."""
    if not board.connection.on_hardware:
        return ""
    return "Measured on hardware: please send us that file, as an issue or a pull request."


def _model(board: Board, output: Output) -> Expected | None:
    try:
        return board.expected
    except UserError as error:
        output.note(f"No figures per MAC and no bytes: {error}")
        return None
