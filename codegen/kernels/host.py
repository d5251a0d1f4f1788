"""The kernels of this computer, with its vector instructions: int8 rows as they are, and int4 rows in pairs."""

from __future__ import annotations

from tinyllm.codegen.kernels.row_pairs import row_pairs

HOST = row_pairs("host")
