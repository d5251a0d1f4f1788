r"""Reads regular expressions into trees, if an automaton without memory can match them.

Syntax: Oniguruma's Ruby mode, in which Hugging Face tokenizers reads the `Regex` of a Split or a Replace (doc/RE of
github.com/kkos/oniguruma). An expression that must look back, or more than one character ahead, is refused: lookbehind,
^, \b, back references, atomic groups, possessive repetition of more than one character.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinyllm.codegen.tokenizers.encode.code_sets import (
    ANYTHING,
    ASCII_PUNCTUATION,
    BRACKET_WORD,
    DECIMALS,
    LINE_END,
    NOTHING,
    ONIGURUMA_WORD,
    WHITE_SPACE,
    CodeSet,
    category,
    characters,
    code_range,
    union,
)

LONGEST_REGEX = 2000
DEEPEST_REGEX = 20
MOST_REPEATS = 200
MOST_COUNTS = 3
"""The most repetitions after one item."""


class UnknownRegexError(ValueError):
    """A regular expression that cannot be followed. The message names the part."""


@dataclass(frozen=True)
class Node:
    """A part of a regular expression."""


@dataclass(frozen=True)
class Chars(Node):
    """One character of a set."""

    codes: CodeSet


@dataclass(frozen=True)
class Sequence(Node):
    """One part after another. Without parts it matches the empty text."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice(Node):
    """The first option that leads to a match."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat(Node):
    """`low` to `high` times (None: any number), as often as possible; if `lazy`, as seldom as possible."""

    item: Node
    low: int
    high: int | None
    lazy: bool = False


@dataclass(frozen=True)
class Look(Node):
    """Takes nothing, but the next character must be in `codes`. If `end`, the text may also end here."""

    codes: CodeSet
    end: bool


def literal(text: str) -> Node:
    """The tree that matches exactly this text."""
    return Sequence(tuple(Chars(characters(character)) for character in text))


def read_regex(text: str) -> Node:
    """The tree of a regular expression. Raises UnknownRegexError if it is too long or cannot be followed."""
    if len(text) > LONGEST_REGEX:
        raise UnknownRegexError(f"{len(text):,} characters, expected at most {LONGEST_REGEX:,}")
    return _Reader(text).whole()


def map_sets(node: Node, change: Callable[[CodeSet], CodeSet]) -> Node:
    """The same tree with `change` applied to every set of characters."""
    if isinstance(node, Chars):
        return Chars(change(node.codes))
    if isinstance(node, Look):
        return Look(change(node.codes), node.end)
    if isinstance(node, Sequence):
        return Sequence(tuple(map_sets(item, change) for item in node.items))
    if isinstance(node, Choice):
        return Choice(tuple(map_sets(option, change) for option in node.options))
    if isinstance(node, Repeat):
        return Repeat(map_sets(node.item, change), node.low, node.high, node.lazy)
    raise TypeError(node)


_HEXADECIMAL = characters("0123456789abcdefABCDEF")
_CLASSES = {"d": DECIMALS, "s": WHITE_SPACE, "w": ONIGURUMA_WORD, "h": _HEXADECIMAL}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}
_POSIX = {
    "space": WHITE_SPACE,
    "digit": DECIMALS,
    "word": BRACKET_WORD,
    "punct": category("P") | category("S") | ASCII_PUNCTUATION,
    "xdigit": _HEXADECIMAL,
    "cntrl": category("Cc"),
}
_NAMES = {"any": ANYTHING, "ascii": code_range(0, 127)}
# In (?i), one character may match such a pair, or a pair one character. That is not supported.
_FOLDED_PAIRS = ("ss", "ff", "fi", "fl", "st")
_OTHER_CASE = {"s": "\u017f", "S": "\u017f", "k": "\u212a", "K": "\u212a"}
_ASCII_LETTERS = code_range(0x41, 0x5A) | code_range(0x61, 0x7A)
_CASED = category("Lu") | category("Ll") | category("Lt")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.any_case = False

    def whole(self) -> Node:
        node = self.choice()
        if self.at < len(self.text):
            raise self.unknown(self.text[self.at])
        return node

    def unknown(self, part: str) -> UnknownRegexError:
        return UnknownRegexError(f"{part!r} at character {self.at} cannot be followed")

    def peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if self.peek(text):
            self.at += len(text)
            return True
        return False

    def next(self) -> str:
        if self.at >= len(self.text):
            raise UnknownRegexError("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def until(self, end: str) -> str:
        stop = self.text.find(end, self.at)
        if stop < 0:
            raise UnknownRegexError(f"{end!r} is missing")
        found = self.text[self.at : stop]
        self.at = stop + len(end)
        return found

    def choice(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST_REGEX:
            raise UnknownRegexError(f"groups deeper than {DEEPEST_REGEX}")
        any_case = self.any_case
        options = [self.sequence()]
        while self.take("|"):
            options.append(self.sequence())
        self.any_case = any_case
        self.depth -= 1
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self) -> Node:
        items: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            start = self.at
            item = self.item()
            if item is not None:
                items.append(self.repeats(item))
            if self.any_case and self.text[start : start + 2].lower() in _FOLDED_PAIRS:
                raise self.unknown(f"(?i) before {self.text[start : start + 2]}")
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def item(self) -> Node | None:
        character = self.next()
        if character == "(":
            return self.group()
        if character == "[":
            return Chars(self.set_of_case(self.bracket()))
        if character == ".":
            return Chars(~LINE_END)
        if character == "$":
            return Look(LINE_END, end=True)
        if character == "\\":
            if self.take("z"):
                return Look(NOTHING, end=True)
            return Chars(self.set_of_case(self.escape()))
        if character in "^*+?":
            self.at -= 1
            raise self.unknown(character)
        return Chars(self.set_of_case(characters(character)))

    def group(self) -> Node | None:
        if self.take("?"):
            if self.take("=") or self.peek("!"):
                negative = self.take("!")
                look = self.look(self.choice())
                self.close()
                return Look(~look.codes, not look.end) if negative else look
            if self.take("i)"):
                self.any_case = True
                return None
            any_case = self.any_case
            if self.take("i:"):
                self.any_case = True
            elif not self.take(":"):
                raise self.unknown(f"(?{self.text[self.at : self.at + 1]}")
            node = self.choice()
            self.any_case = any_case
        else:
            node = self.choice()
        self.close()
        return node

    def close(self) -> None:
        if not self.take(")"):
            raise UnknownRegexError("')' is missing")

    def look(self, node: Node) -> Look:
        """The lookahead of a node, which may take at most one character."""
        if isinstance(node, Chars):
            return Look(node.codes, end=False)
        if isinstance(node, Look):
            return node
        if isinstance(node, Choice):
            looks = [self.look(option) for option in node.options]
            return Look(union(look.codes for look in looks), any(look.end for look in looks))
        raise self.unknown("a look at more than one character")

    def repeats(self, item: Node) -> Node:
        for _ in range(MOST_COUNTS + 1):
            low, high, braces = self.count()
            if low is None:
                return item
            if isinstance(item, Look):
                raise self.unknown("the repetition of a look")
            if self.take("?") if not braces or low != high else False:
                item = Repeat(item, low, high, lazy=True)
            elif not braces and self.take("+"):
                item = self.possessive(item, low, high)
            else:
                item = Repeat(item, low, high)
        raise self.unknown("one repetition of another")

    def count(self) -> tuple[int | None, int | None, bool]:
        if self.take("*"):
            return 0, None, False
        if self.take("+"):
            return 1, None, False
        if self.take("?"):
            return 0, 1, False
        start = self.at
        if self.take("{"):
            low, comma, high = self.until("}").partition(",")
            numbers = [low or "0", high if comma else low]
            if low + high and all(not number or (number.isascii() and number.isdigit()) for number in numbers):
                first, last = int(numbers[0]), int(numbers[1]) if numbers[1] else None
                if first <= (first if last is None else last) <= MOST_REPEATS:
                    return first, last, True
            self.at = start
            raise self.unknown("{")
        return None, None, False

    def possessive(self, item: Node, low: int, high: int | None) -> Node:
        """A possessive repetition of one set. It gives no character back, so it ends where the run of the set ends."""
        if not isinstance(item, Chars):
            raise self.unknown("a possessive repetition of more than one character")
        if high == 1:
            return Choice((item, Look(~item.codes, end=True)))
        return Sequence((Repeat(item, low, high), Look(~item.codes, end=True)))

    def escape(self, in_brackets: bool = False) -> CodeSet:
        """The part after a backslash: one character or a set."""
        character = self.next()
        if in_brackets and character in "wW":
            return BRACKET_WORD if character == "w" else ~BRACKET_WORD
        if character.lower() in _CLASSES:
            found = _CLASSES[character.lower()]
            return found if character.islower() else ~found
        if character in "pP":
            return self.property(character == "P")
        if character in _CONTROLS:
            return characters(_CONTROLS[character])
        if character == "x":
            digits = self.until("}") if self.take("{") else self.next() + self.next()
            return self.code(digits)
        if character == "u":
            return self.code("".join(self.next() for _ in range(4)))
        if character.isalnum():
            raise self.unknown(f"\\{character}")
        return characters(character)

    def code(self, digits: str) -> CodeSet:
        try:
            return characters(chr(int(digits, 16)))
        except (ValueError, OverflowError):
            raise self.unknown(f"\\x{digits}") from None

    def property(self, negative: bool) -> CodeSet:
        if not self.take("{"):
            raise self.unknown(r"\p without {")
        name = self.until("}")
        if name.startswith("^"):
            name, negative = name[1:], not negative
        try:
            found = _NAMES.get(name.lower()) or category(name)
        except KeyError:
            raise self.unknown(rf"\p{{{name}}}") from None
        return ~found if negative else found

    def bracket(self) -> CodeSet:
        r"""A set in brackets, read from after its "["."""
        self.depth += 1
        if self.depth > DEEPEST_REGEX:
            raise UnknownRegexError(f"brackets deeper than {DEEPEST_REGEX}")
        negative = self.take("^")
        found, both = NOTHING, None
        first = True
        while first or not self.peek("]"):
            first = False
            if self.take("&&"):
                both = found if both is None else both & found
                found = NOTHING
                continue
            found |= self.member()
        self.at += 1
        self.depth -= 1
        found = found if both is None else both & found
        return ~found if negative else found

    def member(self) -> CodeSet:
        if self.take("[:"):
            negative = self.take("^")
            name = self.until(":]")
            if name not in _POSIX:
                raise self.unknown(f"[:{name}:]")
            return ~_POSIX[name] if negative else _POSIX[name]
        if self.take("["):
            return self.bracket()
        low = self.escape(in_brackets=True) if self.take("\\") else characters(self.next())
        if not self.peek("-") or self.peek("-]"):
            return low
        self.at += 1
        high = self.escape() if self.take("\\") else characters(self.next())
        ends = [one.runs[0] for one in (low, high) if len(one.runs) == 1 and one.runs[0][0] == one.runs[0][1]]
        if len(ends) != 2 or ends[0] > ends[1]:
            raise self.unknown("a range")
        return code_range(ends[0][0], ends[1][0])

    def set_of_case(self, codes: CodeSet) -> CodeSet:
        """The set; in (?i), with the other case of its letters."""
        if not self.any_case:
            return codes
        letters = [chr(code) for code in range(0x41, 0x7B) if code in _ASCII_LETTERS and code in codes]
        wide = codes | union(characters(letter.swapcase() + _OTHER_CASE.get(letter, "")) for letter in letters)
        others = _CASED - _ASCII_LETTERS - characters("\u017f\u212a")
        if (codes & others).runs and (others - codes).runs:
            raise self.unknown("(?i) before letters that are not ASCII")
        return wide
