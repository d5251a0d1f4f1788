"""Makes text look typed: typos, contractions, case, punctuation. Numbers, names and texts to show stay unchanged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from tinyllm.models.pairs.surface import Piece, text_of

KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SHORTEST_MISTYPED = 4
"""The fewest letters of a word that gets a typo. In a shorter one a typo can make another word: on, off, red."""
MANY_WORDS = 4
"""A sentence with fewer words may end with a question mark although it is no question: "humidity?"."""
_WORD = re.compile(r"[A-Za-z']+")
_QUESTION = re.compile(
    r"(what|who|why|when|where|how|which|is|are|was|do|does|did|can|could|would|will|shall|should|may|might|have|has)\b"
    r"|(what|who|how|where)s\b",
    re.IGNORECASE,
)


def neighbour(letter: str, random: Random) -> str:
    """The letter of a key beside that of a lower-case letter; any other character as it is."""
    for row in KEYBOARD:
        if letter in row:
            at = row.index(letter)
            return random.choice(row[max(0, at - 1) : at] + row[at + 1 : at + 2])
    return letter


def mistype(word: str, random: Random) -> str:
    """A word with one typo after its first letter: a letter lost, doubled, swapped with the next, of the next key."""
    at = random.randrange(1, len(word))
    kind = random.random()
    if kind < 0.3:
        return word[:at] + word[at + 1 :]
    if kind < 0.5:
        return word[:at] + word[at] + word[at:]
    if kind < 0.8 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + neighbour(word[at].lower(), random) + word[at + 1 :]


class Noise:
    """Adds noise with the misspellings and contractions of a phrase book. All random choices come from `random`."""

    def __init__(
        self, misspellings: Mapping[str, Sequence[str]], contractions: Mapping[str, str], random: Random
    ) -> None:
        self.misspellings, self.random = misspellings, random
        self.contractions = [(re.compile(rf"\b{re.escape(long)}\b"), short) for long, short in contractions.items()]

    def add(self, pieces: Sequence[Piece]) -> str:
        """The pieces as one text, as a person might type it."""
        random = self.random
        pieces = [piece if piece.fixed else replace(piece, text=self.contracted(piece.text)) for piece in pieces]
        if random.random() < 0.2:
            pieces = self.mistyped(pieces)
        case = random.random()
        if case < 0.05:
            pieces = [piece if piece.fixed else replace(piece, text=piece.text.upper()) for piece in pieces]
        elif case < 0.45:
            pieces = [piece if piece.fixed else replace(piece, text=piece.text.lower()) for piece in pieces]
        elif case < 0.85 and pieces and not pieces[0].fixed:
            pieces = [replace(pieces[0], text=pieces[0].text[:1].upper() + pieces[0].text[1:]), *pieces[1:]]
        return text_of(list(pieces)) + self.ending(pieces)

    def contracted(self, text: str) -> str:
        """The text with some words contracted, sometimes without the apostrophe."""
        for long, short in self.contractions:
            if self.random.random() < 0.6:
                text = long.sub(short, text)
        if "'" in text and self.random.random() < 0.25:
            text = text.replace("'", "")
        return text

    def mistyped(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces with one or two words misspelt, but not in fixed pieces."""
        places = [
            (number, match.span())
            for number, piece in enumerate(pieces)
            if not piece.fixed
            for match in _WORD.finditer(piece.text)
            if len(match[0]) >= SHORTEST_MISTYPED or match[0].lower() in self.misspellings
        ]
        self.random.shuffle(places)
        changed = list(pieces)
        touched: set[int] = set()
        for number, (start, end) in places[: self.random.choice((1, 1, 2))]:
            if number in touched:
                continue  # The first change has moved the other places in this piece.
            touched.add(number)
            text = changed[number].text
            word = text[start:end]
            known = self.misspellings.get(word.lower(), ())
            wrong = self.random.choice(known) if known and self.random.random() < 0.5 else ""
            if not wrong:
                wrong = mistype(word, self.random) if len(word) >= SHORTEST_MISTYPED else word
            changed[number] = replace(changed[number], text=text[:start] + wrong + text[end:])
        return changed

    def ending(self, pieces: Sequence[Piece]) -> str:
        """The punctuation at the end, or "". None after a free text, because it could be taken for part of the text."""
        text = text_of(list(pieces))
        last = pieces[-1] if pieces else Piece("")
        if not text or text[-1] in ".?!,%" or (last.fixed and not last.text[-1:].isdigit() and " " in last.text):
            return ""
        kind = self.random.random()
        if _QUESTION.match(text):
            return "?" if kind < 0.6 else "" if kind < 0.9 else "??" if kind < 0.93 else "."
        if last.fixed and not last.text.isdigit():
            return ""
        short = len(text.split()) < MANY_WORDS
        return (
            "." if kind < 0.2 else "!" if kind < 0.26 else "!!" if kind < 0.27 else "?" if short and kind < 0.4 else ""
        )
