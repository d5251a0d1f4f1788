"""The kernel set of Xtensa cores without a vector unit."""

from __future__ import annotations

from tinyllm.codegen.kernels.column_pairs import column_pairs
from tinyllm.codegen.kernels.kernel_set import HotBytes

XTENSA = column_pairs(
    "xtensa",
    rows=4,
    input_bytes=lambda columns: -(-columns // 4) * 16,
    int4_part=68,
    hot_bytes=HotBytes(int8=12_928, int4=1_408, int4_cache=1_280),
)
