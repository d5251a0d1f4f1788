"""The float path gives what llama2.c's own fp32 runner gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyllm.codegen.arithmetic.float_forward import FloatModel, generate_greedy
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.tokenizers import Tokenizer, find_tokenizer, fit_vocabulary, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode
from tinyllm.codegen.verify.perplexity import evaluation_sequences, perplexity

RUNS = ["g0_doc_reference_256", "g1", "g2", "g3"]


@pytest.fixture(scope="module")
def checkpoint(shared_data: Path) -> Path:
    return shared_data / "stories260K/stories260K.bin"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> FloatModel:
    return FloatModel(read_model(checkpoint))


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path, model: FloatModel) -> Tokenizer:
    path = find_tokenizer(checkpoint, model.config.vocab_size)
    return fit_vocabulary(checkpoint, model.config.vocab_size, path, read_tokenizer(path))


@pytest.fixture(params=RUNS)
def golden(request: pytest.FixtureRequest, shared_data: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((shared_data / f"stories260K/golden/{request.param}.json").read_text())
    return run


def test_a_prompt_encodes_to_the_golden_ids(golden: dict[str, Any], tokenizer: Tokenizer) -> None:
    assert encode(tokenizer, golden["prompt"], bos=True) == golden["prompt_tokens"]


def test_greedy_decoding_gives_the_golden_ids(golden: dict[str, Any], model: FloatModel) -> None:
    prompt, tokens = golden["prompt_tokens"], golden["tokens"]
    assert generate_greedy(model, prompt, len(tokens) - len(prompt)) == tokens


def test_the_golden_ids_decode_to_the_golden_text(golden: dict[str, Any], tokenizer: Tokenizer) -> None:
    text = decode(tokenizer, golden["tokens"]).decode()
    assert text.startswith(golden["text"])


def test_the_largest_logit_at_each_position_is_the_golden_one(golden: dict[str, Any], model: FloatModel) -> None:
    logits = model.forward(golden["tokens"][: golden["positions_run"]])
    np.testing.assert_allclose(logits.max(axis=-1), golden["top1_logit"], rtol=0, atol=1e-4)


def test_every_logit_of_a_run_is_within_a_ten_thousandth(shared_data: Path, model: FloatModel) -> None:
    folder = shared_data / "stories260K/golden"
    tokens = json.loads((folder / "g1.json").read_text())["tokens"]
    golden = np.fromfile(folder / "g1.logits.f32", "<f4").reshape(128, 512)
    np.testing.assert_allclose(model.forward(tokens[:128]), golden, rtol=0, atol=1e-4)


def test_the_perplexity_of_unseen_stories_is_3_838(shared_data: Path, model: FloatModel, tokenizer: Tokenizer) -> None:
    text = (shared_data / "tinystories/valid-60.txt").read_text()
    sequences = evaluation_sequences(text, tokenizer, max_tokens=256)
    assert len(sequences) == 60
    assert sum(map(len, sequences)) == 15_283
    assert perplexity(model.forward, sequences) == pytest.approx(3.838, abs=5e-4)
