"""The layouts of the portable kernels: int8 rows and inputs as they are, padded; int4 matrices as in int4_rows.py."""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.kernels.int4_rows import INT4_ROWS
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, Int8Layout, KernelSet, grouped, padded


def _pack(codes: Codes) -> Groups:
    return grouped(codes, 1, padded(codes.shape[1])).view(np.uint8)[:, 0]


def _unpack(groups: Groups, rows: int, columns: int) -> Codes:
    return groups.view(np.int8)[:rows, :columns]


GENERIC = KernelSet("generic", Int8Layout(1, padded, padded, _pack, _unpack), INT4_ROWS)
