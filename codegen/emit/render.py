"""Render templates to text, in the same way for every emitted file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jinja2

LINE = 112
"""Columns that a row of numbers may take after its indent."""

UNSAFE = re.compile(r"""[^ -~]|["\\]|(?<=\*)/|(?<=/)\*|(?<=\?)\?""")
"""Bytes that a comment shows as hexadecimal: all but printable ASCII (so no bidirectional control is left), quotes and
backslashes, and what would end the comment, begin another in it or make a trigraph."""


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("tinyllm.codegen.emit"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # C, not HTML; texts from files are reduced to safe characters before they are rendered
    )


def render(template: str, **fields: Any) -> str:
    """The text of codegen/emit/templates/<template>.j2; a missing field is an error."""
    return _environment().get_template(f"{template}.j2").render(fields)


def rows(numbers: Iterable[object]) -> list[str]:
    """The numbers with a comma after each, in lines of at most `LINE` columns."""
    lines = [""]
    for number in numbers:
        if len(lines[-1]) + len(f" {number},") > LINE:
            lines.append("")
        lines[-1] += f" {number}," if lines[-1] else f"{number},"
    return lines


def in_comment(text: bytes) -> str:
    """Any bytes as text that is safe in a C comment."""
    return UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", text.decode("latin-1"))
