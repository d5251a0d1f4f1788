"""What is copied from flash to RAM when the board starts, where every token reads it faster.

First the functions that a token runs, which weights drive out of the flash's cache between two calls, and the tables
that they read for each element of a vector. Then weights: a copy saves the bytes of its table as often as a token
reads it, so a block that is shared by several passes comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyllm.boards.chips import HotCode
from tinyllm.codegen.arithmetic.fixedpoint import SIGMOID_TABLE, SOFTMAX_TABLE
from tinyllm.codegen.arithmetic.integer_model import IntegerGain, IntegerMatrix, IntegerModel
from tinyllm.codegen.kernels.kernel_set import KernelSet, padded

SLACK = 16
"""Readable bytes after the last group of rows: pipelined vector loads read ahead."""

LEFT_FREE = 24 * 1024
"""Bytes of RAM that copies leave to a framework's heap, beside what is reserved for it: estimated."""

HOT_CODE_BYTES = 15 * 1024
"""Bound of the functions marked TL_HOT, on any instruction set at -O2; tests compare it with the compilers' objects."""

ELEMENT_TABLES = {"softmax": 2 * len(SOFTMAX_TABLE), "sigmoid": 2 * len(SIGMOID_TABLE)}
"""Bytes of the tables of tables.c that are read for each element."""


@dataclass(frozen=True)
class Placement:
    """What goes to RAM at boot.

    hot_code: where the functions that a token runs go, None if they stay in flash. tables: name -> bytes, of
    ELEMENT_TABLES and of weights.
    """

    hot_code: HotCode | None = None
    tables: dict[str, int] = field(default_factory=dict)

    @property
    def hot_bytes(self) -> int:
        """What those functions take of the RAM that variables have."""
        return HOT_CODE_BYTES if self.hot_code and self.hot_code.shared else 0

    @property
    def ram(self) -> int:
        """Bytes of the RAM that variables have."""
        return self.hot_bytes + sum(self.tables.values())


@dataclass(frozen=True)
class Table:
    """A matrix with its row mantissas, a gain or a bias. name: as emitted.

    read: bytes that a pass reads of it. bytes: with slack. reads: passes of one token.
    """

    name: str
    read: int
    bytes: int
    reads: int


def tables(model: IntegerModel, kernels: KernelSet) -> Iterator[Table]:
    """The weights of a model in the order that they are emitted."""

    def table(name: str, part: IntegerMatrix | IntegerGain | NDArray[np.int32], reads: int) -> Table:
        if isinstance(part, IntegerMatrix):
            read = kernels.matrix_bytes(part.rows, part.columns) + part.mantissa.nbytes
            return Table(name, read, padded(read) + SLACK, reads)
        array = part.codes if isinstance(part, IntegerGain) else part
        return Table(name, array.nbytes, padded(array.nbytes), reads)

    yield table("embedding", model.embedding, int(model.head is None))
    for index, block in enumerate(model.blocks):
        reads = model.config.schedule.count(index)
        for name, part in vars(block).items():
            if part is not None:
                yield table(f"block_{index}_{name}", part, reads)
    yield table("final_norm", model.final_norm, 1)
    if model.head is not None:
        yield table("head", model.head, 1)


def place(model: IntegerModel, kernels: KernelSet, free: int, hot_code: HotCode | None) -> Placement:
    """What to copy into `free` bytes of RAM. hot_code: of the chip; None: its functions stay in flash."""
    left = free - LEFT_FREE
    placed = Placement(hot_code)
    if placed.hot_bytes > max(left, 0):
        placed = Placement()
    left -= placed.hot_bytes
    most_read = sorted(tables(model, kernels), key=lambda table: -table.reads)
    for name, size in [*ELEMENT_TABLES.items(), *((table.name, table.bytes) for table in most_read if table.reads)]:
        if size <= left:
            placed.tables[name] = size
            left -= size
    return placed
