"""The integer forward pass in numpy: the specification of the kernels.

C on every chip must compute what this file computes. Positions are computed in batches. That changes no result,
because integer sums may be taken in any order. Products of codes run through float64 BLAS, exact below 2**53.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.arithmetic.fixedpoint import I64
from tinyllm.codegen.arithmetic.integer_model import (
    MAX_K_SHIFT,
    IntegerBlock,
    IntegerGain,
    IntegerMatrix,
    IntegerModel,
)
from tinyllm.codegen.arithmetic.vectors import Quantized, quantize_int4, quantize_int8, rmsnorm_int8, rotate, silu_mul

BATCH = 128
"""Positions computed at once: cheaper than one by one, and their scores still fit a processor's cache."""

QUANTIZE = {8: quantize_int8, 4: quantize_int4}
"""The quantiser of keys and values, by the bits of a code in the KV cache."""

DType = TypeVar("DType", bound=np.generic)


class Reference:
    """A model with its KV cache; `position` counts the tokens since the last reset and may pass the context.

    k, v: for each pass, int8 codes (n_kv_heads, slots, head_dim); those of an int4 cache are multiples of 16.
    k_scale, v_scale: for each pass, packed scales, uint16 (n_kv_heads, slots).
    k_top, v_top: the largest exponent of a scale since the reset (n_layers, n_kv_heads).
    A pass has config.slots of them. When all are taken, a new token takes the slot of the oldest one that is no sink.
    """

    def __init__(self, model: IntegerModel) -> None:
        config = model.config
        self.model = model
        self.position = 0

        def cache(dtype: type[DType], *row: int) -> list[NDArray[DType]]:
            return [np.zeros((config.n_kv_heads, slots, *row), dtype) for slots in config.slots]

        self.k, self.v = cache(np.int8, config.head_dim), cache(np.int8, config.head_dim)
        self.k_scale, self.v_scale = cache(np.uint16), cache(np.uint16)
        self.k_top, self.v_top = np.zeros((2, config.n_layers, config.n_kv_heads), np.int64)
        self._floats: dict[int, NDArray[np.float64]] = {}

    def reset(self) -> None:
        """Forget every token."""
        self.position = 0

    def place(self, position: int) -> int:
        """Where a board keeps the token of a position among the last ones, which a repetition penalty looks at."""
        return int(slots_of(np.int64(position), self.model.config.context, self.model.config.sinks))

    def held(self) -> list[I64]:
        """For each pass, the position that each slot holds, (slots,); -1 for an empty slot."""
        positions = np.arange(self.position)
        found = [np.full(slots, -1) for slots in self.model.config.slots]
        for layer, holders in enumerate(found):
            np.maximum.at(holders, self._slots(layer, positions), positions)
        return found

    def _slots(self, layer: int, positions: I64) -> I64:
        """The slots of these positions in the cache of a pass."""
        return slots_of(positions, self.model.config.slots[layer], self.model.config.sinks_of(layer))

    def _past(self, layer: int) -> I64:
        """The earlier positions that the token at self.position attends to, oldest first."""
        slots, sinks = self.model.config.slots[layer], self.model.config.sinks_of(layer)
        if self.position < slots:
            return np.arange(self.position)
        recent = np.arange(self.position - (slots - sinks) + 1, self.position)
        return np.concatenate([np.arange(sinks), recent])

    def forward(self, tokens: Sequence[int] | I64) -> I64:
        """Run T more tokens and return their logits, Q16.16, int64 (T, vocab_size)."""
        ids = np.asarray(tokens, np.int64)
        # A batch ends where the cache is full, and where the context ends: what follows is computed in another way.
        ends = (self.model.config.full_slots, self.model.config.context)
        logits = []
        while ids.size:
            size = min([ids.size, BATCH, *(end - self.position for end in ends if self.position < end)])
            logits.append(self._forward_batch(ids[:size]))
            ids = ids[size:]
        return np.concatenate(logits)

    def _forward_batch(self, tokens: I64) -> I64:
        model = self.model
        config = model.config
        positions = self.position + np.arange(tokens.size)
        phases = (positions[:, None] * model.rope_steps.astype(np.int64)) & 0xFFFFFFFF
        embedding = model.embedding
        right = np.int64(-(embedding.exponent + fp.FRACTION_BITS))
        x = fp.requantize(embedding.integers(tokens), embedding.mantissa[tokens][:, None], right)
        for layer, stored in enumerate(config.schedule):
            block = model.blocks[stored]
            attended = self._attention(layer, block, self._norm(x, block.attn_norm), positions, phases)
            x = fp.saturate(x + self._matmul(block.wo, q16_int8(attended)))
            if block.bo is not None:
                x = fp.saturate(x + block.bo)
            normed = self._norm(x, block.ffn_norm)
            hidden, exponent = silu_mul(self._matmul(block.w_gate, normed), self._matmul(block.w_up, normed))
            x = fp.saturate(x + self._matmul(block.w_down, q16_int8(hidden, exponent)))
        self.position += tokens.size
        return self._matmul(model.output_head, self._norm(x, model.final_norm))

    def _norm(self, x: I64, gain: IntegerGain) -> Quantized:
        scaled = rmsnorm_int8(x, gain.codes, self.model.epsilon)
        return Quantized(scaled.codes, scaled.mantissa, scaled.exponent + gain.exponent)

    def _matmul(self, matrix: IntegerMatrix, x: Quantized, bias: NDArray[np.int32] | None = None) -> I64:
        """W (rows, columns) @ x (T, columns) -> Q16.16 (T, rows)."""
        integers = self._floats.get(id(matrix))
        if integers is None:
            integers = self._floats[id(matrix)] = matrix.integers().T.astype(np.float64)
        accumulator = (x.codes.astype(np.float64) @ integers).astype(np.int64)
        right = -(matrix.exponent + x.exponent + fp.FRACTION_BITS)
        y = fp.requantize(accumulator, matrix.mantissa * x.mantissa[:, None], right[:, None])
        return y if bias is None else fp.saturate(y + bias)

    def _attention(self, layer: int, block: IntegerBlock, x: Quantized, positions: I64, phases: I64) -> I64:
        """Grouped-query attention over the cache; Q16.16 (T, q_dim)."""
        config = self.model.config
        heads, kv_heads, size = config.n_heads, config.n_kv_heads, config.head_dim
        count = positions.size
        q = self._matmul(block.wq, x, block.bq).reshape(count, heads, size)
        k = self._matmul(block.wk, x, block.bk).reshape(count, kv_heads, size)
        v = self._matmul(block.wv, x, block.bv).reshape(count, kv_heads, size)

        slots, sinks = config.slots[layer], config.sinks_of(layer)
        slides = bool(positions[0] >= slots)
        past = self._past(layer)
        seen = np.concatenate([past, positions])  # S positions
        # If a batch is longer than the part of the cache that slides, only its end is written.
        last = positions[-(slots - sinks if slides else slots) :]
        held, written = self._slots(layer, past), self._slots(layer, last)
        turned_k, k_exponent = turned(k, phases[:, None], self.model.k_shift[layer])
        codes, mantissa, exponent = QUANTIZE[config.key_bits](turned_k)
        rotated_k = Quantized(codes, mantissa, exponent + k_exponent)
        k_codes, k_scale = remember(self.k[layer], self.k_scale[layer], rotated_k, held, written)
        quantized_v = QUANTIZE[config.value_bits](v)
        v_codes, v_scale = remember(self.v[layer], self.v_scale[layer], quantized_v, held, written)

        k_top, v_top = (
            np.repeat(self._top(tops[layer], new), heads // kv_heads, axis=1)  # (T, heads)
            for tops, new in ((self.k_top, rotated_k), (self.v_top, quantized_v))
        )
        angles = phases[:, None]  # (T, 1, rotary_dim/2)
        if sinks and positions[0] >= config.context:
            # Sinks are scored with a query at the context's last position, however far the conversation has gone.
            end = np.int64(config.context - 1) * self.model.rope_steps.astype(np.int64) & 0xFFFFFFFF
            angles = np.stack([phases, np.broadcast_to(end, phases.shape)], axis=1)
        queries = self._queries(layer, q, angles)
        sums = self._score_sums(queries.codes[..., :size], k_codes, k_scale, k_top)
        if angles.shape[1] == 2:
            sums[..., :sinks] = self._score_sums(
                queries.codes[..., size:], k_codes[:, :sinks], k_scale[:, :sinks], k_top
            )
        distance = positions[:, None] - seen
        recent = slots - sinks if slides else slots
        visible = (distance >= 0) & ((distance < recent) | (slides & (seen < sinks)))
        probabilities = softmax_q15(
            sums, visible[:, None], queries.mantissa, queries.exponent + k_top + dot_shift(config.head_dim)
        )
        packed = np.repeat(v_scale, heads // kv_heads, axis=0)
        weights, weight_down, total = weights_of(probabilities, packed, v_top, self.model.attention_weight_bits)
        grouped = weights.reshape(count, kv_heads, heads // kv_heads, seen.size)
        accumulator = products_by_kv_head(grouped, v_codes).reshape(count, heads, size)
        # Divide by the sum of probabilities: bring it to 16 bits, then take its reciprocal of 17 bits.
        down = fp.bit_length(total) - 16
        inverse = (np.int64(1) << 31) // fp.shift(total, down)
        right = 31 + down - (weight_down + v_top)
        return fp.requantize(accumulator, inverse[..., None], right[..., None]).reshape(count, config.q_dim)

    def _top(self, top: I64, new: Quantized) -> I64:
        """For each new token, the largest exponent of a packed scale from the reset up to it, (T, n_kv_heads).

        new: the new tokens' keys or values. top (n_kv_heads,): the largest exponent before them, updated in place.
        """
        if self.position == 0:
            top[:] = -fp.SCALE_EXPONENT_BIAS
        _, exponent = fp.unpack_scale(fp.pack_scale(new.mantissa, new.exponent))
        tops = np.maximum(np.maximum.accumulate(exponent, axis=0), top)
        top[:] = tops[-1]
        return tops

    def _queries(self, layer: int, q: I64, angles: I64) -> Quantized:
        """Rotate queries by each of their angles (T, A, rotary_dim/2), with one scale for all turns of a head.

        Returns codes (T, heads, A * head_dim). Their scale times a key's value counts in 2**-16 octaves.
        """
        model, config = self.model, self.model.config
        right = np.repeat(MAX_K_SHIFT - model.k_shift[layer], config.n_heads // config.n_kv_heads, axis=0)
        turns = [rotate(q, fp.cosine_q15(a), fp.sine_q15(a)) for a in np.moveaxis(angles[:, :, None], 1, 0)]
        scaled = quantize_int8(np.concatenate([turned >> right for turned, _ in turns], axis=-1))
        exponent = scaled.exponent + turns[0][1] + model.score_exponent
        return Quantized(scaled.codes, *fp.normalize_scale(scaled.mantissa * model.score_mantissa, exponent))

    def _score_sums(self, q: I64, k_codes: NDArray[np.int8], k_scale: NDArray[np.uint16], top: I64) -> I64:
        """Dot products of queries and keys, times the keys' mantissas, in units of 2**(top + dot_shift), (T, heads, S).

        q: codes (T, heads, head_dim). k_codes (n_kv_heads, S, head_dim), k_scale (n_kv_heads, S). top (T, heads).
        """
        config = self.model.config
        grouped = q.reshape(len(q), config.n_kv_heads, -1, config.head_dim)
        dots = products_by_kv_head(grouped, k_codes.swapaxes(1, 2))
        mantissa, exponent = fp.unpack_scale(np.repeat(k_scale, dots.shape[2], axis=0))
        product = (dots.reshape(len(q), config.n_heads, -1) >> dot_shift(config.head_dim)) * mantissa
        # A key that a token does not see yet may have an exponent above top.
        return product >> np.clip(top[..., None] - exponent, 0, 31)


def products_by_kv_head(a: I64, b: NDArray[np.int8]) -> I64:
    """Rows (T, n_kv_heads, group, n) @ b (n_kv_heads, n, m) -> (T, n_kv_heads, group, m).

    Computed in float64: its BLAS is fast, and integer sums below 2**53 are exact.
    """
    count, kv_heads, group, size = a.shape
    rows = a.swapaxes(0, 1).reshape(kv_heads, count * group, size).astype(np.float64)
    products = (rows @ b.astype(np.float64)).astype(np.int64)
    return products.reshape(kv_heads, count, group, -1).swapaxes(0, 1)


def dot_shift(head_dim: int) -> int:
    """How far q . k is shifted right so that its product with a scale's mantissa, at most 1033, fits int32."""
    return max(0, (head_dim - 1).bit_length() - 7)


_OCTAVES = np.arange(32 << 9)
PROBABILITIES: I64 = np.append(((fp.SOFTMAX_TABLE[_OCTAVES & 511] >> (_OCTAVES >> 9)) + 1) >> 1, 0)
"""Probabilities Q15 by distance in steps of 2**-9 octaves, below 32 octaves; the last, 0, is for all else."""


def softmax_q15(sums: I64, visible: NDArray[np.bool_], mantissa: I64, exponent: I64) -> I64:
    """Probabilities Q15 (..., S), the largest 32768, of scores `sums * mantissa * 2**exponent` in 2**-16 octaves.

    sums: int32 (..., S); only the visible ones count. mantissa (...,): 15 bits, or 0 if the query is zero.
    If the distance from the largest sum is surely 16 octaves or more, the probability is 0. Any other distance is cut
    to 16 bits, so that its product with the mantissa fits int32. The product is rounded to 2**-9 octaves.
    """
    distance = np.max(np.where(visible, sums, -(2**40)), axis=-1, keepdims=True) - sums
    bits = np.clip(6 - exponent, 0, 32)  # mantissa >= 2**14, so a distance of 2**bits is at least 16 octaves
    near = visible & (distance < np.int64(1) << bits[..., None])
    down = np.maximum(bits - 16, 0)
    right = np.clip(7 - exponent - down, 1, 31)
    octaves = fp.rounding_shift((distance >> down[..., None]) * mantissa[..., None], right[..., None])
    return PROBABILITIES[np.where(near, octaves, -1)]


def weights_of(probabilities: I64, packed: I64 | NDArray[np.uint16], top: I64, bits: int) -> tuple[I64, I64, I64]:
    """Integer weights (..., S) for the codes of V, the shift `down` (...,) and the sum of probabilities (...,).

    weight = probability * scale of V, in units of 2**(top + down), of at most `bits` bits.
    packed: V's scales (..., S). The exponent of a visible one is at most top (...,).
    """
    mantissa, exponent = fp.unpack_scale(packed)
    product = (probabilities * mantissa) >> np.clip(top[..., None] - exponent, 0, 31)
    largest = np.max(product, axis=-1)
    # One bit more if rounding could carry into it.
    down = np.maximum(fp.bit_length(largest + (largest >> bits)) - bits, 0)
    return fp.rounding_shift(product, down[..., None]), down, np.sum(probabilities, axis=-1)


def q16_int8(vector: I64, exponent: I64 | int = 0) -> Quantized:
    """Quantise vectors (..., n) in units of 2**(exponent - 16), exponent (...,); the scale gives real values."""
    scaled = quantize_int8(vector)
    return Quantized(scaled.codes, scaled.mantissa, scaled.exponent + exponent - fp.FRACTION_BITS)


def slots_of(positions: I64 | np.int64, slots: int, sinks: int) -> I64:
    """The slots of these positions in a cache of so many slots; when all are taken, each token replaces the oldest one
    that is no sink.
    """
    return np.where(positions < slots, positions, sinks + (positions - sinks) % (slots - sinks))


def remember(
    codes: NDArray[np.int8], scales: NDArray[np.uint16], new: Quantized, held: I64, written: I64
) -> tuple[NDArray[np.int8], NDArray[np.uint16]]:
    """Write the end of `new` (T, n_kv_heads, head_dim) to the slots `written` of a pass's cache of keys or values.

    Returns codes (n_kv_heads, S, head_dim) and packed scales (n_kv_heads, S): those that the slots `held` had before,
    then all of `new`.
    """
    packed = fp.pack_scale(new.mantissa, new.exponent).astype(np.uint16)
    seen_codes = np.concatenate([codes[:, held], new.codes.swapaxes(0, 1).astype(np.int8)], axis=1)
    seen_scales = np.concatenate([scales[:, held], packed.T], axis=1)
    codes[:, written], scales[:, written] = seen_codes[:, -written.size :], seen_scales[:, -written.size :]
    return seen_codes, seen_scales


def turned(heads: I64, phases: I64, right: NDArray[np.uint8]) -> tuple[I64, I64]:
    """Rotate heads (T, n, d), then shift each channel right by `right` (n, d); the exponent brings it to Q16.16."""
    result, exponent = rotate(heads, fp.cosine_q15(phases), fp.sine_q15(phases))
    return result >> right, exponent
