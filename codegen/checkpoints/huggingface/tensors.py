"""A tensor that still lies in its file. Its name, shape, dtype and place are checked before any value is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinyllm.codegen.arithmetic.float_model import F32
from tinyllm.codegen.checkpoints.checks import require_finite
from tinyllm.errors import UserError

ITEM_SIZES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
"""Bytes of an element, by the dtype's name in safetensors files."""

RAW_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The numpy dtype of each supported dtype. numpy has no bfloat16, so its bits are read as uint16."""


@dataclass(frozen=True)
class StoredTensor:
    """offset: bytes from the start of `path` to the first element. strides: in elements, None for row-major."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None

    @property
    def n_values(self) -> int:
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        return self.n_values * ITEM_SIZES[self.dtype]

    def span(self) -> int:
        """How many elements of the file lie from the tensor's first one to its last one, both included."""
        if self.strides is None or not self.n_values:
            return self.n_values
        return 1 + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of a tensor stored row after row."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def require_readable(stored: StoredTensor, shape: tuple[int, ...]) -> None:
    """Raise UserError unless the tensor has this shape and a supported dtype."""
    if stored.dtype not in RAW_DTYPES:
        raise UserError(
            f"{stored.path}: tensor {stored.name} has dtype {stored.dtype}, expected {' or '.join(RAW_DTYPES)};"
            " save it as float32"
        )
    if stored.shape != shape:
        raise UserError(
            f"{stored.path}: tensor {stored.name} has shape {stored.shape}, config.json asks for {shape};"
            " a field that it leaves out has transformers' default, so add what is missing or export it again"
        )


def read_stored(stored: StoredTensor) -> F32:
    """The values as float32, row-major. Raises UserError if the file ends too soon or a value is not finite."""
    span = stored.span()
    try:
        raw = np.fromfile(stored.path, RAW_DTYPES[stored.dtype], span, offset=stored.offset)
    except OSError as error:
        raise UserError(f"{stored.path} cannot be read: {error}") from error
    if raw.size != span:
        raise UserError(f"{stored.path} ends within tensor {stored.name}; it changed while it was read: try again")
    if stored.dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        widened = raw.astype(np.uint32)
        widened <<= 16
        values = widened.view(np.float32)
    else:
        values = raw.astype(np.float32, copy=False)
    if stored.strides is None:
        tensor = values.reshape(stored.shape)
    else:
        tensor = np.ascontiguousarray(as_strided(values, stored.shape, [4 * stride for stride in stored.strides]))
    require_finite(stored.path, stored.name, tensor)
    return tensor
