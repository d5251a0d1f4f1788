"""The kernels of this computer, with its vector instructions; matrices and inputs lie as the portable ones do."""

from __future__ import annotations

from dataclasses import replace

from tinyllm.codegen.kernels.generic import GENERIC

HOST = replace(GENERIC, name="host")
