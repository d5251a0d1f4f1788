"""Fits the instructions of each unit of work to counts of random models: benchmarks/shapes.toml to costs.toml.

    python -m tinyllm.host.prove.costs_fit      write the table again (`make costs` counts first)

Least squares of the relative error, no unit below zero. docs/benchmarks.md has the error against counts of real models,
which had no part in the fit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import tomli_w
from numpy.typing import NDArray

from tinyllm.boards.description import FOLDER, load_board
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.memory.outline import outline
from tinyllm.files import write_file
from tinyllm.host.prove.costs import FILE, Costs, Rates
from tinyllm.host.prove.shapes import CASES, MATRICES, PREFILL, VARIANTS, Counted, config_of, read
from tinyllm.host.prove.work import Work, decode_work, prefill_work
from tinyllm.host.virtual.parts import PARTS, Part

HEAD = """\
# Instructions of each unit of a token's work, by kernel set: fitted to benchmarks/shapes.toml by `make costs`.
# Units are those of host/prove/work.py.

"""


def fit(counted: Sequence[Counted]) -> list[Costs]:
    """The costs of every board and number of cores that was counted."""
    found = []
    for board, cores in CASES:
        rows = [each for each in counted if (each.board, each.cores) == (board, cores)]
        if rows:
            kernels = load_board(board, FOLDER).instruction_set
            decode = _fit([sample for each in rows for sample in _decoded(each)])
            prefill = _fit([_prefilled(each, Costs(kernels, cores, board, decode, {})) for each in rows])
            found.append(Costs(kernels, cores, board, decode, prefill))
    return found


Sample = tuple[Work, dict[Part, float]]
"""The work of a token, and what it cost by part."""


def _decoded(counted: Counted) -> Iterator[Sample]:
    model = _outline(counted)
    for position, counts in counted.decode.items():
        yield decode_work(model, position), {part: counts[part.title] for part in PARTS}


def _prefilled(counted: Counted, costs: Costs) -> Sample:
    """The mean token of the batches: of the prompt without its last token, which computes logits too."""
    model, n = _outline(counted), PREFILL - 1
    last = costs.of_decode(model, n)
    work = prefill_work(model, (n - 1) / 2)
    matrices = counted.prefill[Part.MATRICES.title] - last[Part.MATRICES]
    return {Part.MATRICES: work[Part.MATRICES]}, {Part.MATRICES: matrices / n}


def _outline(counted: Counted) -> IntegerModel:
    weights, cache_bits = VARIANTS[counted.variant]
    config = replace(config_of(counted.shape), key_bits=cache_bits, value_bits=cache_bits)
    int4 = [(block, name) for block in config.schedule for name in (MATRICES if weights == "int4" else ())]
    return outline(config, int4=int4)


def _fit(samples: Sequence[Sample]) -> Rates:
    rates: dict[Part, dict[str, float]] = {}
    for part in samples[0][0]:
        units = list(samples[0][0][part])
        done = np.array([[work[part][unit] for unit in units] for work, _ in samples], float)
        cost = np.array([costs[part] for _, costs in samples])
        fitted = _non_negative(done / cost[:, None])
        rates[part] = {unit: rate for unit, rate in zip(units, fitted.tolist(), strict=True) if rate > 0}
    return rates


def _non_negative(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The x >= 0 with rows @ x nearest to 1. The unknowns are few, so every choice of those above 0 is tried."""
    best, least = np.zeros(rows.shape[1]), np.inf
    for size in range(1, rows.shape[1] + 1):
        for chosen in combinations(range(rows.shape[1]), size):
            x, *_ = np.linalg.lstsq(rows[:, chosen], np.ones(len(rows)), rcond=None)
            error = float(np.sum((rows[:, chosen] @ x - 1) ** 2))
            if (x >= 0).all() and error < least - 1e-12:
                best, least = np.zeros(rows.shape[1]), error
                best[list(chosen)] = x
    return best


def text_of(costs: Sequence[Costs]) -> str:
    """The table as a file, four significant digits a rate."""
    tables = [
        {
            "kernels": each.kernels,
            "cores": each.cores,
            "board": each.board,
            **{
                phase: {
                    part.title: {unit: float(f"{rate:.4g}") for unit, rate in row.items()}
                    for part, row in rates.items()
                }
                for phase, rates in (("decode", each.decode), ("prefill", each.prefill))
            },
        }
        for each in costs
    ]
    return HEAD + tomli_w.dumps({"costs": tables})


def main() -> int:
    """Write the table."""
    write_file(FILE, text_of(fit(read())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
