"""Mixed precision: which matrices are worth int8 if a budget has room for more than int4.

Matrices that take the same input have the same width, so they are raised together. The worth of a set is measured on
the end of the text: how far the float model with that set alone as int4 diverges from the float model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyllm.codegen.arithmetic.float_forward import log_softmax, rmsnorm
from tinyllm.codegen.arithmetic.float_model import F32, Model
from tinyllm.codegen.arithmetic.integer_model import scale_groups
from tinyllm.codegen.calibration.layerwise import SHARED_INPUTS, Codes, Key, behind_block, matrices, with_values
from tinyllm.codegen.calibration.passes import Batch

MEAN_BITS = 5.0
"""Mean bits of a weight of the blocks if no budget is given, including the scales of int4 groups."""

HELD_BACK = 4096
"""Tokens of the calibration text that measure the worth of a set."""

ROWS_AT_ONCE = 1 << 22
"""Logits held at a time."""


@dataclass(frozen=True)
class Worth:
    """A set of matrices that take the same input; gain: the divergence that int8 saves, in nats per token."""

    keys: tuple[Key, ...]
    gain: float


def shapes_of(model: Model) -> dict[Key, tuple[int, int]]:
    """Rows and columns of each matrix of the blocks."""
    return {(stored, name): getattr(model.blocks[stored], name).shape for stored, name in matrices(model)}


def mean_bits(shapes: Mapping[Key, tuple[int, int]], int4: Collection[Key]) -> float:
    """Mean bits of a weight of the blocks if these matrices are int4 and the others int8.

    shapes: rows and columns of each matrix of the blocks.
    """
    bits = weights = 0
    for matrix, (rows, columns) in shapes.items():
        bits += rows * (4 * columns + 8 * scale_groups(columns) if matrix in int4 else 8 * columns)
        weights += rows * columns
    return bits / weights


def worths(
    model: Model,
    codes: Codes,
    batches: Sequence[Batch],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Worth]:
    """The worth of each set of matrices, in the order of the blocks. codes: of all matrices.

    progress is called with the number of sets done, and the number of all.
    """
    config, total = model.config, len(model.blocks) * len(SHARED_INPUTS)
    streams = [model.embedding[batch.tokens] for batch in batches]
    aims = [_hidden(model, x, 0) for x in streams]
    found: list[Worth] = []
    for layer, stored in enumerate(config.schedule):
        if layer == config.schedule.index(stored):
            for names in SHARED_INPUTS:
                keys = tuple((stored, name) for name in names)
                other = with_values(model, {key: codes[key].dequantized().astype(np.float32) for key in keys})
                found.append(Worth(keys, _divergence(model, other, streams, layer, aims, batches)))
                progress(len(found), total)
        streams = [behind_block(model.blocks[stored], x, config, layer) for x in streams]
    return found


def raised(
    model: Model, found: Iterable[Worth], size: Callable[[Key], int], allowed: Callable[[frozenset[Key]], bool]
) -> frozenset[Key]:
    """The matrices that become int8.

    The sets are tried in order, the most worth per byte first. A set becomes int8 if the rest as int4 is `allowed`.
    size: how many bytes more a matrix takes as int8.
    """
    int4 = frozenset(matrices(model))
    order = sorted(found, key=lambda worth: (-worth.gain / sum(map(size, worth.keys)), worth.keys))
    for worth in order:
        if worth.gain > 0 and allowed(int4 - set(worth.keys)):
            int4 -= set(worth.keys)
    return frozenset(matrices(model)) - int4


def _hidden(model: Model, x: F32, layer: int) -> F32:
    """The head's input, from the residual stream before a layer."""
    config = model.config
    for at in range(layer, config.n_layers):
        x = behind_block(model.blocks[config.schedule[at]], x, config, at)
    return rmsnorm(x, model.final_norm, config.norm_epsilon)


def _divergence(
    model: Model, other: Model, streams: Sequence[F32], layer: int, aims: Sequence[F32], batches: Sequence[Batch]
) -> float:
    """Mean Kullback-Leibler divergence of `other` from the model. streams: the model's before a layer."""
    total, tokens = 0.0, 0
    head = model.output_head
    height = max(1, ROWS_AT_ONCE // len(head))
    for x, wanted, batch in zip(streams, aims, batches, strict=True):
        got, wanted = _hidden(other, x, layer)[batch.real], wanted[batch.real]
        for row in range(0, len(got), height):
            part = slice(row, row + height)
            expected = log_softmax(wanted[part] @ head.T)
            total += float(np.sum(np.exp(expected) * (expected - log_softmax(got[part] @ head.T))))
        tokens += len(got)
    return total / tokens
