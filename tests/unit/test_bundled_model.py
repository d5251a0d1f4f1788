"""The bundled models are whole, and the recipe that trained them works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file
from sentencepiece import SentencePieceProcessor

from tinyllm.errors import UserError
from tinyllm.models import bundled
from tinyllm.models.training.corpus import Corpus, read_stories, train_tokenizer

NAMES = ("Tom", "Lily", "Ben", "Mia")
THINGS = ("red ball", "big kite", "small boat", "blue hat", "old drum")
PLACES = ("park", "garden", "river", "wood")
STORIES = [
    f"One day {name} had a {thing}.\nThe {thing} was lost in the {place}. {name} was sad, and then {name} found it."
    for name in NAMES
    for thing in THINGS
    for place in PLACES
]
VOCABULARY = 300


@pytest.fixture(params=bundled().values(), ids=bundled().keys())
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def story_file(tmp_path: Path) -> Path:
    path = tmp_path / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(STORIES), encoding="utf-8")
    return path


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def test_a_story_model_is_bundled() -> None:
    assert "tinystories-260k" in bundled()


def test_a_bundled_folder_is_whole_and_carries_its_card(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.model",
    }
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_tensor_shapes_follow_the_config_and_weights_are_finite(folder: Path) -> None:
    config, tensors = config_of(folder), load_file(folder / "model.safetensors")
    dim, hidden, head_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    expected = {"model.embed_tokens.weight": (config["vocab_size"], dim), "model.norm.weight": (dim,)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        expected |= {
            prefix + "input_layernorm.weight": (dim,),
            prefix + "self_attn.q_proj.weight": (queries, dim),
            prefix + "self_attn.k_proj.weight": (keys, dim),
            prefix + "self_attn.v_proj.weight": (keys, dim),
            prefix + "self_attn.o_proj.weight": (dim, queries),
            prefix + "post_attention_layernorm.weight": (dim,),
            prefix + "mlp.gate_proj.weight": (hidden, dim),
            prefix + "mlp.up_proj.weight": (hidden, dim),
            prefix + "mlp.down_proj.weight": (dim, hidden),
        }
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected
    assert all(tensor.dtype == np.float32 and np.isfinite(tensor).all() for tensor in tensors.values())


def test_the_story_model_has_about_260_thousand_parameters() -> None:
    tensors = load_file(bundled()["tinystories-260k"] / "model.safetensors")
    assert 230_000 <= sum(tensor.size for tensor in tensors.values()) <= 300_000


def test_the_tokenizer_has_the_vocabulary_and_the_special_tokens_of_the_config(folder: Path) -> None:
    config = config_of(folder)
    tokenizer = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert tokenizer.vocab_size() == config["vocab_size"]
    assert (tokenizer.bos_id(), tokenizer.eos_id()) == (config["bos_token_id"], config["eos_token_id"])


@pytest.mark.parametrize("text", ['Once upon a time,\nLily said, "Hi!"', "naïve café 37 \N{OWL}"])
def test_the_tokenizer_gives_every_text_back(folder: Path, text: str) -> None:
    tokenizer = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_stories_are_split_at_the_separator_and_stripped(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    path.write_text(" one \n<|endoftext|>\n\n<|endoftext|>\ntwo\nlines\n", encoding="utf-8")
    assert read_stories(path) == ["one", "two\nlines"]


@pytest.mark.parametrize("content", [b"", b" \n<|endoftext|>\n", b"caf\xe9"], ids=["empty", "no story", "not UTF-8"])
def test_a_useless_text_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stories.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"stories\.txt: "):
        read_stories(path)


def test_a_text_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.txt: cannot be read"):
        read_stories(tmp_path / "absent.txt")


def test_a_text_too_small_for_the_vocabulary_is_refused() -> None:
    with pytest.raises(UserError, match="too small for a vocabulary of 512"):
        train_tokenizer(["Hi."], 512)


def test_chunks_follow_each_other_and_every_epoch_holds_every_story_once() -> None:
    corpus = Corpus(STORIES, train_tokenizer(STORIES, VOCABULARY))
    chunks, length = corpus.chunks(seed=1, length=64), 64
    epoch = sum(map(len, corpus.documents))
    stream = np.concatenate([next(chunks)[:length] for _ in range(epoch // length + 1)])[:epoch]
    stories = np.split(stream, np.flatnonzero(stream == corpus.processor.bos_id())[1:])
    assert sorted(story.tolist() for story in stories) == sorted(story.tolist() for story in corpus.documents)
    assert not np.array_equal(stories[0], corpus.documents[0])


def test_the_last_token_of_a_chunk_is_the_first_of_the_next() -> None:
    chunks = Corpus(STORIES, train_tokenizer(STORIES, VOCABULARY)).chunks(seed=1, length=64)
    first, second = next(chunks), next(chunks)
    assert (len(first), first[-1]) == (65, second[0])


def test_without_torch_the_recipe_says_how_to_get_it() -> None:
    program = (
        "import runpy, sys; sys.modules['torch'] = None; "
        "runpy.run_module('tinyllm.models.training', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == UserError.exit_code
    assert done.stderr.endswith("run: pip install 'tinyllm[train]'\n")


def test_the_recipe_runs_as_a_module() -> None:
    pytest.importorskip("torch", reason="the recipe needs torch: pip install 'tinyllm[train]'")
    done = subprocess.run([sys.executable, "-m", "tinyllm.models.training", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage: python -m tinyllm.models.training " in done.stdout


@pytest.mark.sweep
def test_a_folder_that_cannot_be_made_is_refused_before_the_training(story_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the recipe needs torch: pip install 'tinyllm[train]'")
    from tinyllm.models.training.train import command

    out = story_file / "model"
    result = CliRunner().invoke(
        command, ["--text", str(story_file), "--valid", str(story_file), "--out", str(out), "--scratch", str(tmp_path)]
    )
    assert result.exit_code == UserError.exit_code
    assert f"{out}: cannot be made" in result.stderr.replace("\n", "")


@pytest.mark.sweep
def test_the_recipe_learns_writes_a_model_and_resumes_to_the_same_weights(story_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the recipe needs torch: pip install 'tinyllm[train]'")
    from tinyllm.models.training.network import Shape
    from tinyllm.models.training.train import train
    from tinyllm.models.training.trainer import Recipe, Training

    shape = Shape(
        dim=16, hidden_dim=32, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, vocab_size=VOCABULARY, context=64
    )
    recipe = Recipe(shape=shape, steps=30, tokens=128, short_row=32, warmup=4, validate_every=10)

    train(story_file, story_file, tmp_path / "whole", recipe, tmp_path / "scratch-whole")
    config, weights = config_of(tmp_path / "whole"), load_file(tmp_path / "whole" / "model.safetensors")
    assert {name: tensor.shape for name, tensor in weights.items()} == shape.tensors()
    assert (config["hidden_size"], config["vocab_size"]) == (16, VOCABULARY)

    class Interruption(Exception):
        pass

    def interrupt(step: int, loss: float, valid_loss: float | None) -> None:
        losses.append(loss)
        if step == 25:
            raise Interruption

    losses: list[float] = []
    tokenizer = train_tokenizer(STORIES, VOCABULARY)
    corpus = Corpus(STORIES, tokenizer)
    (tmp_path / "scratch").mkdir()
    interrupted = Training(recipe, corpus, corpus, tmp_path / "scratch" / "checkpoint.pt")
    with pytest.raises(Interruption):
        interrupted.run(interrupt)
    assert losses[-1] < losses[0]

    train(story_file, story_file, tmp_path / "resumed", recipe, tmp_path / "scratch")
    resumed = load_file(tmp_path / "resumed" / "model.safetensors")
    assert all(np.array_equal(resumed[name], tensor) for name, tensor in weights.items())

    with pytest.raises(UserError, match="other text or settings"):
        train(story_file, story_file, tmp_path / "other", Recipe(shape=shape, steps=31), tmp_path / "scratch")
