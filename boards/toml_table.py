"""Reads a table of a TOML file with checks. Every error names the file and the field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tinyllm.errors import UserError
from tinyllm.text import LONGEST_SHOWN, shown

_T = TypeVar("_T")
_REQUIRED = object()
_KINDS: dict[type, str] = {str: "a text", int: "a whole number", list: "a list", dict: "a table"}


def _named(field: str) -> str:
    """A field's name or prefix made fit for a message, because it may be any text of the file."""
    return field if field.isprintable() and len(field) <= LONGEST_SHOWN else shown(field)


class TomlTable:
    """One table of a file. prefix: the names of the tables around it, for errors. Every method raises UserError."""

    def __init__(self, path: Path, prefix: str, values: Any) -> None:
        self.path, self.prefix = path, prefix
        if not isinstance(values, dict):
            raise UserError(f"{path}: {prefix.rstrip('.')} must be a table.")
        self.values: dict[str, Any] = values

    def fail(self, field: str, problem: str) -> NoReturn:
        raise UserError(f"{self.path}: {_named(self.prefix)}{_named(field)} {problem}.")

    def allow(self, fields: tuple[str, ...]) -> None:
        for key in self.values:
            if key not in fields:
                self.fail(key, f"is unknown, expected one of {', '.join(fields)}")

    def take(self, field: str, kind: type[_T], default: Any = _REQUIRED) -> _T:
        value: object = self.values.get(field, default)
        if value is _REQUIRED:
            self.fail(field, f"is missing, expected {_KINDS[kind]}")
        if not isinstance(value, kind) or isinstance(value, bool):
            self.fail(field, f"is {shown(value)}, expected {_KINDS[kind]}")
        return value

    def line(self, field: str) -> str:
        """The text of a field: one line, which may be empty."""
        value = self.take(field, str)
        if not value.isprintable():
            self.fail(field, "holds a line break or control character, expected one line")
        return value

    def text(self, field: str) -> str:
        """The text of a field: one line, which is not empty."""
        value = self.line(field)
        if not value.strip():
            self.fail(field, "is empty, expected a text")
        return value

    def choice(self, field: str, choices: Sequence[str]) -> str:
        expected = f"expected one of {', '.join(choices)}"
        if field not in self.values:
            self.fail(field, f"is missing, {expected}")
        value = self.values[field]
        if value not in choices:
            self.fail(field, f"is {shown(value)}, {expected}")
        return str(value)

    def table(self, field: str, fields: tuple[str, ...]) -> TomlTable | None:
        """The table in a field, which may have only these fields; None if there is no such table."""
        if field not in self.values:
            return None
        table = TomlTable(self.path, f"{self.prefix}{field}.", self.take(field, dict))
        table.allow(fields)
        return table

    def optional(self, field: str, lowest: int, highest: int) -> int | None:
        return self.number(field, lowest, highest) if field in self.values else None

    def fraction(self, field: str, lowest: float, highest: float) -> float:
        """The number in a field, whole or not, from `lowest` to `highest`."""
        value = self.values.get(field)
        if not isinstance(value, int | float) or isinstance(value, bool) or not lowest <= value <= highest:
            found = "missing" if value is None else shown(value)
            self.fail(field, f"is {found}, expected a number from {lowest:g} to {highest:g}")
        return float(value)

    def number(self, field: str, lowest: int, highest: int) -> int:
        value = self.take(field, int)
        if not lowest <= value <= highest:
            self.fail(field, f"is {value}, expected {lowest} to {highest}")
        return value
