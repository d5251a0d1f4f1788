"""The supported model types, and the tensors that a folder of each type holds.

Defaults are those of transformers' configuration classes (4.57 and 5.24 agree), and names are those of its modelling
code. MobileLLM follows github.com/facebookresearch/MobileLLM and its folders on the hub, where the configuration class
lies beside the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tinyllm.codegen.arithmetic.float_model import ModelConfig


@dataclass(frozen=True)
class Family:
    """What one model_type does differently.

    defaults: the values of fields that config.json leaves out. A field that is null keeps null.
    biases: bias fields of Block that every model has. optional_biases: those of a model whose `attention_bias` is true.
    fused: q, k and v are one matrix, gate and up another. partial_rotary: whether part of a head may stay unrotated.
    windows: the layers that `sliding_window` limits if there is no `layer_types`. "late": those from
    `max_window_layers` on, and only if `use_sliding_window` is true.
    """

    defaults: dict[str, Any]
    biases: tuple[str, ...] = ()
    optional_biases: tuple[str, ...] = ()
    fused: bool = False
    partial_rotary: bool = False
    windows: Literal["none", "all", "late"] = "none"


COMMON_DEFAULTS: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
}
"""The defaults of a llama.

Without num_key_value_heads there are num_attention_heads of them. Without head_dim it is hidden_size over
num_attention_heads.
"""

FAMILIES = {
    "llama": Family(COMMON_DEFAULTS, optional_biases=("bq", "bk", "bv", "bo")),
    "mobilellm": Family(
        COMMON_DEFAULTS
        | {
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "rms_norm_eps": 1e-5,
            "share_embedding": True,
            "layer_sharing": False,
        },
        optional_biases=("bq", "bk", "bv", "bo"),
    ),
    "phi3": Family(
        COMMON_DEFAULTS
        | {
            "vocab_size": 32064,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "max_position_embeddings": 4096,
            "original_max_position_embeddings": 4096,
            "partial_rotary_factor": 1.0,
            "rms_norm_eps": 1e-5,
            "sliding_window": None,
        },
        fused=True,
        partial_rotary=True,
        windows="all",
    ),
    "qwen2": Family(
        COMMON_DEFAULTS
        | {
            "vocab_size": 151936,
            "intermediate_size": 22016,
            "num_key_value_heads": 32,
            "max_position_embeddings": 32768,
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 28,
        },
        biases=("bq", "bk", "bv"),
        windows="late",
    ),
    "mistral": Family(
        COMMON_DEFAULTS
        | {
            "intermediate_size": 14336,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
            "sliding_window": 4096,
        },
        windows="all",
    ),
}

BLOCK_TENSORS = {
    "input_layernorm.weight": ("attn_norm",),
    "self_attn.q_proj.weight": ("wq",),
    "self_attn.k_proj.weight": ("wk",),
    "self_attn.v_proj.weight": ("wv",),
    "self_attn.o_proj.weight": ("wo",),
    "post_attention_layernorm.weight": ("ffn_norm",),
    "mlp.gate_proj.weight": ("w_gate",),
    "mlp.up_proj.weight": ("w_up",),
    "mlp.down_proj.weight": ("w_down",),
}
FUSED_BLOCK_TENSORS = {
    "input_layernorm.weight": ("attn_norm",),
    "self_attn.qkv_proj.weight": ("wq", "wk", "wv"),
    "self_attn.o_proj.weight": ("wo",),
    "post_attention_layernorm.weight": ("ffn_norm",),
    "mlp.gate_up_proj.weight": ("w_gate", "w_up"),
    "mlp.down_proj.weight": ("w_down",),
}
BIAS_TENSORS = {
    "bq": "self_attn.q_proj.bias",
    "bk": "self_attn.k_proj.bias",
    "bv": "self_attn.v_proj.bias",
    "bo": "self_attn.o_proj.bias",
}
HEAD = "lm_head.weight"


@dataclass(frozen=True)
class ExpectedTensor:
    """A tensor that a folder must hold.

    parts: each field of Model, or of block number `block`, whose rows it holds one after the other, and the number of
    rows.
    """

    name: str
    shape: tuple[int, ...]
    parts: tuple[tuple[str, int], ...]
    block: int | None = None


def expected_tensors(config: ModelConfig, family: Family, biases: tuple[str, ...]) -> Iterator[ExpectedTensor]:
    """Every tensor of a model with this config; those outside the blocks come first."""
    dim, vocab_size = config.dim, config.vocab_size
    rows = {
        "attn_norm": dim,
        "wq": config.q_dim,
        "wk": config.kv_dim,
        "wv": config.kv_dim,
        "wo": dim,
        "ffn_norm": dim,
        "w_gate": config.hidden_dim,
        "w_up": config.hidden_dim,
        "w_down": dim,
        "bq": config.q_dim,
        "bk": config.kv_dim,
        "bv": config.kv_dim,
        "bo": dim,
    }
    columns = {"wo": config.q_dim, "w_down": config.hidden_dim}
    vectors = {"attn_norm", "ffn_norm", *BIAS_TENSORS}

    yield ExpectedTensor("model.embed_tokens.weight", (vocab_size, dim), (("embedding", vocab_size),))
    yield ExpectedTensor("model.norm.weight", (dim,), (("final_norm", dim),))
    if not config.tied_head:
        yield ExpectedTensor(HEAD, (vocab_size, dim), (("head", vocab_size),))
    tensors = FUSED_BLOCK_TENSORS if family.fused else BLOCK_TENSORS
    tensors = tensors | {BIAS_TENSORS[bias]: (bias,) for bias in biases}
    for block in range(len(set(config.schedule))):
        for name, fields in tensors.items():
            parts = tuple((field, rows[field]) for field in fields)
            total = sum(count for _, count in parts)
            shape = (total,) if fields[0] in vectors else (total, columns.get(fields[0], dim))
            yield ExpectedTensor(f"model.layers.{block}.{name}", shape, parts, block)
