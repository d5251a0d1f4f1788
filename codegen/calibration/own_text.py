"""A model's own text, for a calibration without a file: many sequences at once, sampled at temperature 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinyllm.codegen.arithmetic.float_forward import rmsnorm, softmax
from tinyllm.codegen.arithmetic.float_model import F32, Block, Model
from tinyllm.codegen.calibration import passes
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

SEED = 20240229
AT_ONCE = 64
"""Sequences that are written side by side."""


def own_text(
    model: Model, tokenizer: Tokenizer, length: int, most: int, progress: Callable[[int, int], None] | None = None
) -> list[list[int]]:
    """Sequences of at most `length` tokens, together about `most`, sampled from the float model; the same each time.

    Each begins with BOS, or with a random token if there is no BOS; a stop token ends it. progress is called with the
    number of tokens written, and the number wanted.
    """
    random = np.random.Generator(np.random.PCG64(SEED))
    found: list[list[int]] = []
    total = 0
    while total < most:
        writer = _Writer(model, AT_ONCE, length)
        if tokenizer.bos is None:
            ids = random.integers(0, model.config.vocab_size, AT_ONCE)
        else:
            ids = np.full(AT_ONCE, tokenizer.bos, np.int64)
        columns, going = [ids], np.ones(AT_ONCE, np.bool_)
        ends = {*tokenizer.stop_ids, *(() if tokenizer.bos is None else (tokenizer.bos,))}
        lengths = np.ones(AT_ONCE, np.int64)
        while len(columns) < length and going.any():
            ids = _drawn(writer.logits(ids), random)
            columns.append(ids)
            going &= ~np.isin(ids, list(ends))
            lengths += going
            if progress is not None and len(columns) % 16 == 0:
                progress(min(total + int(lengths.sum()), most), most)
        rows = np.stack(columns, axis=1)
        for row, count in zip(rows, lengths, strict=True):
            if count > 1 and total < most:
                found.append(row[:count].tolist())
                total += int(count)
        if lengths.max() < 2:
            return found  # the model ends every sequence at once
    return found


def _drawn(logits: F32, random: np.random.Generator) -> np.ndarray:
    """One token per row, drawn from the row's distribution."""
    sums = np.cumsum(softmax(logits), axis=-1, dtype=np.float64)
    points = random.random(len(sums)) * sums[:, -1]
    return np.minimum((sums < points[:, None]).sum(axis=-1), logits.shape[-1] - 1)


class _Writer:
    """The float model with a KV cache for `count` sequences of up to `length` tokens, one token of each at a time."""

    def __init__(self, model: Model, count: int, length: int) -> None:
        config = model.config
        self.model, self.config = model, config
        self.keys = np.zeros((config.n_layers, count, config.n_kv_heads, length, config.head_dim), np.float32)
        self.values = np.zeros_like(self.keys)
        self.cosine, self.sine = passes.angles(config, length)
        self.position = 0

    def logits(self, tokens: np.ndarray) -> F32:
        """The logits after one more token of each sequence, (B, vocab_size)."""
        config = self.config
        x = self.model.embedding[tokens]
        for layer, stored in enumerate(config.schedule):
            block = self.model.blocks[stored]
            h = passes.attention_input(block, x, config)
            x = passes.after_attention(block, x, self._attend(layer, block, h))
            x = passes.after_feed_forward(block, x, passes.hidden(block, passes.feed_forward_input(block, x, config)))
        self.position += 1
        return rmsnorm(x, self.model.final_norm, config.norm_epsilon) @ self.model.output_head.T

    def _attend(self, layer: int, block: Block, h: F32) -> F32:
        config, at = self.config, self.position

        def heads(weight: F32, bias: F32 | None) -> F32:
            rows = h @ weight.T if bias is None else h @ weight.T + bias
            return rows.reshape(len(h), -1, 1, config.head_dim)

        cosine, sine = self.cosine[at : at + 1], self.sine[at : at + 1]
        q = passes.turn(heads(block.wq, block.bq), cosine, sine, config)
        self.keys[layer, :, :, at] = passes.turn(heads(block.wk, block.bk), cosine, sine, config)[:, :, 0]
        self.values[layer, :, :, at] = heads(block.wv, block.bv)[:, :, 0]
        window = config.windows[layer] if config.windows else None
        first = 0 if window is None else max(0, at + 1 - window)
        keys, values = self.keys[layer, :, :, first : at + 1], self.values[layer, :, :, first : at + 1]
        q = q.reshape(len(h), config.n_kv_heads, -1, config.head_dim)  # (B, n_kv_heads, group, head_dim)
        scores = (q @ keys.swapaxes(-1, -2)) * np.float32(config.head_dim**-0.5)
        return (softmax(scores) @ values).reshape(len(h), config.q_dim)
