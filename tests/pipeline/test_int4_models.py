"""Models whose matrices are int4, all or some: bit-exact like int8 ones, with every kernel set."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.pipeline.conftest import BASE, nearest, random_model
from tinyllm.codegen.arithmetic.float_model import Rope
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.codegen.memory.plan import plan_memory
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.verify import verify
from tinyllm.host.cli import app as cli
from tinyllm.host.model.kv_cache import KV_CACHES

OFTEN = ("host", "armv8m", "xtensa_s3")
"""The others are a sweep: test_kernel_sets.py has the functions of each."""


@pytest.mark.parametrize(
    "kernels", [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.sweep) for name in KERNEL_SETS]
)
def test_an_int4_model_is_bit_exact(stories_tokenizer: Tokenizer, kernels: str) -> None:
    model = random_model(replace(BASE, dim=72, hidden_dim=100, head_dim=24), biases=True)
    integers = quantize(model, int4=nearest(model))
    assert integers.has_int4
    for verdict in verify(integers, stories_tokenizer, ("ubsan",), kernels=[kernels]):
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


@pytest.mark.parametrize(
    ("bits", "kernels", "head_dim"),
    [((8, 4), "host", 16), ((4, 8), "host", 16), ((4, 4), "generic", 7), ((4, 4), "xtensa_s3", 7)]
    + [pytest.param((4, 4), name, 7, marks=pytest.mark.sweep) for name in KERNEL_SETS],
)
def test_an_int4_cache_is_bit_exact(
    stories_tokenizer: Tokenizer, bits: tuple[int, int], kernels: str, head_dim: int
) -> None:
    """Past its context too, where sinks are scored apart, and over more slots than are unpacked at once."""
    shape = replace(BASE, context=40, n_heads=6, head_dim=head_dim, rope=Rope(rotary_dim=6))
    integers = quantize(random_model(replace(shape, key_bits=bits[0], value_bits=bits[1])))
    for verdict in verify(integers, stories_tokenizer, ("ubsan",), positions=100, kernels=[kernels]):
        assert verdict.bit_exact, verdict.difference


def test_a_window_and_a_prefix_work_with_an_int4_cache(stories_tokenizer: Tokenizer) -> None:
    config = replace(BASE, windows=(5, None), prefix=(1, 7, 9, 30, 2, 5, 8), key_bits=4, value_bits=4)
    for verdict in verify(quantize(random_model(config)), stories_tokenizer, ("ubsan",)):
        assert verdict.bit_exact, verdict.difference


def test_an_int4_cache_takes_half_the_codes(stories_tokenizer: Tokenizer) -> None:
    rows = sum(BASE.slots) * BASE.n_kv_heads
    sizes = {
        bits: plan_memory(
            quantize(random_model(replace(BASE, key_bits=bits[0], value_bits=bits[1]))), stories_tokenizer
        ).ram["kv_cache"]
        for bits in ((8, 8), (8, 4), (4, 4))
    }
    assert sizes[8, 8] - sizes[4, 4] == rows * BASE.head_dim
    assert sizes[8, 8] - sizes[8, 4] == rows * BASE.head_dim // 2


def test_a_kv_cache_is_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for name in KV_CACHES:
        assert cli.run(["inspect", "--kv-cache", name, "--json"]) == 0
        sizes[name] = json.loads(capsys.readouterr().out)["kv_bytes_per_token"]
    # 5 layers, 2 KV heads of 16 channels, and a scale of 2 bytes for each key and each value
    assert sizes == {"int8": 5 * 2 * (32 + 4), "k8v4": 5 * 2 * (24 + 4), "int4": 5 * 2 * (16 + 4)}
    assert cli.run(["inspect", "--kv-cache", "int3"]) == 2
    assert capsys.readouterr().err == "error: --kv-cache 'int3': expected int8, k8v4, int4.\n"
