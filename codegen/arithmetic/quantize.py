"""Quantise a Model to an IntegerModel: weights int8 with one scale per row, or int4 if given (docs/arithmetic.md).

Floats are used on the way to the integers. The result is the same on every machine, because each step is elementwise
and rounds far more coarsely than float64 could differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.arithmetic.float_model import F32, LARGEST_CONTEXT, Block, Model, ModelConfig
from tinyllm.codegen.arithmetic.int4 import HIGHEST, LOWEST, MOST_SCALE, GroupedCodes, grouped_matrix
from tinyllm.codegen.arithmetic.integer_model import (
    MAX_K_SHIFT,
    MOST_CODE,
    IntegerBlock,
    IntegerGain,
    IntegerMatrix,
    IntegerModel,
)
from tinyllm.codegen.arithmetic.key_shifts import key_shifts
from tinyllm.errors import UserError

F64 = NDArray[np.float64]
MAX_COLUMNS = (2**31 - 1) // MOST_CODE**2
"""Longest dot product of int8 codes whose int32 sum cannot overflow."""

MAX_INT4_COLUMNS = (2**31 - 1) // (MOST_CODE * max(HIGHEST, -LOWEST) * MOST_SCALE)
"""The same for int4 codes times the scales of their groups."""

Int4 = Mapping[tuple[int, str], GroupedCodes]
"""The matrices that are int4, by stored block and field, their rows in the model's own order."""

ROW_BLOCK = 1 << 16
"""How many weights are converted to float64 at a time, so that memory never holds a large matrix twice."""


def quantize(model: Model, context: int | None = None, int4: Int4 | None = None) -> IntegerModel:
    """The integer model with a KV cache of `context` positions (default: all the model was trained for).

    int4: the matrices in int4; all others become int8. Raises UserError if a layer is too wide for exact int32 sums, if
    the norm epsilon is too large, or if the context is out of range.
    """
    config, int4 = model.config, int4 or {}
    config = replace(config, context=config.context if context is None else context)
    _check(config, MAX_INT4_COLUMNS if int4 else MAX_COLUMNS)
    scale = math.log2(math.e) / math.sqrt(config.head_dim) * config.rope.attention_scaling**2
    score_exponent = math.frexp(scale)[1] - 15
    return IntegerModel(
        config=config,
        embedding=quantize_rows(model.embedding),
        blocks=tuple(
            _quantize_block(
                block, config, {field: grouped for (stored, field), grouped in int4.items() if stored == index}
            )
            for index, block in enumerate(model.blocks)
        ),
        final_norm=_quantize_gain(model.final_norm.astype(np.float64)),
        head=None if model.head is None else quantize_rows(model.head),
        rope_steps=np.rint(config.rope.frequencies() / (2 * math.pi) * 2**32).astype(np.uint64).astype(np.uint32),
        k_shift=key_shifts(model)[..., half_order(config, 1)],
        score_mantissa=round(scale / 2.0**score_exponent),
        score_exponent=score_exponent - fp.FRACTION_BITS + MAX_K_SHIFT,
        epsilon=round(config.dim * config.norm_epsilon * 2**32),
    )


def quantize_rows(weights: F32 | F64) -> IntegerMatrix:
    """Quantise to the nearest int8 codes (rows, columns), a 16-bit mantissa per row and one exponent for the matrix."""
    rows, columns = weights.shape
    scale = np.maximum(weights.max(axis=1), -weights.min(axis=1)).astype(np.float64) / 127
    exponent = math.frexp(max(float(np.max(scale)), 2.0**-100))[1] - 16
    mantissa = np.clip(np.ceil(scale / 2.0**exponent), 1, 65535)
    step = (mantissa * 2.0**exponent)[:, None]
    codes = np.empty(weights.shape, np.int8)
    height = max(1, ROW_BLOCK // columns)
    for row in range(0, rows, height):
        part = slice(row, row + height)
        codes[part] = np.clip(np.rint(weights[part].astype(np.float64) / step[part]), -127, 127)
    return IntegerMatrix(codes, mantissa.astype(np.uint16), exponent)


def _quantize_gain(gain: F64) -> IntegerGain:
    real = gain * math.sqrt(gain.size)
    exponent = math.frexp(max(float(np.max(np.abs(real))), 2.0**-100))[1] - 15
    return IntegerGain(np.clip(np.rint(real / 2.0**exponent), -32767, 32767).astype(np.int16), exponent)


def _quantize_block(block: Block, config: ModelConfig, int4: Mapping[str, GroupedCodes]) -> IntegerBlock:
    q_order, k_order = half_order(config, config.n_heads), half_order(config, config.n_kv_heads)

    # RoPE's attention scaling is part of the score's scale, so the rows that do not rotate are divided by it.
    rotates = np.arange(config.head_dim) < config.rope.rotary_dim
    factor = np.where(rotates, 1.0, 1.0 / config.rope.attention_scaling)
    q_factor, k_factor = np.tile(factor, config.n_heads), np.tile(factor, config.n_kv_heads)

    def bias(
        values: F32 | None, order: NDArray[np.int64] | slice = slice(None), factor: F64 | float = 1.0
    ) -> NDArray[np.int32] | None:
        return None if values is None else fp.to_q16(values[order] * factor).astype(np.int32)

    def matrix(name: str, order: NDArray[np.int64] | slice = slice(None), factor: F64 | None = None) -> IntegerMatrix:
        if (grouped := int4.get(name)) is not None:
            units = grouped.units[order] if factor is None else grouped.units[order] * factor
            return grouped_matrix(GroupedCodes(grouped.codes[order], grouped.multiples[order], units))
        weights: F32 = getattr(block, name)
        return quantize_rows(weights[order] if factor is None else weights[order] * factor[:, None])

    return IntegerBlock(
        attn_norm=_quantize_gain(block.attn_norm.astype(np.float64)),
        wq=matrix("wq", q_order, q_factor),
        wk=matrix("wk", k_order, k_factor),
        wv=matrix("wv"),
        wo=matrix("wo"),
        ffn_norm=_quantize_gain(block.ffn_norm.astype(np.float64)),
        w_gate=matrix("w_gate"),
        w_up=matrix("w_up"),
        w_down=matrix("w_down"),
        bq=bias(block.bq, q_order, q_factor),
        bk=bias(block.bk, k_order, k_factor),
        bv=bias(block.bv),
        bo=bias(block.bo),
    )


def half_order(config: ModelConfig, heads: int) -> NDArray[np.int64]:
    """Row order that turns the model's RoPE pairing into "half": even elements of each head first, then odd ones."""
    rows = np.arange(heads * config.head_dim).reshape(heads, config.head_dim)
    if config.rope.pairing == "interleaved":
        rotary, rest = rows[:, : config.rope.rotary_dim], rows[:, config.rope.rotary_dim :]
        rows = np.concatenate([rotary[:, 0::2], rotary[:, 1::2], rest], axis=1)
    return rows.reshape(-1)


def _check(config: ModelConfig, most_columns: int) -> None:
    widest = max(config.dim, config.hidden_dim, config.q_dim)
    if widest > most_columns:
        raise UserError(f"{config.name}: a layer is {widest} wide; int32 sums are exact only up to {most_columns}.")
    if round(config.dim * config.norm_epsilon * 2**32) >= 2**34:
        raise UserError(f"{config.name}: norm epsilon {config.norm_epsilon} is too large; expected about 1e-5.")
    if not config.smallest_context <= config.context <= LARGEST_CONTEXT:
        raise UserError(
            f"{config.name}: a context of {config.context} positions; "
            f"expected {config.smallest_context} to {LARGEST_CONTEXT}."
        )
