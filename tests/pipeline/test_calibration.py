"""Calibration of int4 weights: rounding, gradients, tuning, mixtures, and the text that a model writes itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.conftest import BASE, RANDOM_CONFIGS, random_model
from tinyllm.codegen.arithmetic.float_forward import FloatForward, log_softmax, rmsnorm
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.int4 import HIGHEST, LOWEST, GroupedCodes, round_to_nearest, snap_scales
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.calibration import passes
from tinyllm.codegen.calibration.calibrate import Budget, Calibration, calibrate
from tinyllm.codegen.calibration.gradients import FINAL, divergence_gradients
from tinyllm.codegen.calibration.layerwise import SHARED_INPUTS, behind_block, calibrate_layers, matrices, with_values
from tinyllm.codegen.calibration.mixed import mean_bits, shapes_of
from tinyllm.codegen.calibration.own_text import _Writer, own_text
from tinyllm.codegen.calibration.rounding import damped, output_error, round_second_order
from tinyllm.codegen.calibration.sequences import batches_of, count_for, pieces
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.codegen.verify.perplexity import split_stories
from tinyllm.host.model import calibration_cache
from tinyllm.host.model.calibration_cache import find_calibration, keep_calibration

FEATURES = sorted(RANDOM_CONFIGS)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Weights (rows, columns), and second moments of their inputs, a few of which are large."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 70))
    inputs = random.standard_normal((draw(st.integers(1, 90)), columns)) * random.gamma(0.5, size=columns)
    weights = random.standard_normal((rows, columns)) * draw(st.sampled_from([1e-6, 0.1, 100.0]))
    return weights, damped(inputs.T @ inputs / len(inputs))


@settings(max_examples=60)
@given(problems())
def test_second_order_rounding_is_never_worse_than_nearest_in_its_own_measure(
    problem: tuple[np.ndarray, np.ndarray],
) -> None:
    weights, moments = problem
    codes = round_second_order(weights, moments)
    assert codes.codes.min() >= LOWEST
    assert codes.codes.max() <= HIGHEST
    np.testing.assert_allclose(snap_scales(codes.scales), codes.scales, rtol=1e-12)
    assert output_error(weights, codes, moments) <= output_error(weights, round_to_nearest(weights), moments)


def test_second_order_rounding_halves_the_error_of_correlated_inputs() -> None:
    random = np.random.default_rng(0)
    inputs = random.standard_normal((400, 12)) @ random.standard_normal((12, 96))
    inputs += 0.1 * random.standard_normal(inputs.shape)
    weights, moments = random.standard_normal((24, 96)), damped(inputs.T @ inputs / len(inputs))
    codes = round_second_order(weights, moments)
    assert output_error(weights, codes, moments) < 0.5 * output_error(weights, round_to_nearest(weights), moments)


def test_a_matrix_of_zeros_stays_zero() -> None:
    codes = round_second_order(np.zeros((4, 40)), damped(np.zeros((40, 40))))
    assert not codes.dequantized().any()


@pytest.mark.parametrize("feature", FEATURES)
def test_many_sequences_at_once_give_what_each_gives_alone(feature: str) -> None:
    model = random_model(RANDOM_CONFIGS[feature], biases=True)
    random = np.random.default_rng(1)
    sequences = [random.integers(0, model.config.vocab_size, size).tolist() for size in (9, 20, 14)]
    (batch,) = batches_of(sequences)
    x = model.embedding[batch.tokens]
    for layer, stored in enumerate(model.config.schedule):
        x = behind_block(model.blocks[stored], x, model.config, layer)
    hidden = rmsnorm(x, model.final_norm, model.config.norm_epsilon)
    for row, tokens in zip(range(3), sorted(sequences, key=len), strict=True):
        assert batch.tokens[row, batch.real[row]].tolist() == tokens
        np.testing.assert_allclose(hidden[row, batch.real[row]], FloatForward(model).hidden(tokens), atol=2e-4)


@pytest.mark.parametrize("feature", FEATURES)
def test_gradients_are_the_slopes_of_the_divergence(feature: str) -> None:
    model = random_model(RANDOM_CONFIGS[feature], biases=True)
    other = with_values(
        model,
        {key: round_to_nearest(getattr(model.blocks[key[0]], key[1])).dequantized() for key in matrices(model)},
    )
    random = np.random.default_rng(2)
    (batch,) = batches_of([random.integers(0, model.config.vocab_size, size).tolist() for size in (12, 7)])
    teacher = np.zeros((*batch.tokens.shape, model.config.dim))
    for row in range(2):
        tokens = batch.tokens[row, batch.real[row]]
        teacher[row, : len(tokens)] = FloatForward(model, np.float64).hidden(tokens)
    _, gradients = divergence_gradients(other, batch, teacher, 1.0, model.output_head)
    head = "embedding" if model.head is None else "head"
    for key in [*matrices(model), (0, "attn_norm"), (0, "ffn_norm"), (FINAL, "final_norm"), (FINAL, head)]:
        value = getattr(other if key[0] == FINAL else other.blocks[key[0]], key[1]).astype(np.float64)
        step = random.standard_normal(value.shape) * np.mean(np.abs(value)) * 1e-3
        up, down = (
            divergence_gradients(with_values(other, {key: value + sign * step}), batch, teacher, 1.0, model.output_head)
            for sign in (1, -1)
        )
        slope = float((gradients[key] * step).sum())
        size = float(np.sqrt(np.sum(np.square(gradients[key] * step)))) + 1e-6
        assert abs((up[0] - down[0]) / 2 - slope) < 0.05 * size, key


def test_a_models_own_text_is_the_same_each_time_and_made_of_its_tokens(
    stories: Model, stories_tokenizer: Tokenizer
) -> None:
    once = own_text(stories, stories_tokenizer, 24, 1000)
    assert once == own_text(stories, stories_tokenizer, 24, 1000)
    assert all(ids[0] == stories_tokenizer.bos and 2 <= len(ids) <= 24 for ids in once)
    assert 1000 <= sum(map(len, once)) < 1024


@pytest.mark.parametrize("feature", FEATURES)
def test_writing_many_texts_at_once_sees_the_logits_of_each(feature: str) -> None:
    model = random_model(RANDOM_CONFIGS[feature], biases=True)
    tokens = np.random.default_rng(3).integers(0, model.config.vocab_size, (3, 16))
    writer = _Writer(model, 3, 16)
    found = np.stack([writer.logits(tokens[:, at]) for at in range(16)], axis=1)
    for row in range(3):
        np.testing.assert_allclose(found[row], FloatForward(model).forward(tokens[row]), atol=2e-3)


def test_stories_are_cut_into_pieces_that_begin_with_bos(stories_tokenizer: Tokenizer, stories_text: str) -> None:
    texts = split_stories(stories_text)
    found = pieces(texts, stories_tokenizer, 32, 10_000)
    assert all(ids[0] == stories_tokenizer.bos and 2 <= len(ids) <= 32 for ids in found)
    assert 10_000 <= sum(map(len, found)) < 10_032
    assert count_for(found, 64) == 2
    assert count_for(found[:3], 10**6) == 3


def divergence(model: Model, other: Model, sequences: list[list[int]]) -> float:
    """Mean Kullback-Leibler divergence, nats a token."""
    total = 0.0
    for tokens in sequences:
        expected = log_softmax(FloatForward(model).forward(tokens))
        total += float(np.sum(np.exp(expected) * (expected - log_softmax(FloatForward(other).forward(tokens)))))
    return total / sum(map(len, sequences))


@pytest.fixture(scope="module")
def sequences(stories_tokenizer: Tokenizer, stories_text: str) -> list[list[int]]:
    return pieces(split_stories(stories_text), stories_tokenizer, 64, 10**6)


@pytest.fixture(scope="module")
def calibrated(stories: Model, sequences: list[list[int]]) -> Calibration:
    return calibrate(stories, sequences[:64])


def test_calibration_more_than_halves_the_divergence_on_other_text(
    stories: Model, sequences: list[list[int]], calibrated: Calibration
) -> None:
    nearest = {
        key: round_to_nearest(getattr(stories.blocks[key[0]], key[1]).astype(np.float64)) for key in matrices(stories)
    }
    unseen = sequences[-20:]
    plain = divergence(stories, Calibration(nearest).dequantised(stories), unseen)
    assert divergence(stories, calibrated.dequantised(stories), unseen) < 0.5 * plain
    assert set(calibrated.codes) == set(calibrated.errors) == set(matrices(stories))


def test_the_same_text_gives_the_same_codes(
    stories: Model, sequences: list[list[int]], calibrated: Calibration
) -> None:
    again = calibrate(stories, sequences[:64])
    integers = (quantize(each.applied(stories), 64, each.codes) for each in (calibrated, again))
    assert len({each.digest() for each in integers}) == 1


def test_the_codes_do_not_depend_on_the_number_of_threads(
    stories: Model, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for most in (1, 4):
        monkeypatch.setattr(passes, "MOST_WORKERS", most)
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        found.append(calibrate(stories, sequences[:12]))
    one, four = found
    for key, codes in one.codes.items():
        np.testing.assert_array_equal(codes.codes, four.codes[key].codes)
        np.testing.assert_array_equal(codes.units, four.codes[key].units)
    for key, value in one.values.items():
        np.testing.assert_array_equal(value, four.values[key])


@pytest.mark.parametrize("bits", [4.3, 5.0])
def test_a_mixture_raises_whole_sets_of_one_input_and_keeps_to_its_budget(
    stories: Model, sequences: list[list[int]], bits: float
) -> None:
    def growth(key: tuple[int, str]) -> int:
        return int(getattr(stories.blocks[key[0]], key[1]).size)

    budget = Budget(lambda int4: mean_bits(shapes_of(stories), int4) <= bits, growth, "test")
    mixed = calibrate(stories, sequences[:12], budget)
    int4 = set(mixed.codes)
    assert mean_bits(shapes_of(stories), int4) <= max(bits, mean_bits(shapes_of(stories), matrices(stories)))
    for stored in range(len(stories.blocks)):
        for names in SHARED_INPUTS:
            assert len({(stored, name) in int4 for name in names}) == 1
    assert (len(int4) == len(matrices(stories))) == (bits < 5)
    quantize(mixed.applied(stories), 64, mixed.codes)


def test_a_block_that_runs_twice_is_fitted_to_both_its_passes() -> None:
    model = random_model(replace(BASE, schedule=(0, 0, 1, 0)))
    tokens = np.random.default_rng(5).integers(0, model.config.vocab_size, (12, 40)).tolist()
    codes, inputs = calibrate_layers(model, batches_of(tokens))
    assert set(codes) == set(inputs) == set(matrices(model))
    alone = replace(model, config=replace(model.config, schedule=(0, 1)))
    first, _ = calibrate_layers(alone, batches_of(tokens))
    assert not np.array_equal(codes[0, "wq"].codes, first[0, "wq"].codes)


def test_the_values_of_codes_stand_in_for_the_floats(stories: Model, calibrated: Calibration) -> None:
    codes: GroupedCodes = calibrated.codes[1, "w_up"]
    np.testing.assert_array_equal(
        calibrated.dequantised(stories).blocks[1].w_up, codes.dequantized().astype(np.float32)
    )


def test_a_calibration_is_kept_though_the_clock_was_set_back(
    stories: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others seem to have been used later; and what is used goes on being kept when the clock is right again."""
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    for year in (2090, 2091, 2092):
        keep_calibration(str(year), Calibration())
        os.utime(tmp_path / f"calibrations/{year}.int4", times=(0, (year - 1970) * 365 * 86400))
    monkeypatch.setattr(calibration_cache, "KEPT", 2)
    keep_calibration("new", Calibration(errors={(0, "wq"): 0.5}))
    assert find_calibration("new", stories) == Calibration(errors={(0, "wq"): 0.5})
    assert {path.stem for path in (tmp_path / "calibrations").iterdir()} == {"2092", "new"}
    assert find_calibration("2092", stories) == Calibration()
    os.utime(tmp_path / "calibrations/new.int4", times=(0, 0))
    keep_calibration("newer", Calibration())
    assert {path.stem for path in (tmp_path / "calibrations").iterdir()} == {"2092", "newer"}
