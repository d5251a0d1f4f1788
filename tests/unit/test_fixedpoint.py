"""The integer primitives keep the ranges and error bounds that docs/arithmetic.md states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinyllm.codegen.arithmetic import fixedpoint as fp

INT32 = st.integers(-fp.INT32_MAX, fp.INT32_MAX)


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
