"""Builds a host or virtual board and starts its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tinyllm.boards.description import HOST, TWIN, Board
from tinyllm.host.build.build import build
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.model.load import LoadOptions, load_model
from tinyllm.host.model.trim_report import saving_line
from tinyllm.host.output import Output
from tinyllm.host.virtual.emulators import require_unicorn


@contextmanager
def started(
    board: Board, model: str | None, options: LoadOptions, count: bool, output: Output
) -> Iterator[BoardProcess]:
    """Build `board` with the model and start its process, which ends with the context.

    count: a virtual board's clock counts instructions. Errors as require_unicorn, load_model, build and BoardProcess.
    """
    if board.emulator == "unicorn":
        require_unicorn()
    loaded = load_model(model, options)
    if loaded.saving is not None:
        output.note(saving_line(loaded.saving))
    place = "this computer" if board.name == HOST else f"the virtual {board.name.removesuffix(TWIN)}"
    with output.working(f"building {loaded.name} for {place}") as step:
        built = build(loaded, board, progress=step, notice=output.note)
    with BoardProcess.of(board, built.program, count) as running:
        yield running
