"""What sampling costs on each core: instructions, counted over logits of the bundled model at eight positions.

The bounds hold for a vocabulary of 512; a flat distribution costs most. docs/evidence/sampling.md has what is printed.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import ENGINE
from tests.pipeline.test_engine_sampler import sampler_files
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import Sampler, SamplerSettings
from tinyllm.codegen.tokenizers.encode.encoder import encode

SETTINGS = {
    "greedy": SamplerSettings(temperature=0),
    "defaults": SamplerSettings(),
    "temperature and top_p": SamplerSettings.from_float(temperature=1, top_p=0.9),
    "top_k, top_p and penalty": SamplerSettings.from_float(top_k=40, repetition_penalty=1.1),
}
BOUNDS = {
    "rp2350": dict(zip(SETTINGS, (2_560, 20_000, 26_000, 23_000), strict=True)),
    "rp2040": dict(zip(SETTINGS, (2_560, 27_000, 34_000, 33_500), strict=True)),
    "esp32c3": dict(zip(SETTINGS, (2_560, 20_000, 26_000, 25_000), strict=True)),
}
"""At most, at each position."""

POSITIONS = range(15, 128, 16)
CONTEXT = 256


@pytest.fixture(scope="module")
def story(stories, stories_tokenizer, stories_text) -> tuple[list[int], NDArray[np.int64]]:
    """The first tokens of a story, and the logits after each."""
    tokens = encode(stories_tokenizer, stories_text, bos=True)[: POSITIONS[-1] + 1]
    return tokens, Reference(quantize(stories, CONTEXT)).forward(tokens)


@pytest.fixture(scope="module", params=BOUNDS)
def chip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The chip's name, and the sampler on its core."""
    if importlib.util.find_spec("unicorn") is None:
        skip_unless_ci("the Unicorn emulator is not installed: pip install 'tinyllm[virtual]'")
    counted_c = importlib.import_module("tests.pipeline.counted_c")
    compiler = counted_c.compiler_of(request.param)
    if shutil.which(compiler) is None:
        skip_unless_ci(f"no {compiler} on PATH")
    sources = [ENGINE / "sampler.c", ENGINE / "fixedpoint.c", "tables.c"]
    yield request.param, counted_c.CountedC(request.param, tmp_path_factory.mktemp("chip"), sampler_files(512), sources)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_token_is_sampled_within_the_bound_on_instructions(chip, story, name) -> None:
    core, c = chip
    tokens, logits = story
    own = SETTINGS[name]
    reference = Sampler(own, 1)
    at_logits, at_recent = c.free, c.free + 4 * 512
    at_settings, at_random = at_recent + 2 * CONTEXT, at_recent + 2 * CONTEXT + 32
    values = [own.temperature, own.top_k, own.top_p, own.min_p, own.repetition_penalty]
    c.write(at_settings, np.array(values, np.uint32).tobytes())
    c.call("tl_random_seed", at_random, 1)
    taken = []
    for position in POSITIONS:
        recent = tokens[: position + 1]
        c.write(at_logits, logits[position].astype(np.int32).tobytes())
        c.write(at_recent, np.array(recent, np.uint16).tobytes())
        drawn, instructions = c.call("tl_sample", at_logits, at_recent, len(recent), at_settings, at_random)
        assert drawn == reference.sample(logits[position], recent)
        taken.append(instructions)
    print(f"{core}, {name}: {round(np.mean(taken)):,} on average, {max(taken):,} at most")
    assert max(taken) <= BOUNDS[core][name]
