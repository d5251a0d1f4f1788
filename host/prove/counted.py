"""Guards the speed: counts what a token costs each virtual board; benchmarks/counted.toml has the accepted figures.

    python -m tinyllm.host.prove.counted [BOARD ...]    count again and accept the new figures (`make counted`)

Code of the same compiler has the same counts in every run, so the file names the compiler of each case. A test fails if
a case costs more than its figure plus MORE; the command accepts a change on purpose.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import which
from typing import Any

import tomli_w

from tinyllm.boards.description import FIRMWARE, FOLDER, load_board
from tinyllm.errors import Failure, TinyllmError, UserError
from tinyllm.files import read_bytes, write_file
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.prove.benchmark import Bench
from tinyllm.host.virtual.emulators import RP2040JS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path("benchmarks/counted.toml")
MODEL = "tests/data/tinystories-260k"
"""A model that stays as it is, so that figures compare with older ones."""
LARGEST_FILE = 1024 * 1024
CONTEXT = 256
POSITIONS = (0, 64)
"""Without and with earlier positions for attention to look at; both sample greedily."""
PREFILL = 64
"""Tokens of a long prompt; its figure is the mean of a token that is read."""
MORE = 0.01
"""How much dearer a token may become before the test fails: 0.01 is 1%."""
HEAD = """\
# What a token of the model tinystories-260k costs each virtual board at a position, counted, with context 256: the
# guard of speed. Written by `make counted`; a test fails if a case becomes more than 1% dearer.

"""


@dataclass(frozen=True)
class Case:
    """A virtual board to count. emulator: one other than its own."""

    board: str
    cores: int
    emulator: str | None = None

    @property
    def name(self) -> str:
        """Its key in the file."""
        if self.emulator:
            return f"{self.board} in {self.emulator}"
        return self.board if self.cores == 1 else f"{self.board}, {self.cores} cores"

    def compiler(self) -> str:
        """Name and version of the compiler that builds it. Raises UserError if there is none."""
        virtual = load_board(self.board, FOLDER).virtual
        assert virtual is not None
        description = FIRMWARE / f"platform/boards/{virtual.platformio['board']}.json"
        names = json.loads(description.read_text("utf-8"))["build"]["compilers"]
        found = next((name for name in names if which(name)), None)
        if found is None:
            raise UserError(f"{self.name}: no {' or '.join(names)} on PATH.")
        done = subprocess.run([found, "-dumpfullversion"], capture_output=True, text=True, check=False)
        return f"{found} {done.stdout.strip()}"


CASES = (
    Case("esp32", 1),
    Case("esp32c3", 1),
    Case("pico", 1),
    Case("pico", 2),
    Case("pico", 1, RP2040JS),
    Case("pico2", 1),
    Case("pico2", 2),
)


@dataclass(frozen=True)
class Counted:
    """What a case costs: instructions or cycles of a token; with two cores, of the one that takes more.

    per_token: by position, or "prompt of N" for the mean of the tokens of a long prompt.
    """

    compiler: str
    unit: str
    per_token: dict[str, int]


def count(case: Case) -> Counted:
    """Build MODEL for a case and count. Errors as attach and Bench."""
    request = BoardRequest(
        MODEL, LoadOptions(context=CONTEXT), case.board, None, True, True, case.emulator, cores=case.cores
    )
    with attach(request, Output()) as connection:
        link = connection.open()
        try:
            # A prompt takes half as long as the rest, and in the slower emulator it shows nothing new.
            prefill = 0 if case.emulator else PREFILL
            measured = Bench(connection, link).run(1, POSITIONS, prefill)
        finally:
            link.close()
    _, *places = measured.places
    per_token = {place.name: round(place.per_token) for place in places}
    if measured.prefill is not None:
        per_token[f"prompt of {PREFILL}"] = round(measured.prefill.per_token)
    return Counted(case.compiler(), measured.answer.unit, per_token)


def read(path: Path = FILE) -> dict[str, Counted]:
    """The figures of the file by the cases' names. Raises UserError if it is not such a file."""
    try:
        tables: dict[str, Any] = tomllib.loads(read_bytes(path, LARGEST_FILE).decode("utf-8"))
        return {name: Counted(**table) for name, table in tables.items()}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise UserError(f"{path}: not a file of counted figures ({error}).") from None


def write(figures: dict[str, Counted], path: Path = FILE) -> None:
    """Write the file, sorted by name."""
    tables = {name: asdict(figures[name]) for name in sorted(figures)}
    write_file(path, HEAD + tomli_w.dumps(tables))


def differences(case: Case, now: Counted, accepted: Counted) -> list[tuple[str, float]]:
    """How much dearer a token is at each position than accepted: 0.02 is 2%. Failure if positions or units differ."""
    if set(now.per_token) != set(accepted.per_token) or now.unit != accepted.unit:
        raise Failure(f"{case.name}: {FILE.as_posix()} has other positions or units. {how_to_accept(case)}")
    return [(position, cost / accepted.per_token[position] - 1) for position, cost in now.per_token.items()]


def how_to_accept(case: Case) -> str:
    """Says what to run after a change on purpose."""
    return f"To accept it: make counted BOARDS={case.board}"


def accept(cases: Iterable[Case], path: Path = FILE) -> None:
    """Count the cases and write their figures into the file; figures of other cases stay."""
    figures = read(path) if path.exists() else {}
    for case in cases:
        figures[case.name] = count(case)
    known = {case.name for case in CASES}
    write({name: figure for name, figure in figures.items() if name in known}, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m tinyllm.host.prove.counted [BOARD ...]`: all boards if none is named."""
    parser = argparse.ArgumentParser(description="Count what a token costs virtual boards, and accept it.")
    parser.add_argument("boards", nargs="*", metavar="BOARD")
    boards = parser.parse_args(arguments).boards
    cases = [case for case in CASES if not boards or case.board in boards]
    if unknown := set(boards) - {case.board for case in CASES}:
        parser.error(f"{', '.join(sorted(unknown))}: expected {', '.join(sorted({case.board for case in CASES}))}")
    try:
        accept(cases)
    except TinyllmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
