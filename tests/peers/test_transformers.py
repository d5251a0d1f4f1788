"""Checkpoints that transformers itself writes give the logits that transformers itself computes.

Needs the extra `peers` (torch and transformers). Every model is tiny and random; the vocabulary is that of the bundled
stories model, so that the emitted C can be built with a tokenizer.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import STORY_MODEL, skip_unless_ci
from tinyllm.codegen.arithmetic.float_forward import FloatForward
from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig, Rope
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.checkpoints.huggingface.config import read_configuration
from tinyllm.codegen.checkpoints.huggingface.families import FAMILIES
from tinyllm.codegen.tokenizers import find_tokenizer, read_tokenizer
from tinyllm.codegen.verify.verify import verify
from tinyllm.errors import UserError

try:
    import torch
    import transformers
except ImportError:
    torch = transformers = None

VOCAB_SIZE = 512
SIZES = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.3, 1.6],
    "long_factor": [1.2, 2.0, 3.5, 6.0],
    "original_max_position_embeddings": 24,
    "rope_theta": 10000.0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 500.0,
}
MIXED = ["sliding_attention", "full_attention"]


@dataclass(frozen=True)
class Case:
    """A transformers configuration: SIZES with `changes`; `context` positions are asked for, `length` compared."""

    config: str
    changes: dict[str, Any] = field(default_factory=dict)
    context: int | None = None
    length: int = 48


CASES = {
    "llama": Case("LlamaConfig"),
    "llama, tied": Case("LlamaConfig", {"tie_word_embeddings": True}),
    "llama, TinyLlama's eps and heads": Case("LlamaConfig", {"rms_norm_eps": 1e-5, "num_key_value_heads": 1}),
    "llama, grouped queries and linear rope": Case(
        "LlamaConfig",
        {
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
        },
    ),
    "llama, wide heads and biases": Case("LlamaConfig", {"head_dim": 12, "attention_bias": True}),
    "llama, llama3 rope": Case("LlamaConfig", {"rope_parameters": LLAMA3, "head_dim": 16}),
    "llama, linear rope": Case(
        "LlamaConfig", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}
    ),
    "mistral": Case("MistralConfig", {"sliding_window": None}),
    "mistral, at the window's edge": Case("MistralConfig", {"sliding_window": 48}),
    "mistral, beyond the window": Case("MistralConfig", {"sliding_window": 20}, length=60),
    "mistral, window on some layers": Case(
        "MinistralConfig", {"head_dim": 8, "sliding_window": 20, "layer_types": MIXED}, length=60
    ),
    "qwen2": Case("Qwen2Config", {"tie_word_embeddings": True, "rope_theta": 1000000.0}),
    "qwen2, window on later layers": Case(
        "Qwen2Config", {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1}, length=60
    ),
    "qwen2, window on the layers it names": Case(
        "Qwen2Config", {"use_sliding_window": True, "sliding_window": 20, "layer_types": MIXED}, length=60
    ),
    "phi3": Case("Phi3Config", {"original_max_position_embeddings": 64}),
    "phi3, beyond the window": Case(
        "Phi3Config", {"sliding_window": 20, "original_max_position_embeddings": 64}, length=60
    ),
    "phi3, partial rotary": Case(
        "Phi3Config",
        {"partial_rotary_factor": 0.75, "num_attention_heads": 2, "original_max_position_embeddings": 64},
    ),
    "phi3, longrope, short": Case(
        "Phi3Config", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 24}, length=24
    ),
    "phi3, longrope, long": Case(
        "Phi3Config", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 24}, context=64, length=60
    ),
    "phi3, longrope, long, beyond the window": Case(
        "Phi3Config",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 24, "sliding_window": 30},
        context=64,
        length=60,
    ),
    "phi3, longrope and partial rotary, long": Case(
        "Phi3Config",
        {
            "rope_parameters": LONGROPE,
            "original_max_position_embeddings": 24,
            "num_attention_heads": 2,
            "partial_rotary_factor": 0.5,
            "sliding_window": 64,
        },
        context=64,
        length=60,
    ),
}


@pytest.fixture(scope="module", autouse=True)
def peers() -> None:
    if transformers is None:
        skip_unless_ci("the extra `peers` (torch and transformers) is not installed")


def random_peer(case: Case) -> Any:
    """A model of transformers with weights that make every part matter: norms and biases are not what they start as."""
    config = getattr(transformers, case.config)(**(deepcopy(SIZES | case.changes)))
    torch.manual_seed(len(case.config))
    peer = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, tensor in peer.named_parameters():
            if "norm" in name:
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.5)
    return peer


def random_tokens(length: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, VOCAB_SIZE, length)


def peer_logits(peer: Any, tokens: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return peer(torch.tensor(tokens)[None], use_cache=False).logits[0].numpy()


def assert_same_logits(model: Model, peer: Any, tokens: np.ndarray) -> None:
    np.testing.assert_allclose(FloatForward(model).forward(tokens), peer_logits(peer, tokens), rtol=0, atol=1e-4)


def write_peer(case: Case, folder: Path) -> Any:
    """The folder that transformers writes of a random model, and the model."""
    peer = random_peer(case)
    peer.save_pretrained(folder)
    if case.config == "MinistralConfig":
        # What transformers reads as a ministral too.
        fields = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(fields | {"model_type": "mistral"}))
    return peer


CONFIGS = {"llama": "LlamaConfig", "phi3": "Phi3Config", "qwen2": "Qwen2Config", "mistral": "MistralConfig"}
OTHER_VALUES = {
    "vocab_size": 512,
    "hidden_size": 1024,
    "intermediate_size": 96,
    "num_hidden_layers": 40,
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 6000,
    "rms_norm_eps": 1e-3,
    "tie_word_embeddings": True,
    "rope_theta": 500.0,
    "attention_bias": True,
    "use_sliding_window": True,
    "sliding_window": 100,
    "max_window_layers": 3,
    "partial_rotary_factor": 1.0,
    "original_max_position_embeddings": 4096,
}
"""For every field that a reader takes from config.json another value than any default; no family has all of them."""


def as_transformers_reads(folder: Path) -> ModelConfig:
    """The dimensions and switches that transformers takes from the config.json of a folder."""
    config = transformers.AutoConfig.from_pretrained(folder)
    heads, layers = config.num_attention_heads, config.num_hidden_layers
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * layers
    windows = tuple(window if kind == "sliding_attention" else None for kind in kinds)
    return ModelConfig(
        name=folder.name,
        family=config.model_type,
        dim=config.hidden_size,
        hidden_dim=config.intermediate_size,
        n_heads=heads,
        n_kv_heads=config.num_key_value_heads,
        head_dim=head_dim,
        vocab_size=config.vocab_size,
        context=config.max_position_embeddings,
        schedule=tuple(range(layers)),
        rope=Rope(config.rope_parameters["rope_theta"], "half", head_dim),
        norm_epsilon=config.rms_norm_eps,
        tied_head=config.tie_word_embeddings,
        windows=windows if any(windows) else (),
    )


@pytest.mark.parametrize("model_type", CONFIGS)
def test_what_config_json_leaves_out_is_as_transformers_has_it(model_type: str, tmp_path: Path) -> None:
    """Each field alone, all of them, and none."""
    known = {*getattr(transformers, CONFIGS[model_type])().to_dict(), "rope_theta"} - {"layer_types"}
    given = {field: value for field, value in OTHER_VALUES.items() if field in known}
    kept = [{}, given, *({field: value} for field, value in given.items())]
    kept += [{field: value for field, value in given.items() if field != absent} for absent in given]
    for fields in kept:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type} | fields))
        assert read_configuration(tmp_path).config == as_transformers_reads(tmp_path), fields


@pytest.mark.parametrize("model_type", CONFIGS)
def test_every_default_of_ours_is_one_of_transformers(model_type: str) -> None:
    theirs = getattr(transformers, CONFIGS[model_type])
    for key, value in FAMILIES[model_type].defaults.items():
        if key in ("rope_theta", "partial_rotary_factor"):
            assert theirs().rope_parameters[key] == value, key
        elif key in inspect.signature(theirs).parameters:
            assert inspect.signature(theirs).parameters[key].default == value, key
        else:
            # A field of a llama that this family's configuration does not have.
            assert value in (None, False), key


@pytest.mark.parametrize("name", CASES)
def test_a_folder_that_transformers_wrote_gives_its_logits(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    peer = write_peer(case, tmp_path / "tiny")
    model = read_model(tmp_path / "tiny", context=case.context)
    assert model.config.context >= case.length
    assert_same_logits(model, peer, random_tokens(case.length))


def test_longrope_changes_with_the_length_of_the_sequence_as_the_context_decides(tmp_path: Path) -> None:
    """Guards the cases above: neither set of factors gives the logits of the other."""
    peer = random_peer(CASES["phi3, longrope, long"])
    peer.save_pretrained(tmp_path / "tiny")
    short, long = (FloatForward(read_model(tmp_path / "tiny", context=context)) for context in (24, 25))
    tokens = random_tokens(30)
    expected = peer_logits(peer, tokens)
    assert np.abs(long.forward(tokens) - expected).max() < 1e-4
    assert np.abs(short.forward(tokens) - expected).max() > 1e-2
    assert np.abs(short.forward(tokens[:24]) - peer_logits(peer, tokens[:24])).max() < 1e-4


BEYOND = [name for name, case in CASES.items() if (case.changes.get("sliding_window") or 64) < case.length]


def test_every_model_type_that_has_windows_is_compared_beyond_them() -> None:
    assert {CASES[name].config for name in BEYOND} >= {"MistralConfig", "Phi3Config", "Qwen2Config"}


@pytest.mark.parametrize("name", BEYOND)
def test_a_window_equals_full_attention_up_to_its_size_and_not_beyond(name: str, tmp_path: Path) -> None:
    """Guards the cases above: without the window the logits would be others."""
    case = CASES[name]
    window = case.changes["sliding_window"]
    peer = write_peer(case, tmp_path / "tiny")
    model = read_model(tmp_path / "tiny", context=case.context)
    assert set(model.config.windows) <= {window, None}
    model.config = replace(model.config, windows=())
    tokens = random_tokens(case.length)
    difference = np.abs(FloatForward(model).forward(tokens) - peer_logits(peer, tokens)).max(axis=1)
    assert difference[:window].max() < 1e-4
    assert difference[window + 1 :].min() > 1e-3


def write_mobilellm(folder: Path, *, github: bool) -> Any:
    """A folder as MobileLLM's is, blocks to be run twice and no head; and its peer: a Llama that stores every pass."""
    stored = random_peer(Case("LlamaConfig", {"rms_norm_eps": 1e-5}))
    del stored.lm_head
    stored.save_pretrained(folder)
    fields = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": False}
    if not github:
        fields |= {"model_type": "mobilellm", "share_embedding": True, "layer_sharing": True}
    (folder / "config.json").write_text(json.dumps(fields))

    passes = 2 * SIZES["num_hidden_layers"]
    config = transformers.LlamaConfig(**SIZES | {"rms_norm_eps": 1e-5, "num_hidden_layers": passes})
    peer = transformers.LlamaForCausalLM(config).eval()
    for layer in range(passes):
        peer.model.layers[layer].load_state_dict(stored.model.layers[layer // 2].state_dict())
    peer.model.norm.load_state_dict(stored.model.norm.state_dict())
    for embedding in (peer.model.embed_tokens, peer.lm_head):
        embedding.weight.data = stored.model.embed_tokens.weight.data
    return peer


def test_mobilellm_runs_every_block_twice_and_shares_its_embedding(tmp_path: Path) -> None:
    peer = write_mobilellm(tmp_path / "tiny", github=False)
    model = read_model(tmp_path / "tiny")
    assert (model.config.family, model.config.schedule, model.config.tied_head) == ("mobilellm", (0, 0, 1, 1), True)
    assert_same_logits(model, peer, random_tokens(40))


def test_the_github_form_of_mobilellm_takes_its_switches_as_options(tmp_path: Path) -> None:
    peer = write_mobilellm(tmp_path / "tiny", github=True)
    assert_same_logits(read_model(tmp_path / "tiny", share_embedding=True, layer_sharing=True), peer, random_tokens(40))
    with pytest.raises(UserError, match=r"lm_head.weight is missing.*share_embedding"):
        read_model(tmp_path / "tiny")


def as_bin(peer: Any, folder: Path) -> None:
    """As parameters, which pickle otherwise than plain tensors."""
    torch.save(dict(peer.named_parameters()), folder / "pytorch_model.bin")


def as_bin_shards(peer: Any, folder: Path) -> None:
    state = peer.state_dict()
    weight_map = {name: f"pytorch_model-0000{1 + number % 3}-of-00003.bin" for number, name in enumerate(state)}
    for shard in set(weight_map.values()):
        torch.save({name: state[name] for name in state if weight_map[name] == shard}, folder / shard)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def as_shards(peer: Any, folder: Path) -> None:
    peer.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("write", [as_bin, as_bin_shards, as_shards], ids=["bin", "bin shards", "safetensors shards"])
def test_every_form_of_the_weights_is_read_to_the_bit(
    write: Callable[[Any, Path], None], dtype: str, tmp_path: Path
) -> None:
    peer = random_peer(CASES["llama, tied"]).to(getattr(torch, dtype))
    peer.save_pretrained(tmp_path / "tiny")
    (tmp_path / "tiny/model.safetensors").unlink()
    write(peer, tmp_path / "tiny")
    model = read_model(tmp_path / "tiny")
    state = {name: tensor.float().numpy() for name, tensor in peer.state_dict().items()}
    np.testing.assert_array_equal(model.embedding, state["model.embed_tokens.weight"])
    for number, block in enumerate(model.blocks):
        np.testing.assert_array_equal(block.wk, state[f"model.layers.{number}.self_attn.k_proj.weight"])
        np.testing.assert_array_equal(block.w_down, state[f"model.layers.{number}.mlp.down_proj.weight"])
        np.testing.assert_array_equal(block.ffn_norm, state[f"model.layers.{number}.post_attention_layernorm.weight"])


def test_a_transposed_tensor_and_one_within_a_larger_storage_are_read_where_they_lie(tmp_path: Path) -> None:
    peer = random_peer(CASES["llama"])
    peer.save_pretrained(tmp_path / "tiny")
    expected = read_model(tmp_path / "tiny")
    (tmp_path / "tiny/model.safetensors").unlink()
    state = peer.state_dict()
    for name, tensor in state.items():
        if name.endswith("up_proj.weight"):
            state[name] = tensor.t().contiguous().t()
        elif name.endswith("q_proj.weight"):
            state[name] = torch.cat([torch.zeros(3, 32), tensor, torch.ones(2, 32)])[3:-2]
    torch.save(state, tmp_path / "tiny/pytorch_model.bin")
    for found, block in zip(read_model(tmp_path / "tiny").blocks, expected.blocks, strict=True):
        np.testing.assert_array_equal(found.w_up, block.w_up)
        np.testing.assert_array_equal(found.wq, block.wq)


@pytest.mark.parametrize("name", [*CASES, "mobilellm"])
def test_every_model_type_runs_bit_exact_from_reference_to_c(name: str, tmp_path: Path) -> None:
    """As far as the logits are compared above: beyond the window, and beyond longrope's switch."""
    if name == "mobilellm":
        write_mobilellm(tmp_path / "tiny", github=False)
        model, length = read_model(tmp_path / "tiny"), 48
    else:
        case = CASES[name]
        write_peer(case, tmp_path / "tiny")
        model, length = read_model(tmp_path / "tiny", context=case.context), case.length
    tokenizer = read_tokenizer(find_tokenizer(STORY_MODEL, VOCAB_SIZE))
    for verdict in verify(quantize(model), tokenizer, temperatures=(0.8,), positions=length):
        assert str(verdict) == f"bit-exact: {length}/{length} positions", verdict.difference
