"""The weights as C tables: weights.h and weights.c, rows padded for vector loads and covered by one CRC-32."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.integer_model import IntegerBlock, IntegerGain, IntegerMatrix, IntegerModel
from tinyllm.codegen.plan import ALIGNMENT, SLACK, padded
from tinyllm.codegen.render import render, rows

BIASES = ("bq", "bk", "bv", "bo")


@dataclass(frozen=True)
class Table:
    """One constant array of weights.c."""

    name: str
    type: str
    size: str
    aligned: bool
    text: str


class _Tables:
    """Collects arrays in the order they are written, and the CRC over their bytes as they lie in memory."""

    def __init__(self) -> None:
        self.tables: list[Table] = []
        self.crc = 0

    def add(self, name: str, array: NDArray[np.generic], size: str, text: str, *, aligned: bool = False) -> str:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        self.crc = zlib.crc32(little.tobytes(), self.crc)
        self.tables.append(Table(name, f"{array.dtype.name}_t", size, aligned, text))
        return name

    def vector(self, name: str, array: NDArray[np.generic]) -> str:
        return self.add(name, array, str(array.size), "\n".join(f"    {row}" for row in rows(array.tolist())))

    def matrix(self, name: str, matrix: IntegerMatrix) -> str:
        """The initializer of its tl_matrix."""
        stride = padded(matrix.columns)
        codes = np.zeros(matrix.rows * stride + SLACK, np.int8)
        codes[: matrix.rows * stride].reshape(matrix.rows, stride)[:, : matrix.columns] = matrix.codes
        lines = [",".join(map(str, row)) + "," for row in codes[:-SLACK].reshape(matrix.rows, stride).tolist()]
        size = f"{matrix.rows} * {stride} + {SLACK}"
        self.add(f"{name}_codes", codes, size, "\n".join(lines), aligned=True)
        self.vector(f"{name}_mantissa", matrix.mantissa)
        return f"{{{name}_codes, {name}_mantissa, {matrix.rows}, {matrix.columns}, {stride}, {matrix.exponent}}}"

    def gain(self, name: str, gain: IntegerGain) -> str:
        """The initializer of its tl_gain."""
        return f"{{{self.vector(f'{name}_codes', gain.codes)}, {gain.exponent}}}"


def weight_files(model: IntegerModel) -> dict[str, str]:
    """File name -> text of weights.h and weights.c, the same text for the same model."""
    tables = _Tables()
    embedding = tables.matrix("embedding", model.embedding)
    blocks = [_block(tables, f"block_{index}", block) for index, block in enumerate(model.blocks)]
    final_norm = tables.gain("final_norm", model.final_norm)
    head = None if model.head is None else tables.matrix("head", model.head)
    name = model.config.name
    return {
        "weights.h": render(
            "weights.h",
            name=name,
            n_blocks=len(blocks),
            biases=[bias for bias in BIASES if getattr(model.blocks[0], bias) is not None],
            separate_head=head is not None,
        ),
        "weights.c": render(
            "weights.c",
            name=name,
            alignment=ALIGNMENT,
            tables=tables.tables,
            blocks=blocks,
            final_norm=final_norm,
            embedding=embedding,
            head=head,
            crc=tables.crc,
        ),
    }


def _block(tables: _Tables, name: str, block: IntegerBlock) -> dict[str, str]:
    """Field -> initializer of its tl_block."""
    values = {}
    for item in fields(block):
        part = getattr(block, item.name)
        if isinstance(part, IntegerMatrix):
            values[item.name] = tables.matrix(f"{name}_{item.name}", part)
        elif isinstance(part, IntegerGain):
            values[item.name] = tables.gain(f"{name}_{item.name}", part)
        elif part is not None:
            values[item.name] = tables.vector(f"{name}_{item.name}", part)
    return values
