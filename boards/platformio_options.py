"""Reads the [platformio] table of a board: the options of its PlatformIO environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from tinyllm.boards.toml_table import TomlTable
from tinyllm.text import shown

FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"
OWN_PLATFORM = "tinyllm"
"""The name of the PlatformIO platform in firmware/platform."""

NUMBER = r"(?:0|[1-9]\d*)"
REQUIREMENT = re.compile(
    rf"\*|(?:==|!=|<=|>=|<|>|\^|~)?{NUMBER}(?:\.{NUMBER}){{0,2}}|{NUMBER}(?:\.{NUMBER})?\.\*", re.ASCII
)
"""A clause of a version requirement. PlatformIO accepts a few more forms (semantic_version.SimpleSpec)."""
PLATFORM_NAME = re.compile(r"(?!id=|\d+$)\w")
OPTION = re.compile(r"[a-z][a-z0-9_.]*")
DEEPEST_OPTION = 4
"""The most dots in an option's name. PlatformIO's own options have two."""


def platformio_options(table: TomlTable) -> Mapping[str, str]:
    """The options in `table`'s [platformio], as for platformio.ini. Raises UserError that names a wrong field.

    TOML reads a dotted key as tables in tables; here it becomes one option again.
    """
    options = TomlTable(table.path, f"{table.prefix}platformio.", table.take("platformio", dict))
    platform = options.text("platform")
    if platform == OWN_PLATFORM:
        options.choice("board", sorted(path.stem for path in (FIRMWARE / "platform/boards").glob("*.json")))
    else:
        options.text("board")
        _check_platform(options, platform)
    return MappingProxyType(dict(_flat(options, "")))


def _check_platform(options: TomlTable, platform: str) -> None:
    """Raise UserError for a platform that PlatformIO cannot read: [owner/]name[@requirement], or an address or path.

    PlatformIO's own check would do, but importing it takes longer than everything else here. The tests compare the two.
    """
    place, at, requirement = platform.strip().rpartition("@")
    if not at or ":" in requirement or "/" in requirement or platform.strip().startswith(("file://", "symlink://")):
        place, requirement = platform.strip(), ""
    for clause in requirement.strip().split(",") if requirement.strip() else ():
        if not REQUIREMENT.fullmatch(clause):
            options.fail(
                "platform",
                f"is {shown(platform)}, which PlatformIO cannot read: {shown(clause)} is no version requirement like "
                "^6.10.0",
            )
    try:
        urlsplit(place)
    except ValueError as error:
        options.fail("platform", f"is {shown(platform)}, which PlatformIO cannot read: {error}")
    # The name is the last part of the path. In an address, # or ? ends the path.
    address = re.split("[#?]", place.removesuffix("/"))[0]
    names = [address] if "://" in place else [address, place]
    if not all(PLATFORM_NAME.match(name.rpartition("/")[2].strip()) for name in names):
        options.fail("platform", f"is {shown(platform)}, expected the name or address of a platform")


def _flat(table: TomlTable, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.values.items():
        if not OPTION.fullmatch(key):
            table.fail(repr(key), "is no option of PlatformIO, expected a name like board_build.partitions")
        if isinstance(value, dict) and prefix.count(".") < DEEPEST_OPTION:
            yield from _flat(TomlTable(table.path, f"{table.prefix}{key}.", value), f"{prefix}{key}.")
            continue
        yield f"{prefix}{key}", table.line(key)
