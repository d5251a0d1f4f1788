"""Reads the weight files of a Hugging Face folder (one or several, safetensors or torch.save) as one set of tensors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tinyllm.codegen.checkpoints.huggingface.adapter import refuse_adapter_tensors
from tinyllm.codegen.checkpoints.huggingface.families import HEAD, ExpectedTensor
from tinyllm.codegen.checkpoints.huggingface.safetensors import read_safetensors_header
from tinyllm.codegen.checkpoints.huggingface.tensors import StoredTensor, require_readable
from tinyllm.codegen.checkpoints.huggingface.torch_archive import read_torch_archive
from tinyllm.errors import UserError
from tinyllm.files import read_json_object
from tinyllm.text import shown

Reader = Callable[[Path], dict[str, StoredTensor]]

READERS: dict[str, Reader] = {"model.safetensors": read_safetensors_header, "pytorch_model.bin": read_torch_archive}
"""The reader of each single weights file, in order of preference. NAME.index.json lists the shards of a split one."""

INDEX_LIMIT = 4 << 20
MAX_SHARDS = 1000
SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}")

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""The parts that DistributedDataParallel, torch.compile, FSDP and checkpointing put into a tensor's name."""

IGNORED_SUFFIX = ".rotary_emb.inv_freq"
"""A buffer that old exports stored along with the weights. It is not needed: it follows from the config."""


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the folder by its name; no value is read.

    Parts that a wrapper of PyTorch put into a name are removed. Raises UserError if there are no weights, if the files
    contradict themselves or their index, and if they belong to an adapter.
    """
    for name, reader in READERS.items():
        path, index = folder / name, folder / f"{name}.index.json"
        if path.exists():
            return _unwrapped(path, reader(path))
        if index.exists():
            return _unwrapped(index, _sharded(index, reader))
    raise UserError(f"{folder}: no {' or '.join(READERS)} in it, nor an index of shards; save the model as safetensors")


def _unwrapped(path: Path, tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The tensors by their names without wrappers. Raises UserError if two tensors would have the same name."""
    refuse_adapter_tensors(path.parent, set(tensors))
    found: dict[str, str] = {}
    for name in tensors:
        bare = ".".join(part for part in name.split(".") if part not in WRAPPERS)
        if bare in found:
            raise UserError(
                f"{path}: tensors {shown(found[bare])} and {shown(name)} are both {shown(bare)} without what a wrapper"
                " of PyTorch put into their names; save one model's state_dict() alone"
            )
        found[bare] = name
    return {bare: tensors[name] for bare, name in found.items()}


def _sharded(index: Path, reader: Reader) -> dict[str, StoredTensor]:
    weight_map = read_json_object(index, INDEX_LIMIT).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        found = shown(weight_map)
        raise UserError(f"{index}: weight_map is {found}, expected names of tensors and their files; download it again")
    shards: dict[str, None] = {}
    for shard in weight_map.values():
        # A shard must be a file of this folder: its name has no separator, no drive and no parent.
        if not isinstance(shard, str) or not SHARD_NAME.fullmatch(shard):
            raise UserError(f"{index}: {shown(shard)} is not the name of a file beside it; download it again")
        shards[shard] = None
    if len(shards) > MAX_SHARDS:
        raise UserError(f"{index} names {len(shards):,} files, expected at most {MAX_SHARDS:,}; download it again")

    tensors: dict[str, StoredTensor] = {}
    for shard in shards:
        for name, tensor in reader(index.parent / shard).items():
            if weight_map.get(name) != shard:
                raise UserError(
                    f"{index}: tensor {name[:80]!r} is in {shard}, expected in {weight_map.get(name)};"
                    " the files are not of one model: download them again"
                )
            tensors[name] = tensor
    for name, shard in weight_map.items():
        if name not in tensors:
            raise UserError(f"{index}: tensor {name[:80]!r} is missing from {shard}; download the file again")
    return tensors


def match_tensors(
    folder: Path, expected: list[ExpectedTensor], stored: dict[str, StoredTensor]
) -> list[tuple[ExpectedTensor, StoredTensor]]:
    """Each expected tensor with its tensor in a file.

    Raises UserError, naming the tensor, if one is missing, unknown, or of a wrong shape or dtype. A stored head beside
    a tied embedding is allowed here: see tied_copy.
    """
    unused = {name for name in stored if not name.endswith(IGNORED_SUFFIX)} - {HEAD}
    matched = []
    for tensor in expected:
        if tensor.name not in stored:
            hint = "set tie_word_embeddings (mobilellm: share_embedding) if the embedding is its head, or "
            raise UserError(
                f"{folder}: tensor {tensor.name} is missing, config.json asks for it;"
                f" {hint if tensor.name == HEAD else ''}download or export it again"
            )
        require_readable(stored[tensor.name], tensor.shape)
        unused.discard(tensor.name)
        matched.append((tensor, stored[tensor.name]))
    if unused:
        raise UserError(
            f"{folder}: tensor {min(unused)[:80]!r} is none that a model with this config.json has"
            f" ({len(unused)} such); choose another model"
        )
    return matched


def tied_copy(expected: list[ExpectedTensor], stored: dict[str, StoredTensor]) -> StoredTensor | None:
    """The stored head of a model whose config.json ties it to the embedding, if any. It must equal the embedding."""
    return stored.get(HEAD) if all(tensor.name != HEAD for tensor in expected) else None
