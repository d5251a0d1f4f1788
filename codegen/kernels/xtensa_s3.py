"""The layout of the ESP32-S3's kernels: rows as they are, padded to whole vectors, which is the portable layout."""

from __future__ import annotations

from dataclasses import replace

from tinyllm.codegen.kernels.generic import GENERIC

XTENSA_S3 = replace(GENERIC, name="xtensa_s3")
