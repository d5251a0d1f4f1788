"""Cuts a word into the pieces whose scores have the largest sum, in the arithmetic of the library that is followed.

This is Viterbi's algorithm over the characters of a word. At each character, every piece that begins there may extend
the best path so far. If no piece is that single character, an unknown character may extend it too. If sums are equal,
the path that was found first stays.

The libraries differ in how they add: sentencepiece (src/unigram_model.cc, EncodeOptimized) in single precision,
tokenizers (src/models/unigram/model.rs, encode_optimized) in double precision.
"""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.tokenizers.encode.normalize import utf8_length
from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK, Tokenizer

UNKNOWN_PENALTY = 10.0
"""How much lower an unknown character scores than the worst piece."""

LARGEST = np.finfo(np.float32).max


def best_path(tokenizer: Tokenizer, text: bytes) -> list[bytes]:
    """The best cut of `text` into pieces and unknown characters."""
    scores, unknown = path_scores(tokenizer)
    longest = max(map(len, scores), default=1)
    best = [0.0] * (len(text) + 1)
    begins = [-1] * (len(text) + 1)
    start = 0
    while start < len(text):
        length = utf8_length(text, start)
        single = False
        for end in range(start + 1, min(start + longest, len(text)) + 1):
            score = scores.get(text[start:end])
            if score is not None:
                single |= end == start + length
                total = score + best[start]
                total = total if tokenizer.wide_sums else float(np.float32(total))
                if begins[end] < 0 or total > best[end]:
                    best[end], begins[end] = total, start
        end = start + length
        if not single:
            total = unknown + best[start]
            total = total if tokenizer.wide_sums else float(np.float32(total))
            if begins[end] < 0 or total > best[end]:
                best[end], begins[end] = total, start
        start = end
    pieces, end = [], len(text)
    while end:
        pieces.append(text[begins[end] : end])
        end = begins[end]
    return pieces[::-1]


def path_scores(tokenizer: Tokenizer) -> tuple[dict[bytes, float], float]:
    """The score of every piece that a path may hold, and of an unknown character.

    The scores are doubles; without wide_sums they are float32 values. SentencePiece's USER_DEFINED pieces score above
    all others: a tenth for each byte after the first (version 0.2.3).
    """
    normal = {piece: tokenizer.scores[token] for piece, token in tokenizer.normal_ids.items()}
    if tokenizer.wide_sums:
        return normal, min(tokenizer.scores) - UNKNOWN_PENALTY
    values = [np.float32(score) for score in normal.values()]
    user_defined = [] if tokenizer.user_defined_first else list(tokenizer.user_defined_ids)
    bonus = {piece: float(np.float32(0.1 * (len(piece.replace(b" ", SPACE_MARK)) - 1))) for piece in user_defined}
    return normal | bonus, float(min([LARGEST, *values]) - np.float32(UNKNOWN_PENALTY))
