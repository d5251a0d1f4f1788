"""Regular expressions as automata: tables that find the same match as a backtracking engine, without going back.

Characters become symbols: two characters are the same symbol if no set of any of the automata tells them apart. A state
stands for the possible continuations, in order of preference. With one symbol of lookahead it knows whether the text so
far is a match. If a longer match is found later, the engine would prefer that one.
Source of the construction: R. Cox, "Regular Expression Matching: the Virtual Machine Approach" (Pike's machine), made
deterministic.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tinyllm.codegen.tokenizers.encode import regex
from tinyllm.codegen.tokenizers.encode.code_sets import CodeSet
from tinyllm.codegen.tokenizers.encode.regex import Node, UnknownRegexError

ACCEPT = 0x80
"""Added to a table entry if the text before this symbol is a match."""
START = 1
MOST_STATES = ACCEPT - 1
MOST_STEPS = 4000
MOST_SYMBOLS = 255
NO_CHARACTER = 0xDC80
"""The code that stands for every byte that is not part of a character."""
_HALVES = range(0xD800, 0xE000)


@dataclass(frozen=True)
class Alphabet:
    """starts: the first code point of each run of one symbol, ascending from 0. symbols: the symbol of each run."""

    starts: tuple[int, ...]
    symbols: tuple[int, ...]

    @property
    def size(self) -> int:
        return max(self.symbols) + 1

    def symbol(self, code: int) -> int:
        """The symbol of a code point. Every surrogate has the symbol of NO_CHARACTER."""
        code = NO_CHARACTER if code in _HALVES else code
        return self.symbols[bisect_right(self.starts, code) - 1]

    def read(self, text: str) -> bytes:
        """The symbol of each character of a text. Bytes that are no UTF-8 are escaped in it as surrogates."""
        known = self._known
        for character in {*text} - known.keys():
            known[character] = self.symbol(ord(character))
        return bytes(map(known.__getitem__, text))

    @cached_property
    def _known(self) -> dict[str, int]:
        """The symbols of characters that were read before."""
        return {}


@dataclass(frozen=True)
class Automaton:
    """table: for each state, a row with one entry for each symbol and one for the end of the text.

    width: entries of a row. An entry is the next state, 0 for none, plus ACCEPT if the text so far is a match. Row 0 is
    never read.
    """

    table: bytes
    width: int

    def match_end(self, symbols: bytes, start: int, end: int) -> int:
        """Where the match that begins at `start` ends; -1 if no match begins there."""
        state, found = START, -1
        for at in range(start, end + 1):
            entry = self.table[state * self.width + (symbols[at] if at < end else self.width - 1)]
            if entry & ACCEPT:
                found = at
            state = entry & ~ACCEPT
            if not state:
                break
        return found


def build_automata(nodes: Sequence[Node]) -> tuple[Alphabet, tuple[Automaton, ...]]:
    """A common alphabet, and the automaton of each tree.

    Raises UnknownRegexError if an automaton is too large or matches the empty text.
    """
    alphabet = _alphabet(list(dict.fromkeys(codes for node in nodes for codes in _sets(node))))
    return alphabet, tuple(_Builder(alphabet).build(node) for node in nodes)


def _sets(node: Node) -> Iterable[CodeSet]:
    found: list[CodeSet] = []
    regex.map_sets(node, lambda codes: found.append(codes) or codes)  # type: ignore[func-returns-value]
    return found


def _alphabet(sets: Sequence[CodeSet]) -> Alphabet:
    changes: dict[int, int] = {0: 0, NO_CHARACTER: 0, NO_CHARACTER + 1: 0}
    for number, codes in enumerate(sets):
        for first, last in codes.runs:
            changes[first] = changes.get(first, 0) ^ 1 << number
            changes[last + 1] = changes.get(last + 1, 0) ^ 1 << number
    starts, symbols = list[int](), list[int]()
    known, member = dict[int, int](), 0
    for code in sorted(changes):
        member ^= changes[code]
        symbol = known.setdefault(member, len(known))
        if code <= 0x10FFFF and (not symbols or symbol != symbols[-1]):
            starts.append(code)
            symbols.append(symbol)
    if len(known) > MOST_SYMBOLS:
        raise UnknownRegexError(f"more than {MOST_SYMBOLS} sets of characters")
    return Alphabet(tuple(starts), tuple(symbols))


@dataclass(frozen=True)
class _Take:
    codes: CodeSet
    then: int


@dataclass(frozen=True)
class _Look:
    codes: CodeSet
    end: bool
    then: int


@dataclass
class _Fork:
    ways: list[int]


_MATCH = 0


class _Builder:
    """Turns a tree into steps of Pike's machine, and these into states. A state is an ordered list of steps."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.alphabet = alphabet
        self.steps: list[_Take | _Look | _Fork | None] = [None]
        representatives: dict[int, int] = {}
        for start, symbol in zip(alphabet.starts, alphabet.symbols, strict=True):
            representatives.setdefault(symbol, start)
        self.codes = [representatives[symbol] for symbol in range(alphabet.size)]

    def build(self, node: Node) -> Automaton:
        states = {(): 0, (self.add(node, _MATCH),): START}
        rows: list[bytearray] = [bytearray(len(self.codes) + 1)]
        waiting = [next(reversed(states))]
        while waiting:
            state = waiting.pop(0)
            row = bytearray()
            for code in (*self.codes, None):
                takes, accepts = self.threads(state, code)
                after = () if code is None else tuple(dict.fromkeys(take.then for take in takes if code in take.codes))
                if after not in states:
                    states[after] = len(states)
                    waiting.append(after)
                    if len(states) > MOST_STATES:
                        raise UnknownRegexError(f"more than {MOST_STATES} states")
                row.append(states[after] | (ACCEPT if accepts else 0))
            if states[state] == START and max(row) >= ACCEPT:
                raise UnknownRegexError("it matches the empty text")
            rows.append(row)
        return Automaton(b"".join(map(bytes, rows)), len(self.codes) + 1)

    def put(self, step: _Take | _Look | _Fork) -> int:
        if len(self.steps) > MOST_STEPS:
            raise UnknownRegexError(f"more than {MOST_STEPS:,} steps")
        self.steps.append(step)
        return len(self.steps) - 1

    def add(self, node: Node, then: int) -> int:
        """The number of the step at which `node` begins. then: the number of the step that follows it."""
        if isinstance(node, regex.Chars):
            return self.put(_Take(node.codes, then))
        if isinstance(node, regex.Look):
            return self.put(_Look(node.codes, node.end, then))
        if isinstance(node, regex.Sequence):
            for item in reversed(node.items):
                then = self.add(item, then)
            return then
        if isinstance(node, regex.Choice):
            return self.put(_Fork([self.add(option, then) for option in node.options]))
        if isinstance(node, regex.Repeat):
            return self.add_repeat(node, then)
        raise TypeError(node)

    def add_repeat(self, node: regex.Repeat, then: int) -> int:
        order = -1 if node.lazy else 1
        if node.high is None:
            fork = _Fork([])
            start = self.put(fork)
            fork.ways = [self.add(node.item, start), then][::order]
            then = start
        for _ in range((node.high or node.low) - node.low):
            then = self.put(_Fork([self.add(node.item, then), then][::order]))
        for _ in range(node.low):
            then = self.add(node.item, then)
        return then

    def threads(self, state: tuple[int, ...], code: int | None) -> tuple[list[_Take], bool]:
        """The steps that may take the next character, by preference, and whether a match ends before that character.

        code: the next character, None at the end of the text. Steps that are less preferred than the match are left
        out.
        """
        takes: list[_Take] = []
        seen: set[int] = set()
        waiting = list(reversed(state))
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            step = self.steps[number]
            if step is None:
                return takes, True
            if isinstance(step, _Take):
                takes.append(step)
            elif isinstance(step, _Fork):
                waiting += reversed(step.ways)
            elif step.end if code is None else code in step.codes:
                waiting.append(step.then)
        return takes, False
