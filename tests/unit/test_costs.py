"""What fit estimates instructions from: fitted to counts, checked against others, scaled by a token's work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tinyllm.boards.description import FOLDER, load_board
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import memory_needs
from tinyllm.codegen.memory.traffic import matrix_macs, prefill_traffic, traffic
from tinyllm.host.fit.batteries import BATTERIES
from tinyllm.host.fit.weights import FORMATS, INT4_BITS, INT8_BITS, MATRICES, MIXED_BITS, outlines
from tinyllm.host.model.sketch import stand_in
from tinyllm.host.prove import counted, shapes
from tinyllm.host.prove.costs import INT4_MAC, all_costs, costs_of
from tinyllm.host.prove.costs_check import MODELS, check_counted
from tinyllm.host.prove.costs_fit import fit
from tinyllm.host.prove.work import INT4_MACS, decode_work, prefill_work
from tinyllm.host.virtual.parts import Part

ROOT = Path(__file__).resolve().parents[2]
MODEL = outline(replace(MODELS["tinystories-260k"], context=256))
FURTHEST = 0.15
"""How far an estimate may be from today's counts before the random models must be counted again."""


def test_the_costs_are_fitted_to_the_counts_of_random_models() -> None:
    found = fit(shapes.read(ROOT / shapes.FILE))
    assert {(each.kernels, each.cores) for each in found} == set(all_costs())
    for each in found:
        kept = all_costs()[each.kernels, each.cores]
        for phase in ("decode", "prefill"):
            for part, rates in getattr(each, phase).items():
                told = f"{each.kernels}, {part.title}: run `make costs`"
                assert getattr(kept, phase)[part] == pytest.approx(rates, rel=0.001), told


def test_estimates_are_near_what_todays_kernels_cost() -> None:
    checks = list(check_counted(counted.read(ROOT / counted.FILE)))
    assert len(checks) == 3 * sum(each.emulator is None for each in counted.CASES)
    far = [each for each in checks if abs(each.error) > FURTHEST]
    assert not far, f"kernels have changed: run `make costs`, then `make benchmarks` ({far})"


def test_the_work_of_a_token_is_counted_in_the_models_dimensions() -> None:
    work = decode_work(MODEL, 9)
    assert work[Part.MATRICES]["macs"] == matrix_macs(MODEL)
    # 4 heads of 16 in 5 layers look at 10 positions each.
    assert work[Part.ATTENTION]["slots of elements"] == 5 * 10 * 4 * 16
    assert work[Part.SAMPLING] == {"logits": 512}
    assert work[Part.REST]["gated"] == 5 * 176
    # Of a prompt's token the last block only remembers, and nobody wants logits.
    prompt = prefill_work(MODEL, 9)
    block = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 176
    assert prompt[Part.MATRICES]["macs"] == 4 * block + 2 * 32 * 64
    assert Part.SAMPLING not in prompt


def test_a_window_ends_what_attention_costs() -> None:
    model = replace(MODEL, config=replace(MODEL.config, windows=(8,) * 5))
    assert decode_work(model, 200)[Part.ATTENTION] == decode_work(model, 7)[Part.ATTENTION]


def test_an_int4_multiplication_costs_what_is_assumed_until_it_is_counted() -> None:
    int4 = outlines(MODEL.config, ())["int4"]
    blocks = matrix_macs(MODEL) - 512 * 64
    assert decode_work(int4, 0)[Part.MATRICES][INT4_MACS] == blocks
    costs = costs_of(load_board("pico", FOLDER))
    assert costs is not None
    matrices = [costs.of_decode(model, 0)[Part.MATRICES] for model in (MODEL, int4)]
    if costs.int4_assumed:
        rate = costs.decode[Part.MATRICES]["macs"]
        assert matrices[1] - matrices[0] == pytest.approx((INT4_MAC["armv6m"] - 1) * rate * blocks, rel=0.01)


def test_two_cores_of_a_board_whose_emulator_has_one_are_half_assumed() -> None:
    one, two = (costs_of(replace(load_board("esp32", FOLDER), cores=cores)) for cores in (1, 2))
    assert one is not None and two is not None
    parts = one.of_decode(MODEL, 9)
    assert not one.half_assumed and two.half_assumed
    split = parts[Part.MATRICES] + parts[Part.ATTENTION]
    assert one.way(parts) - two.way(parts) == pytest.approx(split / 2)
    pico = costs_of(load_board("pico", FOLDER))
    assert pico is not None and not pico.half_assumed


def test_kernels_that_nobody_counted_have_no_costs() -> None:
    assert costs_of(load_board("host", FOLDER)) is None


@pytest.mark.parametrize("name", ["pico", "pico2", "esp32s3-n16r8"])
def test_a_batch_reads_the_weights_once_and_neither_the_head_nor_most_of_the_last_block(name: str) -> None:
    board = load_board(name, FOLDER)
    needs = memory_needs(MODEL, stand_in(512), board)
    from_board = costs_of(board)
    assert from_board is not None and needs.plan.batch > 1
    one, prompt = traffic(MODEL, needs, 31), prefill_traffic(MODEL, needs, 31)
    assert prompt.cache_read == one.cache_read * 4 // 5
    left_out = 512 * 64 + 2 * 64 * 64 + 3 * 64 * 176
    mantissas = 2 * (512 + 64 + 64 + 2 * 176 + 64)
    assert prompt.weights == (one.weights - left_out - mantissas) // needs.plan.batch


def bits_of(model: IntegerModel) -> float:
    """The mean of the weights of the blocks."""
    matrices = [getattr(block, name) for block in model.blocks for name in MATRICES]
    weights = [(matrix.rows * matrix.columns, INT8_BITS if matrix.bits == 8 else INT4_BITS) for matrix in matrices]
    return sum(size * bits for size, bits in weights) / sum(size for size, _ in weights)


def test_a_mixture_has_as_many_int8_matrices_as_its_bits_allow() -> None:
    models = outlines(MODEL.config, ())
    assert tuple(models) == FORMATS
    assert bits_of(models["int8"]) == INT8_BITS and bits_of(models["int4"]) == INT4_BITS
    smallest = 64 * 64 / (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 176) / 5 * (INT8_BITS - INT4_BITS)
    assert MIXED_BITS - 3 * smallest < bits_of(models["mixed"]) <= MIXED_BITS
    raised = [(i, n) for i, block in enumerate(models["mixed"].blocks) for n in MATRICES if getattr(block, n).bits == 8]
    assert raised[0] == (0, "w_down")


def test_a_charge_is_its_watt_hours_in_tokens() -> None:
    """3,600 joules a watt-hour."""
    lipo = BATTERIES[0]
    assert lipo.watt_hours == pytest.approx(2.0 * 3.7)
    assert lipo.tokens(millijoules=1.0) == 26_640_000
