"""A trimmed model runs as any other: the C computes what the reference says, and all verbs mean the same model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import STORY_MODEL
from tinyllm.codegen.arithmetic.float_forward import log_softmax
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.tokenizers import Tokenizer, find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.codegen.trim import trim
from tinyllm.codegen.verify.perplexity import split_stories
from tinyllm.codegen.verify.verify import verify
from tinyllm.host.cli import app as cli
from tinyllm.models import bundled

TEXT = "Once upon a time, there was a little girl named Lily. She loved to play outside with her dog."


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("name", sorted(bundled()))
def test_every_bundled_model_is_bit_exact_when_trimmed(name: str) -> None:
    model = read_model(bundled()[name])
    tokenizer = read_tokenizer(find_tokenizer(bundled()[name], model.config.vocab_size))
    trimmed = trim(model, tokenizer, [TEXT])
    for verdict in verify(quantize(trimmed.model, 64), trimmed.tokenizer, ("ubsan",)):
        assert verdict.exact == verdict.positions == 64, verdict.difference


def test_the_integers_of_the_trimmed_model_follow_those_of_the_whole_one(
    stories: Model, stories_tokenizer: Tokenizer, stories_text: str
) -> None:
    """They are calibrated anew, so that logits differ by rounding; their distribution hardly."""
    story = split_stories(stories_text)[0]
    trimmed = trim(stories, stories_tokenizer, [story])
    tokens = np.array(encode(trimmed.tokenizer, story, bos=True)[:128])
    kept = np.array(trimmed.kept)
    got = log_softmax(Reference(quantize(trimmed.model, 128)).forward(tokens) / 2**16)
    whole = log_softmax(Reference(quantize(stories, 128)).forward(kept[tokens])[:, kept] / 2**16)
    assert np.mean(got.argmax(axis=1) == whole.argmax(axis=1)) > 0.95
    divergence = (np.exp(whole) * (whole - got)).sum(axis=1)
    assert divergence.mean() < 0.01


def test_a_board_with_a_trimmed_model_is_bit_exact(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--board", "host", "--trim-vocab", str(text), "--context", "64", "--positions", "40"]
    assert cli.run(["verify", *options, "--json"]) == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert document["bit_exact"] is True
    assert "-trim" in document["model"]
    assert "vocabulary trimmed from 512 to " in shown.err


def test_build_tells_what_trimming_saves_and_does_to_the_perplexity(
    text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [str(STORY_MODEL), "--trim-vocab", str(text), "--context", "64"]
    assert cli.run(["build", *options, "--json"]) == 0
    trimming = json.loads(capsys.readouterr().out)["trimming"]
    assert trimming["saving"]["flash"] > 0
    effect = trimming["effect"]
    assert effect["same_tokens"] is True
    assert effect["trimmed"]["fp32_perplexity"] < effect["whole"]["fp32_perplexity"]
    assert cli.run(["build", *options]) == 0
    assert f"saves {trimming['saving']['parameters']:,} parameters" in capsys.readouterr().out


def test_eval_says_whether_the_perplexities_compare(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.write_text("The frog jumped quickly over seven yellow boxes.")
    for evaluated, compares in ((text, True), (other, False)):
        assert cli.run(["eval", "--text", str(evaluated), "--trim-vocab", str(text), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["same_tokens"] is compares
        fp32, whole = document["variants"][0]["perplexity"], document["whole"][0]["perplexity"]
        assert (fp32 < whole) is compares
