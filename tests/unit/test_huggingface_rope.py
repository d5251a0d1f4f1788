"""The rotary embedding and the context of Hugging Face folders: how far a model reaches, and with which frequencies."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.checkpoint_files import random_model, write_huggingface
from tests.unit.huggingface_files import HALF, refusal, rewrite, tensors_of
from tinyllm.codegen.arithmetic.float_model import Rope
from tinyllm.codegen.checkpoints import read_model

WIDE = replace(HALF, head_dim=8, rope=replace(HALF.rope, rotary_dim=8), context=64)
"""Heads of four rotating pairs, and a context to extend."""


# Rotary embedding

LONGROPE = {"short_factor": [1.0, 1.5, 2, 4.0], "long_factor": [1.0, 3.0, 9, 12.5]}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def rope_of(folder: Path, context: int | None = None) -> Rope:
    return read_model(folder, context=context).config.rope


def test_rope_theta_is_also_read_from_rope_parameters(tmp_path: Path) -> None:
    parameters = {"rope_type": "default", "rope_theta": 500000.0}
    folder = write_huggingface(tmp_path / "tiny", random_model(), rope_parameters=parameters)
    assert rope_of(folder).base == 500000.0


def test_linear_scaling_divides_every_frequency(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(WIDE), rope_scaling={"type": "linear", "factor": 2})
    assert rope_of(folder) == replace(WIDE.rope, factors=(2.0,) * 4)


def test_llama3_scaling_divides_the_long_waves_keeps_the_short_and_blends_those_between(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(WIDE), rope_scaling=LLAMA3, rope_theta=100.0)
    factors = rope_of(folder).factors
    assert factors is not None
    waves = 64 * 100.0 ** -(np.arange(4) / 4) / (2 * np.pi)
    np.testing.assert_allclose(waves, [10.19, 3.221, 1.019, 0.322], rtol=1e-3)
    blend = (waves - 1) / 3
    np.testing.assert_allclose(factors, [1, *(1 / ((1 - blend[1:3]) / 8 + blend[1:3])), 8], rtol=1e-9)


@pytest.mark.parametrize("kind", ["longrope", "su"])
@pytest.mark.parametrize(
    ("context", "chosen", "reach"), [(None, "short", 16), (16, "short", 16), (17, "long", 64), (64, "long", 64)]
)
def test_longrope_takes_the_factors_for_the_context_it_is_built_for(
    kind: str, context: int | None, chosen: str, reach: int, tmp_path: Path
) -> None:
    """A Phi-3 config as transformers 4 writes it."""
    model = random_model(WIDE)
    scaling = {"type": kind} | LONGROPE
    folder = write_huggingface(
        tmp_path / "tiny", model, model_type="phi3", rope_scaling=scaling, original_max_position_embeddings=16
    )
    rewrite(folder, tensors_of("phi3", model))
    found = read_model(folder, context=context).config
    assert found.rope.factors == tuple(map(float, LONGROPE[f"{chosen}_factor"]))
    assert found.rope.attention_scaling == math.sqrt(1 + math.log(64 / 16) / math.log(16))
    assert found.context == reach


def test_longrope_of_a_context_that_was_not_extended_scales_nothing(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(WIDE), rope_scaling={"type": "longrope"} | LONGROPE)
    found = read_model(folder, context=64).config
    assert (found.rope.factors, found.rope.attention_scaling, found.context) == ((1.0, 1.5, 2.0, 4.0), 1.0, 64)


@pytest.mark.parametrize(
    ("scaling", "words"),
    [
        ({"type": "yarn", "factor": 2.0}, "rope_scaling of type 'yarn' cannot be read"),
        ({"rope_type": "dynamic", "factor": 2.0}, "rope_scaling of type 'dynamic'"),
        ({"rope_type": ["llama3"]}, "rope_scaling of type ['llama3']"),
        ({"rope_type": "default", "mrope_section": [1, 1]}, "rope_scaling has 'mrope_section'"),
        ({"full_attention": {"rope_type": "default"}}, "rope_scaling has 'full_attention'"),
        ({"type": "linear"}, "rope_scaling.factor is missing"),
        ({"type": "linear", "factor": 0}, "rope_scaling.factor is 0"),
        ({"type": "linear", "factor": math.inf}, "rope_scaling.factor is inf"),
        ({"type": "linear", "factor": True}, "rope_scaling.factor is True"),
        (LLAMA3 | {"low_freq_factor": None}, "rope_scaling.low_freq_factor is null"),
        (LLAMA3 | {"high_freq_factor": 1.0}, "rope_scaling.high_freq_factor is 1.0, expected more than"),
        (LLAMA3 | {"original_max_position_embeddings": -5}, "rope_scaling.original_max_position_embeddings is -5"),
        ({"type": "su", "long_factor": [1.0] * 4}, "rope_scaling.short_factor is missing, expected a list of 4"),
        ({"type": "su", "short_factor": [1.0] * 4}, "rope_scaling.long_factor is missing"),
        ({"type": "su"} | LONGROPE | {"short_factor": [1.0] * 3}, "rope_scaling.short_factor is [1.0, 1.0, 1.0]"),
        ({"type": "su"} | LONGROPE | {"long_factor": [1.0, 1.0, 1.0, -1]}, "rope_scaling.long_factor is"),
        ({"type": "su"} | LONGROPE | {"long_factor": {"0": 1.0}}, "rope_scaling.long_factor is"),
        ({"type": "su"} | LONGROPE | {"attention_factor": "x"}, "rope_scaling.attention_factor is 'x'"),
        ({"type": "su"} | LONGROPE | {"original_max_position_embeddings": 1}, "is 1, expected 2 or more"),
        (3, "rope_scaling is 3"),
    ],
)
def test_a_rope_that_cannot_be_had_is_refused_by_name(scaling: Any, words: str, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(WIDE), rope_scaling=scaling)
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("model_type", "part", "words"),
    [
        ("llama", 0.5, "partial_rotary_factor is 0.5, expected 1 for this model type"),
        ("phi3", 0.4, "expected an even part of the head size 8, not 3"),
        ("phi3", 0.1, "expected an even part of the head size 8, not 0"),
        ("phi3", 1.5, "partial_rotary_factor is 1.5"),
        ("phi3", "half", "partial_rotary_factor is 'half'"),
    ],
)
def test_a_partial_rotation_that_makes_no_sense_is_refused(
    model_type: str, part: Any, words: str, tmp_path: Path
) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(WIDE), model_type=model_type, partial_rotary_factor=part)
    assert words in refusal(folder)


# Context and sliding window

LATE = {"sliding_window": 20, "use_sliding_window": True}
MIXED = {"layer_types": ["sliding_attention", "full_attention"]}


@pytest.mark.parametrize(
    ("model_type", "fields", "windows"),
    [
        ("llama", {"sliding_window": 20}, ()),
        ("mistral", {}, (4096, 4096)),
        ("mistral", {"sliding_window": None}, ()),
        ("mistral", {"sliding_window": 64}, (64, 64)),
        ("mistral", {"sliding_window": 20, **MIXED}, (20, None)),
        ("mistral", {"sliding_window": 20, "layer_sharing": True}, (20,) * 4),
        ("mistral", {"sliding_window": 20, "layer_sharing": True, **MIXED}, (20, 20, None, None)),
        ("phi3", {}, ()),
        ("phi3", {"sliding_window": 20}, (20, 20)),
        ("phi3", {"sliding_window": 20, "use_sliding_window": False, "max_window_layers": 2}, (20, 20)),
        ("qwen2", {"sliding_window": 20}, ()),
        ("qwen2", {**LATE, "sliding_window": None}, ()),
        ("qwen2", LATE, ()),
        ("qwen2", {**LATE, "max_window_layers": 2}, ()),
        ("qwen2", {**LATE, "max_window_layers": 1}, (None, 20)),
        ("qwen2", {**LATE, "max_window_layers": 0}, (20, 20)),
        ("qwen2", {**LATE, **MIXED}, (20, None)),
        ("qwen2", {**LATE, "max_window_layers": 0, "layer_types": ["full_attention"] * 2}, ()),
    ],
)
def test_each_model_type_limits_the_layers_that_transformers_limits(
    model_type: str, fields: dict[str, Any], windows: tuple[int | None, ...], tmp_path: Path
) -> None:
    model = random_model(WIDE, biases=True)
    folder = write_huggingface(tmp_path / "tiny", model, model_type=model_type, **fields)
    rewrite(folder, tensors_of(model_type, model))
    config = read_model(folder, context=64).config
    assert config.windows == windows
    assert config.context == 64


@pytest.mark.parametrize("context", [0, -1, 65])
def test_a_context_beyond_what_the_model_was_trained_for_is_refused(context: int, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(WIDE))
    assert f"a context of {context} positions is asked for, max_position_embeddings is 64" in refusal(
        folder, context=context
    )
