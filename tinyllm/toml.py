"""TOML of strangers: read in bounded time, with every complaint in words."""

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
"""Of a dotted key. The library takes time by their square: minutes for a key that fills a file of 64 KiB."""

_QUOTED = re.compile(r""""(?:[^"\\\n]|\\.)*(?:"|$)|'[^'\n]*(?:'|$)""", re.MULTILINE)
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]+(?:[ \t]*\.[ \t]*[A-Za-z0-9_-]+){{{MOST_PARTS}}}")


def parse_toml(content: str | bytes, path: Path) -> dict[str, Any]:
    """The document in the content of a file. path: what errors name.

    Raises UserError if it is not UTF-8, no TOML, nested too deeply, has a key of more than MOST_PARTS parts, or an
    integer of more than the 64 bits that TOML asks for.
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
    """Raise ValueError for one that is too large: as hexadecimal it may be so large that Python cannot print it."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("an integer of more than 64 bits")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_integers(inner)
