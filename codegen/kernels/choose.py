"""Choose kernel sets: the one for a board, or those that a person names."""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.boards.description import Board, board_names, load_board
from tinyllm.codegen.kernels.armv6m import ARMV6M
from tinyllm.codegen.kernels.armv8m import ARMV8M
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.kernels.host import HOST
from tinyllm.codegen.kernels.kernel_set import KernelSet
from tinyllm.codegen.kernels.rv32 import RV32
from tinyllm.codegen.kernels.xtensa import XTENSA
from tinyllm.codegen.kernels.xtensa_s3 import XTENSA_S3
from tinyllm.errors import UserError

KERNEL_SETS = {kernels.name: kernels for kernels in (GENERIC, ARMV6M, ARMV8M, HOST, RV32, XTENSA, XTENSA_S3)}
"""Every kernel set, by the `instruction_set` of a board's description."""
ALL = "all"
"""The name that stands for every set."""


def kernel_set_of(board: Board | None) -> KernelSet:
    """The kernel set of a board's cores; the portable set if the cores have none of their own, or if board is None."""
    return GENERIC if board is None else KERNEL_SETS.get(board.instruction_set, GENERIC)


def named_sets(names: Sequence[str]) -> list[KernelSet]:
    """The sets with these names, each once. A name is a set's, a board's, or ALL. Raises UserError for any other."""
    found: dict[str, KernelSet] = {}
    for name in names:
        if name == ALL:
            found |= KERNEL_SETS
        elif name in KERNEL_SETS:
            found[name] = KERNEL_SETS[name]
        elif name in (boards := board_names()):
            kernels = kernel_set_of(load_board(name))
            found[kernels.name] = kernels
        else:
            known = [ALL, *KERNEL_SETS, *(board for board in boards if board not in KERNEL_SETS)]
            raise UserError(f"no kernels are named {name!r}; expected one of {', '.join(known)}.")
    return list(found.values())
