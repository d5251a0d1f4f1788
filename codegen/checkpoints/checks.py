"""The checks of headers and weights that the readers of all formats share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.errors import UserError
from tinyllm.text import shown

# Far above any model that fits a microcontroller. A larger number means a damaged header or another format.
LIMITS = {
    "dim": 1 << 16,
    "hidden_dim": 1 << 18,
    "n_layers": 1 << 10,
    "n_heads": 1 << 10,
    "n_kv_heads": 1 << 10,
    "head_dim": 1 << 12,
    "vocab_size": 1 << 20,
    "context": 1 << 24,
}


def require_dimension(path: Path, name: str, value: object, limit: str) -> int:
    """`value` as an int from 1 to LIMITS[limit], or UserError naming the file and the field as `name`."""
    if value is None:
        raise UserError(f"{path}: {name} is missing, expected 1 to {LIMITS[limit]:,}; download or export it again")
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LIMITS[limit]:
        raise UserError(
            f"{path}: {name} is {shown(value)}, expected 1 to {LIMITS[limit]:,};"
            " the file is damaged or of another format: download or export it again"
        )
    return value


def require_even_split(path: Path, whole: str, total: int, part: str, parts: int) -> int:
    """The quotient total / parts. Raises UserError if there is a remainder."""
    if total % parts:
        raise UserError(f"{path}: {whole} {total} is not a multiple of {part} {parts}; export the checkpoint again")
    return total // parts


def require_consistent(path: Path, config: ModelConfig) -> ModelConfig:
    """The config itself. Raises UserError if n_heads is no multiple of n_kv_heads or if head_dim is odd."""
    require_even_split(path, "n_heads", config.n_heads, "n_kv_heads", config.n_kv_heads)
    if config.head_dim % 2:
        raise UserError(
            f"{path}: head size {config.head_dim} is odd, expected an even number"
            " because rotary embedding turns pairs; such a model cannot be used"
        )
    return config


def require_finite(path: Path, name: str, tensor: NDArray[Any]) -> None:
    """Raise UserError, naming the tensor and the first bad index, if a value is NaN or infinite."""
    finite = np.isfinite(tensor)
    if not finite.all():
        first = [int(index) for index in np.argwhere(~finite)[0]]
        raise UserError(
            f"{path}: tensor {name} holds {int(np.count_nonzero(~finite))} values that are NaN or infinite,"
            f" the first at {first}, expected finite weights; train or export it again"
        )
