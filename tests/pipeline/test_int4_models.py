"""Models whose matrices are int4, all or some: bit-exact like int8 ones, with every kernel set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.pipeline.conftest import BASE, nearest, random_model
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.verify import verify


@pytest.mark.parametrize("build", ["O2", "ubsan"])
@pytest.mark.parametrize("kernels", KERNEL_SETS)
def test_an_int4_model_is_bit_exact(stories_tokenizer: Tokenizer, kernels: str, build: str) -> None:
    model = random_model(replace(BASE, dim=72, hidden_dim=100, head_dim=24), biases=True)
    integers = quantize(model, int4=nearest(model))
    assert integers.has_int4
    for verdict in verify(integers, stories_tokenizer, (build,), kernels=[kernels]):
        assert verdict.bit_exact, verdict.difference


@pytest.mark.parametrize("fields", [("wq", "wk", "wv"), ("wo", "w_down"), ("w_gate", "w_up")])
def test_a_mixed_model_is_bit_exact(stories_tokenizer: Tokenizer, fields: tuple[str, ...]) -> None:
    model = random_model(BASE)
    for verdict in verify(quantize(model, int4=nearest(model, *fields)), stories_tokenizer, ("ubsan",)):
        assert verdict.bit_exact, verdict.difference


def test_matrices_that_share_an_input_have_one_width() -> None:
    model = random_model(BASE)
    with pytest.raises(ValueError, match="wq, wk and wv have one width"):
        quantize(model, int4=nearest(model, "wq"))


def test_the_digest_tells_an_int4_model_from_an_int8_one() -> None:
    model = random_model(BASE)
    int4 = nearest(model)
    digests = {quantize(model).digest(), quantize(model, int4=int4).digest()}
    int4[0, "wo"].multiples[0, 0] ^= 2
    digests.add(quantize(model, int4=int4).digest())
    assert len(digests) == 3
