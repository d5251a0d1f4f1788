"""Which kernel set a board gets."""

from __future__ import annotations

from tinyllm.boards.description import Board
from tinyllm.codegen.kernels.armv6m import ARMV6M
from tinyllm.codegen.kernels.armv8m import ARMV8M
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.kernels.host import HOST
from tinyllm.codegen.kernels.kernel_set import KernelSet
from tinyllm.codegen.kernels.rv32 import RV32
from tinyllm.codegen.kernels.xtensa import XTENSA
from tinyllm.codegen.kernels.xtensa_s3 import XTENSA_S3

KERNEL_SETS = {kernels.name: kernels for kernels in (GENERIC, ARMV6M, ARMV8M, HOST, RV32, XTENSA, XTENSA_S3)}
"""By the `instruction_set` of a board's description."""


def kernel_set_of(board: Board | None) -> KernelSet:
    """The set of a board's cores; the portable one if there is none of their own, or no board."""
    return GENERIC if board is None else KERNEL_SETS.get(board.instruction_set, GENERIC)
