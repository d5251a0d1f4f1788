"""The gradient of a model's divergence from another: one forward and one backward pass over a batch of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_forward import softmax
from tinyllm.codegen.arithmetic.float_model import F32, Block, Model, ModelConfig
from tinyllm.codegen.calibration.layerwise import FINAL, Key
from tinyllm.codegen.calibration.passes import Batch, angles, turn, unseen

LOGITS_AT_ONCE = 1 << 22
"""Logits held at a time: a large vocabulary has many."""
TEXT_SHARE = 0.1
"""Share of the text's own next token in the distribution that tuning aims at; the rest is the float model's."""
TINY = np.float32(1e-20)
"""Keeps the logarithm of a probability of zero finite."""

Gradients = dict[Key, F32]


def divergence_gradients(
    model: Model, batch: Batch, teacher: F32, weight: float, aim: F32, of_head: bool = True
) -> tuple[float, Gradients]:
    """The Kullback-Leibler divergence of the model's next tokens from the teacher's, and its gradients.

    The text's own tokens are mixed into the teacher's. The divergence is summed over the real tokens. The gradients are
    those of `weight` times it, for every matrix and gain of the blocks, the final norm's gain and, if `of_head`, the
    head. If the head is the embedding too, its gradient includes both uses.
    teacher: the input of the teacher's head, (B, T, dim). aim: the teacher's head.
    """
    config = model.config
    x = model.embedding[batch.tokens]
    traces = []
    for layer, stored in enumerate(config.schedule):
        trace = _Trace(config, layer, model.blocks[stored], x)
        traces.append(trace)
        x = trace.out
    normed, inverse = _norm(x, config)
    wanted, had = teacher[batch.real], (normed * model.final_norm)[batch.real]
    loss, d_real, d_head = _head_gradient(model.output_head, had, wanted, aim, _following(batch), of_head)
    d_normed = np.zeros_like(x)
    d_normed[batch.real] = d_real * np.float32(weight)
    gradients: Gradients = {(FINAL, "final_norm"): np.sum(d_normed * normed, axis=(0, 1))}
    if d_head is not None:
        d_head *= np.float32(weight)
        gradients[FINAL, "embedding" if model.head is None else "head"] = d_head
    dx = _norm_back(d_normed * model.final_norm, normed, inverse)
    for trace, stored in zip(reversed(traces), reversed(config.schedule), strict=True):
        dx, found = trace.backward(dx)
        for name, gradient in found.items():
            key = (stored, name)
            gradients[key] = gradients[key] + gradient if key in gradients else gradient
    if model.head is None and d_head is not None:
        np.add.at(d_head, batch.tokens[batch.real], dx[batch.real])
    return loss, gradients


def _following(batch: Batch) -> NDArray[np.int64]:
    """The token after each real one (N,); -1 if its sequence ends there."""
    found = np.full_like(batch.tokens, -1)
    found[:, :-1] = np.where(batch.real[:, 1:], batch.tokens[:, 1:], -1)
    return found[batch.real]


def _head_gradient(
    head: F32, had: F32, wanted: F32, aim: F32, following: NDArray[np.int64], of_head: bool
) -> tuple[float, F32, F32 | None]:
    """The divergence of the model's next tokens, and its gradients for the rows `had` and, if `of_head`, for the head.

    had, wanted: the inputs (N, dim) of the model's head and of the teacher's head, `aim`. following: the next tokens of
    the text (N,), which are mixed into the teacher's.
    """
    loss, gradient, d_head = 0.0, np.empty_like(had), np.zeros_like(head) if of_head else None
    height = max(1, LOGITS_AT_ONCE // len(head))
    for row in range(0, len(had), height):
        part = slice(row, row + height)
        student, teacher = softmax(had[part] @ head.T), softmax(wanted[part] @ aim.T)
        known = np.flatnonzero(following[part] >= 0)
        teacher[known] *= np.float32(1 - TEXT_SHARE)
        teacher[known, following[part][known]] += np.float32(TEXT_SHARE)
        loss += float(np.sum(teacher * (np.log(teacher + TINY) - np.log(student + TINY))))
        student -= teacher
        gradient[part] = student @ head
        if d_head is not None:
            d_head += student.T @ had[part]
    return loss, gradient, d_head


def _norm(x: F32, config: ModelConfig) -> tuple[F32, F32]:
    """RMSNorm without its gain, and the factor that x is multiplied by, (B, T, 1)."""
    inverse = 1 / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + np.float32(config.norm_epsilon))
    return x * inverse, inverse


def _norm_back(d: F32, normed: F32, inverse: F32) -> F32:
    return (d - normed * np.mean(d * normed, axis=-1, keepdims=True)) * inverse


def _flat(x: F32) -> F32:
    return x.reshape(-1, x.shape[-1])


class _Trace:
    """One pass through a block. It keeps the residual stream after the block and what the backward pass needs."""

    def __init__(self, config: ModelConfig, layer: int, block: Block, x: F32) -> None:
        self.config, self.block = config, block
        count, length, _ = x.shape
        size, kv = config.head_dim, config.n_kv_heads
        self.normed, self.inverse = _norm(x, config)
        self.h = self.normed * block.attn_norm

        def heads(weight: F32, bias: F32 | None) -> F32:
            rows = self.h @ weight.T if bias is None else self.h @ weight.T + bias
            return np.ascontiguousarray(rows.reshape(count, length, -1, size).transpose(0, 2, 1, 3))

        self.cosine, self.sine = angles(config, length)
        q = turn(heads(block.wq, block.bq), self.cosine, self.sine, config)
        self.k = turn(heads(block.wk, block.bk), self.cosine, self.sine, config)
        self.v = heads(block.wv, block.bv)
        self.q = q.reshape(count, kv, -1, size)
        scores = self.q @ self.k.swapaxes(-1, -2)
        scores *= np.float32(size**-0.5)
        scores += np.tile(unseen(config, layer, length), (config.n_heads // kv, 1))
        self.p = softmax(scores)
        self.attended = self._merged(self.p @ self.v)
        x = x + self.attended @ block.wo.T
        if block.bo is not None:
            x = x + block.bo
        self.ffn_normed, self.ffn_inverse = _norm(x, config)
        self.g = self.ffn_normed * block.ffn_norm
        self.gate, self.up = self.g @ block.w_gate.T, self.g @ block.w_up.T
        self.sigmoid = 1 / (1 + np.exp(-self.gate))
        self.hidden = self.gate * self.sigmoid * self.up
        self.out = x + self.hidden @ block.w_down.T

    def _merged(self, heads: F32) -> F32:
        """(B, n_kv_heads, group * T, head_dim) -> (B, T, q_dim)."""
        count, config = len(heads), self.config
        split = heads.reshape(count, config.n_heads, -1, config.head_dim)
        return split.transpose(0, 2, 1, 3).reshape(count, -1, config.q_dim)

    def _split(self, rows: F32, n: int) -> F32:
        count, length, _ = rows.shape
        return np.ascontiguousarray(rows.reshape(count, length, n, -1).transpose(0, 2, 1, 3))

    def backward(self, dx: F32) -> tuple[F32, dict[str, Any]]:
        """The gradient before the block, from the one after it, and the gradients of its matrices and gains."""
        config, block = self.config, self.block
        found: dict[str, Any] = {"w_down": _flat(dx).T @ _flat(self.hidden)}
        d_hidden = dx @ block.w_down
        silu = self.gate * self.sigmoid
        d_up = d_hidden * silu
        d_gate = d_hidden * self.up * (self.sigmoid + silu * (1 - self.sigmoid))
        g = _flat(self.g)
        found["w_gate"], found["w_up"] = _flat(d_gate).T @ g, _flat(d_up).T @ g
        d_g = d_gate @ block.w_gate + d_up @ block.w_up
        found["ffn_norm"] = np.sum(d_g * self.ffn_normed, axis=(0, 1))
        dx = dx + _norm_back(d_g * block.ffn_norm, self.ffn_normed, self.ffn_inverse)

        found["wo"] = _flat(dx).T @ _flat(self.attended)
        d_mixed = self._split(dx @ block.wo, config.n_heads).reshape(self.q.shape)
        d_v = self.p.swapaxes(-1, -2) @ d_mixed
        d_scores = d_mixed @ self.v.swapaxes(-1, -2)
        d_scores -= np.einsum("...ij,...ij->...i", d_scores, self.p)[..., None]
        d_scores *= self.p
        d_scores *= np.float32(config.head_dim**-0.5)
        count, length = dx.shape[:2]
        d_q = (d_scores @ self.k).reshape(count, config.n_heads, length, config.head_dim)
        d_k = d_scores.swapaxes(-1, -2) @ self.q
        rows = [
            np.ascontiguousarray(d.transpose(0, 2, 1, 3)).reshape(count * length, -1)
            for d in (turn(d_q, self.cosine, -self.sine, config), turn(d_k, self.cosine, -self.sine, config), d_v)
        ]
        h = _flat(self.h)
        d_h = np.zeros_like(h)
        for name, d in zip(("wq", "wk", "wv"), rows, strict=True):
            found[name] = d.T @ h
            d_h += d @ getattr(block, name)
        d_h = d_h.reshape(self.h.shape)
        found["attn_norm"] = np.sum(d_h * self.normed, axis=(0, 1))
        return dx + _norm_back(d_h * block.attn_norm, self.normed, self.inverse), found
