"""Writers of Hugging Face folders in every form that is read, down to the bytes."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.unit.checkpoint_files import CONFIG, half_paired, huggingface_tensors, random_model, write_huggingface
from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig, Rope
from tinyllm.codegen.checkpoints import read_model
from tinyllm.errors import UserError

TINYLLAMA = ModelConfig(
    name="TinyLlama",
    family="llama",
    dim=2048,
    hidden_dim=5632,
    n_heads=32,
    n_kv_heads=4,
    head_dim=64,
    vocab_size=32000,
    context=2048,
    schedule=tuple(range(22)),
    rope=Rope(rotary_dim=64),
    tied_head=False,
)
MOBILELLM_125M = replace(
    TINYLLAMA,
    name="MobileLLM-125M",
    dim=576,
    hidden_dim=1536,
    n_heads=9,
    n_kv_heads=3,
    schedule=tuple(range(30)),
    tied_head=True,
)
HALF = half_paired(CONFIG)
ABSENT = object()


def refusal(path: Path, **options: Any) -> str:
    """What a person is told of the model at `path`: short, and naming it."""
    with pytest.raises(UserError) as caught:
        read_model(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) <= 2
    assert caught.value.exit_code == 2
    return message


def rewrite(folder: Path, tensors: Mapping[str, Any]) -> Path:
    """Put other tensors into the folder."""
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file; ABSENT removes one."""
    fields = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not ABSENT}))


def tensors_of(model_type: str, model: Model) -> dict[str, Any]:
    """The tensors of `model`, which has every bias, as a folder of this type holds them."""
    tensors = huggingface_tensors(model)
    for name in list(tensors):
        if name.endswith(".bias") and (model_type != "qwen2" or "o_proj" in name):
            del tensors[name]
    if model_type == "phi3":
        for layer in range(len(model.blocks)):
            prefix = f"model.layers.{layer}."
            for fused, parts in (
                ("self_attn.qkv_proj", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
                ("mlp.gate_up_proj", ("mlp.gate_proj", "mlp.up_proj")),
            ):
                rows = [tensors.pop(f"{prefix}{part}.weight") for part in parts]
                tensors[f"{prefix}{fused}.weight"] = np.concatenate(rows)
    return tensors


def safetensors_bytes(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def bfloat16_bytes(tensors: Mapping[str, Any]) -> bytes:
    """A safetensors file of the upper halves of float32 tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in tensors.items():
        raw = (tensor.view(np.uint32) >> 16).astype("<u2").tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": offsets}
        data += raw
    return safetensors_bytes(header, data)


def text(value: str) -> bytes:
    """A string as a pickle of protocol 2 has it."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def numbers(*values: int) -> bytes:
    """A tuple of integers as a pickle of protocol 2 has it."""
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


EMPTY_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def pickled_tensor(
    key: str, n_values: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, kind: str = "Float"
) -> bytes:
    """A tensor as torch.save pickles it."""
    storage = b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text(key) + text("cpu")
    storage += b"J" + struct.pack("<i", n_values) + b"tQ"
    arguments = storage + b"J" + struct.pack("<i", offset) + numbers(*shape) + numbers(*strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"\x89" + EMPTY_ORDERED_DICT + b"tR"


def pickled_mapping(values: Mapping[str, bytes]) -> bytes:
    """A state dict as torch.save pickles it, of values pickled already."""
    items = b"".join(text(name) + value for name, value in values.items())
    return b"\x80\x02" + EMPTY_ORDERED_DICT + b"(" + items + b"u."


def archive(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of these entries in the folder "archive"."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        for name, data in entries.items():
            written.writestr(f"archive/{name}", data)
    return file.getvalue()


def torch_entries(tensors: Mapping[str, Any]) -> dict[str, bytes]:
    """The entries of a torch.save archive: the pickle, and a storage for each tensor."""
    kinds = {"float32": "Float", "float16": "Half", "float64": "Double"}
    values, storages = {}, {}
    for number, (name, tensor) in enumerate(tensors.items()):
        strides = tuple(math.prod(tensor.shape[axis + 1 :]) for axis in range(tensor.ndim))
        kind = kinds[str(tensor.dtype)]
        values[name] = pickled_tensor(str(number), tensor.size, tensor.shape, strides, kind=kind)
        storages[f"data/{number}"] = tensor.tobytes()
    return {"data.pkl": pickled_mapping(values), "byteorder": b"little", **storages, "version": b"3\n"}


def write_torch(folder: Path, entries: Mapping[str, bytes] | bytes) -> Path:
    """A folder of HALF whose weights are in pytorch_model.bin."""
    write_huggingface(folder, random_model(HALF))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(entries if isinstance(entries, bytes) else archive(entries))
    return folder


def write_shards(folder: Path, model: Model, n_shards: int, index: Mapping[str, str] | None = None) -> Path:
    """A folder in several safetensors files; `index` replaces entries of its weight_map."""
    write_huggingface(folder, model)
    (folder / "model.safetensors").unlink()
    tensors = huggingface_tensors(model)
    weight_map = {}
    for number in range(n_shards):
        name = f"model-{number + 1:05}-of-{n_shards:05}.safetensors"
        shard = dict(list(tensors.items())[number::n_shards])
        save_file(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    write_index(folder, weight_map | dict(index or {}))
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_sparse(folder: Path, config: ModelConfig, dtype: str, n_shards: int) -> Path:
    """A llama folder of any size whose weights take no room on disk: zeros in sparse files."""
    fields = {
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "tie_word_embeddings": config.tied_head,
    }
    write_huggingface(folder, random_model(HALF), **fields)
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for number in range(n_shards):
        name = f"model-{number + 1:05}-of-{n_shards:05}.safetensors"
        header, end = {}, 0
        for tensor, shape in list(llama_shapes(config).items())[number::n_shards]:
            n_bytes = math.prod(shape) * {"F32": 4, "BF16": 2}[dtype]
            header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + n_bytes]}
            end += n_bytes
            weight_map[tensor] = name
        with (folder / name).open("wb") as file:
            file.write(safetensors_bytes(header))
            file.truncate(file.tell() + end)
    write_index(folder, weight_map)
    return folder


def llama_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of a llama of this size, whose heads together are as wide as the stream."""
    dim, hidden_dim, kv_dim, vocab_size = config.dim, config.hidden_dim, config.kv_dim, config.vocab_size
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocab_size, dim),
        "model.norm.weight": (dim,),
    }
    if not config.tied_head:
        shapes["lm_head.weight"] = (vocab_size, dim)
    for layer in range(config.n_layers):
        for name, shape in {
            "input_layernorm": (dim,),
            "self_attn.q_proj": (dim, dim),
            "self_attn.k_proj": (kv_dim, dim),
            "self_attn.v_proj": (kv_dim, dim),
            "self_attn.o_proj": (dim, dim),
            "post_attention_layernorm": (dim,),
            "mlp.gate_proj": (hidden_dim, dim),
            "mlp.up_proj": (hidden_dim, dim),
            "mlp.down_proj": (dim, hidden_dim),
        }.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    return shapes
