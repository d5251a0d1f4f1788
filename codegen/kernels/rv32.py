"""The kernel set of RV32IMC."""

from __future__ import annotations

from tinyllm.codegen.kernels.column_pairs import column_pairs

RV32 = column_pairs("rv32", rows=8, input_bytes=lambda columns: -(-columns // 4) * 24, int4_part=132)
