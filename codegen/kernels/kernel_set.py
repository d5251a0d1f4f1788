"""What the emitter and the planner know of a kernel set: its folder, and the layouts of matrices and inputs.

A layout is data of the kernel that reads it: `pack` writes what layout.h or layout_int4.h and the loops in
firmware/engine/kernels/<name>/ read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int8]
Groups = NDArray[np.uint8]
Scales = NDArray[np.uint8]
"""Of int4 codes: (rows, groups of columns)."""

ALIGNMENT = 16
"""Groups of rows start at multiples of this many bytes: vector loads of the ESP32-S3 ignore lower bits."""


def padded(size: int) -> int:
    """`size` rounded up to whole vectors."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Layout:
    """How matrices of one width lie, and the inputs that they are multiplied with.

    rows: of a matrix, that lie together as a group. group_bytes: of a group, by the number of columns; a multiple of
    ALIGNMENT. input_bytes: of an expanded input, by its length.
    """

    rows: int
    group_bytes: Callable[[int], int]
    input_bytes: Callable[[int], int]

    def groups(self, rows: int) -> int:
        """How many groups so many rows are."""
        return -(-rows // self.rows)

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """The codes of a matrix, with what else lies in its groups."""
        return self.groups(rows) * self.group_bytes(columns)


@dataclass(frozen=True)
class Int8Layout(Layout):
    """Of int8 codes.

    pack: codes (rows, columns) -> bytes (groups, group_bytes), the last group filled up with rows of zeros.
    unpack: back, by rows and columns.
    """

    pack: Callable[[Codes], Groups]
    unpack: Callable[[Groups, int, int], Codes]


@dataclass(frozen=True)
class Int4Layout(Layout):
    """Of int4 codes within -8..7 and their scales, 1..255.

    pack: codes (rows, columns) and scales (rows, groups of columns) -> bytes (groups, group_bytes), the last group
    filled up with rows of zeros. unpack: back, by rows and columns.
    """

    pack: Callable[[Codes, Scales], Groups]
    unpack: Callable[[Groups, int, int], tuple[Codes, Scales]]


@dataclass(frozen=True)
class HotBytes:
    """Bounds of the functions marked TL_HOT at -O2, in bytes; tests compare them with the compilers' objects.

    int4: what int4 matrices take besides. int4_cache: what an int4 KV cache does.
    """

    int8: int
    int4: int
    int4_cache: int

    def of(self, int4: bool, int4_cache: bool) -> int:
        """Of a model with or without these."""
        return self.int8 + (self.int4 if int4 else 0) + (self.int4_cache if int4_cache else 0)


ANY_HOT_BYTES = HotBytes(int8=15 * 1024, int4=4 * 1024, int4_cache=1536)
"""Of any instruction set."""


@dataclass(frozen=True)
class KernelSet:
    """A kernel set.

    name: of its folder. int8, int4: the layouts by the width of a matrix's codes. base: the folder of what it shares
    with others. tokens: that share the reading of weights in tl_dot_tokens. hot_bytes: with its functions.
    """

    name: str
    int8: Int8Layout
    int4: Int4Layout
    base: str | None = None
    tokens: int = 1
    hot_bytes: HotBytes = ANY_HOT_BYTES

    def layout(self, bits: int) -> Layout:
        """By the width of a matrix's codes, 8 or 4."""
        return self.int4 if bits == 4 else self.int8

    def whole_groups(self, rows: int) -> int:
        """Rows filled up to whole groups, whichever the width."""
        most = max(self.int8.rows, self.int4.rows)
        return -(-rows // most) * most

    def input_bytes(self, columns: int, int4: bool) -> int:
        """Room for an expanded input of int8 matrices and, if there are any, of int4 ones."""
        return max(self.int8.input_bytes(columns), self.int4.input_bytes(columns) if int4 else 0)


def grouped(codes: Codes, rows: int, columns: int) -> Codes:
    """Codes (r, c) filled up with zeros and cut into groups (-(-r // rows), rows, columns)."""
    groups = -(-codes.shape[0] // rows)
    filled = np.zeros((groups * rows, columns), np.int8)
    filled[: codes.shape[0], : codes.shape[1]] = codes
    return filled.reshape(groups, rows, columns)
