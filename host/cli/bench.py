"""The verb bench: what a prefilled and a generated token cost on a board; counted, estimated or measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from tinyllm.boards.description import HOST, load_board
from tinyllm.codegen.arithmetic.sampler_settings import U32_MAX
from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.cli.all_attached import Step, all_attached_option, refuse_port, tell_failures, work_on_all
from tinyllm.host.cli.bench_tables import show, show_all
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, json_option, port_option, virtual_option
from tinyllm.host.cli.result_file import check_result_file
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.link.serial_port import PortInfo
from tinyllm.host.link.usb import every_attached
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.prove import records
from tinyllm.host.prove.expected_answers import Expected
from tinyllm.host.prove.prove import COUNT
from tinyllm.host.prove.report import Report, report
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
@all_attached_option
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
@click.pass_context
def command(
    ctx: click.Context,
    model: str | None,
    board: str,
    virtual: bool,
    port: str | None,
    everywhere: bool,
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
    if everywhere:
        refuse_port(port, virtual)
        if not _bench_all(request, tokens, positions, prefill, save, output):
            ctx.exit(1)
        return
    with Board(request, output) as running:
        hello = running.hello
        path = None if save is None else _record_file(save, hello.board)
        with output.working(f"bench of {hello.model} on {hello.board}") as step:
            made = _report(running, tokens, positions, prefill, step, output)
    if as_json:
        output.document(made.document())
    else:
        show(output, made, functions)
    if path is not None:
        records.save(made, path, emulator)
        output.note(f"saved: {path.as_posix()}. {_thanks(running)}".rstrip())


def _report(board: Board, tokens: int, positions: tuple[int, ...], prefill: int, step: Step, output: Output) -> Report:
    measured = board.bench(tokens, positions, min(prefill, board.hello.context), step)
    return report(board.hello, measured, _model(board, output))


def _record_file(save: str, board: str) -> Path:
    """The path of the record. Raises UserError, before the work begins, if the file cannot be appended to."""
    path = Path(save) if save else records.default_file(board)
    check_result_file("--save", path, ".toml")
    if path.exists():
        records.read(path)
    return path


def _bench_all(
    request: BoardRequest, tokens: int, positions: tuple[int, ...], prefill: int, save: str | None, output: Output
) -> bool:
    """Bench all attached boards at the same time and print the results. Returns whether all succeeded."""
    if save:
        _record_file(save, "")
    named = None if request.board == HOST else load_board(request.board)
    ports = [port for port, _ in every_attached(named)]

    def bench(port: PortInfo, step: Step) -> tuple[Report, str]:
        with Board(replace(request, port=port.device, count=False), output) as running:
            kind = running.hello.board
            if save is not None:
                _record_file(save, kind)
            made = _report(running, tokens, positions, prefill, lambda text: step(f"{kind}: {text}"), output)
            return made, _thanks(running)

    outcomes = work_on_all(output, f"bench of {len(ports)} boards", [[port] for port in ports], bench)
    done = [(outcome.port, *outcome.result) for outcome in outcomes if outcome.result is not None]
    if output.as_json:
        failed = [{"port": each.port, "error": each.error} for each in outcomes if each.error is not None]
        output.document({"boards": [{"port": port} | made.document() for port, made, _ in done], "failed": failed})
    else:
        if done:
            show_all(output, [(port, made) for port, made, _ in done])
        tell_failures(output, outcomes, "measured")
    for _, made, thanks in done if save is not None else ():
        path = _record_file(save or "", made.hello.board)
        records.save(made, path)
        output.note(f"saved: {path.as_posix()}. {thanks}".rstrip())
    return len(done) == len(outcomes)


def _thanks(board: Board) -> str:
    """The request to send us a record, if it is from hardware."""
    if not board.connection.on_hardware:
        return ""
    return "Measured on hardware: please send us that file, as an issue or a pull request."


def _model(board: Board, output: Output) -> Expected | None:
    try:
        return board.expected
    except UserError as error:
        output.note(f"No figures per MAC and no bytes: {error}")
        return None
