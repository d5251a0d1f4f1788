"""What a trial found: reliability/NAME.json, of which `python -m tests.reliability.page` makes docs/reliability.md."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from tinyllm.files import write_file

FOLDER = Path("reliability")


@dataclass
class Record:
    """One trial. counts: what was done and seen, by a few words each. faults: a sentence each, found and mended."""

    name: str
    command: str
    seed: int
    duration_seconds: float
    counts: dict[str, int | float | str]
    faults: list[str] = field(default_factory=list)
    date: str = field(default_factory=lambda: date.today().isoformat())
    machine: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}, {_processor()}")

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name.lower().replace(' ', '-')}.json"

    def save(self) -> None:
        """Write it. The faults that a person has told of this trial stay."""
        if self.path.exists():
            self.faults = json.loads(self.path.read_text("utf-8"))["faults"]
        write_file(self.path, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


class Trial:
    """A trial under way: its seed is printed first, a line shows how far it is, and `end` keeps the record."""

    def __init__(self, name: str, module: str, seed: int, save: bool) -> None:
        self.name, self.seed, self._save = name, seed, save
        self.command = f"python -m {module} {shlex.join(sys.argv[1:])}".strip()
        self.counts: dict[str, int | float | str] = {}
        self.wrong: list[str] = []
        self._begun = self._shown = time.monotonic()
        print(f"{name}: seed {seed}", flush=True)

    def progress(self, line: str) -> None:
        """Show how far it is, at most twice a second on a terminal and every 20 seconds in a log."""
        now = time.monotonic()
        if now - self._shown > (0.5 if sys.stderr.isatty() else 20):
            self._shown = now
            print(f"{self.name}, {now - self._begun:,.0f} s: {line}", file=sys.stderr, flush=True)

    def wait(self, workers: Sequence[threading.Thread], line: Callable[[], str]) -> None:
        """Start them and wait for all, showing `line`; Ctrl-C ends the trial with what was done until then."""
        for worker in workers:
            worker.start()
        with suppress(KeyboardInterrupt):
            while any(worker.is_alive() for worker in workers):
                time.sleep(0.2)
                self.progress(line())

    def fail(self, line: str) -> None:
        """Note something that must not be, and show it."""
        self.wrong.append(line)
        print(f"wrong: {line}", file=sys.stderr, flush=True)

    def end(self) -> int:
        """The exit code: 0 if nothing was wrong."""
        self.counts["wrong"] = len(self.wrong)
        record = Record(self.name, self.command, self.seed, round(time.monotonic() - self._begun), self.counts)
        if self._save:
            record.save()
            print(f"saved in {record.path}")
        print(json.dumps(record.counts, indent=1, ensure_ascii=False))
        return 1 if self.wrong else 0


def _processor() -> str:
    """The processor's own name, if the system tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text("utf-8").splitlines() if about.exists() else []
    named = next((line for line in lines if line.startswith("model name")), None)
    return named.partition(":")[2].strip() if named else platform.processor() or "unknown"
