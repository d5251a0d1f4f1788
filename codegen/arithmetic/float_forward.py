"""The float forward pass of a checkpoint. Every integer path is judged by it.

It computes in float32, or in float64 if asked.

Architecture: Llama (Touvron et al., arXiv 2302.13971): RMSNorm, rotary embedding, grouped-query attention, SwiGLU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyllm.codegen.arithmetic.float_model import F32, Block, Model, Rope


@dataclass
class KVCache:
    """Keys (rotated) and values of the positions seen, floats (passes, capacity, n_kv_heads, head_dim)."""

    keys: F32
    values: F32
    length: int = 0

    @property
    def capacity(self) -> int:
        return int(self.keys.shape[1])


class FloatForward:
    """The forward pass of a Model in floats of `dtype`, all positions of a call at once."""

    def __init__(self, model: Model, dtype: type[np.floating] = np.float32) -> None:
        self.model = model
        self.dtype = dtype
        self.config = model.config

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache with room for `capacity` positions."""
        config = self.config
        shape = (config.n_layers, capacity, config.n_kv_heads, config.head_dim)
        return KVCache(np.zeros(shape, self.dtype), np.zeros(shape, self.dtype))

    def forward(
        self, tokens: ArrayLike, cache: KVCache | None = None, observe: Callable[[int, F32, F32], None] | None = None
    ) -> F32:
        """Logits, floats (T, vocab_size), after each of `tokens`, ints (T,).

        Arguments and errors are those of `hidden`.
        """
        logits: F32 = self.hidden(tokens, cache, observe) @ self.model.output_head.T
        return logits

    def hidden(
        self, tokens: ArrayLike, cache: KVCache | None = None, observe: Callable[[int, F32, F32], None] | None = None
    ) -> F32:
        """The hidden states that the head turns into logits, floats (T, dim), after each of `tokens`, ints (T,).

        Without a cache the first token stands at position 0. With one it stands at cache.length: the tokens attend to
        the cached positions and are added to the cache. Raises ValueError if the cache has no room for them.
        observe: called once per pass with its number and the rotated q (T, n_heads, head_dim) and
        k (T, n_kv_heads, head_dim).
        """
        ids = np.asarray(tokens, dtype=np.int64)
        if cache is None:
            cache = self.new_cache(len(ids))
        start, end = cache.length, cache.length + len(ids)
        if end > cache.capacity:
            raise ValueError(f"{end} positions, the cache has room for {cache.capacity}")
        config, model = self.config, self.model
        positions = np.arange(start, end)

        x = model.embedding[ids].astype(self.dtype)
        for layer, stored in enumerate(config.schedule):
            block = model.blocks[stored]
            h = rmsnorm(x, block.attn_norm, config.norm_epsilon)
            q, k, v = self._project(block, h)
            cache.keys[layer, start:end] = rotate(k, positions, config.rope)
            cache.values[layer, start:end] = v
            q = rotate(q, positions, config.rope)
            if observe is not None:
                observe(layer, q, cache.keys[layer, start:end])
            window = config.windows[layer] if config.windows else None
            x = x + self._attend(q, cache.keys[layer, :end], cache.values[layer, :end], positions, window) @ block.wo.T
            if block.bo is not None:
                x = x + block.bo
            h = rmsnorm(x, block.ffn_norm, config.norm_epsilon)
            x = x + (silu(h @ block.w_gate.T) * (h @ block.w_up.T)) @ block.w_down.T
        cache.length = end
        return rmsnorm(x, model.final_norm, config.norm_epsilon)

    def _project(self, block: Block, h: F32) -> tuple[F32, F32, F32]:
        """Project h (T, dim) to q (T, n_heads, head_dim), k and v (T, n_kv_heads, head_dim)."""

        def project(weight: F32, bias: F32 | None) -> F32:
            rows: F32 = h @ weight.T if bias is None else h @ weight.T + bias
            return rows.reshape(len(h), -1, self.config.head_dim)

        return project(block.wq, block.bq), project(block.wk, block.bk), project(block.wv, block.bv)

    def _attend(self, q: F32, keys: F32, values: F32, positions: NDArray[np.int64], window: int | None) -> F32:
        """Causal attention, (T, q_dim), to the last `window` positions, or to all if it is None.

        q (T, n_heads, head_dim) at `positions` (T,); keys, values (S, n_kv_heads, head_dim) at 0..S-1.
        """
        config = self.config
        n_positions = len(q)
        group = config.n_heads // config.n_kv_heads
        # (n_kv_heads, group * T, head_dim) against (n_kv_heads, S, head_dim): each key head serves a group of queries.
        grouped = q.reshape(n_positions, config.n_kv_heads, group, config.head_dim).transpose(1, 2, 0, 3)
        grouped = grouped.reshape(config.n_kv_heads, group * n_positions, config.head_dim)
        scores: F32 = grouped @ keys.transpose(1, 2, 0)
        scores /= np.float32(np.sqrt(config.head_dim))
        distance = np.tile(positions, group)[:, None] - np.arange(len(keys))
        np.copyto(scores, -np.inf, where=(distance < 0) | (distance >= (len(keys) if window is None else window)))
        mixed: F32 = softmax(scores) @ values.transpose(1, 0, 2)
        mixed = mixed.reshape(config.n_kv_heads, group, n_positions, config.head_dim).transpose(2, 0, 1, 3)
        return mixed.reshape(n_positions, config.q_dim)


def rmsnorm(x: F32, weight: F32, epsilon: float) -> F32:
    """Computes x / sqrt(mean(x^2) + epsilon) * weight along the last axis (Zhang and Sennrich, arXiv 1910.07467)."""
    mean_square = np.mean(np.square(x), axis=-1, keepdims=True)
    normed: F32 = x / np.sqrt(mean_square + np.float32(epsilon)) * weight
    return normed


def silu(x: F32) -> F32:
    """Computes x * sigmoid(x), with no overflow at either end."""
    e = np.exp(-np.abs(x))
    gated: F32 = x * np.where(x >= 0, np.float32(1), e) / (1 + e)
    return gated


def softmax(scores: F32) -> F32:
    """The softmax along the last axis."""
    weights: F32 = scores - scores.max(axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities, float64 (T, vocab_size)."""
    rows = logits.astype(np.float64)
    rows -= rows.max(axis=-1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(axis=-1, keepdims=True))
    return rows


def rotate(heads: F32, positions: NDArray[np.int64], rope: Rope) -> F32:
    """Rotary embedding of heads (T, n, head_dim) at positions (T,): the first rotary_dim elements turn in pairs."""
    angles = positions[:, None] * rope.frequencies()  # (T, rotary_dim/2)
    cosine = np.cos(angles).astype(heads.dtype)[:, None, :]
    sine = np.sin(angles).astype(heads.dtype)[:, None, :]
    if rope.pairing == "interleaved":
        first, second = slice(0, rope.rotary_dim, 2), slice(1, rope.rotary_dim, 2)
    else:
        half = rope.rotary_dim // 2
        first, second = slice(0, half), slice(half, rope.rotary_dim)
    a, b = heads[..., first], heads[..., second]
    rotated: F32 = heads.copy()
    rotated[..., first] = (a * cosine - b * sine) * np.float32(rope.attention_scaling)
    rotated[..., second] = (a * sine + b * cosine) * np.float32(rope.attention_scaling)
    return rotated


def generate_greedy(
    model: FloatForward, prompt: Sequence[int], n_tokens: int, stop_ids: Sequence[int] = ()
) -> list[int]:
    """The prompt (not empty) and up to `n_tokens` more ids; ends at a stop id.

    Each new id is the likeliest token. If several are equally likely, it is the lowest of their ids.
    """
    ids = list(prompt)
    cache = model.new_cache(len(prompt) + n_tokens)
    pending = ids
    for _ in range(n_tokens):
        token = int(model.forward(pending, cache)[-1].argmax())
        ids.append(token)
        if token in stop_ids:
            break
        pending = [token]
    return ids
