"""The fields of a config.json, each checked when it is read. Every error names the file and the field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.codegen.checkpoints.checks import LIMITS, require_dimension
from tinyllm.errors import UserError
from tinyllm.text import shown


@dataclass(frozen=True)
class Fields:
    """A JSON object of the file `path`. prefix: the path from the top level to the object, such as "rope_scaling."."""

    path: Path
    values: dict[str, Any]
    prefix: str = ""

    def get(self, key: str, default: object = None) -> Any:
        """The value, not checked; `default` if it is absent or null."""
        value = self.values.get(key)
        return default if value is None else value

    def refusal(self, key: str, expected: str, advice: str = "mend the file") -> UserError:
        """The UserError for a value that is not as `expected`."""
        value = self.values.get(key)
        found = shown(value) if value is not None else "null" if key in self.values else "missing"
        return UserError(f"{self.path}: {self.prefix}{key} is {found}, expected {expected}; {advice}")

    def dimension(self, key: str, limit: str) -> int:
        """A whole number from 1 to checks.LIMITS[limit]. It may not be absent or null."""
        if self.values.get(key) is None:
            raise self.refusal(key, f"1 to {LIMITS[limit]:,}", "add it")
        return require_dimension(self.path, f"{self.prefix}{key}", self.values.get(key), limit)

    def number(self, key: str, default: float | None = None, low: float = 1e-30, high: float = 1e30) -> float:
        """A number from `low` to `high`; `default` if it is absent or null."""
        value = self.get(key, default)
        if not _is_number(value, low, high):
            raise self.refusal(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def numbers(self, key: str, count: int, low: float, high: float) -> tuple[float, ...]:
        """A list of `count` numbers from `low` to `high`."""
        values = self.get(key)
        if not isinstance(values, list) or len(values) != count or not all(_is_number(v, low, high) for v in values):
            raise self.refusal(key, f"a list of {count} numbers from {low:g} to {high:g}")
        return tuple(float(value) for value in values)

    def switch(self, key: str, default: bool) -> bool:
        """True or false; `default` if it is absent or null."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.refusal(key, "true or false")
        return value

    def inner(self, key: str) -> dict[str, Any]:
        """The object under `key`, empty if it is absent or null."""
        value = self.get(key, {})
        if not isinstance(value, dict):
            raise self.refusal(key, "null or an object")
        return value


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
