"""Perplexity on a text: the token sequences it is measured on, and the sum over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.model import F32
from tinyllm.codegen.tokenizers.bpe import encode
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

STORY_SEPARATOR = "<|endoftext|>"

Tokens = NDArray[np.int64]


def split_stories(text: str) -> list[str]:
    """The texts between separators, stripped, without the empty ones."""
    return [story for part in text.split(STORY_SEPARATOR) if (story := part.strip())]


def evaluation_sequences(text: str, tokenizer: Tokenizer, max_tokens: int) -> list[Tokens]:
    """For each story BOS and its first tokens, int64 (at most `max_tokens`,)."""
    return [np.array(encode(tokenizer, story, bos=True)[:max_tokens], np.int64) for story in split_stories(text)]


def token_losses(logits: F32, tokens: Tokens) -> NDArray[np.float64]:
    """-ln p of each token after the first, (T-1,), from logits (T, vocab_size) or (T-1, vocab_size)."""
    rows = logits[: len(tokens) - 1].astype(np.float64)
    rows -= rows.max(axis=-1, keepdims=True)
    normaliser = np.log(np.exp(rows).sum(axis=-1))
    losses: NDArray[np.float64] = normaliser - rows[np.arange(len(rows)), tokens[1:]]
    return losses


def perplexity(forward: Callable[[Tokens], F32], sequences: Iterable[Tokens]) -> float:
    """The exponential of the mean loss of every predicted token.

    forward: gives logits (T, vocab_size) for tokens (T,). Raises ValueError where there is no token to predict.
    """
    losses = [token_losses(forward(tokens), tokens) for tokens in sequences]
    if not sum(map(len, losses)):
        raise ValueError("no token to predict")
    return float(np.exp(np.concatenate(losses).mean()))
