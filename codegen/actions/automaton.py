"""The automaton of a catalogue: which bytes may follow in a call. A board's C code walks the same tables.

It accepts exactly the texts that Catalogue.write makes. It is minimal, and has no cycle because there are finitely many
calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.actions.catalogue import Argument, Call, Catalogue, FreeText, Integers, Kind, Switch, Words
from tinyllm.errors import UserError

DEAD = -1
COMPLETE = 0
"""The state after the last byte of a call; the only state without edges."""
MOST_EDGES = 0xFFFF
"""In C, the numbers of edges and states have 16 bits."""

Edge = tuple[int, int, int]
"""The lowest and the highest byte of a range, and the state that these bytes lead to."""

Spans = frozenset[tuple[str, str]]
"""Ranges of numbers as text; the two ends of a range have the same number of digits."""

ASCII = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E))
"""The ASCII bytes that free text may hold: all except control characters, the quote and the backslash."""
UTF8 = (
    ((0xC2, 0xC2), (0xA0, 0xBF)),
    ((0xC3, 0xDF), (0x80, 0xBF)),
    ((0xE0, 0xE0), (0xA0, 0xBF), (0x80, 0xBF)),
    ((0xE1, 0xEC), (0x80, 0xBF), (0x80, 0xBF)),
    ((0xED, 0xED), (0x80, 0x9F), (0x80, 0xBF)),
    ((0xEE, 0xEF), (0x80, 0xBF), (0x80, 0xBF)),
    ((0xF0, 0xF0), (0x90, 0xBF), (0x80, 0xBF), (0x80, 0xBF)),
    ((0xF1, 0xF3), (0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)),
    ((0xF4, 0xF4), (0x80, 0x8F), (0x80, 0xBF), (0x80, 0xBF)),
)
"""The other characters, byte by byte: table 3-7 of the Unicode Standard, without the controls U+0080 to U+009F."""


@dataclass(frozen=True)
class Automaton:
    """edges: those of each state, ascending by bytes. Each leads to a state of a lower number. The last is `start`."""

    edges: tuple[tuple[Edge, ...], ...]

    @property
    def start(self) -> int:
        """The state before the first byte."""
        return len(self.edges) - 1

    @cached_property
    def table(self) -> NDArray[np.int32]:
        """(states + 1, 256): the next state, or DEAD; the last row, which DEAD indexes, stays dead."""
        table = np.full((len(self.edges) + 1, 256), DEAD, np.int32)
        for state, edges in enumerate(self.edges):
            for low, high, to in edges:
                table[state, low : high + 1] = to
        return table

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest call."""
        most = [0] * len(self.edges)
        for state, edges in enumerate(self.edges):
            most[state] = max((1 + most[to] for _, _, to in edges), default=0)
        return most[self.start]

    def walk(self, state: int, text: bytes) -> int:
        """The state after these bytes, or DEAD."""
        return reduce(lambda at, byte: int(self.table[at, byte]), text, state)


def automaton_of(catalogue: Catalogue, spaced: bool = False) -> Automaton:
    """The automaton of a catalogue. spaced: a space may precede the call.

    Raises UserError if the catalogue is too large for a board.
    """
    states = _States()
    start = states.choice({call.name.encode() + b"(": _after_name(states, call) for call in catalogue.calls.values()})
    if spaced:
        start = states.add([(ord(" "), ord(" "), start), *states.edges[start]])
    return Automaton(tuple(states.edges[: start + 1]))


class _States:
    """The states under construction, from the end of a call to its start. Equal states are stored once.

    `then` is the state that follows a text.
    """

    def __init__(self) -> None:
        self.edges: list[tuple[Edge, ...]] = [()]
        self._numbers: dict[tuple[Edge, ...], int] = {(): COMPLETE}
        self._n_edges = 0
        self._of_spans: dict[tuple[Spans, int], int] = {}

    def add(self, edges: Iterable[Edge]) -> int:
        """The state with these edges. Neighbouring bytes that lead to the same state become one edge."""
        joined: list[Edge] = []
        for low, high, to in sorted(edges):
            if joined and joined[-1][1] + 1 == low and joined[-1][2] == to:
                joined[-1] = (joined[-1][0], high, to)
            else:
                joined.append((low, high, to))
        key = tuple(joined)
        if key not in self._numbers:
            self._numbers[key] = len(self.edges)
            self.edges.append(key)
            self._n_edges += len(key)
            if self._n_edges > MOST_EDGES:
                raise UserError(
                    f"the catalogue of calls is too large: its automaton has more than the {MOST_EDGES:,} edges that "
                    "boards take. Shorten its lists and texts."
                )
        return self._numbers[key]

    def literal(self, text: bytes, then: int) -> int:
        """The state before these bytes."""
        return reduce(lambda to, byte: self.add([(byte, byte, to)]), reversed(text), then)

    def choice(self, options: Mapping[bytes, int]) -> int:
        """The state before one of these texts, each with the state after it. No text may begin with another one."""
        if b"" in options:
            return options[b""]
        rests: dict[int, dict[bytes, int]] = {}
        for text, then in options.items():
            rests.setdefault(text[0], {})[text[1:]] = then
        return self.add((first, first, self.choice(rest)) for first, rest in rests.items())

    def integers(self, least: int, greatest: int, then: int) -> int:
        """The state before a decimal number of a range, without leading zeros. `then` must not accept a digit."""
        edges = self._edges(_spans(max(least, 0), greatest), then)
        if least < 0:
            edges.append((ord("-"), ord("-"), self._number(_spans(max(-greatest, 1), -least), then)))
        return self.add(edges)

    def _number(self, spans: Spans, then: int) -> int:
        """The state before a number that lies in one of the spans."""
        if (spans, then) not in self._of_spans:
            self._of_spans[spans, then] = self.add(self._edges(spans, then))
        return self._of_spans[spans, then]

    def _edges(self, spans: Spans, then: int) -> list[Edge]:
        edges = list(self.edges[then]) if ("", "") in spans else []
        for digit in "0123456789":
            rests = set()
            for low, high in spans - {("", "")}:
                if low[0] <= digit <= high[0]:
                    left = low[1:] if digit == low[0] else "0" * len(low[1:])
                    right = high[1:] if digit == high[0] else "9" * len(high[1:])
                    rests.add((left, right))
            if rests:
                edges.append((ord(digit), ord(digit), self._number(frozenset(rests), then)))
        return edges

    def text(self, longest: int, then: int) -> int:
        """The state before free text of at most `longest` bytes and its closing quote."""
        quote = (ord('"'), ord('"'), then)
        after: list[int] = []  # indexed by the number of bytes left
        for left in range(longest + 1):
            edges = [quote]
            if left:
                edges += [(low, high, after[left - 1]) for low, high in ASCII]
            for lead, *rest in UTF8:
                if len(rest) < left:
                    to = after[left - 1 - len(rest)]
                    for low, high in reversed(rest):
                        to = self.add([(low, high, to)])
                    edges.append((*lead, to))
            after.append(self.add(edges))
        return after[longest]


def _spans(least: int, greatest: int) -> Spans:
    """A range of integers, 0 or more, as one span for each number of digits."""
    lengths = range(1, len(str(greatest)) + 1) if least <= greatest else ()
    ends = ((max(least, 10 ** (n - 1) if n > 1 else 0), min(greatest, 10**n - 1)) for n in lengths)
    return frozenset((str(low), str(high)) for low, high in ends if low <= high)


def _after_name(states: _States, call: Call) -> int:
    """The state after a call's name and its opening bracket."""
    state = states.literal(b")", COMPLETE)
    for number, argument in reversed(list(enumerate(call.arguments))):
        state = states.literal(_lead(number, argument), _value(states, argument.kind, state))
    return state


def _lead(number: int, argument: Argument) -> bytes:
    return (b", " if number else b"") + argument.name.encode() + b"="


def _value(states: _States, kind: Kind, then: int) -> int:
    if isinstance(kind, Words):
        return states.literal(b'"', states.choice({word.encode() + b'"': then for word in kind.words}))
    if isinstance(kind, Switch):
        return states.choice({b"true": then, b"false": then})
    if isinstance(kind, Integers):
        return states.integers(kind.least, kind.greatest, then)
    assert isinstance(kind, FreeText)
    return states.literal(b'"', states.text(kind.longest, then))
