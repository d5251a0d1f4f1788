"""Records of long runs: a JSON file each in reliability/."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from tinyllm.files import write_file

FOLDER = Path(__file__).resolve().parents[2] / "reliability"


def machine() -> str:
    """The computer that this runs on: its processor, how many cores, and its system."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text("utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}"


def save_record(
    name: str, command: str, seed: int, seconds: float, counts: Mapping[str, int], folder: Path = FOLDER
) -> Path:
    """Write a run's record in place of the last one of its name; the faults that one tells of stay.

    counts: what was tried, by what it is. A fault is written into `faults` by hand when it is mended: a sentence each.
    """
    path = folder / f"{name.replace(' ', '-')}.json"
    faults = json.loads(path.read_text("utf-8"))["faults"] if path.is_file() else []
    record = {
        "name": name,
        "command": command,
        "seed": seed,
        "duration_seconds": round(seconds),
        "counts": dict(counts),
        "faults": faults,
        "date": date.today().isoformat(),
        "machine": machine(),
    }
    write_file(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path
