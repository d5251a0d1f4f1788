"""Compares formats of one model's weights: the bytes that each takes, and what it does to the perplexity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.verify.perplexity import Tokens, evaluate_all
from tinyllm.errors import UserError
from tinyllm.host.model.budgets import table_bytes
from tinyllm.host.model.calibrate import int4_matrices, integers_of
from tinyllm.host.model.load import LoadedModel
from tinyllm.host.model.weights import EXPECTED, INT8, Weights
from tinyllm.text import shown

FP32 = "fp32"


@dataclass(frozen=True)
class Variant:
    """bytes: of all weights as C tables for the portable kernels; for fp32, four for each parameter. The other fields
    are as in Evaluation; fp32 is compared with itself.
    """

    name: str
    bytes: int
    perplexity: float
    ratio: float = 1.0
    kl: float = 0.0
    top1_agreement: float = 1.0


def parse_variants(text: str) -> list[Weights | None]:
    """The formats of a list such as "fp32,int8,mixed:600KB", each once, fp32 as None. UserError for an unknown one."""
    found: list[Weights | None] = []
    for name in text.split(","):
        variant = None if name.strip().lower() == FP32 else _parse(name)
        if variant not in found:
            found.append(variant)
    return found


def variants_of(
    loaded: LoadedModel,
    formats: Sequence[Weights | None],
    sequences: Sequence[Tokens],
    progress: Callable[[int], None] = lambda done: None,
) -> list[Variant]:
    """Evaluate each format of a loaded model on the same tokens; None stands for fp32.

    progress: called with the number of sequences done. Errors as calibration_of and evaluate_all.
    """
    integers: dict[Weights, IntegerModel] = {}
    sizes: dict[Weights, int] = {}
    for weights in formats:
        if weights is not None:
            of = replace(loaded, weights=weights, calibration=None if weights.kind == "int8" else loaded.calibration)
            integers[weights] = integers_of(of)
            sizes[weights] = table_bytes(loaded.model, loaded.tokenizer, loaded.context, int4_matrices(of))
    # evaluate_all measures fp32 beside integers, so fp32 alone needs some too.
    measured = list(integers.values()) or [integers_of(replace(loaded, weights=INT8, calibration=None))]
    results = evaluate_all(loaded.model, measured, sequences, progress)
    of_weights = dict(zip(integers, results, strict=False))
    found = []
    for weights in formats:
        if weights is None:
            found.append(Variant(FP32, 4 * loaded.model.n_parameters(), results[0].fp32_perplexity))
        else:
            each = of_weights[weights]
            figures = (each.integer_perplexity, each.ratio, each.kl, each.top1_agreement)
            found.append(Variant(str(weights), sizes[weights], *figures))
    return found


def _parse(name: str) -> Weights:
    try:
        return Weights.parse(name)
    except UserError:
        raise UserError(f"--variants {shown(name)}: {EXPECTED}, or fp32; several with commas.") from None
