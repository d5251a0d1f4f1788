"""WordPiece: the longest piece that a word begins with, then the longest that goes on from there.

Source: tokenizers/src/models/wordpiece/mod.rs of github.com/huggingface/tokenizers. A piece that begins a word has a
space in front and one that goes on has none, so that pieces decode to what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTINUES = b"##"
"""What a vocabulary writes before a piece that goes on within a word."""


def greedy_pieces(ids: Mapping[bytes, int], longest_word: int, word: bytes) -> list[bytes] | None:
    """The pieces of a word with a space in front, or None if there are none for all of it.

    longest_word: in characters. A word that begins with the very "##" may begin with a piece that goes on.
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
