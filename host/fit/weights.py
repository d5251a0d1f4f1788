"""Outlines of a model in the three weight formats that fit compares: int8, int4, and a mixture of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_model import IntegerModel, scale_groups
from tinyllm.codegen.calibration.mixed import MEAN_BITS
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import fits_board, plan_memory
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.host.model.weights import Weights

FORMATS = ("int8", "mixed", "int4")
"""The formats, the most accurate first."""
MIXED_BITS = MEAN_BITS
"""Mean bits of a block's weight in a mixture, unless a person asks for another."""
SETS = (("w_down",), ("wo",), ("w_gate", "w_up"), ("wq", "wk", "wv"))
"""Matrices that become int8 together, because they have the same input. A mixture raises them in this order."""
MATRICES = tuple(name for names in SETS for name in names)

Int4 = frozenset[tuple[int, str]]
"""The int4 matrices of the blocks, as pairs of stored block and name."""


@lru_cache(maxsize=16)
def outlines(
    config: ModelConfig,
    biases: tuple[str, ...],
    tokenizer: Tokenizer,
    mixture: Weights | None = None,
    weights_in: str | None = None,
) -> Mapping[str, IntegerModel]:
    """The model in each of FORMATS. Embedding and head are int8 in all of them.

    mixture: the mixture that a person asked for; None for one of MIXED_BITS. weights_in: where a board that limits the
    mixture keeps its weights, as memory_needs takes it. Raises UserError if the mixture's budget is too small.
    """
    blocks = range(len(set(config.schedule)))
    int4 = frozenset((block, name) for block in blocks for name in MATRICES)

    wide = outline(config, biases)
    weights = {(block, name): getattr(wide.blocks[block], name).codes.shape for block, name in int4}

    def allowed(narrow: Int4) -> bool:
        if mixture is None or (mixture.budget is None and mixture.board is None):
            return mean_bits(weights, narrow) <= MIXED_BITS
        return _allowed(outline(config, biases, narrow), tokenizer, mixture, weights_in)

    if mixture is not None and mixture.budget is not None and not allowed(int4):
        least = plan_memory(outline(config, biases, int4), tokenizer).flash["weights"]
        raise UserError(
            f"--weights {mixture}: {config.name} takes at least {least:,} bytes, with all its blocks int4. "
            f"Give {-(-least // 1024)}KB or more."
        )
    return {
        "int8": wide,
        "mixed": outline(config, biases, _mixed(blocks, int4, allowed)),
        "int4": outline(config, biases, int4),
    }


def _mixed(blocks: range, int4: Int4, allowed: Callable[[Int4], bool]) -> Int4:
    """The matrices that stay int4 after as many SETS as allowed were raised to int8.

    A build chooses the sets by measuring on a text, but they take about the same bytes.
    """
    for names in SETS:
        for block in blocks:
            narrower = int4 - {(block, name) for name in names}
            if allowed(narrower):
                int4 = narrower
    return int4


def _allowed(model: IntegerModel, tokenizer: Tokenizer, mixture: Weights, weights_in: str | None) -> bool:
    """Whether a model is within the mixture's limit: its board's memory, or its budget of bytes."""
    if mixture.board is not None:
        board = load_board(mixture.board)
        return fits_board(model, tokenizer, board, weights_in)
    return plan_memory(model, tokenizer).flash["weights"] <= (mixture.budget or 0)


def mean_bits(weights: Mapping[tuple[int, str], tuple[int, ...]], int4: Int4) -> float:
    """Mean bits of a block's weight, with the scales of int4 groups, as the calibration counts them.

    weights: rows and columns of each matrix.
    """
    bits = total = 0
    for matrix, (rows, columns) in weights.items():
        bits += rows * (4 * columns + 8 * scale_groups(columns) if matrix in int4 else 8 * columns)
        total += rows * columns
    return bits / total
