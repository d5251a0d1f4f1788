"""The catalogue of the calls that a model may make: actions.toml, and the text of a call.

    caution = 1.5            optional: how much likelier than any other token a call must be, in logits
    [words]                  optional: lists of words by name, for several arguments
    rooms = ["kitchen", "hall"]

    [call."light.set"]       one table for each call
    arguments = { room = "rooms", on = "true|false" }
    phrasings = ["switch the light in the {room}"]     optional, for training data: templates with {argument} slots

An argument is a list of words or the name of one, "true|false", a range of integers "0..100", or "text(40)": free text
of at most 40 bytes. A call is written with every argument, in the catalogue's order:
`light.set(room="kitchen", on=true)`. docs/actions.md explains the file to makers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import TypeAlias

from tinyllm.boards.toml_table import TomlTable
from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.text import shown
from tinyllm.toml import parse_toml

FILE = "actions.toml"
"""The catalogue's name in the folder of a model."""
BUNDLED = Path(__file__).resolve().parents[2] / "models/chat" / FILE
"""The catalogue that comes with tinyllm: lights, LED, servo, relays, timer, sensors, display, pins."""

LARGEST_FILE = 1 << 20
MOST_CALLS, MOST_ARGUMENTS, MOST_WORDS = 64, 8, 256
LONGEST_WORD, LONGEST_TEXT = 64, 200
"""Bytes of UTF-8."""
MOST_CAUTION = 16.0
LEAST, GREATEST = -(2**31), 2**31 - 1
"""Integers are int32 in C."""

CALL_NAME = re.compile(r"(?=.{1,31}\Z)[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
ARGUMENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,14}")
RANGE = re.compile(r"(-?\d{1,10})\.\.(-?\d{1,10})")
TEXT = re.compile(r"text\((\d{1,3})\)")
SWITCH = "true|false"
INTEGER = re.compile(r"0|-?[1-9][0-9]*")
NOT_IN_STRINGS = re.compile(r'["\\\x00-\x1f\x7f-\x9f\ud800-\udfff]')
"""What a string of a call may not hold: quotes, backslashes, control characters, and what UTF-8 cannot write."""

_VALUE = r'"[^"\\\x00-\x1f]*"|true|false|-?[0-9]{1,10}'
WRITTEN_ARGUMENT = re.compile(rf"([a-z][a-z0-9_]{{0,14}})=({_VALUE})")
WRITTEN = re.compile(rf"(?:{WRITTEN_ARGUMENT.pattern}(?:, {WRITTEN_ARGUMENT.pattern})*)?\)")
"""The text of a call after its opening bracket."""

Value: TypeAlias = "str | bool | int"


@dataclass(frozen=True)
class Words:
    """One of a list of words."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}"

    def holds(self, value: object) -> bool:
        """Whether the argument may have this value."""
        return isinstance(value, str) and value in self.words


@dataclass(frozen=True)
class Switch:
    """true or false."""

    def __str__(self) -> str:
        return "true or false"

    def holds(self, value: object) -> bool:
        """Whether the argument may have this value."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Integers:
    """An integer of a range, both ends included."""

    least: int
    greatest: int

    def __str__(self) -> str:
        return f"an integer from {self.least} to {self.greatest}"

    def holds(self, value: object) -> bool:
        """Whether the argument may have this value."""
        return isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.greatest


@dataclass(frozen=True)
class FreeText:
    """Text of at most `longest` bytes of UTF-8, without quotes, backslashes and control characters. It may be empty."""

    longest: int

    def __str__(self) -> str:
        return f"text of at most {self.longest} bytes without quotes, backslashes and control characters"

    def holds(self, value: object) -> bool:
        """Whether the argument may have this value."""
        return isinstance(value, str) and not NOT_IN_STRINGS.search(value) and len(value.encode()) <= self.longest


Kind: TypeAlias = "Words | Switch | Integers | FreeText"


@dataclass(frozen=True)
class Argument:
    """One argument of a call: its name and the values it takes."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Call:
    """One call: its name, its arguments in the order they are written, and templates for training data."""

    name: str
    arguments: tuple[Argument, ...]
    phrasings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """The calls by name, in the order of the file. caution: how much the logit of `<call>` is lowered."""

    calls: Mapping[str, Call]
    caution: float = 0.0

    def write(self, name: str, values: Mapping[str, Value]) -> str:
        """The text of a call: `light.set(room="kitchen", on=true)`.

        Raises UserError if there is no such call, or if an argument is missing, unknown or out of its range.
        """
        call = self._call(name)
        names = [argument.name for argument in call.arguments]
        for given in values:
            if given not in names:
                raise UserError(f"{name} has no argument {shown(given)}, expected {', '.join(names) or 'none'}")
        return f"{name}({', '.join(self._write_argument(call, argument, values) for argument in call.arguments)})"

    def parse(self, text: str) -> tuple[str, dict[str, Value]]:
        """The name and the values of a call's text, in the order of the catalogue. Reads only what `write` makes.

        Raises UserError that says what is wrong and what was expected.
        """
        name, bracket, rest = text.partition("(")
        if not bracket:
            raise UserError(f"{shown(text)} is no call, expected NAME(ARGUMENTS)")
        call = self._call(name)
        values: dict[str, Value] = {}
        for number, argument in enumerate(call.arguments):
            lead = f"{', ' if number else ''}{argument.name}="
            if not rest.startswith(lead):
                raise UserError(f"{name}: expected {shown(lead)} at {shown(rest)}")
            literal = re.match(r'"[^"]*"|[^,)]*', rest[len(lead) :])
            written = literal[0] if literal else ""
            rest = rest[len(lead) + len(written) :]
            value = _read_literal(written)
            if not argument.kind.holds(value):
                raise UserError(f"{name}: {argument.name} is {shown(written)}, expected {argument.kind}")
            assert value is not None
            values[argument.name] = value
        if rest != ")":
            raise UserError(f"{name}: expected ')' and the end at {shown(rest)}")
        return name, values

    def _call(self, name: str) -> Call:
        if name not in self.calls:
            raise UserError(f"there is no call {shown(name)}, expected one of {', '.join(self.calls)}")
        return self.calls[name]

    def _write_argument(self, call: Call, argument: Argument, values: Mapping[str, Value]) -> str:
        if argument.name not in values:
            raise UserError(f"{call.name}: {argument.name} is missing, expected {argument.kind}")
        value = values[argument.name]
        if not argument.kind.holds(value):
            raise UserError(f"{call.name}: {argument.name} is {shown(value)}, expected {argument.kind}")
        return f"{argument.name}={write_literal(value)}"


def parse_call(text: str) -> tuple[str, dict[str, Value]]:
    """The name and the values of a call of any catalogue. Raises UserError if the text is no call."""
    name, bracket, rest = text.partition("(")
    if not bracket or not CALL_NAME.fullmatch(name) or not WRITTEN.fullmatch(rest):
        raise UserError(f"{shown(text)} is no call, expected NAME(ARGUMENT=VALUE, ...)")
    read = {match[1]: _read_literal(match[2]) for match in WRITTEN_ARGUMENT.finditer(rest)}
    values = {argument: value for argument, value in read.items() if value is not None}
    if len(values) < len(read):
        raise UserError(f"{shown(text)} is no call, expected text in quotes, true, false or an integer for each value")
    return name, values


def write_literal(value: Value) -> str:
    """A value as a call writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _read_literal(text: str) -> Value | None:
    """The value of a literal; None if the text is no literal."""
    if text in ("true", "false"):
        return text == "true"
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return int(text) if len(text) <= 11 and INTEGER.fullmatch(text) else None


def read_catalogue(path: Path) -> Catalogue:
    """The catalogue in a file. Raises UserError, naming the file and the field that is wrong."""
    return parse_catalogue(read_catalogue_text(path), path)


def read_catalogue_text(path: Path) -> str:
    """The text of a catalogue's file. Raises UserError if it cannot be read or is not UTF-8."""
    try:
        return read_bytes(path, LARGEST_FILE).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; expected a catalogue of calls.") from None


def parse_catalogue(text: str, path: Path = Path(FILE)) -> Catalogue:
    """The catalogue in the text of a file. path: the file that errors name. Raises UserError."""
    table = TomlTable(path, "", parse_toml(text, path))
    table.allow(("caution", "words", "call"))
    caution = table.fraction("caution", 0, MOST_CAUTION) if "caution" in table.values else 0.0
    lists = TomlTable(path, "words.", table.take("words", dict, {}))
    named = {name: _words(lists, name, lists.values[name]) for name in lists.values}
    calls = TomlTable(path, "call.", table.take("call", dict))
    if not 1 <= len(calls.values) <= MOST_CALLS:
        table.fail("call", f"holds {len(calls.values)} calls, expected 1 to {MOST_CALLS}")
    return Catalogue({name: _read_call(calls, name, named) for name in calls.values}, caution)


def _read_call(calls: TomlTable, name: str, named: Mapping[str, Words]) -> Call:
    if not CALL_NAME.fullmatch(name):
        calls.fail(shown(name), "is no name of a call, expected words of a-z, 0-9 and _ with dots between, at most 31")
    table = TomlTable(calls.path, f'call."{name}".', calls.take(name, dict))
    table.allow(("arguments", "phrasings"))
    given = TomlTable(calls.path, f"{table.prefix}arguments.", table.take("arguments", dict, {}))
    if len(given.values) > MOST_ARGUMENTS:
        table.fail("arguments", f"are {len(given.values)}, expected at most {MOST_ARGUMENTS}")
    arguments = tuple(Argument(key, _kind(given, key, named)) for key in given.values)
    return Call(name, arguments, _phrasings(table, {argument.name for argument in arguments}))


def _kind(table: TomlTable, name: str, named: Mapping[str, Words]) -> Kind:
    if not ARGUMENT_NAME.fullmatch(name):
        table.fail(shown(name), "is no name of an argument, expected a-z, 0-9 and _, at most 15")
    value = table.values[name]
    if isinstance(value, list):
        return _words(table, name, value)
    if value == SWITCH:
        return Switch()
    if isinstance(value, str) and (limits := RANGE.fullmatch(value)):
        least, greatest = int(limits[1]), int(limits[2])
        if not LEAST <= least <= greatest <= GREATEST:
            table.fail(name, f"is {value}, expected two int32 values, the smaller one first")
        return Integers(least, greatest)
    if isinstance(value, str) and (text := TEXT.fullmatch(value)):
        if not 1 <= int(text[1]) <= LONGEST_TEXT:
            table.fail(name, f"is {value}, expected text(1) to text({LONGEST_TEXT}), the most bytes")
        return FreeText(int(text[1]))
    if isinstance(value, str) and value in named:
        return named[value]
    expected = f'a list of words or its name in [words], "{SWITCH}", a range as "0..100", or "text(40)"'
    return table.fail(name, f"is {shown(value)}, expected {expected}")


def _words(table: TomlTable, name: str, value: object) -> Words:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_WORDS or len(value) != len(set(map(str, value))):
        table.fail(name, f"is {shown(value)}, expected a list of 1 to {MOST_WORDS} different words")
    for word in value:
        if not isinstance(word, str) or not word or not FreeText(LONGEST_WORD).holds(word):
            table.fail(name, f"holds {shown(word)}, expected {FreeText(LONGEST_WORD)}, not empty")
    return Words(tuple(value))


def _phrasings(table: TomlTable, arguments: set[str]) -> tuple[str, ...]:
    phrasings = table.take("phrasings", list, [])
    for template in phrasings:
        try:
            fields = [field for _, field, form, how in Formatter().parse(template) if field is not None or form or how]
        except (TypeError, ValueError):
            table.fail("phrasings", f"holds {shown(template)}, expected a text with {{argument}} slots")
        for field in fields:
            if field not in arguments:
                table.fail("phrasings", f"holds {shown(template)}, but there is no argument {shown(field)}")
    return tuple(phrasings)
