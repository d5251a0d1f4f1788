"""Building a board of this computer, the host board or a virtual one, and starting its process."""

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
    """The process of `board` with the model, which ends with the context. Errors as load_model, build and BoardProcess.

    count: a virtual board's clock is to count its instructions.
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
