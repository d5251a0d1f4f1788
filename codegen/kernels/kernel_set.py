"""What the emitter and the planner know of a kernel set: its folder, and the layouts of matrices and inputs.

Each layout belongs to the kernel that reads it: `pack` writes the bytes as layout.h or layout_int4.h and the loops in
firmware/engine/kernels/<name>/ read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int8]
Groups = NDArray[np.uint8]
Scales = NDArray[np.uint8]
"""The scales of int4 codes (rows, groups of columns)."""

ALIGNMENT = 16
"""Groups of rows start at multiples of this many bytes: vector loads of the ESP32-S3 ignore lower bits."""


def padded(size: int) -> int:
    """`size` rounded up to whole vectors."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Layout:
    """The layout of matrices with codes of one width, and of the inputs that they are multiplied with.

    rows: how many rows of a matrix are a group. group_bytes: bytes of a group, by the number of columns; a multiple of
    ALIGNMENT. input_bytes: bytes of an expanded input, by its length.
    """

    rows: int
    group_bytes: Callable[[int], int]
    input_bytes: Callable[[int], int]

    def groups(self, rows: int) -> int:
        """The number of groups that hold this many rows."""
        return -(-rows // self.rows)

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Bytes of all groups of a matrix: its codes and what else a group holds."""
        return self.groups(rows) * self.group_bytes(columns)


@dataclass(frozen=True)
class Int8Layout(Layout):
    """The layout of int8 codes.

    pack: codes (rows, columns) -> bytes (groups, group_bytes), the last group padded with rows of zeros.
    unpack: bytes, rows and columns -> codes.
    """

    pack: Callable[[Codes], Groups]
    unpack: Callable[[Groups, int, int], Codes]


@dataclass(frozen=True)
class Int4Layout(Layout):
    """The layout of int4 codes within -8..7 and their scales, 1..255.

    pack: codes (rows, columns) and scales (rows, groups of columns) -> bytes (groups, group_bytes), the last group
    padded with rows of zeros. unpack: bytes, rows and columns -> codes and scales.
    """

    pack: Callable[[Codes, Scales], Groups]
    unpack: Callable[[Groups, int, int], tuple[Codes, Scales]]


@dataclass(frozen=True)
class HotBytes:
    """Bounds of the functions marked TL_HOT at -O2, in bytes; tests compare them with the compilers' objects.

    int8: of every model. int4: added for int4 matrices. int4_cache: added for an int4 KV cache.
    """

    int8: int
    int4: int
    int4_cache: int

    def of(self, int4: bool, int4_cache: bool) -> int:
        """The bound of a model with or without int4 matrices and an int4 KV cache."""
        return self.int8 + (self.int4 if int4 else 0) + (self.int4_cache if int4_cache else 0)


ANY_HOT_BYTES = HotBytes(int8=15 * 1024, int4=4 * 1024, int4_cache=1536)
"""Bounds for any instruction set."""


@dataclass(frozen=True)
class KernelSet:
    """A kernel set.

    name: its folder's too. int8, int4: the layouts by the width of a matrix's codes. base: the folder of the files that
    it shares with other sets. tokens: how many tokens share one reading of the weights in tl_dot_tokens. hot_bytes: of
    its functions.
    """

    name: str
    int8: Int8Layout
    int4: Int4Layout
    base: str | None = None
    tokens: int = 1
    hot_bytes: HotBytes = ANY_HOT_BYTES

    def layout(self, bits: int) -> Layout:
        """The layout for a width of codes, 8 or 4."""
        return self.int4 if bits == 4 else self.int8

    def whole_groups(self, rows: int) -> int:
        """Rows rounded up to whole groups of either width."""
        most = max(self.int8.rows, self.int4.rows)
        return -(-rows // most) * most

    def input_bytes(self, columns: int, int4: bool) -> int:
        """Bytes that hold an expanded input of int8 matrices and, if there are any, of int4 ones."""
        return max(self.int8.input_bytes(columns), self.int4.input_bytes(columns) if int4 else 0)


def grouped(codes: Codes, rows: int, columns: int) -> Codes:
    """Codes (r, c) padded with zeros and cut into groups (-(-r // rows), rows, columns)."""
    groups = -(-codes.shape[0] // rows)
    filled = np.zeros((groups * rows, columns), np.int8)
    filled[: codes.shape[0], : codes.shape[1]] = codes
    return filled.reshape(groups, rows, columns)
