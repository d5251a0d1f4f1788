"""Tiny random models, and writers of every checkpoint format that is read."""

from __future__ import annotations

import json
import struct
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tinyllm.codegen.arithmetic.float_model import F32, Block, Model, ModelConfig, Rope

CONFIG = ModelConfig(
    name="tiny",
    family="llama",
    dim=8,
    hidden_dim=12,
    n_heads=4,
    n_kv_heads=2,
    head_dim=2,
    vocab_size=10,
    context=6,
    schedule=(0, 1),
    rope=Rope(base=10000.0, pairing="interleaved", rotary_dim=2),
)

HF_NAMES = {
    "attn_norm": "input_layernorm.weight",
    "wq": "self_attn.q_proj.weight",
    "wk": "self_attn.k_proj.weight",
    "wv": "self_attn.v_proj.weight",
    "wo": "self_attn.o_proj.weight",
    "bq": "self_attn.q_proj.bias",
    "bk": "self_attn.k_proj.bias",
    "bv": "self_attn.v_proj.bias",
    "bo": "self_attn.o_proj.bias",
    "ffn_norm": "post_attention_layernorm.weight",
    "w_gate": "mlp.gate_proj.weight",
    "w_up": "mlp.up_proj.weight",
    "w_down": "mlp.down_proj.weight",
}


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    """Any small config that llama2.c's formats can hold."""
    n_kv_heads = draw(st.integers(1, 3))
    n_heads = n_kv_heads * draw(st.integers(1, 3))
    head_dim = draw(st.sampled_from([2, 4, 6]))
    return ModelConfig(
        name="tiny",
        family="llama",
        dim=n_heads * head_dim,
        hidden_dim=draw(st.integers(1, 9)),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        vocab_size=draw(st.integers(1, 9)),
        context=draw(st.integers(1, 9)),
        schedule=tuple(range(draw(st.integers(1, 3)))),
        rope=Rope(base=10000.0, pairing="interleaved", rotary_dim=head_dim),
        tied_head=draw(st.booleans()),
    )


def random_model(config: ModelConfig = CONFIG, *, biases: bool = False, seed: int = 0) -> Model:
    """Weights from a normal distribution, float32."""
    generator = np.random.default_rng(seed)

    def tensor(*shape: int) -> F32:
        return generator.standard_normal(shape).astype(np.float32)

    dim, hidden_dim, q_dim, kv_dim = config.dim, config.hidden_dim, config.q_dim, config.kv_dim
    blocks = [
        Block(
            attn_norm=tensor(dim),
            wq=tensor(q_dim, dim),
            wk=tensor(kv_dim, dim),
            wv=tensor(kv_dim, dim),
            wo=tensor(dim, q_dim),
            ffn_norm=tensor(dim),
            w_gate=tensor(hidden_dim, dim),
            w_up=tensor(hidden_dim, dim),
            w_down=tensor(dim, hidden_dim),
            bq=tensor(q_dim) if biases else None,
            bk=tensor(kv_dim) if biases else None,
            bv=tensor(kv_dim) if biases else None,
            bo=tensor(dim) if biases else None,
        )
        for _ in range(len(set(config.schedule)))
    ]
    head = None if config.tied_head else tensor(config.vocab_size, dim)
    return Model(config, tensor(config.vocab_size, dim), blocks, tensor(dim), head)


def assert_same_model(found: Model, expected: Model) -> None:
    """Equal configs, and tensors equal to the bit."""
    assert found.config == expected.config
    assert len(found.blocks) == len(expected.blocks)
    for ours, theirs in zip([found, *found.blocks], [expected, *expected.blocks], strict=True):
        for field, tensor in vars(theirs).items():
            if field in ("config", "blocks"):
                continue
            read = getattr(ours, field)
            assert (read is None) == (tensor is None), field
            if tensor is not None:
                assert read.dtype == np.float32
                np.testing.assert_array_equal(read, tensor, err_msg=field)


def _dimensions(config: ModelConfig, vocab_size: int) -> list[int]:
    return [
        config.dim,
        config.hidden_dim,
        config.n_layers,
        config.n_heads,
        config.n_kv_heads,
        vocab_size,
        config.context,
    ]


def rotary_tables(frequencies: NDArray[np.float64], positions: int) -> F32:
    """(2, positions, pairs): cosines and sines, computed in float32 as llama2.c's model.py does."""
    angles = np.outer(np.arange(positions, dtype=np.float32), frequencies.astype(np.float32))
    return np.stack([np.cos(angles), np.sin(angles)])


def legacy_bytes(model: Model, tables: F32 | None = None) -> bytes:
    """llama2.c's first format; `tables` in place of the rotary tables that the config asks for."""
    config, blocks = model.config, model.blocks
    tensors = [model.embedding]
    for field in ("attn_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w_gate", "w_down", "w_up"):
        tensors += [getattr(block, field) for block in blocks]
    tensors.append(model.final_norm)
    tensors.append(rotary_tables(config.rope.frequencies(), config.context) if tables is None else tables)
    tensors += [] if model.head is None else [model.head]
    vocab_size = config.vocab_size if config.tied_head else -config.vocab_size
    return struct.pack("<7i", *_dimensions(config, vocab_size)) + b"".join(tensor.tobytes() for tensor in tensors)


def rotating_neighbours(model: Model) -> Model:
    """The same model with llama2.c's rotary pairing: rows of q and k whose neighbours rotate together."""

    def reordered(rows: F32) -> F32:
        halves = rows.reshape(-1, 2, config.head_dim // 2, rows.shape[1])
        return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))

    config = model.config
    blocks = [replace(block, wq=reordered(block.wq), wk=reordered(block.wk)) for block in model.blocks]
    return replace(model, config=replace(config, rope=replace(config.rope, pairing="interleaved")), blocks=blocks)


def versioned_header(model: Model, version: int, group_size: int = 0) -> bytes:
    """The 256 bytes before the weights of versions 1 and 2."""
    config = model.config
    numbers = struct.pack("<I8i", 0x616B3432, version, *_dimensions(config, config.vocab_size))
    flags = struct.pack("<B", config.tied_head) + (struct.pack("<i", group_size) if version == 2 else b"")
    return (numbers + flags).ljust(256, b"\0")


def _norms(model: Model) -> list[F32]:
    return [
        *(block.attn_norm for block in model.blocks),
        *(block.ffn_norm for block in model.blocks),
        model.final_norm,
    ]


def _matrices(model: Model) -> list[F32]:
    matrices = [model.embedding]
    for field in ("wq", "wk", "wv", "wo", "w_gate", "w_down", "w_up"):
        matrices += [getattr(block, field) for block in model.blocks]
    return matrices if model.head is None else [*matrices, model.head]


def v1_bytes(model: Model) -> bytes:
    """llama2.c's version 1."""
    tensors = _norms(model) + _matrices(model)
    return versioned_header(model, 1) + b"".join(tensor.tobytes() for tensor in tensors)


def v2_bytes(model: Model, group_size: int) -> tuple[bytes, Model]:
    """llama2.c's version 2, and the model it stands for: every matrix is its int8 values times their scales."""
    data = versioned_header(model, 2, group_size) + b"".join(norm.tobytes() for norm in _norms(model))
    dequantized = deepcopy(model)
    for matrix in _matrices(dequantized):
        groups = matrix.reshape(-1, group_size)
        scales = np.abs(groups).max(axis=1) / np.float32(127)
        values = np.rint(groups / scales[:, None]).astype(np.int8)
        data += values.tobytes() + scales.tobytes()
        for group, row in enumerate(groups):
            for column in range(group_size):
                row[column] = np.float32(values[group, column]) * scales[group]
    return data, dequantized


def write_huggingface(folder: Path, model: Model, dtype: type = np.float32, **overrides: Any) -> Path:
    """A Hugging Face llama folder; `overrides` replace fields of config.json (None removes one)."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    fields = {
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope.base,
        "rope_scaling": None,
        "tie_word_embeddings": config.tied_head,
    } | overrides
    (folder / "config.json").write_text(json.dumps(fields))
    save_file(huggingface_tensors(model, dtype), folder / "model.safetensors")
    return folder


def huggingface_tensors(model: Model, dtype: type = np.float32) -> dict[str, Any]:
    """Every tensor under its Hugging Face name."""
    tensors = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.final_norm}
    if model.head is not None:
        tensors["lm_head.weight"] = model.head
    for layer, block in enumerate(model.blocks):
        for field, tensor in vars(block).items():
            if tensor is not None:
                tensors[f"model.layers.{layer}.{HF_NAMES[field]}"] = tensor
    return {name: tensor.astype(dtype) for name, tensor in tensors.items()}


def half_paired(config: ModelConfig) -> ModelConfig:
    """The same config with the rotary pairing of Hugging Face."""
    return replace(config, rope=replace(config.rope, pairing="half"))
