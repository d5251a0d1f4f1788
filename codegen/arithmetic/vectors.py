"""The primitives that work on whole vectors: quantisation, RMSNorm and rotary embedding.

As in fixedpoint.py, everything is exact integer mathematics on int64 arrays that hold int32 values, and
firmware/engine/vectors.c mirrors it bit for bit. A quantised vector is int8 codes and one scale.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinyllm.codegen.arithmetic.fixedpoint import (
    FRACTION_BITS,
    I64,
    bit_length,
    normalize_scale,
    reciprocal_sqrt,
    shift,
    sigmoid_q15,
)


class Quantized(NamedTuple):
    """int8 codes (..., n) with scale mantissa (...,) and exponent (...,): value = codes * mantissa * 2**exponent."""

    codes: I64
    mantissa: I64
    exponent: I64


INT4_STEP = 16
"""The codes of an int4 key or value are int8 multiples of this: the cache keeps only their upper four bits."""


def quantize_int8(vector: ArrayLike) -> Quantized:
    """Quantise int32 vectors (..., n) along the last axis, each with its own scale.

    The largest magnitude m is brought to 15 bits, scale = ceil(4 m15 / 127) (516..1033, so that no code exceeds 127),
    exponent counts in units of the vector. A zero vector has codes, mantissa and exponent 0.
    """
    return _quantize(vector, step=1, most=127)


def quantize_int4(vector: ArrayLike) -> Quantized:
    """Like quantize_int8, but codes are multiples of INT4_STEP within +-112; scale = ceil(4 m15 / 112), 585..1171."""
    return _quantize(vector, step=INT4_STEP, most=7)


def _quantize(vector: ArrayLike, step: int, most: int) -> Quantized:
    """Quantise to whole multiples of `step`; the largest code is step * most."""
    vector = np.asarray(vector, np.int64)
    largest = np.max(np.abs(vector), axis=-1)
    down = bit_length(largest) - 15
    # The largest magnitude in 15 bits, rounded up: the shift of a negative extreme may be one larger in magnitude.
    fifteen = np.where(down > 0, (largest + (np.int64(1) << np.maximum(down, 0)) - 1) >> np.maximum(down, 0), largest)
    fifteen = shift(fifteen, np.minimum(down, 0))
    mantissa = (4 * fifteen + step * most - 1) // (step * most)
    reciprocal = ((1 << 25) // step) // np.maximum(mantissa, 1)
    codes = step * ((shift(vector, down[..., None]) * reciprocal[..., None] + (1 << 22)) >> 23)
    nonzero = largest > 0
    return Quantized(
        np.where(nonzero[..., None], codes, 0), np.where(nonzero, mantissa, 0), np.where(nonzero, down - 2, 0)
    )


def rmsnorm_int8(vector: ArrayLike, gain: ArrayLike, epsilon: int) -> Quantized:
    """RMSNorm (Zhang and Sennrich, arXiv 1910.07467) and quantisation in one: int32 Q16.16 (..., n) to int8.

    gain: int16 (n,), the real gain times sqrt(n) times a power of two that the caller accounts for.
    epsilon: n * epsilon in units of 2**-32, below 2**34.
    The result's exponent does not include the gain's power of two.
    """
    vector, gain = np.asarray(vector, np.int64), np.asarray(gain, np.int64)
    largest = np.max(np.abs(vector), axis=-1)
    down = bit_length(largest) - 15
    fifteen = shift(vector, down[..., None])  # -2**15 .. 2**15 - 1
    total = np.sum(fifteen * fifteen, axis=-1) + shift(np.int64(epsilon), 2 * down)
    scaled = quantize_int8(fifteen * gain)  # |products| <= 2**30
    inverse, inverse_exponent = reciprocal_sqrt(np.maximum(total, 1))
    mantissa, exponent = normalize_scale(scaled.mantissa * inverse, scaled.exponent + inverse_exponent)
    nonzero = largest > 0
    return Quantized(np.where(nonzero[..., None], scaled.codes, 0), np.where(nonzero, mantissa, 0), exponent)


def silu_mul(gate: ArrayLike, up: ArrayLike) -> tuple[I64, I64]:
    """silu(gate) * up (SwiGLU, Shazeer, arXiv 2002.05202) of Q16.16 vectors (..., n).

    Both are first brought to 15 bits, so |result| <= 2**30. Returns int32 (..., n) and the exponent (...,) that brings
    it back to Q16.16.
    """
    gate, up = np.asarray(gate, np.int64), np.asarray(up, np.int64)
    gate_down, up_down = (bit_length(np.max(np.abs(vector), axis=-1)) - 15 for vector in (gate, up))
    activated = (shift(gate, gate_down[..., None]) * sigmoid_q15(gate) + (1 << 14)) >> 15
    return activated * shift(up, up_down[..., None]), gate_down + up_down - FRACTION_BITS


def rotate(vector: ArrayLike, cosine: ArrayLike, sine: ArrayLike) -> tuple[I64, I64]:
    """Rotary position embedding of Q16.16 heads (..., d): element i of rotary_dim turns with i + rotary_dim/2.

    cosine, sine: Q15, (..., rotary_dim/2), broadcast against the heads. Returns int32 (..., d) and the exponent (...,)
    that brings it back to Q16.16: each head is first brought to 15 bits, so |result| <= sqrt(2) * 2**30.
    """
    vector = np.asarray(vector, np.int64)
    cosine, sine = np.asarray(cosine, np.int64), np.asarray(sine, np.int64)
    half = cosine.shape[-1]
    down = bit_length(np.max(np.abs(vector), axis=-1)) - 15
    fifteen = shift(vector, down[..., None])
    first, second, rest = fifteen[..., :half], fifteen[..., half : 2 * half], fifteen[..., 2 * half :]
    turned = [first * cosine - second * sine, first * sine + second * cosine, rest << 15]
    return np.concatenate(turned, axis=-1), down - 15
