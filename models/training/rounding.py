"""Quantisation-aware training: the forward pass uses the board's rounded weights, the gradient ignores the rounding.

This is the straight-through estimator of Bengio et al. (arXiv 1308.3432). The rounding gives exactly the numbers of
codegen/arithmetic/quantize.py (int8, a scale for each row) and int4.py (a scale for 32 columns).
"""

from __future__ import annotations

import math
from enum import Enum

import torch
from torch import Tensor

from tinyllm.codegen.arithmetic.int4 import HIGHEST, LOWEST, MOST_SCALE, SMALLEST_SCALE
from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE
from tinyllm.models.training.network import Weights, is_matrix


class Rounding(str, Enum):
    """The rounding of the blocks' matrices. Embedding and head are int8 in both formats."""

    NONE = "none"
    INT8 = "int8"
    INT4 = "int4"


def rounded(weights: Weights, rounding: Rounding) -> Weights:
    """The weights for the forward pass: every matrix is rounded, norms are unchanged."""
    if rounding is Rounding.NONE:
        return weights
    found = {}
    for name, tensor in weights.items():
        if tensor.ndim == 1:
            found[name] = tensor
            continue
        with torch.no_grad():
            narrow = rounding is Rounding.INT4 and is_matrix(name, tensor)
            change = (round_int4(tensor) if narrow else round_int8(tensor)) - tensor
        found[name] = tensor + change
    return found


def round_int8(weights: Tensor) -> Tensor:
    """The values of the int8 codes that quantize_rows gives, float32 (rows, columns)."""
    real = weights.detach().double()
    scale = torch.maximum(real.amax(1), -real.amin(1)) / 127
    exponent = math.frexp(max(float(scale.max()), 2.0**-100))[1] - 16
    step = ((scale / 2.0**exponent).ceil().clamp(1, 65535) * 2.0**exponent)[:, None]
    return ((real / step).round().clamp(-127, 127) * step).to(weights.dtype)


def round_int4(weights: Tensor) -> Tensor:
    """The values of the int4 codes that round_to_nearest gives, float32 (rows, columns)."""
    rows, columns = weights.shape
    real = weights.detach().double()
    groups = torch.nn.functional.pad(real, (0, -columns % COLUMNS_OF_A_SCALE)).view(rows, -1, COLUMNS_OF_A_SCALE)
    scales = torch.maximum(groups.amax(2) / HIGHEST, groups.amin(2) / LOWEST)
    unit = scales.amax(1, keepdim=True).clamp(min=SMALLEST_SCALE) / MOST_SCALE
    scales = ((scales / unit).round().clamp(1, MOST_SCALE) * unit)[..., None]
    codes = (groups / scales).round().clamp(LOWEST, HIGHEST)
    return (codes * scales).view(rows, -1)[:, :columns].to(weights.dtype)
