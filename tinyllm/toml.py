"""Parses TOML that may be hostile: in bounded time, and with a UserError for everything that is wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from tinyllm.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_PARTS = 32
"""The most parts of a dotted key. The library's time grows with their square: a key of 64 KiB takes minutes."""

_QUOTED = re.compile(r""""(?:[^"\\\n]|\\.)*(?:"|$)|'[^'\n]*(?:'|$)""", re.MULTILINE)
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]+(?:[ \t]*\.[ \t]*[A-Za-z0-9_-]+){{{MOST_PARTS}}}")


def parse_toml(content: str | bytes, path: Path) -> dict[str, Any]:
    """Parse the content of a file. path: the path that errors name.

    Raises UserError if the content is not UTF-8, is no TOML, is nested too deeply, or has a key of more than MOST_PARTS
    parts or an integer of more than the 64 bits that TOML requires.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
        if _LONG_KEY.search(_QUOTED.sub("q", text)):
            raise ValueError(f"a key of more than {MOST_PARTS} parts")
        values = tomllib.loads(text)
        _check_integers(values)
        return values
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable TOML file: {error}.") from None


def _check_integers(value: object) -> None:
    """Raise ValueError for an integer that is too large. One in hexadecimal may be too large for Python to print."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("an integer of more than 64 bits")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_integers(inner)
