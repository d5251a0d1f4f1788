"""Model -> library: emits the C for a maker's own sketch, in place of a project."""

from __future__ import annotations

from tinyllm.boards.description import Board
from tinyllm.codegen.chat.derive import Unsuited
from tinyllm.codegen.emit.chat_template import board_plan
from tinyllm.codegen.emit.library import emit_library, library_board
from tinyllm.codegen.emit.project import Project
from tinyllm.codegen.memory.plan import PARTITION, PROGRAM
from tinyllm.errors import UserError
from tinyllm.host.build.build import Line, ignore, integers_that_fit
from tinyllm.host.model.load import LoadedModel


def library(
    loaded: LoadedModel, board: Board | None = None, cores: int = 1, progress: Line = ignore, notice: Line = ignore
) -> Project:
    """The library of a model, in memory only.

    board: the library gets its kernels and must fit it; None for portable C, for any board. cores: the number that
    compute. progress takes one short line per step, notice a line that a person should read. Raises UserError if the
    model does not fit, or if it was loaded with its weights beside the program. Errors as library_board too.
    """
    if loaded.weights_in == PARTITION:
        raise UserError(
            "a library has its weights in it: whose sketch it is writes no image. Leave --weights-in partition out, or "
            "take `tinyllm build`."
        )
    target = library_board(board, cores)
    integers, needs = integers_that_fit(loaded, target, None, PROGRAM, progress, notice)
    progress("writing the C")
    project = emit_library(integers, loaded.tokenizer, target, needs)
    try:
        board_plan(integers.config, loaded.tokenizer, needs.plan.text_max)
    except Unsuited as unsuited:
        notice(f"The library cannot follow the model's chat template ({unsuited}): ask() gives it the text as it is.")
    return project
