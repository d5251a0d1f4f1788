"""The layout of the portable kernels: rows of int8 codes as they are, an input as it is."""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.kernels.kernel_set import Codes, Groups, KernelSet, grouped, padded


def _pack(codes: Codes) -> Groups:
    return grouped(codes, 1, padded(codes.shape[1])).view(np.uint8)[:, 0]


def _unpack(groups: Groups, rows: int, columns: int) -> Codes:
    return groups.view(np.int8)[:rows, :columns]


GENERIC = KernelSet("generic", 1, group_bytes=padded, input_bytes=padded, pack=_pack, unpack=_unpack)
