"""WordPiece: takes the longest piece that a word begins with, then the longest that continues it, and so on.

Source: tokenizers/src/models/wordpiece/mod.rs of github.com/huggingface/tokenizers. Here a piece that begins a word has
a space in front, and one that continues a word has none. So every piece decodes to its own bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTINUES = b"##"
"""The prefix by which a vocabulary marks a piece that continues a word."""


def greedy_pieces(ids: Mapping[bytes, int], longest_word: int, word: bytes) -> list[bytes] | None:
    """The pieces of a word that has a space in front, or None if they do not cover the word or it is too long.

    longest_word: in characters. A word that itself begins with "##" may begin with a piece that continues a word.
    """
    if len(word[1:].decode("utf-8", "surrogateescape")) > longest_word:
        return None
    longest = max(map(len, ids), default=0)
    pieces: list[bytes] = []
    start = 0
    while start < len(word):
        piece = b""
        taken = 0
        for end in range(min(len(word), start + longest + len(CONTINUES) + 1), start, -1):
            piece = word[start:end]
            if piece not in ids and start == 0 and piece[1:].startswith(CONTINUES):
                piece = piece[1 + len(CONTINUES) :]
            if piece in ids:
                taken = end - start
                break
        if not taken:
            return None
        pieces.append(piece)
        start += taken
    return pieces
