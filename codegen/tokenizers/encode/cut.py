"""Cuts text into words at the matches of an automaton.

The behaviours are those of Split in Hugging Face tokenizers (SplitDelimiterBehavior in tokenizers/src/tokenizer/
normalizer.rs of github.com/huggingface/tokenizers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from tinyllm.codegen.tokenizers.encode.automaton import Automaton
from tinyllm.codegen.tokenizers.encode.regex import Node


class Behavior(IntEnum):
    """What a match becomes; the values are emitted into the C tables."""

    ISOLATED = 0
    """A word of its own."""
    REMOVED = 1
    """Nothing: it is dropped."""
    MERGED_WITH_PREVIOUS = 2
    """The end of the word before it, unless that is a match too."""
    MERGED_WITH_NEXT = 3
    """The start of the word after it, unless that is a match too."""
    CONTIGUOUS = 4
    """One word together with the matches beside it."""


@dataclass(frozen=True)
class Cut:
    """One step. invert: the text between matches counts as a match, and a match does not."""

    pattern: Node
    behavior: Behavior
    invert: bool = False


def cut_spans(cut: Cut, automaton: Automaton, symbols: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut symbols[start:end] into words, each as start and end. Dropped words are left out."""
    while start < end:
        stop, match = _segment(cut, automaton, symbols, start, end)
        dropped = cut.behavior is Behavior.REMOVED and match
        while stop < end:
            following, match_too = _segment(cut, automaton, symbols, stop, end)
            if not _joins(cut.behavior, match, match_too):
                break
            stop = following
            if cut.behavior is not Behavior.CONTIGUOUS:
                break
        if not dropped:
            yield start, stop
        start = stop


def _joins(behavior: Behavior, match: bool, match_too: bool) -> bool:
    """Whether the second of two neighbouring segments belongs to the word that begins with the first."""
    if behavior is Behavior.MERGED_WITH_PREVIOUS:
        return not match and match_too
    if behavior is Behavior.MERGED_WITH_NEXT:
        return match and not match_too
    return behavior is Behavior.CONTIGUOUS and match is match_too


def _segment(cut: Cut, automaton: Automaton, symbols: bytes, start: int, end: int) -> tuple[int, bool]:
    """The end of the segment at `start`, and whether it counts as a match.

    The segment is the match that begins there, or else the text before the next match.
    """
    stop = automaton.match_end(symbols, start, end)
    if stop >= 0:
        return stop, not cut.invert
    stop = start + 1
    while stop < end and automaton.match_end(symbols, stop, end) < 0:
        stop += 1
    return stop, cut.invert
