"""Reads GGUF models of the architectures llama, phi3 and qwen2, as llama.cpp's converters write them.

Tensor names: gguf-py/gguf/constants.py of github.com/ggml-org/llama.cpp. docs/gguf.md says what is read and what is
trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinyllm.codegen.arithmetic.float_model import F32, Block, Model, ModelConfig
from tinyllm.codegen.checkpoints.facts import CheckpointFacts, TensorFacts, common_features, part_of
from tinyllm.codegen.checkpoints.gguf.config import FACTOR_TENSORS, read_config, warn
from tinyllm.codegen.checkpoints.gguf.file import Gguf, open_gguf
from tinyllm.codegen.checkpoints.gguf.tensors import StoredTensor, decode_tensor, read_tensor_table, require_tensor
from tinyllm.errors import UserError

HEAD = "output.weight"

# Name of a block's tensor -> the fields of Block whose rows it holds, one field after the other.
Tensors = dict[str, tuple[str, ...]]
COMMON: Tensors = {
    "attn_norm.weight": ("attn_norm",),
    "attn_output.weight": ("wo",),
    "ffn_norm.weight": ("ffn_norm",),
    "ffn_down.weight": ("w_down",),
}
SEPARATE: Tensors = {
    "attn_q.weight": ("wq",),
    "attn_k.weight": ("wk",),
    "attn_v.weight": ("wv",),
    "ffn_gate.weight": ("w_gate",),
    "ffn_up.weight": ("w_up",),
}
FUSED: Tensors = {"attn_qkv.weight": ("wq", "wk", "wv"), "ffn_up.weight": ("w_gate", "w_up")}
QKV_BIASES: Tensors = {"attn_q.bias": ("bq",), "attn_k.bias": ("bk",), "attn_v.bias": ("bv",)}
OUTPUT_BIAS: Tensors = {"attn_output.bias": ("bo",)}

# Architecture -> the tensors that a block must have, and those that it may have.
BLOCK_TENSORS: dict[str, tuple[Tensors, Tensors]] = {
    "llama": (COMMON | SEPARATE, QKV_BIASES | OUTPUT_BIAS),
    "phi3": (COMMON | FUSED, {}),
    "qwen2": (COMMON | SEPARATE | QKV_BIASES, OUTPUT_BIAS),
}


@dataclass(frozen=True)
class Placed:
    """A tensor of the model.

    fields: the fields of Model, or of block number `block`, whose rows it holds. heights: the rows of each field.
    """

    stored: StoredTensor
    fields: tuple[str, ...]
    heights: tuple[int, ...]
    block: int | None = None


def read_gguf(path: Path, *, context: int | None = None) -> Model:
    """The model in the GGUF file at `path`, with every weight as float32. Tensors are read one at a time.

    context: positions the build will use, which decides between the two sets of longrope factors; None chooses the
        short ones. The result's config.context is the number of positions for which they are right.

    Warns (CheckpointWarning) if the context length is missing or absurd, if vocab_size is not the embedding's, or if a
    tied head is stored as a tensor of its own. Raises UserError, naming the file and the field, for anything else that
    is missing, damaged or not supported.
    """
    gguf, config, placed, _ = _layout(path, context)
    model = Model(config, np.zeros(0, np.float32))
    blocks: list[dict[str, F32]] = [{} for _ in config.schedule]
    for tensor in placed:
        values = decode_tensor(gguf, tensor.stored)
        target = vars(model) if tensor.block is None else blocks[tensor.block]
        row = 0
        for field, height in zip(tensor.fields, tensor.heights, strict=True):
            target[field] = values[row : row + height]
            row += height
    model.blocks = [Block(**tensors) for tensors in blocks]
    if model.head is not None and np.array_equal(model.head, model.embedding):
        warn(gguf, f"{HEAD} repeats token_embd.weight; it is taken for a tied head and stored once")
        model.head = None
        model.config = replace(config, tied_head=True)
    return model


def inspect_gguf(path: Path, *, context: int | None = None) -> CheckpointFacts:
    """The facts of the model; no weight is read. `context`, warnings and errors are those of read_gguf."""
    _, config, placed, features = _layout(path, context)
    tensors = [
        TensorFacts(
            tensor.stored.name,
            tensor.stored.shape,
            tensor.stored.kind.name,
            tensor.stored.n_bytes,
            part_of(tensor.fields[0]),
        )
        for tensor in placed
    ]
    types = " and ".join(sorted({tensor.dtype for tensor in tensors}))
    return CheckpointFacts(config, tensors, [*common_features(config), *features, f"weights as {types}"])


def _layout(path: Path, context: int | None) -> tuple[Gguf, ModelConfig, list[Placed], list[str]]:
    """The file, the config, every tensor of the model, and the model's unusual features in words."""
    gguf = open_gguf(path)
    stored = read_tensor_table(gguf)
    config, features = read_config(gguf, stored, context)
    placed = list(_placed(gguf, stored, config))
    unknown = stored.keys() - {tensor.stored.name for tensor in placed} - {*FACTOR_TENSORS}
    if unknown:
        raise UserError(
            f"{path}: tensor {min(unknown)} is none that a {config.family} with these metadata has"
            f" ({len(unknown)} such); choose another model"
        )
    biased = sorted({field for tensor in placed for field in tensor.fields if field in ("bq", "bk", "bv", "bo")})
    if biased:
        features.append(f"biases on {', '.join(field[1] for field in biased)}")
    return gguf, config, placed, features


def _placed(gguf: Gguf, stored: dict[str, StoredTensor], config: ModelConfig) -> Iterator[Placed]:
    """Every tensor of the model, with its shape checked."""
    dim, hidden_dim, q_dim, kv_dim = config.dim, config.hidden_dim, config.q_dim, config.kv_dim
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (config.vocab_size, dim),
        "head": (config.vocab_size, dim),
        "final_norm": (dim,),
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

    def place(name: str, fields: tuple[str, ...], block: int | None = None) -> Placed:
        tensor = require_tensor(gguf, stored, name)
        heights = tuple(shapes[field][0] for field in fields)
        shape = (sum(heights), *shapes[fields[0]][1:])
        if tensor.shape != shape:
            raise UserError(
                f"{gguf.path}: tensor {name} has shape {tensor.shape}, the metadata ask for {shape};"
                " download or convert the file again"
            )
        return Placed(tensor, fields, heights, block)

    yield place("token_embd.weight", ("embedding",))
    yield place("output_norm.weight", ("final_norm",))
    if not config.tied_head:
        yield place(HEAD, ("head",))
    needed, allowed = BLOCK_TENSORS[config.family]
    for block in range(config.n_layers):
        for suffix, fields in (needed | allowed).items():
            name = f"blk.{block}.{suffix}"
            if suffix in needed or name in stored:
                yield place(name, fields, block)
