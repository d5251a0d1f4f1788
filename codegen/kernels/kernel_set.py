"""What the emitter and the planner know of a kernel set: its folder, and the layout of matrices and inputs.

A layout is data of the kernel that reads it: `pack` writes what the layout.h and the loops in
firmware/engine/kernels/<name>/ read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int8]
Groups = NDArray[np.uint8]

ALIGNMENT = 16
"""Groups of rows start at multiples of this many bytes: vector loads of the ESP32-S3 ignore lower bits."""


def padded(size: int) -> int:
    """`size` rounded up to whole vectors."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class KernelSet:
    """A kernel set.

    name: of its folder. rows: of a matrix, that lie together as a group. group_bytes: of a group, by the number of
    columns; a multiple of ALIGNMENT. input_bytes: of an expanded input, by its length. pack: codes (rows, columns) ->
    bytes (groups, group_bytes), the last group filled up with rows of zeros. unpack: back, by rows and columns. base:
    the folder of what it shares with others. tokens: that share the reading of weights in tl_dot_tokens.
    """

    name: str
    rows: int
    group_bytes: Callable[[int], int]
    input_bytes: Callable[[int], int]
    pack: Callable[[Codes], Groups]
    unpack: Callable[[Groups, int, int], Codes]
    base: str | None = None
    tokens: int = 1

    def groups(self, rows: int) -> int:
        """How many groups so many rows are."""
        return -(-rows // self.rows)

    def whole_groups(self, rows: int) -> int:
        """Rows filled up to whole groups."""
        return self.groups(rows) * self.rows

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """The codes of a matrix."""
        return self.groups(rows) * self.group_bytes(columns)


def grouped(codes: Codes, rows: int, columns: int) -> Codes:
    """Codes (r, c) filled up with zeros and cut into groups (-(-r // rows), rows, columns)."""
    groups = -(-codes.shape[0] // rows)
    filled = np.zeros((groups * rows, columns), np.int8)
    filled[: codes.shape[0], : codes.shape[1]] = codes
    return filled.reshape(groups, rows, columns)
