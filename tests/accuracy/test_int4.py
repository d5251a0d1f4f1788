"""What 4-bit weights of stories260K cost on stories that they were not calibrated on: the integer forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyllm.codegen.verify.perplexity import Evaluation, evaluate, evaluation_sequences
from tinyllm.host.api.model import LanguageModel, load
from tinyllm.host.model import calibrate
from tinyllm.host.model.calibrate import integers_of

SOME_TOKENS = 24_576
"""Of the calibration text, for a quick test."""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No calibration from before."""
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))


def measured(shared_data: Path, weights: str, each: int = 1) -> Evaluation:
    """On one of `each` stories of valid-60.txt, calibrated on train.txt."""
    stories260k = shared_data / "stories260K/stories260K.bin"
    model: LanguageModel = load(stories260k, weights=weights, calibrate=shared_data / "tinystories/train.txt")
    text = (shared_data / "tinystories/valid-60.txt").read_text()
    sequences = evaluation_sequences(text, model.tokenizer, max_tokens=256)[::each]
    return evaluate(model.model, integers_of(model), sequences)


@pytest.mark.sweep
def test_int4_keeps_the_perplexity_within_8_percent_with_a_short_calibration(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "TOKENS", SOME_TOKENS)
    assert measured(shared_data, "int4", each=3).ratio <= 1.08


@pytest.mark.sweep
@pytest.mark.parametrize(("weights", "ratio", "kl"), [("int4", 1.03, 0.028), ("mixed", 1.02, 0.02)])
def test_a_whole_calibration_keeps_the_perplexity(shared_data: Path, weights: str, ratio: float, kl: float) -> None:
    result = measured(shared_data, weights)
    assert result.ratio <= ratio
    assert result.kl <= kl
