"""The figures of stories260K, a model of others: what llama2.c's own fp32 runner gives, and the published perplexity.

The checkpoint, its golden outputs and the text lie outside the project (SHARED_DATA of tests/conftest.py); without them
these tests are skipped. tests/boards/test_digest.py has the digest of stories260K on every board.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from tinyllm.codegen.arithmetic.float_forward import FloatForward, generate_greedy
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.tokenizers import Tokenizer, find_tokenizer, fit_vocabulary, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode
from tinyllm.codegen.trim import trim
from tinyllm.codegen.verify.perplexity import evaluate, evaluation_sequences
from tinyllm.codegen.verify.verify import verify
from tinyllm.host.hub.download import sha256_of
from tinyllm.models.known import known_models

RUNS = ["g0_doc_reference_256", "g1", "g2", "g3"]


@pytest.fixture(scope="module")
def checkpoint(shared_data: Path) -> Path:
    return shared_data / "stories260K/stories260K.bin"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> FloatForward:
    return FloatForward(read_model(checkpoint))


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path, model: FloatForward) -> Tokenizer:
    path = find_tokenizer(checkpoint, model.config.vocab_size)
    return fit_vocabulary(checkpoint, model.config.vocab_size, path, read_tokenizer(path))


@pytest.fixture(params=RUNS)
def golden(request: pytest.FixtureRequest, shared_data: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((shared_data / f"stories260K/golden/{request.param}.json").read_text())
    return run


def test_a_prompt_encodes_to_the_golden_ids(golden: dict[str, Any], tokenizer: Tokenizer) -> None:
    assert encode(tokenizer, golden["prompt"], bos=True) == golden["prompt_tokens"]


def test_greedy_decoding_gives_the_golden_ids(golden: dict[str, Any], model: FloatForward) -> None:
    prompt, tokens = golden["prompt_tokens"], golden["tokens"]
    assert generate_greedy(model, prompt, len(tokens) - len(prompt)) == tokens


def test_the_golden_ids_decode_to_the_golden_text(golden: dict[str, Any], tokenizer: Tokenizer) -> None:
    text = decode(tokenizer, golden["tokens"]).decode()
    assert text.startswith(golden["text"])


def test_the_largest_logit_at_each_position_is_the_golden_one(golden: dict[str, Any], model: FloatForward) -> None:
    logits = model.forward(golden["tokens"][: golden["positions_run"]])
    np.testing.assert_allclose(logits.max(axis=-1), golden["top1_logit"], rtol=0, atol=1e-4)


def test_every_logit_of_a_run_is_within_a_ten_thousandth(shared_data: Path, model: FloatForward) -> None:
    folder = shared_data / "stories260K/golden"
    tokens = json.loads((folder / "g1.json").read_text())["tokens"]
    golden = np.fromfile(folder / "g1.logits.f32", "<f4").reshape(128, 512)
    np.testing.assert_allclose(model.forward(tokens[:128]), golden, rtol=0, atol=1e-4)


def test_the_perplexity_of_unseen_stories_is_3_838_and_the_integers_keep_it(
    shared_data: Path, checkpoint: Path, tokenizer: Tokenizer
) -> None:
    text = (shared_data / "tinystories/valid-60.txt").read_text()
    whole, sequences = read_model(checkpoint), evaluation_sequences(text, tokenizer, max_tokens=256)
    result = evaluate(whole, quantize(whole), sequences)
    assert (len(sequences), result.tokens) == (60, 15_283)
    assert result.fp32_perplexity == pytest.approx(3.838, abs=5e-4)
    assert result.ratio <= 1.003
    assert result.top1_agreement >= 0.975
    assert result.kl <= 0.002


def test_stories260k_is_the_model_its_card_describes(checkpoint: Path) -> None:
    model = read_model(checkpoint)
    config = model.config
    assert (config.name, config.family) == ("stories260K", "llama")
    assert (config.dim, config.hidden_dim, config.n_layers) == (64, 172, 5)
    assert (config.n_heads, config.n_kv_heads, config.head_dim) == (8, 4, 8)
    assert (config.vocab_size, config.context, config.tied_head) == (512, 512, True)
    assert (config.rope.pairing, config.rope.base, config.norm_epsilon) == ("interleaved", 10000.0, 1e-5)
    assert model.n_parameters() == 260_032


def test_its_tokenizer_is_the_same_in_both_formats_and_encodes_as_sentencepiece_does(shared_data: Path) -> None:
    folder = shared_data / "stories260K"
    from_bin, from_model = read_tokenizer(folder / "tok512.bin"), read_tokenizer(folder / "tok512.model")
    assert replace(from_bin, source="") == replace(from_model, source="")
    theirs = SentencePieceProcessor(model_file=str(folder / "tok512.model"))
    text = (shared_data / "tinystories/valid.txt").read_text()
    assert encode(from_model, text) == theirs.encode(text)


def test_the_emitted_c_is_bit_exact_over_its_whole_context(checkpoint: Path, tokenizer: Tokenizer) -> None:
    verdicts = list(verify(quantize(read_model(checkpoint)), tokenizer, ("O2",)))
    assert [str(verdict) for verdict in verdicts] == ["bit-exact: 512/512 positions"] * 2


@pytest.mark.sweep
def test_a_trimmed_stories260k_is_bit_exact(checkpoint: Path, tokenizer: Tokenizer) -> None:
    trimmed = trim(read_model(checkpoint), tokenizer, ["Once upon a time, there was a little girl named Lily."])
    for verdict in verify(quantize(trimmed.model, 64), trimmed.tokenizer, ("ubsan",)):
        assert verdict.exact == verdict.positions == 64, verdict.difference


def test_the_pins_of_stories260k_are_those_of_the_real_files(shared_data: Path) -> None:
    for file in known_models()["stories260K"].files:
        path = shared_data / file.path
        assert (path.stat().st_size, sha256_of(path)) == (file.size, file.sha256)
