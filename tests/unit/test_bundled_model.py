"""The bundled models are whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sentencepiece import SentencePieceProcessor

from tinyllm.codegen.actions.catalogue import read_catalogue
from tinyllm.codegen.memory.outline import outline_of
from tinyllm.codegen.memory.plan import plan_memory
from tinyllm.host.model.load import DEFAULT_MODEL, load_model, model_path
from tinyllm.models import bundled


@pytest.fixture(params=bundled().values(), ids=bundled().keys())
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def test_a_chat_model_with_calls_is_the_default_and_a_story_model_lies_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(bundled()) == ["chat", "stories"]
    monkeypatch.delenv(DEFAULT_MODEL)
    assert model_path(None) == bundled()["chat"]
    assert read_catalogue(bundled()["chat"] / "actions.toml").calls


def test_all_that_is_bundled_is_under_3_megabytes() -> None:
    files = [path for folder in bundled().values() for path in folder.iterdir()]
    assert sum(path.stat().st_size for path in files) < 3_000_000


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
    assert all(tensor.dtype == np.float16 and np.isfinite(tensor).all() for tensor in tensors.values())


@pytest.mark.parametrize(("name", "kilobytes"), [("chat", 700), ("stories", 400)])
def test_a_bundled_model_is_small_as_int8(name: str, kilobytes: int) -> None:
    loaded = load_model(name)
    plan = plan_memory(outline_of(loaded.model, loaded.context), loaded.tokenizer)
    assert plan.flash["weights"] <= 1000 * kilobytes


def test_the_tokenizer_has_the_vocabulary_and_the_special_tokens_of_the_config(folder: Path) -> None:
    config = config_of(folder)
    tokenizer = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert tokenizer.vocab_size() == config["vocab_size"]
    assert (tokenizer.bos_id(), tokenizer.eos_id()) == (config["bos_token_id"], config["eos_token_id"])


@pytest.mark.parametrize("text", ['Once upon a time,\nLily said, "Hi!"', "naïve café 37 \N{OWL}"])
def test_the_tokenizer_gives_every_text_back(folder: Path, text: str) -> None:
    tokenizer = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert tokenizer.decode(tokenizer.encode(text)) == text
