"""Calibration text as batches of token sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyllm.codegen.calibration.passes import Batch
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

LENGTH = 256
"""Tokens of a sequence, at most."""

TOKENS = 1 << 18
"""Tokens of a calibration text, at most: more change little."""

FEWEST_TOKENS = 2048
"""Tokens of a calibration text, at least: fewer do not show which inputs a matrix sees."""

TOKENS_AT_ONCE = 1024
"""Tokens of a batch, at most: the scores of its attention then stay in a processor's cache."""


def pieces(stories: Sequence[str], tokenizer: Tokenizer, length: int, most: int) -> list[list[int]]:
    """The stories as sequences of at most `length` tokens, each beginning with BOS, until `most` tokens are reached."""
    found: list[list[int]] = []
    total = 0
    for story in stories:
        ids = encode(tokenizer, story, bos=True)
        first, rest = ids[:1], ids[1:]
        for start in range(0, len(rest), length - 1):
            piece = first + rest[start : start + length - 1]
            if len(piece) < 2:
                continue
            found.append(piece)
            total += len(piece)
            if total >= most:
                return found
    return found


def batches_of(sequences: Sequence[Sequence[int]]) -> list[Batch]:
    """Batches of sequences of similar length, the shorter ones padded."""
    ordered = sorted(sequences, key=len)
    found = []
    while ordered:
        count = max(1, TOKENS_AT_ONCE // len(ordered[-1]))
        some = ordered[-count:]
        del ordered[-count:]
        tokens = np.zeros((len(some), len(some[-1])), np.int64)
        real = np.zeros(tokens.shape, np.bool_)
        for row, ids in enumerate(some):
            tokens[row, : len(ids)] = ids
            real[row, : len(ids)] = True
        found.append(Batch(tokens, real))
    return found


def count_for(sequences: Sequence[Sequence[int]], tokens: int) -> int:
    """How many sequences, from the first on, hold `tokens` tokens together; all if they hold fewer."""
    total = 0
    for count, ids in enumerate(sequences, start=1):
        total += len(ids)
        if total >= tokens:
            return count
    return len(sequences)
