"""The integer primitives keep the ranges and error bounds that docs/arithmetic.md states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyllm.codegen.arithmetic import fixedpoint as fp

INT32 = st.integers(-fp.INT32_MAX, fp.INT32_MAX)
VECTORS = hnp.arrays(np.int64, st.integers(1, 40), elements=INT32)


def vectors_of(largest: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(-largest, largest))


@given(INT32, st.integers(0, fp.INT32_MAX), st.integers(-80, 80))
def test_requantize_is_the_rounded_and_saturated_quotient(accumulator: int, multiplier: int, right: int) -> None:
    product = accumulator * multiplier
    if right > 0:
        right = min(right, 62)
        exact = (product + (1 << (right - 1))) >> right
    else:
        exact = max(-fp.INT32_MAX, min(fp.INT32_MAX, product)) << min(-right, 31)
    assert fp.requantize(accumulator, multiplier, right) == max(-fp.INT32_MAX, min(fp.INT32_MAX, exact))


@given(st.integers(0, 2**63 - 1))
def test_bit_length_is_pythons(value: int) -> None:
    assert fp.bit_length(value) == value.bit_length()


@given(VECTORS)
def test_codes_stay_within_127_and_are_half_a_step_from_the_value(vector: np.ndarray) -> None:
    codes, mantissa, exponent = fp.quantize_int8(vector)
    assert np.max(np.abs(codes)) <= 127
    step = float(mantissa) * 2.0 ** float(exponent)
    assert np.all(np.abs(codes * step - vector) <= 0.51 * step)


@pytest.mark.parametrize("size", range(32))
def test_every_magnitude_quantises_to_the_full_range(size: int) -> None:
    for largest in {max(1, 2**size - 1), 2**size if size < 31 else fp.INT32_MAX}:
        codes, mantissa, _ = fp.quantize_int8(np.array([largest, -largest, 0]))
        assert codes[0] >= 126 and codes[1] <= -126 and codes[2] == 0
        assert 516 <= mantissa <= 1033


def test_a_zero_vector_has_the_zero_scale() -> None:
    codes, mantissa, exponent = fp.quantize_int8(np.zeros(5, np.int64))
    assert not codes.any() and mantissa == 0 and exponent == 0
    assert fp.pack_scale(mantissa, exponent) == 0
    assert fp.unpack_scale(0)[0] == 0


@given(vectors_of(fp.INT32_MAX))
def test_a_scale_of_the_cache_survives_packing(vector: np.ndarray) -> None:
    _, mantissa, exponent = fp.quantize_int8(vector)
    packed = fp.pack_scale(mantissa, exponent)
    assert 0 <= packed < 2**16
    if mantissa:
        assert fp.unpack_scale(packed) == (mantissa, exponent)


@given(st.integers(1, 2**63 - 1))
@example(2**32 - 1)
def test_reciprocal_sqrt_is_right_to_fourteen_bits(value: int) -> None:
    mantissa, exponent = fp.reciprocal_sqrt(value)
    assert 2**15 <= mantissa <= 2**16
    assert math.ldexp(float(mantissa), int(exponent)) * math.sqrt(value) == pytest.approx(1, abs=2**-14)


@given(st.integers(0, 2**32 - 1))
def test_isqrt_is_the_floor_of_the_square_root(value: int) -> None:
    assert fp.isqrt32(value) == math.isqrt(value)


def test_exp2_is_right_over_its_whole_domain_and_never_rises() -> None:
    z = -np.concatenate([np.arange(0, 32 << 16), np.array([33 << 16, fp.INT32_MAX])])
    p = fp.exp2_q30(z)
    exact = np.exp2(z / 65536) * 2**30
    assert p[0] == 2**30
    assert np.all(np.diff(p) <= 0)
    assert np.all(np.abs(p - exact) <= exact * 2**-19 + 1)


def test_sigmoid_is_right_over_its_whole_domain_and_symmetric() -> None:
    x = np.arange(-(20 << 16), 20 << 16)
    s = fp.sigmoid_q15(x)
    assert np.all(np.abs(s / 2**15 - 1 / (1 + np.exp(-x / 65536))) < 2**-14)
    assert np.array_equal(s + fp.sigmoid_q15(-x), np.full(x.shape, 2**15))
    assert np.all(np.diff(s) >= 0)


def test_sine_and_cosine_are_right_at_every_phase() -> None:
    phases = np.arange(0, 2**32, 4099)
    angle = phases * (2 * np.pi / 2**32)
    assert np.max(np.abs(fp.sine_q15(phases) / 2**15 - np.sin(angle))) < 2**-14
    assert np.max(np.abs(fp.cosine_q15(phases) / 2**15 - np.cos(angle))) < 2**-14
    assert np.max(np.abs(fp.sine_q15(phases))) <= 32767


@given(st.integers(0, 2**32 - 1))
def test_a_phase_wraps_at_a_full_turn(phase: int) -> None:
    assert fp.sine_q15(phase) == fp.sine_q15(phase + 2**32)


@given(VECTORS, st.integers(0, 2**32 - 1))
def test_rope_turns_each_pair_and_fits_int32(vector: np.ndarray, phase: int) -> None:
    heads = np.concatenate([vector, vector[::-1]])
    half = len(vector)
    cosine, sine = fp.cosine_q15(np.full(half, phase)), fp.sine_q15(np.full(half, phase))
    turned, exponent = fp.rotate(heads, cosine, sine)
    assert np.max(np.abs(turned)) < 2**31
    c, s = math.cos(phase * 2 * math.pi / 2**32), math.sin(phase * 2 * math.pi / 2**32)
    exact = np.concatenate([heads[:half] * c - heads[half:] * s, heads[:half] * s + heads[half:] * c])
    bound = max(1.0, float(np.max(np.abs(heads)))) * 2**-12
    assert np.max(np.abs(turned * 2.0 ** float(exponent) - exact)) <= bound


@given(hnp.arrays(np.int64, st.integers(2, 64), elements=st.integers(-(2**24), 2**24)), st.integers(1, 2**20))
def test_rmsnorm_is_right_to_half_an_int8_step(vector: np.ndarray, epsilon_units: int) -> None:
    gain = np.full(len(vector), 2**14, np.int64)
    codes, mantissa, exponent = fp.rmsnorm_int8(vector, gain, epsilon_units)
    real = vector / 65536
    exact = real * 2**14 / math.sqrt(float(np.sum(real**2)) + epsilon_units / 2**32)
    step = float(mantissa) * 2.0 ** float(exponent)
    assert np.max(np.abs(codes)) <= 127
    # The norm sees 15 bits of the largest value, so a small vector next to epsilon is exact to 2**-12 of the largest.
    assert np.all(np.abs(codes * step - exact) <= 0.52 * step + np.max(np.abs(exact)) * 2**-12)


@given(INT32, INT32)
def test_silu_mul_is_right_and_saturates(gate: int, up: int) -> None:
    g, u = gate / 65536, up / 65536
    sigmoid = 1 / (1 + math.exp(-g)) if g > -700 else 0.0
    exact = max(-32768.0, min(32768.0, g * sigmoid * u))
    bound = 2**-14 * abs(u) * max(1.0, min(abs(g), 17.0)) + 2**-15 + abs(u) * 2**-15
    assert abs(int(fp.silu_mul(gate, up)) / 65536 - exact) <= bound + abs(exact) * 2**-14
