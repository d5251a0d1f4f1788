"""What fit estimates instructions from: fitted to counts, checked against others, scaled by a token's work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import STORY_MODEL
from tinyllm.boards.description import FOLDER, load_board
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.calibration.mixed import MEAN_BITS, mean_bits, shapes_of
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import memory_needs, plan_memory, room
from tinyllm.codegen.memory.traffic import matrix_macs, prefill_traffic, traffic
from tinyllm.errors import UserError
from tinyllm.host.fit.batteries import BATTERIES
from tinyllm.host.fit.weights import FORMATS, SETS, mixture_of, outlines
from tinyllm.host.model.budgets import MATRICES, all_matrices
from tinyllm.host.model.load import AS_STORED, LoadOptions, load_model
from tinyllm.host.model.sketch import read_sketch, stand_in
from tinyllm.host.prove import counted, shapes
from tinyllm.host.prove.costs import INT4_MAC, Costs, all_costs, costs_of
from tinyllm.host.prove.costs_check import MODELS, check_counted
from tinyllm.host.prove.costs_fit import fit
from tinyllm.host.prove.work import INT4_MACS, UNPACKED, decode_work, prefill_work
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


def test_an_int4_cache_is_unpacked_for_each_head_that_looks() -> None:
    """Two query heads at once share a key: 2 heads of keys of 16, 10 positions, 5 layers."""
    assert decode_work(MODEL, 9)[Part.ATTENTION][UNPACKED] == 0
    for bits, codes in (((8, 4), 1), ((4, 4), 2)):
        config = replace(MODEL.config, key_bits=bits[0], value_bits=bits[1])
        assert decode_work(outline(config), 9)[Part.ATTENTION][UNPACKED] == codes * 5 * 10 * 2 * 16


def test_an_int4_multiplication_costs_what_is_assumed_until_it_is_counted() -> None:
    int4 = outline(MODEL.config, (), all_matrices(MODEL.config))
    blocks = matrix_macs(MODEL) - 512 * 64
    assert decode_work(int4, 0)[Part.MATRICES][INT4_MACS] == blocks
    assumed = Costs("any", 1, "a board", {Part.MATRICES: {"macs": 2.0}}, {})
    counted_ones = Costs("any", 1, "a board", {Part.MATRICES: {"macs": 2.0, INT4_MACS: 3.0}}, {})
    assert assumed.int4_assumed and not counted_ones.int4_assumed
    head = 2.0 * 512 * 64
    assert assumed.of_decode(int4, 0)[Part.MATRICES] == pytest.approx(head + INT4_MAC * 2.0 * blocks)
    assert counted_ones.of_decode(int4, 0)[Part.MATRICES] == pytest.approx(head + 3.0 * blocks)


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


def int4_of(model: IntegerModel) -> frozenset[tuple[int, str]]:
    return frozenset((i, n) for i, block in enumerate(model.blocks) for n in MATRICES if getattr(block, n).bits == 4)


def test_a_mixture_has_the_bits_of_one_that_is_built() -> None:
    """As the calibration counts them, and no set more would have room."""
    sketch = read_sketch(STORY_MODEL, AS_STORED)
    models = outlines(sketch)
    assert tuple(models) == FORMATS
    assert not int4_of(models["int8"]) and len(int4_of(models["int4"])) == 7 * 5
    narrow = int4_of(models["mixed"])
    assert not mixture_of(sketch).counted
    shapes = shapes_of(load_model(str(STORY_MODEL)).model)
    assert mean_bits(shapes, narrow) <= MEAN_BITS
    sets = [{(block, name) for name in names} for names in SETS for block in range(5)]
    assert all(mean_bits(shapes, narrow - raised) > MEAN_BITS for raised in sets if raised <= narrow)
    assert (0, "w_down") not in narrow


def test_a_mixture_keeps_to_the_bytes_that_a_person_gives() -> None:
    sketch = read_sketch(STORY_MODEL, LoadOptions(weights="mixed:200000"))
    assert 185_000 < plan_memory(outlines(sketch)["mixed"], sketch.pieces).flash["weights"] <= 200_000
    with pytest.raises(UserError, match="takes at least 167,136 bytes"):
        outlines(read_sketch(STORY_MODEL, LoadOptions(weights="mixed:100000")))


def test_a_mixture_for_a_board_fills_it() -> None:
    sketch, pico = read_sketch(STORY_MODEL, LoadOptions(context=64, fit_to="pico")), load_board("pico", FOLDER)
    deep = replace(sketch, config=replace(sketch.config, schedule=tuple(range(50))))
    space = room(pico)
    assert space is not None
    models = outlines(deep)
    fits = {name: memory_needs(model, deep.pieces, pico).total.fits(space) for name, model in models.items()}
    assert fits == {"int8": False, "mixed": True, "int4": True}


def test_a_charge_is_its_watt_hours_in_tokens() -> None:
    """3,600 joules a watt-hour."""
    lipo = BATTERIES[0]
    assert lipo.watt_hours == pytest.approx(2.0 * 3.7)
    assert lipo.tokens(millijoules=1.0) == 26_640_000
