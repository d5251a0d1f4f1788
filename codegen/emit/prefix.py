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
"""A context must have room for this many tokens after the prefix."""


@dataclass(frozen=True)
class PrefixCache:
    """The KV cache after a prefix of n tokens.

    tokens (n,). k, v: codes as they lie in the cache (rows, key_bytes or value_bytes). The rows are ordered by layer,
    head and slot; a layer has all its slots, at most n. k_scale, v_scale (rows,): packed. k_top, v_top (n_layers,
    n_kv_heads): biased, as in tl_state.
    """

    tokens: NDArray[np.uint32]
    k: NDArray[np.int8]
    v: NDArray[np.int8]
    k_scale: NDArray[np.uint16]
    v_scale: NDArray[np.uint16]
    k_top: NDArray[np.uint8]
    v_top: NDArray[np.uint8]


def prefix_cache(model: IntegerModel) -> PrefixCache | None:
    """The cache of the model's prefix; None without one. Raises UserError if it leaves no room in the context."""
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
        k=packed_codes(held(reference.k, config.head_dim), config.key_bits),  # type: ignore[arg-type]
        v=packed_codes(held(reference.v, config.head_dim), config.value_bits),  # type: ignore[arg-type]
        k_scale=held(reference.k_scale),  # type: ignore[arg-type]
        v_scale=held(reference.v_scale),  # type: ignore[arg-type]
        k_top=top(reference.k_top),
        v_top=top(reference.v_top),
    )


def packed_codes(codes: NDArray[np.int8], bits: int) -> NDArray[np.int8]:
    """Codes (rows, head_dim) as they lie in the KV cache; int4 codes, which are multiples of 16, take half a byte each.

    Byte i has code i in its lower half, and code i + ceil(head_dim / 2) in its upper half.
    """
    if bits == 8:
        return codes
    half = (codes.shape[1] + 1) // 2
    packed = codes[:, :half].view(np.uint8) >> 4
    packed[:, : codes.shape[1] - half] |= codes[:, half:].view(np.uint8)
    return packed.view(np.int8)


def unpacked_codes(packed: NDArray[np.int8], head_dim: int, bits: int) -> NDArray[np.int8]:
    """Undo packed_codes: (..., row bytes) -> (..., head_dim)."""
    if bits == 8:
        return packed
    halves = packed.view(np.uint8)
    return np.concatenate([halves << 4, halves & 0xF0], axis=-1)[..., :head_dim].view(np.int8)
