"""Hugging Face folders: config.json beside model.safetensors, for `model_type` "llama".

Names and defaults are those of transformers' LlamaConfig and LlamaForCausalLM. What the model form cannot express is
refused by name, never ignored.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from tinyllm.boards.errors import UserError
from tinyllm.codegen.checkpoints.checks import (
    require_consistent,
    require_dimension,
    require_even_split,
    require_finite,
)
from tinyllm.codegen.files import file_size, read_json_object
from tinyllm.codegen.model import F32, Block, Model, ModelConfig, Rope

JSON_LIMIT = 16 << 20
DTYPES = ("F32", "F16")
# A buffer that old exports stored along with the weights; it follows from rope_theta.
IGNORED_SUFFIX = ".rotary_emb.inv_freq"

BLOCK_TENSORS = {
    "attn_norm": "input_layernorm.weight",
    "wq": "self_attn.q_proj.weight",
    "wk": "self_attn.k_proj.weight",
    "wv": "self_attn.v_proj.weight",
    "wo": "self_attn.o_proj.weight",
    "ffn_norm": "post_attention_layernorm.weight",
    "w_gate": "mlp.gate_proj.weight",
    "w_up": "mlp.up_proj.weight",
    "w_down": "mlp.down_proj.weight",
}
BLOCK_BIASES = {
    "bq": "self_attn.q_proj.bias",
    "bk": "self_attn.k_proj.bias",
    "bv": "self_attn.v_proj.bias",
    "bo": "self_attn.o_proj.bias",
}


def read_huggingface(folder: Path) -> Model:
    """The model in `folder`, every weight as float32.

    Raises UserError for a missing file or tensor, a wrong shape or dtype, weights that are not finite, another
    model_type, and every option or tensor outside what is read.
    """
    config = read_config(folder)
    path = folder / "model.safetensors"
    if not path.exists():
        raise UserError(f"{folder}: no model.safetensors in it; save the model as one safetensors file")
    file_size(path)
    try:
        with safe_open(str(path), framework="numpy") as file:
            return _read_tensors(path, file, config)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}); download or export it again") from error


def read_config(folder: Path) -> ModelConfig:
    """The dimensions in config.json (and the chat template in tokenizer_config.json, if any), checked."""
    path = folder / "config.json"
    if not path.exists():
        raise UserError(f"{folder}: no config.json in it; give a Hugging Face model folder or a llama2.c .bin file")
    fields = read_json_object(path, JSON_LIMIT)
    for key, readable in (
        ("model_type", ("llama",)),
        ("hidden_act", ("silu", None)),
        ("mlp_bias", (False, None)),
        ("pretraining_tp", (1, None)),
    ):
        if fields.get(key) not in readable:
            raise UserError(
                f"{path}: {key} is {reprlib.repr(fields.get(key))}, expected {readable[0]!r}; choose another model"
            )

    def dimension(key: str, limit: str) -> int:
        return require_dimension(path, key, fields.get(key), limit)

    dim = dimension("hidden_size", "dim")
    n_heads = dimension("num_attention_heads", "n_heads")
    if fields.get("head_dim") is None:
        head_dim = require_even_split(path, "hidden_size", dim, "num_attention_heads", n_heads)
    else:
        head_dim = dimension("head_dim", "head_dim")
    tied_head = fields.get("tie_word_embeddings", False)
    if not isinstance(tied_head, bool):
        raise UserError(
            f"{path}: tie_word_embeddings is {reprlib.repr(tied_head)}, expected true or false; mend the file"
        )
    config = ModelConfig(
        name=folder.resolve().name,
        family="llama",
        dim=dim,
        hidden_dim=dimension("intermediate_size", "hidden_dim"),
        n_heads=n_heads,
        n_kv_heads=dimension("num_key_value_heads", "n_kv_heads") if "num_key_value_heads" in fields else n_heads,
        head_dim=head_dim,
        vocab_size=dimension("vocab_size", "vocab_size"),
        context=dimension("max_position_embeddings", "context"),
        schedule=tuple(range(dimension("num_hidden_layers", "n_layers"))),
        rope=Rope(base=_rope_base(path, fields), pairing="half", rotary_dim=head_dim),
        norm_epsilon=_positive(path, fields, "rms_norm_eps", 1e-6),
        tied_head=tied_head,
        chat_template=_chat_template(folder),
    )
    return require_consistent(path, config)


def _positive(path: Path, fields: dict[str, Any], key: str, default: float) -> float:
    value = fields.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e30:
        raise UserError(f"{path}: {key} is {reprlib.repr(value)}, expected a positive number; mend the file")
    return float(value)


def _rope_base(path: Path, fields: dict[str, Any]) -> float:
    """rope_theta, which stands at the top level or, since transformers 5, in rope_parameters."""
    for key in ("rope_scaling", "rope_parameters"):
        scaling = fields.get(key)
        if scaling is None:
            continue
        if not isinstance(scaling, dict):
            raise UserError(f"{path}: {key} is {reprlib.repr(scaling)}, expected null or an object; mend the file")
        kind = scaling.get("rope_type", scaling.get("type", "default"))
        if kind != "default":
            raise UserError(
                f"{path}: {key} of type {reprlib.repr(kind)} cannot be read, expected 'default'; choose another model"
            )
        if "rope_theta" in scaling:
            return _positive(path, scaling, "rope_theta", 10000.0)
    return _positive(path, fields, "rope_theta", 10000.0)


def _chat_template(folder: Path) -> str | None:
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return None
    template = read_json_object(path, JSON_LIMIT).get("chat_template")
    if template is not None and not isinstance(template, str):
        raise UserError(f"{path}: chat_template is not a string, expected one template; keep the one to be used")
    return template


def expected_shapes(config: ModelConfig) -> Iterator[tuple[str, str, int | None, tuple[int, ...], bool]]:
    """(tensor name, field, block or None, shape, required) of everything a folder with this config may hold."""
    q_dim, kv_dim, dim, hidden_dim = config.q_dim, config.kv_dim, config.dim, config.hidden_dim
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (dim,),
        "wq": (q_dim, dim),
        "wk": (kv_dim, dim),
        "wv": (kv_dim, dim),
        "wo": (dim, q_dim),
        "ffn_norm": (dim,),
        "w_gate": (hidden_dim, dim),
        "w_up": (hidden_dim, dim),
        "w_down": (dim, hidden_dim),
        "bq": (q_dim,),
        "bk": (kv_dim,),
        "bv": (kv_dim,),
        "bo": (dim,),
    }
    yield "model.embed_tokens.weight", "embedding", None, (config.vocab_size, dim), True
    yield "model.norm.weight", "final_norm", None, (dim,), True
    if not config.tied_head:
        yield "lm_head.weight", "head", None, (config.vocab_size, dim), True
    for block in range(config.n_layers):
        for field, suffix in (BLOCK_TENSORS | BLOCK_BIASES).items():
            yield f"model.layers.{block}.{suffix}", field, block, shapes[field], field in BLOCK_TENSORS


def _read_tensors(path: Path, file: Any, config: ModelConfig) -> Model:
    """file: an open safetensors file (`safe_open` has no public type)."""
    unread = {name for name in file.keys() if not name.endswith(IGNORED_SUFFIX)}  # noqa: SIM118 - not a dict
    model = Model(config, np.zeros(0, np.float32))
    stored: list[dict[str, F32]] = [{} for _ in config.schedule]
    for name, field, block, shape, required in expected_shapes(config):
        if name not in unread and not required:
            continue
        if name not in unread:
            raise UserError(f"{path}: tensor {name} is missing, config.json asks for it; download or export it again")
        unread.remove(name)
        tensor = _read_tensor(path, file, name, shape)
        if block is None:
            setattr(model, field, tensor)
        else:
            stored[block][field] = tensor
    if config.tied_head and "lm_head.weight" in unread:
        unread.remove("lm_head.weight")
        if not np.array_equal(_read_tensor(path, file, "lm_head.weight", model.embedding.shape), model.embedding):
            raise UserError(
                f"{path}: lm_head.weight differs from the embedding though config.json ties them;"
                " set tie_word_embeddings to false or export it again"
            )
    if unread:
        raise UserError(
            f"{path}: tensor {min(unread)[:80]!r} is none that a llama model with this config has"
            f" ({len(unread)} such); choose another model"
        )
    model.blocks = [Block(**tensors) for tensors in stored]
    return model


def _read_tensor(path: Path, file: Any, name: str, shape: tuple[int, ...]) -> F32:
    stored = file.get_slice(name)
    if stored.get_dtype() not in DTYPES:
        raise UserError(
            f"{path}: tensor {name} has dtype {stored.get_dtype()}, expected {' or '.join(DTYPES)}; save it as float32"
        )
    if tuple(stored.get_shape()) != shape:
        raise UserError(
            f"{path}: tensor {name} has shape {tuple(stored.get_shape())}, config.json asks for {shape};"
            " download or export it again"
        )
    tensor: F32 = np.asarray(file.get_tensor(name)).astype(np.float32)
    require_finite(path, name, tensor)
    return tensor
