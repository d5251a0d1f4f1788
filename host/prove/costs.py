"""Estimates what a token costs a kernel set, without a board: instructions for each unit of its work (work.py).

costs_fit.py writes these instructions to costs.toml, by kernel set and number of cores, for generated tokens and for
those of a prompt. They are fitted to counts of random models (shapes.py). docs/benchmarks.md has the error against
counts of real models.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinyllm.boards.board import Board
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.files import read_bytes
from tinyllm.host.prove.estimate import longer_way
from tinyllm.host.prove.work import INT4_MACS, Work, decode_work, prefill_work
from tinyllm.host.virtual.parts import PARTS, Part

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("costs.toml")
LARGEST_FILE = 1024 * 1024

INT4_MAC = 1.15
"""Cost of an int4 MAC in int8 MACs, assumed for a kernel set whose int4 kernels are not counted."""

Rates = Mapping[Part, Mapping[str, float]]
"""For each part, the instructions of a unit of each name."""
Instructions = dict[Part, float]
"""Instructions of one token, by part."""


@dataclass(frozen=True)
class Costs:
    """The rates of a kernel set on `cores` cores; with two, of the core that executes more.

    board: the virtual board that was counted. decode: rates of a generated token. prefill: rates of the parts that cost
    something else in a batch: matrices. half_assumed: a board with one core was counted, and each of two is assumed to
    do half of the parts that cores divide.
    """

    kernels: str
    cores: int
    board: str
    decode: Rates
    prefill: Rates
    half_assumed: bool = False

    @property
    def int4_assumed(self) -> bool:
        """Whether this kernel set's int4 kernels have not been counted."""
        return INT4_MACS not in self.decode[Part.MATRICES]

    def of_decode(self, model: IntegerModel, position: float) -> Instructions:
        """Instructions of a generated token, at a position from 0."""
        return _priced(decode_work(model, position), _with_int4(self.decode))

    def of_prefill(self, model: IntegerModel, position: float) -> Instructions:
        """Instructions of a token in a batch of a prompt."""
        return _priced(prefill_work(model, position), _with_int4({**self.decode, **self.prefill}))

    def of_single(self, model: IntegerModel, position: float) -> Instructions:
        """Instructions of a token of a prompt on a board without room for a batch."""
        return _priced(prefill_work(model, position), _with_int4(self.decode))

    def way(self, instructions: Instructions) -> float:
        """Instructions of the core that executes more."""
        return longer_way(instructions) if self.half_assumed else sum(instructions.values())


def costs_of(board: Board) -> Costs | None:
    """The costs of a board's kernel set on the cores that compute; None if it has not been counted."""
    name, cores = kernel_set_of(board).name, min(board.cores, 2)
    table = all_costs()
    if found := table.get((name, cores)):
        return found
    one = table.get((name, 1))
    if one is None:
        return None
    return Costs(one.kernels, cores, one.board, one.decode, one.prefill, half_assumed=True)


@cache
def all_costs() -> dict[tuple[str, int], Costs]:
    """The costs in costs.toml, by kernel set and number of cores."""
    tables: list[dict[str, Any]] = tomllib.loads(read_bytes(FILE, LARGEST_FILE).decode("utf-8"))["costs"]
    found = [
        Costs(table["kernels"], table["cores"], table["board"], _rates(table["decode"]), _rates(table["prefill"]))
        for table in tables
    ]
    return {(each.kernels, each.cores): each for each in found}


def _rates(table: Mapping[str, Mapping[str, float]]) -> Rates:
    return {part: table[part.title] for part in PARTS if part.title in table}


def _with_int4(rates: Rates) -> Rates:
    """The rates, with an assumed one for int4 MACs if those are not counted."""
    matrices = rates[Part.MATRICES]
    if INT4_MACS in matrices:
        return rates
    long_row = matrices.get("macs", 0.0) + matrices.get("macs of long rows", 0.0)
    return {**rates, Part.MATRICES: {**matrices, INT4_MACS: INT4_MAC * long_row}}


def _priced(work: Work, rates: Rates) -> Instructions:
    return {
        part: sum(number * rates.get(part, {}).get(unit, 0.0) for unit, number in units.items())
        for part, units in work.items()
    }
