"""The float forward pass of many sequences at once, in steps between the inputs of matrices."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_forward import rmsnorm, silu, softmax
from tinyllm.codegen.arithmetic.float_model import F32, Block, ModelConfig

Mask = NDArray[np.bool_]

MOST_WORKERS = 4
"""A step of tuning has hardly more batches than this."""


def workers() -> ThreadPoolExecutor:
    """Threads that compute batches side by side: numpy lets go of Python's lock. Results are added up in order."""
    return ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_WORKERS))


@dataclass(frozen=True)
class Batch:
    """Sequences side by side: tokens int64 (B, T); real bool (B, T), false after the end of a shorter one."""

    tokens: NDArray[np.int64]
    real: Mask


def attention_input(block: Block, x: F32, config: ModelConfig) -> F32:
    """The input of wq, wk and wv, from the residual stream (B, T, dim)."""
    return rmsnorm(x, block.attn_norm, config.norm_epsilon)


def attend(block: Block, h: F32, config: ModelConfig, layer: int) -> F32:
    """The input of wo, (B, T, q_dim), from the input of wq, wk and wv."""
    count, length, _ = h.shape

    def heads(weight: F32, bias: F32 | None) -> F32:
        rows = h @ weight.T if bias is None else h @ weight.T + bias
        return rows.reshape(count, length, -1, config.head_dim).transpose(0, 2, 1, 3)

    q, k, v = heads(block.wq, block.bq), heads(block.wk, block.bk), heads(block.wv, block.bv)
    cosine, sine = angles(config, length)
    q, k = turn(q, cosine, sine, config), turn(k, cosine, sine, config)
    q = q.reshape(count, config.n_kv_heads, -1, config.head_dim)  # (B, n_kv_heads, group * T, head_dim)
    scores = q @ k.swapaxes(-1, -2)
    scores *= np.float32(config.head_dim**-0.5)
    group = config.n_heads // config.n_kv_heads
    scores += np.tile(unseen(config, layer, length), (group, 1))
    mixed = (softmax(scores) @ v).reshape(count, config.n_heads, length, config.head_dim)
    return mixed.transpose(0, 2, 1, 3).reshape(count, length, config.q_dim)


def after_attention(block: Block, x: F32, attended: F32) -> F32:
    """The residual stream with attention added."""
    x = x + attended @ block.wo.T
    return x if block.bo is None else x + block.bo


def feed_forward_input(block: Block, x: F32, config: ModelConfig) -> F32:
    """The input of w_gate and w_up, from the residual stream."""
    return rmsnorm(x, block.ffn_norm, config.norm_epsilon)


def hidden(block: Block, h: F32) -> F32:
    """The input of w_down, (B, T, hidden_dim), from the input of w_gate and w_up."""
    return silu(h @ block.w_gate.T) * (h @ block.w_up.T)


def after_feed_forward(block: Block, x: F32, inner: F32) -> F32:
    """The residual stream after the block."""
    return x + inner @ block.w_down.T


def unseen(config: ModelConfig, layer: int, length: int) -> F32:
    """(T, T): minus infinity at positions that a token does not attend to, else 0."""
    window = config.windows[layer] if config.windows else None
    distance = np.arange(length)[:, None] - np.arange(length)
    hidden = (distance < 0) | (distance >= (length if window is None else window))
    return np.where(hidden, np.float32(-np.inf), np.float32(0))


def angles(config: ModelConfig, length: int) -> tuple[F32, F32]:
    """Cosines and sines of RoPE at positions 0..length-1, float32 (T, rotary_dim/2), with the attention scaling."""
    phases = np.arange(length)[:, None] * config.rope.frequencies()
    scaling = config.rope.attention_scaling
    return (np.cos(phases) * scaling).astype(np.float32), (np.sin(phases) * scaling).astype(np.float32)


def turn(heads: F32, cosine: F32, sine: F32, config: ModelConfig) -> F32:
    """Rotate heads (..., T, head_dim). With -sine this is the transpose, which carries a gradient back."""
    rotary = config.rope.rotary_dim
    if config.rope.pairing == "interleaved":
        first, second = slice(0, rotary, 2), slice(1, rotary, 2)
    else:
        first, second = slice(0, rotary // 2), slice(rotary // 2, rotary)
    a, b = heads[..., first], heads[..., second]
    turned = heads.copy()
    turned[..., first] = a * cosine - b * sine
    turned[..., second] = a * sine + b * cosine
    return turned
