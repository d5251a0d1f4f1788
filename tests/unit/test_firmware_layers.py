"""The files of the firmware include each other in one direction: console on engine, and no circle anywhere."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
INCLUDE = re.compile(r'^ *# *include "(\w+)\.h"', re.MULTILINE)


def units(folder: str) -> dict[str, set[str]]:
    """Each file's name (a .c and its .h are one) -> what it includes, without itself."""
    found: dict[str, set[str]] = {}
    for path in (FIRMWARE / folder).rglob("*.[ch]"):
        found.setdefault(path.stem, set()).update(INCLUDE.findall(path.read_text(encoding="utf-8")))
    return {name: includes - {name} for name, includes in found.items()}


@pytest.mark.parametrize("folder", ["engine", "console"])
def test_no_file_includes_one_that_includes_it(folder: str) -> None:
    order = list(TopologicalSorter(units(folder)).static_order())
    assert set(units(folder)) <= set(order)


def test_a_circle_would_be_found() -> None:
    circle = units("console")
    circle["session"] = {"text_voice"}
    with pytest.raises(CycleError):
        list(TopologicalSorter(circle).static_order())


def test_only_the_console_itself_knows_both_voices() -> None:
    console = units("console")
    assert {name for name, includes in console.items() if "text_voice" in includes} == {"console"}
    assert {name for name, includes in console.items() if "program_voice" in includes} == {"console"}
    assert not [name for name, includes in console.items() if "console" in includes]


def test_the_engine_includes_nothing_of_the_console_or_the_ports() -> None:
    engine, console = units("engine"), units("console")
    assert not [(name, sorted(bad)) for name, includes in engine.items() if (bad := includes & {*console, "port"})]
