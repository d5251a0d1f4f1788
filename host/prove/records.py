"""Saves benchmarks: appends a record of a report to a TOML file, and reads records again.

    [[record]]            who, when, and what: date, tinyllm, model, model_hash, board, build_id, firmware, context,
                          kernels, kernels_agree, weights, cores, emulator, unit, kind, digest, macs, prompt,
                          prefill; estimated_from, the inputs of estimates
    [[record.place]]      positions, per_token, by_core, parts, bytes, and estimates, as `tinyllm bench --json` has them

Figures are in the unit of the record; a part that was not counted is left out.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import tomli_w

from tinyllm.errors import UserError
from tinyllm.files import read_bytes, write_file
from tinyllm.host.prove.report import IDENTITY, Report
from tinyllm.toml import parse_toml

FOLDER = Path("benchmarks")
LARGEST_FILE = 4 * 1024 * 1024
FIELDS: dict[str, type | tuple[type, ...]] = {
    "date": date,
    "model": str,
    "model_hash": str,
    "board": str,
    "build_id": str,
    "context": int,
    "cores": int,
    "unit": str,
    "kind": str,
    "place": list,
}
"""The fields that every record has."""
PLACE_FIELDS: dict[str, type | tuple[type, ...]] = {"positions": str, "per_token": (int, float)}


def default_file(board: str) -> Path:
    """Where the records of a board lie: benchmarks/BOARD.toml of the current folder."""
    return FOLDER / f"{board}.toml"


def save(report: Report, path: Path, emulator: str | None = None) -> None:
    """Append a record to a file, which is made if it is missing. What a person wrote into the file stays.

    emulator: the one that ran the board, if not its own. Raises UserError for a file that holds no records or cannot be
    written.
    """
    before = b""
    if path.exists():
        read(path)
        before = read_bytes(path, LARGEST_FILE)
    record = tomli_w.dumps({"record": [_record(report, emulator)]}).encode()
    write_file(path, before.rstrip(b"\n") + (b"\n\n" if before.strip() else b"") + record)


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file, oldest first. Raises UserError for one that is not as `save` writes it."""
    records = parse_toml(read_bytes(path, LARGEST_FILE), path).get("record")
    if not isinstance(records, list):
        raise UserError(f"{path}: no [[record]] in it; expected a file that `tinyllm bench --save` wrote.")
    for number, record in enumerate(records, 1):
        _check(path, f"record {number}", record, FIELDS)
        for place in record["place"]:
            _check(path, f"record {number}, place", place, PLACE_FIELDS)
    return records


def all_records(folder: Path = FOLDER) -> Iterator[dict[str, Any]]:
    """The records of every file in a folder, sorted by file; those of a file in the order they were saved."""
    for path in sorted(folder.glob("*.toml")):
        if b"[[record]]" in read_bytes(path, LARGEST_FILE):
            yield from read(path)


def _check(path: Path, what: str, table: Any, fields: dict[str, type | tuple[type, ...]]) -> None:
    for field, kind in fields.items():
        value = table.get(field) if isinstance(table, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UserError(f"{path}: {what} has no sound {field}.")


def _record(report: Report, emulator: str | None) -> dict[str, Any]:
    document = report.document()
    chip = report.chip
    inputs = None
    if chip is not None:
        inputs = {
            "clock_mhz": chip.clock_mhz,
            "cycles_per_instruction": chip.cycles_per_instruction,
            "flash_mb_s": chip.bandwidth.flash,
            "psram_mb_s": chip.bandwidth.psram,
        }
    return _kept(
        {
            "date": date.today(),
            "tinyllm": importlib.metadata.version("tinyllm"),
            **{name: document[name] for name in IDENTITY},
            "weights": report.weights,
            "cores": report.cores,
            "emulator": emulator,
            "unit": report.unit,
            "kind": report.benchmark.kind,
            "digest": report.benchmark.digest,
            "macs": report.macs,
            "prompt": {"tokens": report.benchmark.prompt.tokens, "per_token": report.benchmark.prompt.per_token},
            "prefill": document["prefill"],
            "estimated_from": inputs,
            "place": [_place(place) for place in document["places"]],
        }
    )


def _place(place: dict[str, Any]) -> dict[str, Any]:
    names = ("positions", "per_token", "by_core", "parts", "bytes")
    return {name: place[name] for name in names} | {"estimate": place["estimates"]}


def _kept(value: Any) -> Any:
    """The value without None and empty entries, because TOML has no null; means are rounded."""
    if isinstance(value, dict):
        return {key: _kept(each) for key, each in value.items() if each not in (None, (), [], {})}
    if isinstance(value, list | tuple):
        return [_kept(each) for each in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 1 if abs(value) >= 1000 else 4)
    return value
