"""Choose what is copied from flash to faster memory when the board starts.

The functions that a token runs go to RAM first, because weights drive them out of the flash's cache between two calls.
The tables that they read for each element of a vector come next. Then come weights: a copy saves the bytes of its table
as often as a token reads it, so a block that several passes share comes first. Matrices that do not fit RAM go to PSRAM
if that is faster than flash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tinyllm.boards.chips import HotCode
from tinyllm.codegen.arithmetic.fixedpoint import SIGMOID_TABLE, SOFTMAX_TABLE
from tinyllm.codegen.arithmetic.integer_model import IntegerGain, IntegerMatrix, IntegerModel
from tinyllm.codegen.kernels.kernel_set import KernelSet

SLACK = 16
"""Readable bytes after the last group of rows: pipelined vector loads read ahead."""

ELEMENT_TABLES = {"softmax": 2 * len(SOFTMAX_TABLE), "sigmoid": 2 * len(SIGMOID_TABLE)}
"""Bytes of the tables of tables.c that are read for each element."""


GAIN_BYTES, MATRIX_BYTES, POINTER_BYTES = 8, 32, 4
"""sizeof(struct tl_gain), of struct tl_matrix and of a bias in struct tl_block, on a 32-bit chip."""


@dataclass(frozen=True)
class Placement:
    """What goes to faster memory at boot.

    hot_code: where the functions that a token runs go, None if they stay in flash. hot_code_bytes: their bound.
    tables: name -> bytes in RAM, of ELEMENT_TABLES and of weights. psram: the same for matrices in PSRAM. pointers:
    bytes of RAM for the structures that point to those matrices.
    """

    hot_code: HotCode | None = None
    hot_code_bytes: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    psram: dict[str, int] = field(default_factory=dict)
    pointers: int = 0

    @property
    def hot_bytes(self) -> int:
        """Bytes that the hot functions take of the RAM for variables."""
        return self.hot_code_bytes if self.hot_code and self.hot_code.shared else 0

    @property
    def table_bytes(self) -> int:
        """Bytes that tables and pointers take of the RAM for variables."""
        return sum(self.tables.values()) + self.pointers

    @property
    def ram(self) -> int:
        """Bytes that functions, tables and pointers take of the RAM for variables."""
        return self.hot_bytes + self.table_bytes


@dataclass(frozen=True)
class Table:
    """An array of weights. name: as emitted. read: bytes that a pass reads of it. bytes: with the padding after it.

    reads: how many passes of a token read it. matrix: whether it holds the codes of a matrix.
    """

    name: str
    read: int
    bytes: int
    reads: int
    matrix: bool = False


def tables(model: IntegerModel, kernels: KernelSet) -> Iterator[Table]:
    """The weights of a model in the order in which they are emitted."""
    yield from part_tables("embedding", model.embedding, int(model.head is None), kernels)
    for index, block in enumerate(model.blocks):
        for name, part in vars(block).items():
            if part is not None:
                yield from part_tables(f"block_{index}_{name}", part, model.config.schedule.count(index), kernels)
    yield from part_tables("final_norm", model.final_norm, 1, kernels)
    if model.head is not None:
        yield from part_tables("head", model.head, 1, kernels)


def part_tables(
    name: str, part: IntegerMatrix | IntegerGain | NDArray[np.int32], reads: int, kernels: KernelSet
) -> Iterator[Table]:
    """The tables of a matrix, a gain or a bias."""
    if isinstance(part, IntegerMatrix):
        read = kernels.layout(part.bits).matrix_bytes(part.rows, part.columns)
        yield Table(f"{name}_codes", read, read + SLACK, reads, matrix=True)
        yield _vector(f"{name}_mantissa", part.mantissa, reads)
    elif isinstance(part, IntegerGain):
        yield _vector(f"{name}_codes", part.codes, reads)
    else:
        yield _vector(name, part, reads)


def _vector(name: str, array: NDArray[np.generic], reads: int) -> Table:
    return Table(name, array.nbytes, -(-array.nbytes // 4) * 4, reads)


def place(model: IntegerModel, kernels: KernelSet, left: int, hot_code: HotCode | None, faster: int = 0) -> Placement:
    """Choose what to copy into `left` bytes of RAM, and which of the rest into `faster` bytes of PSRAM.

    hot_code: the chip's; None if functions stay in flash. Vectors come before the matrices that are read as often.
    """
    hot_bytes = kernels.hot_bytes.of(model.has_int4, (model.config.key_bits, model.config.value_bits) != (8, 8))
    placed = Placement() if hot_code is None else Placement(hot_code, hot_bytes)
    if placed.hot_bytes > max(left, 0):
        placed = Placement()
    left -= placed.hot_bytes
    read = [table for table in tables(model, kernels) if table.reads]
    if faster and sum(ELEMENT_TABLES.values()) + sum(table.bytes for table in read) > left:
        placed = replace(placed, pointers=structure_bytes(model))
        left -= placed.pointers
    for name, size in ELEMENT_TABLES.items():
        if size <= left:
            placed.tables[name] = size
            left -= size
    for table in sorted(read, key=lambda table: (-table.reads, table.matrix)):
        if table.bytes <= left:
            placed.tables[table.name] = table.bytes
            left -= table.bytes
        elif table.matrix and table.bytes <= faster:
            placed.psram[table.name] = table.bytes
            faster -= table.bytes
    return placed if placed.psram else replace(placed, pointers=0)


def structure_bytes(model: IntegerModel) -> int:
    """Bytes of the structures of weights.c that point to tables, for programs in which they are variables."""
    sizes = {IntegerMatrix: MATRIX_BYTES, IntegerGain: GAIN_BYTES}
    blocks = sum(
        times * sum(sizes.get(type(part), POINTER_BYTES) for part in vars(block).values() if part is not None)
        for block, times in model.different_blocks
    )
    return blocks + MATRIX_BYTES * (1 if model.head is None else 2)
