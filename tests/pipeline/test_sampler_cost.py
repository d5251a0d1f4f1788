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
from tests.pipeline.test_engine_sampler import SAMPLER_SOURCES, sampler_files
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import Sampler, SamplerSettings
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.tokenizers.encode.encoder import encode

SETTINGS = {
    "greedy": SamplerSettings(temperature=0),
    "defaults": SamplerSettings(),
    "temperature": SamplerSettings.from_float(temperature=1, top_p=1),
    "temperature and top_p": SamplerSettings.from_float(temperature=1, top_p=0.9),
    "temperature and min_p": SamplerSettings.from_float(temperature=1, top_p=1, min_p=0.05),
    "top_k, top_p and penalty": SamplerSettings.from_float(top_k=40, repetition_penalty=1.1),
    "everything": SamplerSettings.from_float(temperature=1, top_k=40, top_p=0.9, min_p=0.05, repetition_penalty=1.1),
    "temperature 1.2 and top_p 0.95": SamplerSettings.from_float(temperature=1.2, top_p=0.95),
    "temperature 2 and top_p": SamplerSettings.from_float(temperature=2, top_p=0.9),
    "temperature 100 and top_p": SamplerSettings.from_float(temperature=100, top_p=0.9),
    "temperature, top_k 200 and top_p": SamplerSettings.from_float(temperature=1, top_k=200, top_p=0.9),
}
BOUND = 20_000
"""At most, at each position."""
BOUNDS = {
    "greedy": 2_300,
    "temperature and min_p": 7_000,
    "temperature 1.2 and top_p 0.95": 29_000,
    "temperature 2 and top_p": 60_000,
    "temperature 100 and top_p": 113_000,
    "temperature, top_k 200 and top_p": 45_000,
}
"""Of settings that ask for less work, or leave many candidates."""
MORE = {("rp2040", "temperature"): 20_900, ("rp2040", "temperature and top_p"): 22_400}
"""At one of the positions all 512 tokens are in reach; a probability takes a Cortex-M0+ 29 instructions."""

BOARDS = {"rp2350": "pico2", "rp2040": "pico", "esp32c3": "esp32c3"}
"""The chips, and a board that has the kernels of each."""

POSITIONS = range(15, 128, 16)
CONTEXT = 256


@pytest.fixture(scope="module")
def story(stories, stories_tokenizer, stories_text) -> tuple[list[int], NDArray[np.int64]]:
    """The first tokens of a story, and the logits after each."""
    tokens = encode(stories_tokenizer, stories_text, bos=True)[: POSITIONS[-1] + 1]
    return tokens, Reference(quantize(stories, CONTEXT)).forward(tokens)


@pytest.fixture(scope="module", params=BOARDS)
def chip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The chip's name, and the sampler on its core."""
    if importlib.util.find_spec("unicorn") is None:
        skip_unless_ci("the Unicorn emulator is not installed: pip install 'tinyllm[virtual]'")
    counted_c = importlib.import_module("tests.pipeline.counted_c")
    compiler = counted_c.compiler_of(request.param)
    if shutil.which(compiler) is None:
        skip_unless_ci(f"no {compiler} on PATH")
    files = sampler_files(512, kernel_set_of(load_board(BOARDS[request.param])))
    yield request.param, counted_c.CountedC(request.param, tmp_path_factory.mktemp("chip"), files, SAMPLER_SOURCES)


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
    assert max(taken) <= MORE.get((core, name), BOUNDS.get(name, BOUND))
