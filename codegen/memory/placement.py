"""Which matrices are copied from flash to RAM when the board starts, where every token reads them faster.

A copy saves the bytes of its matrix as often as a token reads it: a block that is shared by several passes comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tinyllm.codegen.arithmetic.integer_model import IntegerMatrix, IntegerModel
from tinyllm.codegen.kernels.kernel_set import KernelSet

SLACK = 16
"""Readable bytes after the last group of rows: pipelined vector loads read ahead."""

LEFT_FREE = 24 * 1024
"""Bytes of RAM that copies leave to a framework's heap, beside what is reserved for it: estimated."""


@dataclass(frozen=True)
class Table:
    """The codes of a matrix. name: as emitted. bytes: with slack. reads: of the whole table, for one token."""

    name: str
    matrix: IntegerMatrix
    bytes: int
    reads: int


def tables(model: IntegerModel, kernels: KernelSet) -> Iterator[Table]:
    """The matrices of a model in the order that they are emitted."""

    def table(name: str, matrix: IntegerMatrix, reads: int) -> Table:
        return Table(name, matrix, kernels.matrix_bytes(matrix.rows, matrix.columns) + SLACK, reads)

    yield table("embedding", model.embedding, int(model.head is None))
    for index, block in enumerate(model.blocks):
        reads = model.config.schedule.count(index)
        for field, part in vars(block).items():
            if isinstance(part, IntegerMatrix):
                yield table(f"block_{index}_{field}", part, reads)
    if model.head is not None:
        yield table("head", model.head, 1)


def copies(model: IntegerModel, kernels: KernelSet, free: int) -> dict[str, int]:
    """Name -> bytes of the tables to copy into `free` bytes of RAM: those most often read, then the first that fit."""
    chosen = {}
    left = free - LEFT_FREE
    for table in sorted(tables(model, kernels), key=lambda table: -table.reads):
        if table.reads and table.bytes <= left:
            chosen[table.name] = table.bytes
            left -= table.bytes
    return chosen
