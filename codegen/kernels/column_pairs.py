"""The layout of kernels that multiply two rows at once: codes + 128, two columns of a group's rows after each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinyllm.codegen.kernels.int4_rows import INT4_ROWS
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, Int8Layout, KernelSet, grouped

BIAS = 128


def column_pairs(name: str, rows: int, input_bytes: Callable[[int], int]) -> KernelSet:
    """A kernel set of this layout. Columns are filled up to whole fours with bytes of zero."""

    def group_bytes(columns: int) -> int:
        return -(-columns // 4) * 4 * rows

    def pack(codes: Codes) -> Groups:
        columns = group_bytes(codes.shape[1]) // rows
        groups = (grouped(codes, rows, columns).astype(np.int16) + BIAS).astype(np.uint8)
        groups[:, :, codes.shape[1] :] = 0
        pairs = groups.reshape(-1, rows, columns // 2, 2).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(pairs).reshape(-1, rows * columns)

    def unpack(groups: Groups, count: int, columns: int) -> Codes:
        pairs = groups.reshape(len(groups), -1, rows, 2).transpose(0, 2, 1, 3)
        codes = (pairs.astype(np.int16) - BIAS).astype(np.int8)
        return codes.reshape(len(groups) * rows, -1)[:count, :columns]

    int8 = Int8Layout(rows, group_bytes, input_bytes, pack, unpack)
    return KernelSet(name, int8, INT4_ROWS, base="column_pairs")
