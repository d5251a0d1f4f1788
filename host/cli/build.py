"""The verb build: compiles a model for a board."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from click.core import ParameterSource

from tinyllm.boards.description import Board, load_board
from tinyllm.codegen.emit.write import check_folder
from tinyllm.codegen.memory.plan import FLASH_BESIDE, PARTITION, MemoryNeeds, room
from tinyllm.errors import UserError
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.build.build import compile_project
from tinyllm.host.build.program import Program
from tinyllm.host.cli.library import write_library
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, json_option, virtual_option
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.model.quantisation_report import HEADERS, quantisation_of, table, wide_of, worst_first
from tinyllm.host.model.trim_report import trimming_of
from tinyllm.host.output import Output

PROJECT, LIBRARY = "project", "library"


@click.command(epilog=MODEL_HELP)
@model_argument
@board_option
@virtual_option
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the project goes; default: the cache.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice([PROJECT, LIBRARY]),
    default=PROJECT,
    show_default=True,
    help="library: not compiled, for your own sketch, as `tinyllm library`.",
)
@click.option("--cores", type=click.IntRange(1, 2), help="Cores that compute; of a library.")
@load_options
@json_option
def command(
    model: str | None,
    board: str,
    virtual: bool,
    folder: Path | None,
    form: str,
    cores: int | None,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Write the C for a model and compile it: how much flash, RAM and stack it takes."""
    output = Output(as_json)
    if form == LIBRARY:
        if virtual or folder is None:
            wrong = "--virtual has no sketch" if virtual else "say with -o where it goes"
            raise UserError(f"--as library: {wrong}. As in: tinyllm build MODEL --as library -o TinyLLM")
        named = click.get_current_context().get_parameter_source("board") is not ParameterSource.DEFAULT
        write_library(model, folder, board if named else None, cores or 1, options, output)
        return
    if cores is not None:
        raise UserError("--cores is for --as library: a project computes on all cores that its board has.")
    target = load_board(board)
    target = target.twin() if virtual else target
    loaded = LanguageModel.read(model, options)
    with output.working(f"building {loaded.name} for {target.name}") as step:
        project = loaded.emit(target, progress=step, notice=output.note)
        if folder is not None:
            check_folder(project, folder)
    if not as_json:
        # Shown before compiling, which takes a while and may not be possible here.
        output.line(project.title, style="bold")
        output.table(["memory", "part", "bytes"], planned(project.needs, project.board))
        _show_quantisation(output, loaded)
    with output.working("compiling") as step:
        built = compile_project(project, folder, step, output.note)
        step("measuring the perplexity")
        trimming = trimming_of(loaded, options.stories())
    if as_json:
        quantisation = [asdict(matrix) for matrix in worst_first(quantisation_of(loaded))]
        facts = {"trimming": trimming and asdict(trimming), "weights": str(loaded.weights)}
        output.document(asdict(built) | facts | {"quantisation": quantisation})
        return
    for warning in built.warnings:
        output.note(warning, style="yellow")
    output.table(["memory", "of the program, counted", "bytes"], _compiled(built))
    for line in trimming.lines() if trimming else ():
        output.line(line)
    output.line(f"project: {built.project}")
    output.line(f"program: {built.program}")


def _show_quantisation(output: Output, loaded: LanguageModel) -> None:
    """A line if every matrix is int8, whose errors are small and alike; else which are int8, and the worst ones."""
    found = quantisation_of(loaded)
    if len(wide := wide_of(found)) == len(found):
        worst = worst_first(found)[0]
        output.line(f"weights: int8, none clipped, at most {worst.error:.2%} off ({worst.name})")
        return
    output.line(f"weights: {loaded.weights}", style="bold")
    output.line(f"int8: {', '.join(wide)}")
    output.table(HEADERS, list(table(found)))


def planned(needs: MemoryNeeds, board: Board) -> list[list[str]]:
    """Rows with the planned bytes of each part, and the bytes that the board has."""
    space = room(board, needs.weights_in)
    beside = "the board has beside its core" if board.reserve else "the board has"
    rows: list[list[str]] = []
    flash, apart = dict(needs.plan.flash), {}
    if needs.weights_in == PARTITION:
        apart["weights"] = flash.pop("weights")
    for memory, parts, there in (
        (FLASH_BESIDE, apart, space and apart and space.weights),
        ("flash", flash, space and space.flash),
        ("RAM", needs.plan.ram, space and space.ram),
    ):
        for part, size in parts.items():
            place = memory if memory != "RAM" else needs.cache_in if part == "kv_cache" else needs.state_in
            rows.append([place, part, f"{size:,}"])
        if memory == "RAM":
            copies = (
                ("code", needs.code_in_ram),
                ("hot code", needs.placed.hot_bytes),
                ("copies of tables", needs.placed.table_bytes),
            )
            rows += [[memory, part, f"{size:,}"] for part, size in copies if size]
            if moved := sum(needs.placed.psram.values()):
                rows.append(["PSRAM", "copies of matrices", f"{moved:,}"])
        if there:
            rows.append([memory, "the board has" if memory == FLASH_BESIDE else beside, f"{there:,}"])
    return rows


def _compiled(built: Program) -> list[list[str]]:
    """Rows with the sizes of the compiled program."""
    counted = (
        ("flash", "whole program", built.flash),
        ("RAM", "whole program", built.ram),
        ("RAM", "deepest stack", built.stack.bytes if built.stack else None),
    )
    return [[memory, part, f"{size:,}"] for memory, part, size in counted if size is not None]
