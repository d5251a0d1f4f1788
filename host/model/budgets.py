"""Limits for the size of the weights: the budget of an int8/int4 mixture, and the best format that fits a board."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig
from tinyllm.codegen.arithmetic.integer_model import IntegerMatrix, IntegerModel
from tinyllm.codegen.calibration.calibrate import Budget
from tinyllm.codegen.calibration.layerwise import SHARED_INPUTS, Key, matrices
from tinyllm.codegen.calibration.mixed import MEAN_BITS, mean_bits
from tinyllm.codegen.memory.fit import check_fits
from tinyllm.codegen.memory.outline import outline_of
from tinyllm.codegen.memory.plan import PARTITION, PROGRAM, fits_board, matrix_bytes, memory_needs, plan_memory, room
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.host.model.weights import INT8, Weights

Outlined = Callable[[Collection[Key]], IntegerModel]
"""Gives the outline of a model in which these matrices of the blocks are int4."""
MATRICES = tuple(name for names in SHARED_INPUTS for name in names)
"""Of a block."""


def all_matrices(config: ModelConfig) -> frozenset[Key]:
    """Every matrix of the blocks, by stored block and field."""
    return frozenset((stored, name) for stored in range(len(set(config.schedule))) for name in MATRICES)


def table_bytes(model: Model, tokenizer: Tokenizer, context: int, int4: Collection[Key]) -> int:
    """Bytes of all weights as C tables for the portable kernels."""
    return plan_memory(outline_of(model, context, int4), tokenizer).flash["weights"]


def budget_of(
    weights: Weights, outlined: Outlined, tokenizer: Tokenizer, weights_in: str | None = None
) -> Budget | None:
    """The budget of a mixture; None for any other format. UserError if even int4 blocks exceed a budget in bytes.

    weights_in: where a board keeps the weights, as memory_needs takes it.
    """
    if weights.kind != "mixed":
        return None
    wide = outlined(())
    config = wide.config
    everything = all_matrices(config)
    narrow = outlined(everything)

    def growth(key: Key) -> int:
        return matrix_bytes(_matrix(wide, key)) - matrix_bytes(_matrix(narrow, key))

    if weights.board is not None:
        board = load_board(weights.board)

        def fits(int4: frozenset[Key]) -> bool:
            return fits_board(outlined(int4), tokenizer, board, weights_in)

        spaces = {kept: room(board, kept) for kept in ((PROGRAM, PARTITION) if weights_in is None else (weights_in,))}
        needs = [memory_needs(each, tokenizer, board, weights_in).total for each in (wide, narrow)]
        return Budget(fits, growth, f"{board.name} {spaces} {needs}")
    if weights.budget is None:
        shapes = {key: _matrix(wide, key).codes.shape for key in everything}
        return Budget(lambda int4: mean_bits(shapes, int4) <= MEAN_BITS, growth, f"{MEAN_BITS} bits")
    most = weights.budget
    least = plan_memory(narrow, tokenizer).flash["weights"]
    if least > most:
        rows = matrix_bytes(narrow.embedding) + (0 if narrow.head is None else matrix_bytes(narrow.head))
        raise UserError(
            f"--weights {weights}: {config.name} takes at least {least:,} bytes, with all its blocks int4; "
            f"{rows:,} of them are of the embedding{'' if narrow.head is None else ' and head'}, which stay int8.\n"
            f"Give {-(-least // 1024)}KB or more{', or drop rows with --trim-vocab FILE' if 2 * rows > least else ''}."
        )

    def within(int4: frozenset[Key]) -> bool:
        return least + sum(growth(key) for key in everything - int4) <= most

    return Budget(within, growth, f"{most - least} bytes more than int4")


def best_that_fits(
    name: str, model: Model, tokenizer: Tokenizer, context: int, weights_in: str | None = None
) -> Weights:
    """int8 if the board has room for it, else a mixture that fills the board. Raises UserError if int4 does not fit.

    weights_in: as for budget_of.
    """
    board = load_board(name)
    if fits_board(outline_of(model, context), tokenizer, board, weights_in):
        return INT8
    try:
        check_fits(outline_of(model, context, matrices(model)), tokenizer, board, weights_in)
    except UserError as error:
        raise UserError(f"--fit-to {name}: with int4, the smallest weights, {error}") from None
    return Weights("mixed", board=name)


def _matrix(model: IntegerModel, key: Key) -> IntegerMatrix:
    matrix: IntegerMatrix = getattr(model.blocks[key[0]], key[1])
    return matrix
