"""The channel shifts of rotated keys, which share one int8 scale, chosen from a float run on random tokens.

A key has a few large channels, and the query is often large in channels that are small in the key. With one scale per
key these small channels lose the precision that the score needs most. Dividing channel i of every rotated key by
2**shift[i] and multiplying that channel of every rotated query by the same changes no score and evens out the keys.
This is the idea of SmoothQuant (Xiao et al., arXiv 2211.10438), applied after RoPE, where it holds within a rotating
pair as well.
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

    The tokens are random, so no text is needed. The run is in float64, so that every machine chooses the same shifts.
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
    """The shifts (head_dim,) with the least expected score error.

    magnitudes: |k| (T, head_dim); energy: the mean square of q (head_dim,). The error of a code grows with
    max(|k| / 2**shift), and the query multiplies it by its own size times 2**shift. The search starts from the shifts
    that even out the channels, or from none if that is better, and changes one channel at a time by one.
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
