"""Finds the licence of a checkpoint: in its metadata, in the model card beside it, or in a file of its folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tinyllm.codegen.checkpoints.gguf.file import is_gguf_file, open_gguf
from tinyllm.text import one_line

READ_BYTES = 64 << 10
"""How much of a card or licence is read; front matter and titles stand at the beginning."""
FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)


class Licence(NamedTuple):
    """The licence's name, and the file that names it."""

    name: str
    source: str


def find_licence(path: Path) -> Licence | None:
    """The licence of the checkpoint at `path`, None if no file names one. Files that cannot be read are skipped.

    Looked up in this order: general.license of a GGUF file; `license` (`license_name` if that is "other") in the front
    matter of README.md; the title of a file LICENSE* or LICENCE* of a folder.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_file() and is_gguf_file(path):
        name = one_line(open_gguf(path).text("general.license") or "")
        if name:
            return Licence(name, path.name)
    name = _card_licence(_start(folder / "README.md"))
    if name:
        return Licence(name, "README.md")
    if path.is_dir():
        for file in sorted(folder.glob("LICEN[CS]E*")):
            title = next((shown for line in _start(file).splitlines() if (shown := one_line(line.strip(" #*=-")))), "")
            if title:
                return Licence(title, file.name)
    return None


def _card_licence(card: str) -> str:
    """The licence in a card's front matter, "" if none. Reads plain scalars and lists of them, not the rest of YAML."""
    front = FRONT_MATTER.match(card)
    if front is None:
        return ""
    lines = front[1].splitlines()
    found = _value(lines, "license")
    return (_value(lines, "license_name") or found) if found == "other" else found


def _value(lines: list[str], key: str) -> str:
    for number, line in enumerate(lines):
        if line.startswith(f"{key}:"):
            value = line.partition(":")[2].strip()
            following = lines[number + 1].strip() if number + 1 < len(lines) else ""
            if not value and following.startswith("- "):
                value = following[2:]
            value = value.partition(" #")[0].strip().strip("[]\"'")
            return "" if value[:1] in ("{", "&", "*", "!", "|", ">") else one_line(value)
    return ""


def _start(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(READ_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError:
        return ""
