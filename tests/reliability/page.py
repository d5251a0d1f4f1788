"""docs/reliability.md: made of the records in reliability/ by `make reliability`."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import fill
from typing import Any

from tests.reliability.record import FOLDER
from tinyllm.errors import TinyllmError, UserError
from tinyllm.files import read_json_object, write_file

PAGE = Path("docs/reliability.md")
COLUMNS = 120
LARGEST_RECORD = 1 << 20
FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "command": str,
    "seed": int,
    "duration_seconds": (int, float),
    "counts": dict,
    "faults": list,
    "date": str,
    "machine": str,
}
"""What every record has."""


def read(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """The records of a folder, by file. Raises UserError for one that lacks a field."""
    records = []
    for path in sorted(folder.glob("*.json")):
        record = read_json_object(path, LARGEST_RECORD)
        for field, kind in FIELDS.items():
            if not isinstance(record.get(field), kind):
                raise UserError(f"{path}: no sound {field}; expected a record that a trial saved.")
        records.append(record)
    return records


def page(records: list[dict[str, Any]]) -> str:
    """The text of docs/reliability.md."""
    faults = sum(len(record["faults"]) for record in records)
    head = f"""# Reliability

What was done to boards, host and files to make them hang, lie or lose something, and what came of it. This page is made
of the records in `reliability/` by `make reliability`; each trial writes its own, and prints its seed. Nothing here was
done on hardware: boards are processes of a computer, the `host` board or emulated chips.

{len(records)} trials, in which {faults} faults were found. They are mended; if something is left of one,
its line says so.
[threat-model.md](threat-model.md) says who may do what.

| by | command |
|---|---|
| `make faults` | power cuts, noise on the line, the host killed, disks that are full, clocks that jump, two hosts |
| `make fuzz` | hostile files and frames |
| `make soak HOURS=24` | conversations of every kind on four boards at once |
"""
    return "\n".join([head, *(_section(record) for record in records)])


def _section(record: dict[str, Any]) -> str:
    width = max(map(len, record["counts"]), default=0)
    counts = "\n".join(f"    {name:{width}}   {_shown(count)}" for name, count in record["counts"].items())
    faults = "\n".join(_wrapped(f"- {fault}") for fault in record["faults"]) or "None."
    about = f"Seed {record['seed']}, {_duration(record['duration_seconds'])}, {record['date']}, {record['machine']}."
    return f"""## {record["name"][:1].upper()}{record["name"][1:]}

{_wrapped(about, "")}

    {record["command"]}

{counts}

Faults found and mended:

{faults}
"""


def _shown(count: object) -> str:
    return f"{count:,}" if isinstance(count, int | float) else str(count)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _wrapped(text: str, indent: str = "  ") -> str:
    return fill(text, COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def main() -> int:
    """Write the page, in the current folder."""
    try:
        write_file(PAGE, page(read()))
    except TinyllmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
