"""Reads the header of a safetensors file, which says where every tensor lies.

Format (github.com/huggingface/safetensors): a little-endian uint64 is the length of the JSON object that follows. It
maps each name to dtype, shape and data_offsets (begin, end) within the rest of the file, which the tensors fill without
hole or overlap. The library itself is not used because its numpy form has no bfloat16.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tinyllm.codegen.checkpoints.huggingface.tensors import ITEM_SIZES, StoredTensor
from tinyllm.errors import UserError
from tinyllm.files import file_size
from tinyllm.text import shown

HEADER_LIMIT = 4 << 20
MAX_AXES = 8
SMALLEST_FILE = 10
"""Bytes of a file without tensors: the header's length, and `{}`."""


def read_safetensors_header(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of the file by its name.

    Raises UserError for a header that is not of this format, is larger than 4 MiB or does not account for every byte.
    """
    size = file_size(path)
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if size < SMALLEST_FILE:
            raise _damaged(path, f"it has {size:,} bytes, too few for a header")
        if not 2 <= length <= size - 8:
            raise _damaged(path, f"its header has {length:,} bytes, expected 2 to {size - 8:,}")
        if length > HEADER_LIMIT:
            raise _damaged(path, f"its header has {length:,} bytes, expected at most {HEADER_LIMIT:,}")
        raw = file.read(length)
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON ({str(error)[:100]})") from error
    if not isinstance(header, dict):
        raise _damaged(path, f"its header is a JSON {type(header).__name__}, expected an object")
    header.pop("__metadata__", None)

    tensors, spans = {}, []
    for name, entry in header.items():
        tensor, begin, end = _entry(path, name, entry, 8 + length, size - 8 - length)
        tensors[name] = tensor
        spans.append((begin, end, name))
    reached = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            what = "overlaps the one before it" if begin < reached else "leaves a hole before it"
            raise _damaged(path, f"tensor {shown(name)} {what}: it begins at {begin:,}, expected {reached:,}")
        reached = end
    if reached != size - 8 - length:
        raise _damaged(path, f"its tensors end at {reached:,}, expected all {size - 8 - length:,} bytes of data")
    return tensors


def _entry(path: Path, name: str, entry: Any, start: int, n_data: int) -> tuple[StoredTensor, int, int]:
    """The tensor that a header entry describes, and where it begins and ends in the data."""
    said = shown(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(path, f"tensor {said} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise UserError(f"{path}: tensor {said} has dtype {shown(dtype)}, which is unknown; save it as float32")
    if not _whole_numbers(shape) or len(shape) > MAX_AXES:
        raise _damaged(path, f"tensor {said} has shape {shown(shape)}, expected up to {MAX_AXES} sizes")
    if not _whole_numbers(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= n_data:
        raise _damaged(path, f"tensor {said} has data_offsets {shown(offsets)}, expected two in order up to {n_data:,}")
    n_bytes = math.prod(shape) * ITEM_SIZES[dtype]
    if offsets[1] - offsets[0] != n_bytes:
        found = f"{offsets[1] - offsets[0]:,} bytes of {dtype}"
        raise _damaged(path, f"tensor {said} has {found}, its shape {shown(shape)} asks for {n_bytes:,}")
    return StoredTensor(path, name, dtype, tuple(shape), start + offsets[0]), offsets[0], offsets[1]


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 1 << 63 for number in value)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: {what}; the file is damaged: download or export it again")
