"""What quantisation did to each matrix: how many bits it got, how large its error is, how much was clipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_model import F32
from tinyllm.codegen.arithmetic.int4 import HIGHEST, LOWEST, GroupedCodes, spread
from tinyllm.codegen.arithmetic.quantize import quantize_rows
from tinyllm.codegen.calibration.layerwise import matrices
from tinyllm.host.model.calibrate import calibration_of
from tinyllm.host.model.load import LoadedModel

WORST = 6
"""Number of matrices that people are shown."""


@dataclass(frozen=True)
class QuantisedMatrix:
    """name: such as "blocks.0.wq". error: root mean square of the change, divided by that of the weights. output_error:
    the same for its outputs on the calibration text; None if unknown. clipped: the fraction of the weights that lie
    beyond the last code by more than half a step.
    """

    name: str
    bits: int
    error: float
    output_error: float | None
    clipped: float


def quantisation_of(loaded: LoadedModel) -> list[QuantisedMatrix]:
    """The quantisation of every matrix, embedding and head first. Errors as calibration_of."""
    calibration = calibration_of(loaded)
    whole = {"embedding": loaded.model.embedding, "head": loaded.model.head}
    found = [_int8(name, weights) for name, weights in whole.items() if weights is not None]
    for stored, field in matrices(loaded.model):
        weights: F32 = getattr(loaded.model.blocks[stored], field)
        name, codes = f"blocks.{stored}.{field}", calibration.codes.get((stored, field))
        if codes is None:
            found.append(_int8(name, weights))
        else:
            found.append(_int4(name, weights, codes, calibration.errors.get((stored, field))))
    return found


def worst_first(found: Sequence[QuantisedMatrix]) -> list[QuantisedMatrix]:
    """Sorted by the error of the outputs, if known, then by that of the weights; the largest first."""
    return sorted(found, key=lambda each: (-(each.output_error or 0.0), -each.error, each.name))


def wide_of(found: Sequence[QuantisedMatrix]) -> list[str]:
    """The names of the matrices that are int8; the others are int4."""
    return [each.name for each in found if each.bits == 8]


def table(found: Sequence[QuantisedMatrix]) -> Iterator[list[str]]:
    """Rows for people: the worst matrices."""
    for each in worst_first(found)[:WORST]:
        outputs = "" if each.output_error is None else f"{each.output_error:.1%}"
        yield [each.name, str(each.bits), f"{each.error:.1%}", outputs, f"{each.clipped:.2%}"]


HEADERS = ["worst matrices", "bits", "error of weights", "of outputs", "clipped"]


def _int8(name: str, weights: F32) -> QuantisedMatrix:
    return QuantisedMatrix(name, 8, _error(weights, quantize_rows(weights).dequantized()), None, 0.0)


def _int4(name: str, weights: F32, codes: GroupedCodes, output_error: float | None) -> QuantisedMatrix:
    values = codes.dequantized()
    step = np.abs(weights - values) * 2 > spread(codes.scales, weights.shape[1])
    ends = (codes.codes == LOWEST) & (weights < values) | (codes.codes == HIGHEST) & (weights > values)
    return QuantisedMatrix(name, 4, _error(weights, values), output_error, float(np.mean(ends & step)))


def _error(weights: F32, values: NDArray[np.float64]) -> float:
    size = float(np.linalg.norm(weights))
    return float(np.linalg.norm(weights - values)) / size if size else 0.0
