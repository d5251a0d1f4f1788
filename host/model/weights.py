"""The formats that a person may choose for a model's weights: int8, int4, or a mixture under a budget."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tinyllm.errors import UserError
from tinyllm.text import shown

Kind = Literal["int8", "int4", "mixed"]
KINDS: tuple[Kind, ...] = ("int8", "int4", "mixed")

UNITS = {"": 1, "b": 1, "k": 1024, "kb": 1024, "kib": 1024, "m": 2**20, "mb": 2**20, "mib": 2**20}
"""Bytes of a unit, as everywhere in the tool: a KB has 1,024."""

EXPECTED = "expected int8, int4, mixed, or mixed:SIZE such as mixed:600KB"


@dataclass(frozen=True)
class Weights:
    """kind: of the blocks' matrices; embedding and head are int8. budget: of "mixed" only, most bytes of all weights as
    C tables; None: MEAN_BITS on average for a weight of the blocks. board: the board that a mixture fills instead.
    """

    kind: Kind = "int8"
    budget: int | None = None
    board: str | None = None

    @classmethod
    def parse(cls, text: str, option: str = "--weights") -> Weights:
        """The format that a person wrote. UserError, which names the option, if it is unknown."""
        name, colon, size = text.strip().partition(":")
        for kind in KINDS:
            if name.lower() == kind and not colon:
                return cls(kind)
        if name.lower() == "mixed" and (amount := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", size.strip().lower())):
            number, unit = amount.groups()
            if unit in UNITS and len(number) <= 15 and (budget := int(float(number) * UNITS[unit])) > 0:
                return cls("mixed", budget)
        raise UserError(f"{option} {shown(text)}: {EXPECTED}.")

    def __str__(self) -> str:
        if self.board is not None:
            return f"{self.kind} for {self.board}"
        return self.kind if self.budget is None else f"{self.kind}:{_in_units(self.budget)}"


INT8 = Weights()


def _in_units(size: int) -> str:
    return next((f"{size // UNITS[unit]}{unit.upper()}" for unit in ("mb", "kb") if size % UNITS[unit] == 0), str(size))
