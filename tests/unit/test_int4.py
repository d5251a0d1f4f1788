"""int4 codes with a scale for 32 columns: rounding, and the scales that a matrix can hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.codegen.arithmetic.int4 import GroupedCodes, grouped_matrix, round_to_nearest, snap_scales, spread


@st.composite
def weights(draw: st.DrawFn) -> np.ndarray:
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 100))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.standard_normal((rows, columns)) * 2.0 ** random.integers(-12, 4, (rows, 1))


@given(weights())
def test_rounding_errs_by_half_a_step_but_for_what_a_scale_is_off(w: np.ndarray) -> None:
    grouped = round_to_nearest(w)
    assert grouped.codes.min() >= -8
    assert grouped.codes.max() <= 7
    # A scale may be half a unit too small for its group's largest weight.
    most = spread(grouped.scales, w.shape[1]) / 2 + 4.001 * grouped.units[:, None]
    assert np.all(np.abs(w - grouped.dequantized()) <= most)


@given(weights())
def test_snapped_scales_are_those_that_codes_are_held_with(w: np.ndarray) -> None:
    scales = snap_scales(np.abs(w[:, ::32]) + 1e-6)
    assert np.allclose(snap_scales(scales), scales, rtol=1e-12)
    codes = np.random.default_rng(0).integers(-8, 8, w.shape).astype(np.int8)
    grouped = GroupedCodes.of(codes, scales)
    assert np.allclose(grouped.dequantized(), codes * spread(scales, w.shape[1]), rtol=1e-12)


@given(weights())
def test_a_matrix_has_the_values_of_its_codes_to_half_a_mantissa(w: np.ndarray) -> None:
    grouped = round_to_nearest(w)
    matrix = grouped_matrix(grouped)
    assert matrix.bits == 4
    integers = matrix.integers().astype(np.int64)
    assert matrix.largest_sum() == 127 * np.abs(integers).sum(axis=1).max()
    difference = np.abs(matrix.dequantized() - grouped.dequantized())
    assert np.all(difference <= np.abs(integers) * 2.0**matrix.exponent)


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 64, 172])
def test_weights_of_zero_stay_zero(columns: int) -> None:
    matrix = grouped_matrix(round_to_nearest(np.zeros((3, columns))))
    assert not matrix.integers().any()
    assert matrix.group_scales is not None
    assert matrix.group_scales.min() >= 1
