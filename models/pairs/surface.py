"""Fills the slots of a template with values as people write them, in pieces that noise may or may not change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tinyllm.codegen.actions.catalogue import FreeText, Integers, Switch, Value, Words
from tinyllm.models.pairs.grammar import SLOT, Choice
from tinyllm.models.pairs.numbers import LARGEST, common_integer, words
from tinyllm.models.pairs.phrasebook import ANY, PhraseBook

TEXT_LIST = "text"
"""The list of the phrase book with free texts."""
NAME_LIST = "name"
"""The list of people's names. Some names are made up, because no list has them all."""
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
_TIGHT = re.compile(r"[\w%#=.:-]")
"""A character beside which a number is written in digits: "40%", "x10", "GPIO4"."""


@dataclass(frozen=True)
class Piece:
    """A part of what a person says. fixed: noise must not change it, as it is a number, a name or a text to show."""

    text: str
    fixed: bool = False


def text_of(pieces: list[Piece]) -> str:
    """The pieces as one text."""
    return "".join(piece.text for piece in pieces)


def canonical(value: Value) -> str:
    """A value as an answer writes it: on or off for a switch, words and numbers as they are."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


class Surface:
    """Chooses values for slots and writes them. All random choices come from `random`."""

    def __init__(self, book: PhraseBook, random: Random) -> None:
        self.book, self.random = book, random

    def value(self, slot: str, form: str, kind: Words | Switch | Integers | FreeText | Choice) -> Value:
        """A random value for a slot. Values that its form has its own words for come more often."""
        random = self.random
        own = self.book.forms.get(f"{slot}:{form}" if form else slot, {})
        if isinstance(kind, Integers):
            special = [value for key in own if (value := _integer(key)) is not None and kind.holds(value)]
            if special and (ANY not in own or random.random() < 0.25):
                return random.choice(special)
            return common_integer(kind.least, kind.greatest, random)
        if isinstance(kind, Switch):
            return random.random() < 0.5
        if isinstance(kind, Words):
            named = [word for word in kind.words if word in own]
            return random.choice(named if named and ANY not in own and form else kind.words)
        if isinstance(kind, FreeText):
            return self.free_text(kind.longest)
        if slot == NAME_LIST and random.random() < 0.3:
            return self.made_up().capitalize()
        text = kind.pick(random).strip()
        limits = _RANGE.fullmatch(text)
        return common_integer(int(limits[1]), int(limits[2]), random) if limits else text

    def one_of(self, results: str) -> str:
        """A random result: one of "ok|done", or a number in "5..35"."""
        text = self.random.choice(results.split("|"))
        limits = _RANGE.fullmatch(text)
        return str(self.random.randint(int(limits[1]), int(limits[2]))) if limits else text

    def free_text(self, longest: int) -> str:
        """A text for a display, at most `longest` bytes: a phrase of the list, words of any list, or made-up words.

        A model that sees only few words learns these words instead of learning to copy.
        """
        random = self.random
        phrases = self.book.lists.get(TEXT_LIST)
        while True:
            kind = random.random()
            if phrases is None or kind < 0.3:
                text = " ".join(self.made_up() for _ in range(random.choice((1, 1, 1, 2, 3))))
            elif kind < 0.6:
                text = phrases.pick(random)
            else:
                lists = list(self.book.lists.values())
                some = (phrases if random.random() < 0.6 else random.choice(lists) for _ in range(random.randint(1, 4)))
                words = [random.choice(each.pick(random).split() or [""]) for each in some]
                text = " ".join(self.made_up() if _RANGE.fullmatch(word) else word for word in words)
            if random.random() < 0.12:
                text += f" {random.randint(0, 10 ** random.randint(1, 3))}"
            case = random.random()
            text = text.upper() if case < 0.1 else text.title() if case < 0.2 else text.lower() if case < 0.6 else text
            text = re.sub(r'["\\]', "", text).strip(" ,.")
            if text and len(text.encode()) <= longest:
                return text

    def made_up(self) -> str:
        """A made-up word."""
        random = self.random
        return "".join(
            random.choice(("", *"bcdfghjklmnprstvwz", "br", "ch", "gl", "sh", "st", "th", "tr"))
            + random.choice(("a", "e", "i", "o", "u", "y", "ee", "ou"))
            + random.choice(("", "", "", "l", "n", "r", "s", "t", "ck", "x"))
            for _ in range(random.randint(1, 3))
        )

    def fill(self, template: str, values: Mapping[str, Value]) -> tuple[list[Piece], dict[str, Value]]:
        """The template with its slots filled, and the slots' values: from `values`, else chosen at random."""
        pieces: list[Piece] = []
        chosen: dict[str, Value] = {}
        at = 0
        for match in SLOT.finditer(template):
            pieces.append(Piece(template[at : match.start()]))
            at = match.end()
            slot, form = match[1] or "", match[2] or ""
            if slot in values:
                value = values[slot]
            else:
                kind = self.book.values_of(slot)
                assert kind is not None, f"{template}: checked when it was read"
                value = self.value(slot, form, kind)
            chosen[slot] = value
            before, after = text_of(pieces)[-1:], template[at : at + 1]
            pieces += self.write(slot, form, value, bool(_TIGHT.match(before) or _TIGHT.match(after)))
        pieces.append(Piece(template[at:]))
        return [piece for piece in pieces if piece.text], chosen

    def write(self, slot: str, form: str, value: Value, tight: bool) -> list[Piece]:
        """A value in a form of the phrase book, or plain if the form has no words for it. tight: as in `plain`."""
        own = self.book.forms.get(f"{slot}:{form}" if form else slot, {})
        key = str(value).lower() if isinstance(value, bool) else str(value)
        rest = own.get(ANY)
        if key in own and (rest is None or isinstance(value, str) or self.random.random() < 0.6):
            return [Piece(own[key].pick(self.random), isinstance(value, int))]
        if rest is None:
            return [self.plain(value, tight)]
        text = rest.pick(self.random)
        head, mark, tail = text.partition("{}")
        if not mark:
            return [Piece(text)]
        tight = bool(tight or _TIGHT.match(head[-1:]) or _TIGHT.match(tail[:1]))
        return [Piece(head), self.plain(value, tight), Piece(tail)]

    def plain(self, value: Value, tight: bool) -> Piece:
        """A value without a form: a word, on or off, or a number. tight: write a number in digits, never in words."""
        if isinstance(value, int) and not isinstance(value, bool):
            spoken = not tight and 0 <= value <= LARGEST and self.random.random() < 0.3
            return Piece(words(value, self.random) if spoken else str(value), True)
        known = isinstance(value, bool) or any(
            isinstance(argument.kind, Words) and value in argument.kind.words
            for call in self.book.catalogue.calls.values() for argument in call.arguments
        )  # fmt: skip
        return Piece(canonical(value), not known)


def _integer(key: str) -> int | None:
    """The integer that a key of a form stands for; None if the key is no integer."""
    return int(key) if re.fullmatch(r"-?\d{1,10}", key) else None
