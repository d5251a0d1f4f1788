"""The three ways to store a model's weights that fit compares, as outlines: int8, int4, and a mixture of both."""

from __future__ import annotations

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.memory.outline import outline

FORMATS = ("int8",)
"""By accuracy, the best first."""


def outlines(config: ModelConfig, biases: tuple[str, ...]) -> dict[str, IntegerModel]:
    """A model in each of FORMATS."""
    return {"int8": outline(config, biases)}
