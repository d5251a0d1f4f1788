"""The primitives on whole vectors keep the ranges and error bounds that docs/arithmetic.md states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.arithmetic.vectors import INT4_STEP, quantize_int4, quantize_int8, rmsnorm_int8, rotate, silu_mul

INT32 = st.integers(-fp.INT32_MAX, fp.INT32_MAX)
VECTORS = hnp.arrays(np.int64, st.integers(1, 40), elements=INT32)


def vectors_of(largest: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(-largest, largest))


@given(VECTORS)
def test_codes_stay_within_127_and_are_half_a_step_from_the_value(vector: np.ndarray) -> None:
    codes, mantissa, exponent = quantize_int8(vector)
    assert np.max(np.abs(codes)) <= 127
    step = float(mantissa) * 2.0 ** float(exponent)
    assert np.all(np.abs(codes * step - vector) <= 0.51 * step)


@given(VECTORS)
def test_codes_of_four_bits_are_multiples_of_16_and_half_a_step_from_the_value(vector: np.ndarray) -> None:
    codes, mantissa, exponent = quantize_int4(vector)
    assert np.max(np.abs(codes)) <= 7 * INT4_STEP
    assert not np.any(codes % INT4_STEP)
    step = INT4_STEP * float(mantissa) * 2.0 ** float(exponent)
    assert np.all(np.abs(codes / INT4_STEP * step - vector) <= 0.51 * step)
    # What attention takes them for: a mantissa of 11 bits, and no larger product than int8's.
    assert not mantissa or 585 <= mantissa <= 1171
    assert np.max(np.abs(codes)) * mantissa <= 127 * 1033
    assert not mantissa or fp.unpack_scale(fp.pack_scale(mantissa, exponent)) == (mantissa, exponent)


@pytest.mark.parametrize("size", range(32))
def test_every_magnitude_quantises_to_the_full_range(size: int) -> None:
    for largest in {max(1, 2**size - 1), 2**size if size < 31 else fp.INT32_MAX}:
        codes, mantissa, _ = quantize_int8(np.array([largest, -largest, 0]))
        assert codes[0] >= 126 and codes[1] <= -126 and codes[2] == 0
        assert 516 <= mantissa <= 1033


def test_a_zero_vector_has_the_zero_scale() -> None:
    codes, mantissa, exponent = quantize_int8(np.zeros(5, np.int64))
    assert not codes.any() and mantissa == 0 and exponent == 0
    assert fp.pack_scale(mantissa, exponent) == 0
    assert fp.unpack_scale(0)[0] == 0


@given(vectors_of(fp.INT32_MAX))
def test_a_scale_of_the_cache_survives_packing(vector: np.ndarray) -> None:
    _, mantissa, exponent = quantize_int8(vector)
    packed = fp.pack_scale(mantissa, exponent)
    assert 0 <= packed < 2**16
    if mantissa:
        assert fp.unpack_scale(packed) == (mantissa, exponent)


@given(st.integers(1, 40).flatmap(lambda n: hnp.arrays(np.int64, (2, n), elements=INT32)))
def test_silu_mul_keeps_15_bits_of_both_and_fits_int32(vectors: np.ndarray) -> None:
    gate, up = vectors
    product, exponent = silu_mul(gate, up)
    assert np.max(np.abs(product)) <= 2**30
    g, u = gate / 65536, up / 65536
    sigmoid = np.exp(-np.logaddexp(0, -g))
    step_g, step_u = np.max(np.abs(g)) * 2**-14, np.max(np.abs(u)) * 2**-14
    # Of the gate a step of its 15 bits, half of one of rounding, and the sigmoid's error; of up a step.
    error_g = step_g * (sigmoid + 0.5) + np.abs(g) * 2**-14
    bound = error_g * (np.abs(u) + step_u) + step_u * np.abs(g * sigmoid)
    assert np.all(np.abs(product * 2.0 ** float(exponent) / 65536 - g * sigmoid * u) <= bound + 2**-30)


@given(VECTORS, st.integers(0, 2**32 - 1))
def test_rope_turns_each_pair_and_fits_int32(vector: np.ndarray, phase: int) -> None:
    heads = np.concatenate([vector, vector[::-1]])
    half = len(vector)
    cosine, sine = fp.cosine_q15(np.full(half, phase)), fp.sine_q15(np.full(half, phase))
    turned, exponent = rotate(heads, cosine, sine)
    assert np.max(np.abs(turned)) < 2**31
    c, s = math.cos(phase * 2 * math.pi / 2**32), math.sin(phase * 2 * math.pi / 2**32)
    exact = np.concatenate([heads[:half] * c - heads[half:] * s, heads[:half] * s + heads[half:] * c])
    bound = max(1.0, float(np.max(np.abs(heads)))) * 2**-12
    assert np.max(np.abs(turned * 2.0 ** float(exponent) - exact)) <= bound


@given(hnp.arrays(np.int64, st.integers(2, 64), elements=st.integers(-(2**24), 2**24)), st.integers(1, 2**20))
def test_rmsnorm_is_right_to_half_an_int8_step(vector: np.ndarray, epsilon_units: int) -> None:
    gain = np.full(len(vector), 2**14, np.int64)
    codes, mantissa, exponent = rmsnorm_int8(vector, gain, epsilon_units)
    real = vector / 65536
    exact = real * 2**14 / math.sqrt(float(np.sum(real**2)) + epsilon_units / 2**32)
    step = float(mantissa) * 2.0 ** float(exponent)
    assert np.max(np.abs(codes)) <= 127
    # The norm sees 15 bits of the largest value, so a small vector next to epsilon is exact to 2**-12 of the largest.
    assert np.all(np.abs(codes * step - exact) <= 0.52 * step + np.max(np.abs(exact)) * 2**-12)
