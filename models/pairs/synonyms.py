"""Rewords the questions of a file of small talk with synonyms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

MOST_REPLACED = 2
"""The most words that are replaced in a sentence."""


class Synonyms:
    """Groups of words or phrases, in lower case, that may replace each other. All random choices come from `random`."""

    def __init__(self, groups: Sequence[Sequence[str]], random: Random) -> None:
        self.random = random
        self.others: dict[str, list[str]] = {}
        for group in groups:
            for word in group:
                self.others.setdefault(word, []).extend(other for other in group if other != word)
        longest_first = sorted(self.others, key=len, reverse=True)
        self.pattern = re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b" if groups else "(?!)", re.I)

    def reworded(self, text: str) -> str:
        """The text with up to MOST_REPLACED words or phrases replaced. A first letter that is a capital stays one."""
        places = list(self.pattern.finditer(text))
        self.random.shuffle(places)
        chosen = sorted(places[:MOST_REPLACED], key=lambda place: place.start(), reverse=True)
        for place in chosen:
            word = self.random.choice(self.others[place[0].lower()])
            if place[0][0].isupper():
                word = word[0].upper() + word[1:]
            text = text[: place.start()] + word + text[place.end() :]
        return text
