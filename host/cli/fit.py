"""The verb fit: does a model fit a board, how fast would it be, how long does a battery last, and what to change."""

from __future__ import annotations

import click

from tinyllm.boards.description import load_board, load_boards
from tinyllm.host.cli.completion import complete_board
from tinyllm.host.cli.fit_document import document
from tinyllm.host.cli.fit_tables import show_board, show_boards
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.fit.fits import fit_board
from tinyllm.host.fit.remedies import remedies
from tinyllm.host.model.load import LoadOptions, model_path
from tinyllm.host.model.sketch import read_sketch
from tinyllm.host.output import Output


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option(
    "--board", metavar="NAME", shell_complete=complete_board, help="One board in detail, and what to change there."
)
@load_options
@json_option
def command(model: str | None, board: str | None, options: LoadOptions, as_json: bool) -> None:
    """Say which boards a model fits and how fast it would be there, from its headers: bytes are counted as a build
    counts them, speed and energy are estimated.
    """
    output = Output(as_json)
    boards = load_boards() if board is None else [load_board(board)]
    sketch = read_sketch(model_path(model), options)
    fits = [fit_board(sketch, each) for each in boards]
    changes = None if board is None else remedies(sketch, fits[0], load_boards())
    if as_json:
        output.document(document(sketch, fits, changes))
    elif changes is None:
        show_boards(output, sketch, fits)
    else:
        show_board(output, sketch, fits[0], changes)
