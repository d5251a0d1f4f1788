"""The integer model says what the float model says, as closely as int8 allows, whatever the architecture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.pipeline.conftest import BASE, RANDOM_CONFIGS, random_model
from tinyllm.codegen.arithmetic.float_forward import FloatForward
from tinyllm.codegen.arithmetic.float_model import Model, Rope
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import MAX_K_SHIFT
from tinyllm.codegen.arithmetic.key_shifts import best_shifts
from tinyllm.codegen.arithmetic.quantize import quantize, quantize_rows
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.perplexity import evaluate, evaluation_sequences
from tinyllm.errors import UserError

EVERYTHING = RANDOM_CONFIGS | {
    "partial rotary with attention scaling": replace(BASE, rope=Rope(rotary_dim=4, attention_scaling=1.5)),
}


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("feature", EVERYTHING)
def test_integer_logits_follow_the_float_logits(feature: str, biases: bool) -> None:
    model = random_model(EVERYTHING[feature], biases=biases)
    tokens = np.random.default_rng(5).integers(0, 512, min(32, model.config.full_slots))
    expected = FloatForward(model).forward(tokens)
    got = Reference(quantize(model)).forward(tokens) / 2**16
    assert np.corrcoef(expected.ravel(), got.ravel())[0, 1] > 0.995


def test_the_bundled_model_keeps_its_perplexity_and_its_first_choices(
    stories: Model, stories_tokenizer: Tokenizer, stories_text: str
) -> None:
    sequences = evaluation_sequences(stories_text, stories_tokenizer, 256)[:24]
    result = evaluate(stories, quantize(stories), sequences)
    assert result.tokens == sum(map(len, sequences))
    assert result.ratio <= 1.003
    # The stories are not in the style that the model learned: it is less sure of its first choice than on TinyStories.
    assert result.top1_agreement >= 0.97
    assert result.kl <= 0.002


def test_both_rope_pairings_of_one_model_give_one_integer_model() -> None:
    interleaved = random_model(replace(BASE, rope=Rope(pairing="interleaved", rotary_dim=6)))
    order = [0, 2, 4, 1, 3, 5]
    half = random_model(BASE)
    for block in half.blocks:
        block.wq = block.wq.reshape(-1, 6, BASE.dim)[:, order].reshape(block.wq.shape)
        block.wk = block.wk.reshape(-1, 6, BASE.dim)[:, order].reshape(block.wk.shape)
    assert quantize(interleaved).digest() == quantize(half).digest()


def test_a_row_keeps_its_largest_weight_and_errs_by_half_a_step() -> None:
    random = np.random.default_rng(0)
    weights = (random.standard_normal((50, 33)) * np.exp(random.uniform(-6, 0, (50, 1)))).astype(np.float32)
    weights[7] = 0
    matrix = quantize_rows(weights)
    assert np.max(np.abs(matrix.codes)) <= 127
    step = matrix.mantissa * 2.0**matrix.exponent
    assert np.all(np.abs(matrix.dequantized() - weights) <= 0.5 * step[:, None] * (1 + 1e-9))
    assert not matrix.codes[7].any()


def test_key_shifts_never_make_the_expected_score_error_larger() -> None:
    random = np.random.default_rng(1)
    keys = np.abs(random.standard_normal((200, 8))) * np.array([1, 1, 2, 2, 1, 1, 2, 15.0])
    energy = np.array([1, 1, 3, 3, 1, 1, 200, 1.0])
    shifts = best_shifts(keys, energy).astype(int)
    assert shifts.min() == 0 and shifts.max() <= MAX_K_SHIFT
    assert shifts[7] > shifts[6]

    def error(shift: np.ndarray) -> float:
        return float(np.mean(np.max(keys / 2.0**shift, axis=1) ** 2) * np.sum(4.0**shift * energy))

    assert error(shifts) < 0.5 * error(np.zeros(8))


@pytest.mark.parametrize(
    ("change", "words"),
    [({"norm_epsilon": 1.0}, "norm epsilon 1.0"), ({"dim": 140_000}, "140000 wide"), ({"context": 4}, "4 positions")],
)
def test_dimensions_beyond_the_proven_bounds_are_refused(change: dict[str, float], words: str) -> None:
    model = random_model(BASE)
    model.config = replace(BASE, **change)
    with pytest.raises(UserError, match=words):
        quantize(model)
