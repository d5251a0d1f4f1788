"""The tensors of a GGUF file: reads their table, checks where each one lies, and decodes its values to float32.

The table has for each tensor its name, a uint32 number of dimensions, that many uint64 sizes (the innermost first), a
uint32 type and a uint64 offset from the start of the data. The types are ggml's: blocks of 1, 32 or 256 values of a row
share scales. The gguf package decodes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tinyllm.codegen.arithmetic.float_model import F32
from tinyllm.codegen.checkpoints.checks import require_finite
from tinyllm.codegen.checkpoints.gguf.file import Cursor, Gguf
from tinyllm.errors import UserError

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K")
MAX_NAME_LENGTH = 64
MAX_DIMENSIONS = 4
CHUNK = 1 << 20
"""Bytes decoded at once; beside the result, the decoder needs a small multiple of this."""


@dataclass(frozen=True)
class StoredTensor:
    """shape: rows before columns, as in numpy. kind: a gguf.GGMLQuantizationType. offset: bytes into the file."""

    name: str
    kind: Any
    shape: tuple[int, ...]
    offset: int
    n_bytes: int


def read_tensor_table(gguf: Gguf) -> dict[str, StoredTensor]:
    """Every tensor by its name.

    Raises UserError, naming the tensor, if it occurs twice, has absurd dimensions, a type that is not supported or rows
    that are not whole blocks, or if it lies outside the file, off its alignment or over another tensor.
    """
    cursor = Cursor(gguf.path, gguf.data, gguf.table)
    stored: dict[str, StoredTensor] = {}
    for index in range(gguf.n_tensors):
        tensor = _entry(cursor, cursor.name(f"the name of tensor {index}", MAX_NAME_LENGTH))
        if tensor.name in stored:
            raise cursor.damaged(f"tensor {tensor.name} is there twice, expected once")
        stored[tensor.name] = tensor

    start = -(-cursor.offset // gguf.alignment) * gguf.alignment
    size = len(gguf.data)
    placed = {}
    for tensor in stored.values():
        end = start + tensor.offset + tensor.n_bytes
        if tensor.offset % gguf.alignment:
            raise cursor.damaged(
                f"tensor {tensor.name} has offset {tensor.offset}, expected a multiple of {gguf.alignment}"
            )
        if end > size:
            raise cursor.damaged(f"tensor {tensor.name} ends at byte {end:,}, the file at {size:,}")
        placed[tensor.name] = StoredTensor(
            tensor.name, tensor.kind, tensor.shape, start + tensor.offset, tensor.n_bytes
        )
    for first, second in pairwise(sorted(placed.values(), key=lambda tensor: tensor.offset)):
        if first.offset + first.n_bytes > second.offset:
            raise cursor.damaged(f"tensors {first.name} and {second.name} overlap, expected one after the other")
    return placed


def _entry(cursor: Cursor, name: str) -> StoredTensor:
    """The entry of the table after its name. Its offset still counts from the start of the data."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    n_dimensions = cursor.number("I", f"the dimensions of tensor {name}")
    if not 1 <= n_dimensions <= MAX_DIMENSIONS:
        raise cursor.damaged(f"tensor {name} has {n_dimensions:,} dimensions, expected 1 to {MAX_DIMENSIONS}")
    shape = tuple(cursor.number("Q", f"the shape of tensor {name}") for _ in range(n_dimensions))[::-1]
    number, offset = cursor.number("I", f"the type of tensor {name}"), cursor.number("Q", f"the offset of {name}")
    if 0 in shape:
        raise cursor.damaged(f"tensor {name} has shape {shape}, expected no empty dimension")
    kind = GGMLQuantizationType(number) if number in set(GGMLQuantizationType) else None
    if kind is None or kind.name not in TYPES:
        raise UserError(
            f"{cursor.path}: tensor {name} is stored as {f'type {number}' if kind is None else kind.name},"
            f" which is not read; give the model in one of {', '.join(TYPES)}"
        )
    block, block_bytes = GGML_QUANT_SIZES[kind]
    if shape[-1] % block:
        raise cursor.damaged(f"tensor {name} has rows of {shape[-1]:,}, expected a multiple of {kind.name}'s {block}")
    return StoredTensor(name, kind, shape, offset, math.prod(shape) // block * block_bytes)


def require_tensor(gguf: Gguf, stored: dict[str, StoredTensor], name: str) -> StoredTensor:
    """The tensor of this name. Raises UserError if the file has none."""
    if name not in stored:
        raise UserError(f"{gguf.path}: tensor {name} is missing; download or convert the file again")
    return stored[name]


def decode_tensor(gguf: Gguf, tensor: StoredTensor) -> F32:
    """The values as float32 of tensor.shape, decoded by gguf.quants.dequantize.

    Raises UserError if a value is not finite or if the file ends within the tensor.
    """
    from gguf.quants import dequantize

    columns = tensor.shape[-1]
    n_rows = math.prod(tensor.shape[:-1])
    row_bytes = tensor.n_bytes // n_rows
    values: F32 = np.empty((n_rows, columns), np.float32)
    rows = max(1, CHUNK // row_bytes)
    # The file is read, not mapped, so that decoded bytes take no memory. A NaN or infinite scale makes NaN or infinite
    # values; require_finite below finds them and their index.
    with gguf.path.open("rb", buffering=0) as file, np.errstate(all="ignore"):
        file.seek(tensor.offset)
        for row in range(0, n_rows, rows):
            part = values[row : row + rows]
            stored = np.fromfile(file, np.uint8, len(part) * row_bytes)
            if stored.size != len(part) * row_bytes:
                raise UserError(
                    f"{gguf.path} ends within tensor {tensor.name}; it changed while it was read: try again"
                )
            part[:] = dequantize(stored.reshape(len(part), row_bytes), tensor.kind)
    values = values.reshape(tensor.shape)
    require_finite(gguf.path, tensor.name, values)
    return values
