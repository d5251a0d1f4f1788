"""An IntegerModel with a model's dimensions and no weights, for counting bytes before the weights are read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig
from tinyllm.codegen.arithmetic.integer_model import (
    IntegerBlock,
    IntegerGain,
    IntegerMatrix,
    IntegerModel,
    scale_groups,
)

Number = TypeVar("Number", np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32)


def outline(config: ModelConfig, biases: tuple[str, ...] = (), int4: Collection[tuple[int, str]] = ()) -> IntegerModel:
    """The IntegerModel that quantize would make, but with every number zero; it takes almost no memory.

    Blocks with the same formats are one object.

    biases: those of "bq", "bk", "bv", "bo" that the blocks have. int4: the matrices that are int4, by stored block and
    field; all others are int8.
    """
    dim, hidden_dim = config.dim, config.hidden_dim
    heights = {"bq": config.q_dim, "bk": config.kv_dim, "bv": config.kv_dim, "bo": dim}
    shapes = {
        "wq": (config.q_dim, dim),
        "wk": (config.kv_dim, dim),
        "wv": (config.kv_dim, dim),
        "wo": (dim, config.q_dim),
        "w_gate": (hidden_dim, dim),
        "w_up": (hidden_dim, dim),
        "w_down": (dim, hidden_dim),
    }

    @cache
    def block(narrow: frozenset[str]) -> IntegerBlock:
        parts: dict[str, Any] = {name: _gain(dim) for name in ("attn_norm", "ffn_norm")}
        parts |= {name: _matrix(*shape, 4 if name in narrow else 8) for name, shape in shapes.items()}
        parts |= {name: _zeros(np.int32, heights[name]) for name in biases}
        return IntegerBlock(**parts)

    narrow = [frozenset(name for name in shapes if (index, name) in int4) for index in range(len(set(config.schedule)))]

    return IntegerModel(
        config=config,
        embedding=_matrix(config.vocab_size, dim),
        blocks=tuple(map(block, narrow)),
        final_norm=_gain(dim),
        head=None if config.tied_head else _matrix(config.vocab_size, dim),
        rope_steps=_zeros(np.uint32, config.rope.rotary_dim // 2),
        k_shift=_zeros(np.uint8, config.n_layers, config.n_kv_heads, config.head_dim),
        score_mantissa=0,
        score_exponent=0,
        epsilon=0,
    )


def outline_of(model: Model, context: int, int4: Collection[tuple[int, str]] = ()) -> IntegerModel:
    """The outline of a model that has been read, with a KV cache of `context` positions. int4: as in outline."""
    block = model.blocks[0]
    biases = tuple(name for name in ("bq", "bk", "bv", "bo") if getattr(block, name) is not None)
    return outline(replace(model.config, context=context), biases, int4)


def _zeros(dtype: type[Number], *shape: int) -> NDArray[Number]:
    """An array of zeros that stores only one zero."""
    return np.broadcast_to(dtype(0), shape)


def _gain(size: int) -> IntegerGain:
    return IntegerGain(_zeros(np.int16, size), 0)


def _matrix(rows: int, columns: int, bits: int = 8) -> IntegerMatrix:
    scales = _zeros(np.uint8, rows, scale_groups(columns)) if bits == 4 else None
    return IntegerMatrix(_zeros(np.int8, rows, columns), _zeros(np.uint16, rows), 0, scales)
