"""Writers of GGUF files: honest ones through the gguf package, hostile ones byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from sentencepiece import SentencePieceProcessor

from tinyllm.codegen.arithmetic.float_model import F32, Model

NAMES = {
    "attn_norm": "attn_norm.weight",
    "wq": "attn_q.weight",
    "wk": "attn_k.weight",
    "wv": "attn_v.weight",
    "wo": "attn_output.weight",
    "bq": "attn_q.bias",
    "bk": "attn_k.bias",
    "bv": "attn_v.bias",
    "bo": "attn_output.bias",
    "ffn_norm": "ffn_norm.weight",
    "w_gate": "ffn_gate.weight",
    "w_up": "ffn_up.weight",
    "w_down": "ffn_down.weight",
}
FUSED = {"attn_qkv.weight": ("wq", "wk", "wv"), "ffn_up.weight": ("w_gate", "w_up")}
TYPES = {
    bool: GGUFValueType.BOOL,
    int: GGUFValueType.UINT32,
    float: GGUFValueType.FLOAT32,
    str: GGUFValueType.STRING,
    list: GGUFValueType.ARRAY,
    bytes: GGUFValueType.ARRAY,
}


def metadata_of(model: Model, architecture: str = "llama") -> dict[str, Any]:
    """What llama.cpp's converter writes of a config."""
    config = model.config
    fields = {
        "context_length": config.context,
        "embedding_length": config.dim,
        "block_count": config.n_layers,
        "feed_forward_length": config.hidden_dim,
        "attention.head_count": config.n_heads,
        "attention.head_count_kv": config.n_kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.norm_epsilon,
        "rope.dimension_count": config.rope.rotary_dim,
        "rope.freq_base": config.rope.base,
        "vocab_size": config.vocab_size,
    }
    return {f"{architecture}.{key}": value for key, value in fields.items()}


def tensors_of(model: Model, architecture: str = "llama") -> dict[str, Any]:
    """Every tensor under its GGUF name, rows as the model has them."""
    tensors = {"token_embd.weight": model.embedding, "output_norm.weight": model.final_norm}
    if model.head is not None:
        tensors["output.weight"] = model.head
    for layer, block in enumerate(model.blocks):
        parts: dict[str, tuple[str, ...]] = {NAMES[field]: (field,) for field in vars(block)}
        if architecture == "phi3":
            parts = {name: fields for name, fields in parts.items() if fields[0] not in ("wq", "wk", "wv", "w_gate")}
            parts |= FUSED
        for name, fields in parts.items():
            values = [getattr(block, field) for field in fields]
            if values[0] is not None:
                tensors[f"blk.{layer}.{name}"] = np.concatenate(values)
    return tensors


def permuted(rows: F32, n_heads: int) -> F32:
    """The rows of a Hugging Face q or k as llama.cpp's converter stores them for the architecture llama."""
    halves = rows.reshape(n_heads, 2, len(rows) // n_heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def write_gguf(path: Path, architecture: str, metadata: dict[str, Any], tensors: dict[str, Any]) -> Path:
    """A file of these; a value of None leaves its key out, a tensor may be (bytes as uint8, type)."""
    writer = GGUFWriter(str(path), architecture)
    for key, value in metadata.items():
        if value is not None:
            writer.add_key_value(key, value, TYPES[type(value)])
    for name, tensor in tensors.items():
        values, kind = tensor if isinstance(tensor, tuple) else (tensor, None)
        writer.add_tensor(name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_model(path: Path, model: Model, architecture: str = "llama", **changes: Any) -> Path:
    """The model as a GGUF file; `changes` name keys after the architecture, with __ for a dot (None removes one)."""
    renamed = {f"{architecture}.{key.replace('__', '.')}": value for key, value in changes.items()}
    return write_gguf(path, architecture, metadata_of(model, architecture) | renamed, tensors_of(model, architecture))


def sentencepiece_metadata(path: Path) -> dict[str, Any]:
    """What llama.cpp's converter writes of a sentencepiece model."""
    pieces = SentencePieceProcessor(model_file=str(path))
    ids = range(pieces.vocab_size())

    def kind(token: int) -> int:
        if pieces.is_unknown(token):
            return 2
        if pieces.is_control(token):
            return 3
        return 6 if pieces.is_byte(token) else 1

    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [pieces.id_to_piece(token) for token in ids],
        "tokenizer.ggml.scores": [pieces.get_score(token) for token in ids],
        "tokenizer.ggml.token_type": [kind(token) for token in ids],
        "tokenizer.ggml.bos_token_id": pieces.bos_id(),
        "tokenizer.ggml.eos_token_id": pieces.eos_id(),
        "tokenizer.ggml.unknown_token_id": pieces.unk_id(),
    }


# The offsets of the float16 scales in the bytes of a block.
SCALES = {
    "Q8_0": (0,),
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
}
PLAIN = {"F32": np.float32, "F16": np.float16}


def random_blocks(kind: GGMLQuantizationType, rows: int, row_bytes: int, block_bytes: int, seed: int = 0) -> Any:
    """Random bytes (rows, row_bytes) of a type, every number they stand for finite."""
    random = np.random.default_rng(seed)
    if kind.name in PLAIN:
        dtype = PLAIN[kind.name]
        values = random.standard_normal((rows, row_bytes // dtype().itemsize)).astype(dtype)
        return values.view(np.uint8)
    if kind.name == "BF16":
        values = random.standard_normal((rows, row_bytes // 2)).astype(np.float32)
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    blocks = random.integers(0, 256, (rows * row_bytes // block_bytes, block_bytes), dtype=np.uint8)
    for offset in SCALES[kind.name]:
        scales = random.standard_normal(len(blocks)).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, row_bytes)


def string(text: bytes) -> bytes:
    """A GGUF string."""
    return struct.pack("<Q", len(text)) + text


def entry(key: bytes, kind: int, value: bytes) -> bytes:
    """A metadata entry."""
    return string(key) + struct.pack("<I", kind) + value


def header(*entries: bytes, tensors: int = 0, count: int | None = None, version: int = 3) -> bytes:
    """The start of a file with these entries, or with another `count` of them."""
    counted = len(entries) if count is None else count
    return b"GGUF" + struct.pack("<IQQ", version, tensors, counted) + b"".join(entries)


def table_entry(name: bytes, dimensions: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    """An entry of the tensor table; dimensions from the innermost."""
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return string(name) + shape + struct.pack("<IQ", kind, offset)
