"""The verb fit: does a model fit a board, how fast would it be, how long does a battery last, and what to change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tinyllm.boards.description import in_order, load_board, load_boards
from tinyllm.boards.families import kinds
from tinyllm.errors import UserError
from tinyllm.host.cli.completion import complete_board
from tinyllm.host.cli.fit_document import document
from tinyllm.host.cli.fit_tables import show_board, show_boards
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.cli.result_file import check_plot, save_plot
from tinyllm.host.fit.fits import BoardFit, fit_board
from tinyllm.host.fit.remedies import remedies
from tinyllm.host.model.load import LoadOptions, model_path
from tinyllm.host.model.sketch import Sketch, read_sketch
from tinyllm.host.output import Output


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option(
    "--board", metavar="NAME", shell_complete=complete_board, help="One board in detail, and what to change there."
)
@click.option(
    "--plot",
    metavar="FILE.svg",
    type=click.Path(path_type=Path),
    help="Draw it too: the memories of --board, or all boards. Needs tinyllm[plots].",
)
@load_options
@json_option
def command(model: str | None, board: str | None, plot: Path | None, options: LoadOptions, as_json: bool) -> None:
    """Say which boards a model fits and how fast it would be there, from its headers: bytes are counted as a build
    counts them, speed and energy are estimated.
    """
    output = Output(as_json)
    if plot is not None:
        check_plot(plot)
    groups = kinds(load_boards()) if board is None else [[load_board(board)]]
    boards = [each for group in groups for each in (group if as_json else group[:1])]
    sketch = read_sketch(model_path(model), options)
    fits = [fit_board(sketch, each) for each in boards]
    if plot is not None:
        save_plot(plot, _drawn(sketch, fits, one=board is not None), output)
    changes = None if board is None else remedies(sketch, fits[0], [group[0] for group in kinds(load_boards())])
    if as_json:
        output.document(document(sketch, sorted(fits, key=lambda each: in_order(each.board.name)), changes))
    elif changes is None:
        show_boards(output, sketch, fits, groups)
    else:
        show_board(output, sketch, fits[0], changes)


def _drawn(sketch: Sketch, fits: Sequence[BoardFit], one: bool) -> str:
    """The SVG of all boards or of one. UserError for one without a [memory] table."""
    from tinyllm.host.fit.picture import draw_board, draw_boards  # matplotlib: an extra

    if not one:
        return draw_boards(sketch, fits)
    if fits[0].board.memory is None:
        raise UserError(f"--plot: {fits[0].board.name} has no memories to draw; its file has no [memory].")
    return draw_board(sketch, fits[0])
