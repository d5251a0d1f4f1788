"""Quantisation-aware training sees the very weights that the board computes with."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tinyllm.codegen.arithmetic.int4 import round_to_nearest  # noqa: E402
from tinyllm.codegen.arithmetic.quantize import quantize_rows  # noqa: E402
from tinyllm.models.training.rounding import Rounding, round_int4, round_int8, rounded  # noqa: E402


@given(st.integers(1, 9), st.integers(1, 70), st.integers(0, 1000), st.sampled_from([0.0, 1e-6, 0.3, 50.0]))
def test_int8_weights_are_those_of_the_quantiser(rows: int, columns: int, seed: int, size: float) -> None:
    weights = (np.random.default_rng(seed).standard_normal((rows, columns)) * size).astype(np.float32)
    matrix = quantize_rows(weights)
    expected = matrix.codes * (matrix.mantissa.astype(np.float64) * 2.0**matrix.exponent)[:, None]
    assert np.array_equal(round_int8(torch.from_numpy(weights)).numpy(), expected.astype(np.float32))


@given(st.integers(1, 9), st.integers(1, 70), st.integers(0, 1000), st.sampled_from([0.0, 1e-6, 0.3, 50.0]))
def test_int4_weights_are_those_rounded_to_nearest(rows: int, columns: int, seed: int, size: float) -> None:
    weights = (np.random.default_rng(seed).standard_normal((rows, columns)) * size).astype(np.float32)
    expected = round_to_nearest(weights).dequantized().astype(np.float32)
    assert np.array_equal(round_int4(torch.from_numpy(weights)).numpy(), expected)


def test_the_gradient_passes_through_the_rounding() -> None:
    weights = {"model.layers.0.mlp.up_proj.weight": torch.randn(4, 40, requires_grad=True)}
    for rounding in (Rounding.INT8, Rounding.INT4):
        (tensor,) = rounded(weights, rounding).values()
        (gradient,) = torch.autograd.grad((3 * tensor).sum(), weights.values())
        assert (gradient == 3).all()


def test_with_int4_blocks_the_embedding_is_int8_and_norms_stay() -> None:
    weights = {"model.embed_tokens.weight": torch.randn(8, 32), "model.norm.weight": torch.randn(32)}
    found = rounded(weights, Rounding.INT4)
    assert torch.equal(found["model.norm.weight"], weights["model.norm.weight"])
    close = torch.allclose(found["model.embed_tokens.weight"], round_int8(weights["model.embed_tokens.weight"]))
    assert close
