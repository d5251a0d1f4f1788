"""The three ways to store a model's weights that fit compares, as outlines: int8, int4, and a mixture of both."""

from __future__ import annotations

from collections.abc import Iterator

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.memory.outline import outline

FORMATS = ("int8", "mixed", "int4")
"""By accuracy, the best first."""

MIXED_BITS = 5.0
"""Bits of a weight of the blocks that a mixture has, in the mean, at most."""
INT8_BITS, INT4_BITS = 8.0, 4.25
"""Of a weight: an int4 one has its share of the scale of 32 columns."""

MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")


def outlines(config: ModelConfig, biases: tuple[str, ...]) -> dict[str, IntegerModel]:
    """A model in each of FORMATS; embedding and head are int8 in all of them."""
    int4 = frozenset((block, name) for block in range(len(set(config.schedule))) for name in MATRICES)
    return {
        "int8": outline(config, biases),
        "mixed": outline(config, biases, int4 - frozenset(_raised(config))),
        "int4": outline(config, biases, int4),
    }


def _raised(config: ModelConfig) -> Iterator[tuple[int, str]]:
    """The matrices of a mixture that are int8, as many as its bits allow: w_down of the blocks in turn, then wo.

    Which are raised in a build is measured on a text; what they take is much the same.
    """
    blocks = range(len(set(config.schedule)))
    sizes = {"w_down": config.dim * config.hidden_dim, "wo": config.dim * config.q_dim}
    block = 3 * sizes["w_down"] + 2 * sizes["wo"] + 2 * config.dim * config.kv_dim
    left = (MIXED_BITS - INT4_BITS) * block * len(blocks)
    for name, size in sizes.items():
        for index in blocks:
            left -= (INT8_BITS - INT4_BITS) * size
            if left < 0:
                return
            yield index, name
