"""Stories sampled from a model, and what a teacher of them teaches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")

from tests.conftest import STORY_MODEL  # noqa: E402
from tests.unit.training.test_network import CONFIGS, random_model  # noqa: E402
from tinyllm.codegen.arithmetic.float_model import ModelConfig  # noqa: E402
from tinyllm.host.cli.app import run  # noqa: E402
from tinyllm.models.training.distillation import Teacher  # noqa: E402
from tinyllm.models.training.network import KVCache, hidden, weights_of  # noqa: E402
from tinyllm.models.training.sampling import sample_stories  # noqa: E402
from tinyllm.models.training.texts import read_stories  # noqa: E402


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_token_by_token_computes_what_the_whole_text_does(config: ModelConfig) -> None:
    weights = weights_of(random_model(config))
    tokens = torch.from_numpy(np.random.default_rng(1).integers(0, config.vocab_size, (3, 40)))
    whole = hidden(weights, config, tokens)
    cache = KVCache.of(config, 3)
    steps = [hidden(weights, config, tokens[:, place : place + 1], cache=cache) for place in range(20)]
    cache.keep(torch.tensor([True, False, True]))
    rest = [hidden(weights, config, tokens[::2, place : place + 1], cache=cache) for place in range(20, 40)]
    assert torch.allclose(torch.cat(steps, 1), whole[:, :20], atol=1e-4)
    assert torch.allclose(torch.cat(rest, 1), whole[::2, 20:], atol=1e-4)


def test_stories_end_and_are_the_same_each_time(tmp_path: Path) -> None:
    model = STORY_MODEL
    told: list[int] = []
    text, tokens = sample_stories(model, 5, progress=lambda done, total: told.append(done))
    (tmp_path / "some.txt").write_text(text, encoding="utf-8")
    stories = read_stories([tmp_path / "some.txt"])
    assert len(stories) == told[-1] == 5
    assert 10 < tokens / 5 < 512
    assert all(stories)
    assert sample_stories(model, 5) == (text, tokens)
    assert sample_stories(model, 5, seed=2)[0] != text


def test_where_a_teacher_begins_the_next_text_the_model_learns_to_end_this_one() -> None:
    """The divergence is that from the teacher's distribution with the probability of BOS given to EOS."""
    model = random_model(replace(CONFIGS["as trained"], context=8))
    teacher = Teacher.of(model, (1, 2), "cpu")
    inputs = torch.tensor([[1, 7, 9, 2, 1, 5]])
    targets = torch.tensor([[7, 9, 2, 1, 5, -100]])
    x = hidden(teacher.weights, teacher.config, inputs)[0, :5]
    wanted = torch.nn.functional.linear(x, teacher.weights["model.embed_tokens.weight"]).softmax(-1)
    wanted[:, 2] += wanted[:, 1]
    wanted[:, 1] = 0
    guesses = torch.randn(5, 50, generator=torch.Generator().manual_seed(3))
    mine = guesses.log_softmax(-1)
    parts = torch.where(wanted > 0, wanted * (wanted.clamp_min(1e-30).log() - mine), 0).sum(-1)
    expected = parts[[0, 1, 2, 4]].mean()  # What follows EOS is not the teacher's.
    assert float(teacher.divergence(guesses, inputs, None, targets)) == pytest.approx(float(expected), rel=1e-5)


def test_the_verb_writes_a_file_and_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(STORY_MODEL)
    assert run(["stories", model, "--count", "2", "-o", str(tmp_path / "some.txt")]) == 0
    told = capsys.readouterr()
    assert "2 stories" in told.out
    assert "Next: tinyllm train --text" in told.err
    assert run(["stories", model, "--count", "2", "-o", str(tmp_path / "some.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stories"] == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["no-such-model", "-o", "out.txt"], "no-such-model"),
        (["MODEL", "-o", "."], "expected a file that ends in .txt"),
        (["MODEL", "-o", "out.txt", "--temperature", "0"], "temperature"),
    ],
)
def test_bad_words_get_a_line(
    arguments: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(STORY_MODEL) if word == "MODEL" else word for word in arguments]
    assert run(["stories", "--count", "1", *words]) == 2
    assert why in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())
