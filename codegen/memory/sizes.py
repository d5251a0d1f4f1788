"""What a model takes: its weights in several formats, and the memory of a token of its conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tinyllm.codegen.arithmetic.integer_model import IntegerMatrix, IntegerModel
from tinyllm.codegen.memory.plan import SLACK, matrix_bytes, padded

INT4_GROUP = 32
"""Weights that share a scale."""
INT4_GROUP_BYTES = INT4_GROUP // 2 + 2
"""Their codes, and a 16-bit scale: 4.5 bits a weight."""


@dataclass(frozen=True)
class WeightBytes:
    """Bytes of all weights as C tables. int8: counted, as emitted; the others: estimated, for no kernel reads them.

    fp16: rows padded as those of int8. int4: with a 16-bit scale for every 32 weights of a row, the last group padded.
    """

    fp16: int
    int8: int
    int4: int


def weight_bytes(model: IntegerModel, planned: int) -> WeightBytes:
    """planned: Plan.flash["weights"] of the same model."""
    rest = planned - sum(matrix_bytes(matrix) for matrix in _matrices(model))

    def total(row_bytes: Callable[[int], int]) -> int:
        return rest + sum(matrix.rows * row_bytes(matrix.columns) + SLACK for matrix in _matrices(model))

    return WeightBytes(
        fp16=total(lambda columns: padded(2 * columns)),
        int8=planned,
        int4=total(lambda columns: -(-columns // INT4_GROUP) * INT4_GROUP_BYTES),
    )


def kv_bytes_per_token(model: IntegerModel) -> int:
    """int8 keys and values of all layers, and a 16-bit scale of each for every head that has them."""
    config = model.config
    return config.n_layers * config.n_kv_heads * 2 * (config.head_dim + 2)


def _matrices(model: IntegerModel) -> Iterator[IntegerMatrix]:
    yield model.embedding
    if model.head is not None:
        yield model.head
    for block in model.blocks:
        yield from (part for part in vars(block).values() if isinstance(part, IntegerMatrix))
