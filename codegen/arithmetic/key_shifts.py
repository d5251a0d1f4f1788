"""How the channels of a rotated key share its int8 scale: K channel shifts, chosen from a float run on random tokens.

A key has a few large channels, and the query often has its large ones where the key's are small. With one scale per key
the small channels then lose what the score needs most. Dividing channel i of every rotated key by 2**shift[i] and
multiplying that channel of every rotated query by as much changes no score, and evens out the keys (the idea of
SmoothQuant, Xiao et al., arXiv 2211.10438, applied after RoPE, where it holds within a rotating pair as well).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_forward import FloatForward
from tinyllm.codegen.arithmetic.float_model import F32, Model
from tinyllm.codegen.arithmetic.integer_model import MAX_K_SHIFT

F64 = NDArray[np.float64]
Shifts = NDArray[np.uint8]

N_TOKENS = 512
SEED = 20240229


def key_shifts(model: Model) -> Shifts:
    """Right shifts of the channels of rotated keys, uint8 (n_layers, n_kv_heads, head_dim), in the model's own pairing.

    The tokens are random, so no text is needed; the run is in float64, so that every machine chooses the same.
    """
    config = model.config
    tokens = np.random.Generator(np.random.PCG64(SEED)).integers(
        0, config.vocab_size, min(config.context, N_TOKENS), dtype=np.int64
    )
    shifts = np.zeros((config.n_layers, config.n_kv_heads, config.head_dim), np.uint8)

    def observe(layer: int, q: F32, k: F32) -> None:
        groups = q.reshape(len(q), config.n_kv_heads, -1, config.head_dim)
        energy = np.mean(np.square(groups, dtype=np.float64), axis=(0, 2))  # (n_kv_heads, head_dim)
        for head in range(config.n_kv_heads):
            shifts[layer, head] = best_shifts(np.abs(k[:, head]).astype(np.float64), energy[head])

    FloatForward(model, np.float64).hidden(tokens, observe=observe)
    return shifts


def best_shifts(magnitudes: F64, energy: F64) -> Shifts:
    """The shifts (head_dim,) of least expected score error.

    magnitudes: |k| (T, head_dim); energy: the mean square of q (head_dim,). Codes err by up to half of
    max(|k| / 2**shift), and the query weighs that with its own size times 2**shift. Searched one channel at a time, up
    or down by one, from the shifts that even out the channels.
    """

    def error(shifts: NDArray[np.int64]) -> float:
        factor = 2.0**shifts
        return float(np.mean(np.square(np.max(magnitudes / factor, axis=1))) * np.sum(np.square(factor) * energy))

    typical = np.sqrt(np.mean(np.square(magnitudes), axis=0)) + 1e-30
    best = np.clip(np.rint(np.log2(typical / typical.min())), 0, MAX_K_SHIFT).astype(np.int64)
    flat = np.zeros_like(best)
    best = min(best, flat, key=error)
    least, improved = error(best), True
    while improved:
        improved = False
        for channel in range(len(best)):
            for step in (-1, 1):
                trial = best.copy()
                trial[channel] += step
                trial -= trial.min()
                if trial.max() <= MAX_K_SHIFT and (found := error(trial)) < least * 0.999:
                    best, least, improved = trial, found, True
    return best.astype(np.uint8)
