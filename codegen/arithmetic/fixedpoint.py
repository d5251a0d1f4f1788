"""The integer primitives: the specification of tinyllm's arithmetic.

Every function here is exact integer mathematics on int64 arrays that hold int32 values (or the range its docstring
states), and firmware/engine/fixedpoint.c mirrors it bit for bit. Floats make only the constant tables; bit_length and
isqrt32 use float64 inside, but their results are exact. docs/arithmetic.md gives ranges and error bounds.

Real values are Q16.16 (`value * 65536` as int32, saturated to +-(2**31 - 1)). A scale is an integer mantissa and a
power of two: mantissa * 2**exponent. vectors.py builds on these.
Shifts of negative numbers are arithmetic, so a rounding shift rounds to nearest and ties go up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

I64 = NDArray[np.int64]

FRACTION_BITS = 16
INT32_MAX = 2**31 - 1

SCALE_EXPONENT_BIAS = 16
"""A packed scale keeps `exponent + 16` in five bits."""


def to_q16(value: ArrayLike) -> I64:
    """Convert floats to Q16.16, to nearest, saturated. For tables and settings made before emission."""
    scaled = np.rint(np.asarray(value, dtype=np.float64) * 2**FRACTION_BITS)
    return np.clip(scaled, -INT32_MAX, INT32_MAX).astype(np.int64)


def saturate(value: ArrayLike) -> I64:
    """Clamp int64 to +-(2**31 - 1); -2**31 never occurs, so a magnitude always fits int32."""
    return np.clip(np.asarray(value, dtype=np.int64), -INT32_MAX, INT32_MAX)


def bit_length(value: ArrayLike) -> I64:
    """The number of bits of non-negative integers below 2**63; 0 for 0."""
    value = np.asarray(value, np.int64)
    high = value >> 32
    # A float64 holds 32 bits exactly, and frexp gives their number as the exponent.
    _, bits = np.frexp(np.where(high > 0, high, value).astype(np.float64))
    return np.asarray(bits + np.where(high > 0, 32, 0), np.int64)


def shift(value: ArrayLike, right: ArrayLike) -> I64:
    """`value >> right` towards minus infinity, or `value << -right` if right is negative."""
    value, right = np.asarray(value, np.int64), np.asarray(right, np.int64)
    return np.asarray((value >> np.maximum(right, 0)) << np.maximum(-right, 0))


def rounding_shift(value: ArrayLike, right: ArrayLike) -> I64:
    """`value / 2**right` to nearest, ties up; |value| < 2**62 and 0 <= right <= 62."""
    value, right = np.asarray(value, np.int64), np.asarray(right, np.int64)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    return (value + half) >> right


def requantize(accumulator: ArrayLike, multiplier: ArrayLike, right: ArrayLike) -> I64:
    """`saturate(accumulator * multiplier / 2**right)` to nearest, ties up.

    |accumulator| < 2**31, 0 <= multiplier < 2**31. A `right` above 62 acts as 62. If `right` is negative, the product
    is saturated, shifted left (by at most 31) and saturated again.
    """
    product = np.asarray(accumulator, np.int64) * np.asarray(multiplier, np.int64)
    right = np.asarray(right, np.int64)
    down = saturate(rounding_shift(product, np.clip(right, 0, 62)))
    if np.all(right >= 0):
        return down
    up = saturate(saturate(product) << np.clip(-right, 0, 31))
    return np.where(right >= 0, down, up)


def pack_scale(mantissa: ArrayLike, exponent: ArrayLike) -> I64:
    """Pack a scale into 16 bits: the mantissa, below 2048, and (exponent + 16) << 11; 0 is the zero scale.

    Exponents are at most 15. An exponent below -16 (every value of the vector is under two units) gives the zero scale.
    """
    mantissa, exponent = np.asarray(mantissa, np.int64), np.asarray(exponent, np.int64)
    biased = exponent + SCALE_EXPONENT_BIAS
    return np.where((biased >= 0) & (mantissa > 0), (np.maximum(biased, 0) << 11) | mantissa, 0)


def unpack_scale(packed: ArrayLike) -> tuple[I64, I64]:
    """Mantissa and exponent of a packed scale; the zero scale gives mantissa 0, exponent -16."""
    packed = np.asarray(packed, np.int64)
    mantissa: I64 = packed & 2047
    exponent: I64 = (packed >> 11) - SCALE_EXPONENT_BIAS
    return mantissa, exponent


def normalize_scale(mantissa: ArrayLike, exponent: ArrayLike) -> tuple[I64, I64]:
    """The same scale with at most 15 bits of mantissa (0 <= mantissa < 2**62), low bits cut off."""
    mantissa, exponent = np.asarray(mantissa, np.int64), np.asarray(exponent, np.int64)
    down: I64 = np.maximum(bit_length(mantissa) - 15, np.int64(0))
    return mantissa >> down, exponent + down


def isqrt32(value: ArrayLike) -> I64:
    """floor(sqrt(value)) for 0 <= value < 2**32."""
    value = np.asarray(value, np.int64)
    root = np.floor(np.sqrt(value.astype(np.float64))).astype(np.int64)
    root = np.where(root * root > value, root - 1, root)
    return np.where((root + 1) * (root + 1) <= value, root + 1, root)


def reciprocal_sqrt(value: ArrayLike) -> tuple[I64, I64]:
    """1/sqrt(value) for 0 < value < 2**63 as mantissa (2**15 <= m <= 2**16) and exponent; relative error below 2**-14.

    An even right shift k brings value to a in [2**30, 2**32). mantissa = floor(2**31 / isqrt(a)), exponent = -31 - k/2.
    """
    value = np.asarray(value, np.int64)
    down = bit_length(value) - 31
    down = down - (down & 1)
    root = isqrt32(shift(value, down))
    return (np.int64(1) << 31) // np.maximum(root, 1), -31 - (down >> 1)


# Tables: made once from floats here, emitted as C constants, so both sides read the same integers.

EXP2_TABLE: I64 = np.rint(np.exp2(-np.arange(257) / 256) * 2**30).astype(np.int64)
"""2**(-j/256) as Q30, j = 0..256."""

SOFTMAX_TABLE: I64 = np.minimum(np.rint(np.exp2(-np.arange(512) / 512) * 2**16), 2**16 - 1).astype(np.int64)
"""2**(-j/512) as Q16, j = 0..511, at most 65535 so that it fits uint16."""

SIGMOID_TABLE: I64 = np.rint(2**15 / (1 + np.exp(-np.arange(513) / 32))).astype(np.int64)
"""sigmoid(j/32) as Q15, j = 0..512."""

SINE_TABLE: I64 = np.minimum(np.rint(np.sin(np.arange(257) * (np.pi / 512)) * 2**15), 2**15 - 1).astype(np.int64)
"""sin of j/256 of a quarter turn as Q15, j = 0..256, at most 32767 so that it fits int16."""


def exp2_q30(z: ArrayLike) -> I64:
    """2**(z / 65536) as Q30 for -2**31 < z <= 0.

    The fraction's relative error is below 2**-19; the shift by the whole part then cuts low bits.
    """
    negated = -np.asarray(z, np.int64)
    index, rest = (negated >> 8) & 255, negated & 255
    here, next_ = EXP2_TABLE[index], EXP2_TABLE[index + 1]
    fraction = here - (((here - next_) * rest + 128) >> 8)
    whole = negated >> 16
    return np.where(whole < 31, fraction >> np.minimum(whole, 31), 0)


def sigmoid_q15(x: ArrayLike) -> I64:
    """Sigmoid of Q16.16 as Q15 (0..32768), linear between table points, 1 at and beyond +-16; error below 2**-14."""
    x = np.asarray(x, np.int64)
    magnitude = np.minimum(np.abs(x), (16 << 16) - 1)
    index, rest = magnitude >> 11, magnitude & 2047
    here, next_ = SIGMOID_TABLE[index], SIGMOID_TABLE[index + 1]
    positive = here + (((next_ - here) * rest + 1024) >> 11)
    return np.where(x < 0, 32768 - positive, positive)


def sine_q15(phase: ArrayLike) -> I64:
    """sin(2 pi phase / 2**32) as Q15 within +-32767 for a uint32 phase; error below 2**-14."""
    phase = np.asarray(phase, np.int64) & 0xFFFFFFFF
    quarter, within = phase >> 30, phase & 0x3FFFFFFF
    within = np.where(quarter & 1, 0x40000000 - within, within)  # the second and fourth quarter run backwards
    index, rest = within >> 22, (within >> 6) & 0xFFFF
    here, next_ = SINE_TABLE[index], SINE_TABLE[np.minimum(index + 1, 256)]
    value = here + (((next_ - here) * rest + (1 << 15)) >> 16)
    return np.where(quarter & 2, -value, value)


def cosine_q15(phase: ArrayLike) -> I64:
    """cos(2 pi phase / 2**32) as Q15: the sine a quarter turn later."""
    return sine_q15(np.asarray(phase, np.int64) + 0x40000000)
