"""The kernel set of RV32IMC."""

from __future__ import annotations

from tinyllm.codegen.kernels.column_pairs import column_pairs
from tinyllm.codegen.kernels.kernel_set import HotBytes

RV32 = column_pairs(
    "rv32",
    rows=8,
    input_bytes=lambda columns: -(-columns // 4) * 24,
    int4_part=132,
    hot_bytes=HotBytes(int8=14_464, int4=1_408, int4_cache=1_536),
)
