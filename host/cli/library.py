"""The verb library: writes a model as a library for a maker's own sketch or program."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tinyllm.codegen.memory.stack import LIBRARY_STACK
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.cli.completion import complete_board
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    required=True,
    help="Where the library goes: `TinyLLM` in the libraries of a sketchbook, or in lib/ of a project.",
)
@click.option(
    "--board",
    metavar="NAME",
    shell_complete=complete_board,
    help="A board of `tinyllm boards`: its kernels, and a model that fits it. Default: portable C, for any board.",
)
@click.option(
    "--cores",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="Cores that compute. 2: the second core of a --board, which a sketch then leaves alone; Arduino only.",
)
@load_options
@json_option
def command(
    model: str | None, folder: Path, board: str | None, cores: int, options: LoadOptions, as_json: bool
) -> None:
    """Write a model as a library for your own sketch: of Arduino, PlatformIO, ESP-IDF and the Pico SDK."""
    write_library(model, folder, board, cores, options, Output(as_json))


def write_library(
    model: str | None, folder: Path, board: str | None, cores: int, options: LoadOptions, output: Output
) -> None:
    """Write the library and print its sizes, for the verb library and for `build --as library`."""
    loaded = LanguageModel.read(model, options)
    with output.working(f"writing {loaded.name} as a library") as step:
        project = loaded.library(folder, board, cores, step, output.note)
    about, needs = project.manifest, project.needs
    if output.as_json:
        memory = {"flash": needs.total.flash, "ram": needs.total.ram, "stack": LIBRARY_STACK}
        output.document(asdict(about) | {"library": str(folder), "weights": str(loaded.weights)} | memory)
        return
    output.line(f"{about.model} for {about.board if board else 'any board'}, context {about.context}", style="bold")
    sizes = (("flash", needs.total.flash), ("RAM", needs.total.ram), ("stack", LIBRARY_STACK))
    output.table(["memory", "bytes, at most"], [[memory, f"{size:,}"] for memory, size in sizes])
    output.line(f"library: {folder}. Begin with {folder / 'README.md'}.")
