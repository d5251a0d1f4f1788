"""Clocks that are years off, reach the end of their bits, or jump, for whole commands: libfaketime.

The time of day alone is false. The monotonic clock goes on, as it does on a computer whose clock is set.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import skip_unless_ci

CLOCKS = {
    "1970, at the first seconds": "@1970-01-01 00:00:10",
    "ten years behind": "-10y",
    "2038, at the end of 31 bits": "@2038-01-19 03:14:06",
    "twenty years ahead": "+20y",
    "2106, at the end of 32 bits": "@2106-02-07 06:28:14",
    "jumping to and fro": "",
}
"""Name -> as libfaketime takes it; the ends are reached while the command runs."""
JUMPS = ("+20y", "-40y", "+1d", "-1h")
JUMP_SECONDS = 0.2

_LIBRARY = "faketime/libfaketime.so.1"


@cache
def _library() -> Path | None:
    """libfaketime, where Debian puts it; None if it is not there."""
    return next((path for path in Path("/usr/lib").glob(f"*/{_LIBRARY}")), None)


def has_faketime() -> bool:
    """Whether clocks can be falsified here."""
    return _library() is not None


def require_faketime() -> None:
    if not has_faketime():
        skip_unless_ci("needs libfaketime: sudo apt-get install faketime")


@cache
def _preloaded() -> str:
    """What is loaded before the C library."""
    program = Path(_folder.name) / "clock_sleep.so"
    source = Path(__file__).with_name("clock_sleep.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", program, source], check=True)
    return f"{program} {_library()}"


_folder = TemporaryDirectory(prefix="tinyllm-clocks-")


@contextmanager
def false_clock(name: str) -> Iterator[dict[str, str]]:
    """The variables of a process that has this clock of CLOCKS. One that jumps does so while the context lasts."""
    variables = {
        "LD_PRELOAD": _preloaded(),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "TZ": "UTC",
    }
    if CLOCKS[name]:
        yield variables | {"FAKETIME": CLOCKS[name]}
        return
    with TemporaryDirectory(prefix="tinyllm-clock-") as folder:
        clock, ended = Path(folder) / "clock", threading.Event()
        clock.write_text("+0\n")

        def jump() -> None:
            for offset in cycle(JUMPS):
                if ended.wait(JUMP_SECONDS):
                    return
                new = clock.with_name("new")
                new.write_text(f"{offset}\n")
                new.replace(clock)

        jumping = threading.Thread(target=jump, daemon=True)
        jumping.start()
        try:
            yield variables | {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
        finally:
            ended.set()
            jumping.join()
