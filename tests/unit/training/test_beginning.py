"""A training may begin with another model, which can be made larger without a change of what it predicts."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")

from tests.conftest import STORY_MODEL  # noqa: E402
from tinyllm.codegen.arithmetic.float_forward import FloatForward  # noqa: E402
from tinyllm.codegen.checkpoints import read_model  # noqa: E402
from tinyllm.errors import UserError  # noqa: E402
from tinyllm.host.cli.app import run  # noqa: E402
from tinyllm.models.training.beginning import Origin, beginning  # noqa: E402
from tinyllm.models.training.kv_heads import with_fewer_kv_heads  # noqa: E402
from tinyllm.models.training.network import logits  # noqa: E402

TOKENS = np.array([1, 403, 407, 261, 378, 31, 400, 288, 90, 11])


def predicted(path: Path, blocks: int | None = None, hidden_dim: int | None = None) -> np.ndarray:
    """Logits of the weights that a training would begin with."""
    shape, weights = beginning(Origin(path, blocks, hidden_dim), 64, seed=1)
    assert shape.context == 64 and {name: tuple(each.shape) for name, each in weights.items()} == shape.tensors()
    return logits(weights, shape.model_config(), torch.from_numpy(TOKENS)[None])[0].numpy()


def test_a_llama2c_file_is_a_beginning_though_its_heads_turn_otherwise(stories_llama2c: Path) -> None:
    model = read_model(stories_llama2c)
    assert model.config.rope.pairing == "interleaved"
    assert np.abs(predicted(stories_llama2c) - FloatForward(model).forward(TOKENS)).max() < 2e-4


@pytest.mark.parametrize(("blocks", "hidden_dim"), [(7, None), (None, 200), (6, 192)])
def test_more_blocks_and_a_wider_layer_predict_the_same_at_first(blocks: int | None, hidden_dim: int | None) -> None:
    larger = predicted(STORY_MODEL, blocks, hidden_dim)
    assert np.abs(larger - FloatForward(read_model(STORY_MODEL)).forward(TOKENS)).max() < 2e-4


def test_what_is_new_learns(story_file: Path, stories_llama2c: Path, tmp_path: Path) -> None:
    words = ["--from", str(stories_llama2c), "--blocks", "6", "--context", "64", "--steps", "12", "--tokens", "128"]
    assert run(["train", "--text", str(story_file), "--out", str(tmp_path / "out"), *words]) == 0
    trained = read_model(tmp_path / "out")
    assert (trained.config.n_layers, trained.config.hidden_dim) == (6, read_model(STORY_MODEL).config.hidden_dim)
    assert np.abs(trained.blocks[5].wo).max() > 0 and np.abs(trained.blocks[5].w_down).max() > 0


def test_heads_that_hold_the_same_become_one_and_nothing_is_lost() -> None:
    """Two heads of keys that differ by a turn and a factor, and two of values that differ by a matrix, are one head."""
    shape, one = beginning(Origin(STORY_MODEL, n_kv_heads=1), 64, seed=1)
    two, random = dict(one), torch.Generator().manual_seed(1)
    for block in range(shape.blocks):
        names = {part: f"model.layers.{block}.self_attn.{part}_proj.weight" for part in "qkvo"}
        turn = torch.polar(torch.rand(8, 1, generator=random) + 0.5, 6 * torch.rand(8, 1, generator=random))
        matrix = torch.linalg.qr(torch.randn(16, 16, generator=random))[0] * 3
        key = torch.complex(*one[names["k"]].chunk(2)) * turn
        two[names["k"]] = torch.cat((one[names["k"]], key.real, key.imag))
        queries = one[names["q"]].view(2, 2, 16, 64).clone()  # the last two heads will read the second head of keys
        asked = torch.complex(*queries[1].chunk(2, 1)) / turn.conj()
        queries[1] = torch.cat((asked.real, asked.imag), 1)
        two[names["q"]] = queries.view(64, 64)
        two[names["v"]] = torch.cat((one[names["v"]], matrix @ one[names["v"]]))
        outputs = one[names["o"]].view(64, 2, 2, 16).clone()
        outputs[:, 1] = outputs[:, 1] @ matrix.inverse()
        two[names["o"]] = outputs.view(64, 64)
    wide = replace(shape, n_kv_heads=2)
    tokens = torch.from_numpy(TOKENS)[None]
    expected, spread = logits(one, shape.model_config(), tokens), logits(two, wide.model_config(), tokens)
    assert torch.allclose(spread, expected, atol=1e-3)
    merged = with_fewer_kv_heads(two, wide, 1)
    assert {name: tensor.shape for name, tensor in merged.items()} == shape.tensors()
    assert torch.allclose(logits(merged, shape.model_config(), tokens), expected, atol=1e-3)


def test_fewer_heads_predict_better_than_the_means_of_those_there_were() -> None:
    shape, whole = beginning(Origin(STORY_MODEL), 64, seed=1)
    merged, means = with_fewer_kv_heads(whole, shape, 1), dict(whole)
    for name, tensor in whole.items():
        if ".k_proj." in name or ".v_proj." in name:
            means[name] = (tensor[:16] + tensor[16:]) / 2
    config, tokens = replace(shape, n_kv_heads=1).model_config(), torch.from_numpy(TOKENS)[None]
    expected = logits(whole, shape.model_config(), tokens)
    assert (logits(merged, config, tokens) - expected).square().mean() < (
        logits(means, config, tokens) - expected
    ).square().mean()


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        (Origin(STORY_MODEL, blocks=2), r"--blocks 2: .* has 5, and --from can only make it larger"),
        (Origin(STORY_MODEL, hidden_dim=8), r"--hidden 8: .* has 176, and --from can only make it larger"),
        (Origin(STORY_MODEL, n_kv_heads=4), r"--kv-heads 4: .* has 2, and --from can only divide them"),
    ],
)
def test_a_model_that_cannot_become_so_is_refused(origin: Origin, told: str) -> None:
    with pytest.raises(UserError, match=told):
        beginning(origin, 64, seed=1)


def test_other_dimensions_than_those_of_the_beginning_are_refused(
    story_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(STORY_MODEL, tmp_path / "base")
    words = ["--from", str(tmp_path / "base"), "--dim", "96"]
    assert run(["train", "--text", str(story_file), "--out", str(tmp_path / "out"), *words]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--dim with --from: the shape is that of" in told and "--blocks and --hidden can be larger" in told
    assert not (tmp_path / "out").exists()
