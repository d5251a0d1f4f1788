"""The error of `tinyllm bench`'s estimate against what others measured on hardware (benchmarks/published.toml).

The computing time of a figure is known in one of two ways. If its program's instructions were counted, the whole
estimate is tested. If the same program was measured with another memory or clock too, the computing time is taken from
that figure, and only the effect of memory and clock is tested. A figure with neither is a base for others.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.boards.description import FOLDER, load_board
from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.host.prove.estimate import Chip

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path("benchmarks/published.toml")
LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True)
class Figure:
    """One measurement by others. weights: bytes that a token reads from `memory`. bandwidth: MB/s, if not the board's.

    like: the name of another figure of the same program. instructions: of a token, counted; counted_as: of what.
    """

    name: str
    board: str
    clock_mhz: int
    cores: int
    weights: int
    memory: str
    tokens_per_second: float
    source: str
    like: str | None = None
    instructions: int | None = None
    counted_as: str | None = None
    bandwidth: int | None = None


@dataclass(frozen=True)
class Check:
    """A figure and what the estimate says of it."""

    figure: Figure
    estimated: float

    @property
    def error(self) -> float:
        """The relative error of the speed: 0.1 is 10% too fast."""
        return self.estimated / self.figure.tokens_per_second - 1


def published(path: Path = FILE) -> list[Figure]:
    """The figures of a file. Raises UserError if it is not such a file."""
    try:
        tables: list[dict[str, Any]] = tomllib.loads(read_bytes(path, LARGEST_FILE).decode("utf-8"))["figure"]
        return [Figure(**table) for table in tables]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a file of published figures ({error}).") from None


def check_estimate(figures: list[Figure]) -> list[Check]:
    """The estimate of every figure with counted instructions or with another figure of the same program."""
    named = {figure.name: figure for figure in figures}
    checks = []
    for figure in figures:
        chip = _chip(figure)
        if figure.instructions is not None:
            compute = chip.compute_ms(figure.instructions, "instructions")
        elif figure.like is not None:
            base = named[figure.like]
            rest = 1000 / base.tokens_per_second - _transfer_ms(base)
            compute = rest * base.clock_mhz / figure.clock_mhz
        else:
            continue
        checks.append(Check(figure, 1000 / (compute + _transfer_ms(figure))))
    return checks


def most_tokens_per_second(figure: Figure) -> float:
    """The speed that the figure's bytes alone would allow, if its program computed in no time."""
    return 1000 / _transfer_ms(figure)


def _chip(figure: Figure) -> Chip:
    chip = Chip.of(load_board(figure.board, FOLDER), figure.clock_mhz)
    if chip is None:
        raise UserError(f"{figure.board} has no figures to estimate with.")
    return chip


def _transfer_ms(figure: Figure) -> float:
    if figure.bandwidth is not None:
        return figure.weights / (1000 * figure.bandwidth)
    return _chip(figure).transfer_ms({figure.memory: figure.weights})
