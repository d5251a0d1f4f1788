"""The layouts of the ESP32-S3's kernels: int8 rows as they are, padded to whole vectors, and int4 rows in pairs."""

from __future__ import annotations

from tinyllm.codegen.kernels.row_pairs import row_pairs

XTENSA_S3 = row_pairs("xtensa_s3")
