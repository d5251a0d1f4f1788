"""The prefix of a board: tokens that every conversation begins with, and their KV cache as constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.errors import UserError

ROOM = 8
"""A context must have room for this many tokens behind the prefix."""


@dataclass(frozen=True)
class PrefixCache:
    """What the cache holds after a prefix of n tokens.

    tokens (n,). k, v: int8 codes (rows, head_dim) of each layer, head and slot in this order, of each layer as many
    slots as it has, at most n. k_scale, v_scale (rows,): packed. k_top, v_top (n_layers, n_kv_heads): biased, as in
    tl_state.
    """

    tokens: NDArray[np.uint32]
    k: NDArray[np.int8]
    v: NDArray[np.int8]
    k_scale: NDArray[np.uint16]
    v_scale: NDArray[np.uint16]
    k_top: NDArray[np.uint8]
    v_top: NDArray[np.uint8]


def prefix_cache(model: IntegerModel) -> PrefixCache | None:
    """Compute the cache of the model's prefix; None without one. UserError if it leaves no room in the context."""
    config = model.config
    n = len(config.prefix)
    if n == 0:
        return None
    if n + ROOM > config.context:
        raise UserError(
            f"the prefix has {n} tokens, which leaves no room in a context of {config.context}: expected at most "
            f"{config.context - ROOM}. Shorten it, or give a larger --context."
        )
    reference = Reference(model)
    reference.forward(config.prefix)

    def held(passes: list[NDArray[np.generic]], *row: int) -> NDArray[np.generic]:
        return np.concatenate([each[:, : min(n, each.shape[1])].reshape(-1, *row) for each in passes])

    def top(exponents: NDArray[np.int64]) -> NDArray[np.uint8]:
        return (exponents + fp.SCALE_EXPONENT_BIAS).astype(np.uint8)

    return PrefixCache(
        tokens=np.array(config.prefix, np.uint32),
        k=held(reference.k, config.head_dim),  # type: ignore[arg-type]
        v=held(reference.v, config.head_dim),  # type: ignore[arg-type]
        k_scale=held(reference.k_scale),  # type: ignore[arg-type]
        v_scale=held(reference.v_scale),  # type: ignore[arg-type]
        k_top=top(reference.k_top),
        v_top=top(reference.v_top),
    )
