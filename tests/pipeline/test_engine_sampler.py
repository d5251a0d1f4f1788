"""The board's sampler, compiled with the undefined behaviour sanitizer, against the integer specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.c_library import ENGINE, load_c
from tinyllm.codegen.arithmetic import fixedpoint
from tinyllm.codegen.arithmetic.sampler import (
    Random,
    Sampler,
    SamplerSettings,
    candidates,
    exponents,
    penalize,
)
from tinyllm.codegen.arithmetic.sampler_settings import ONE, SETTINGS, Setting
from tinyllm.codegen.emit.project import kernel_files, table_files
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.kernels.kernel_set import KernelSet

INT32_MAX = 2**31 - 1

SAMPLER = """
    typedef uint16_t tl_token_t;
    struct tl_sampler_settings { uint32_t temperature, top_k, top_p, min_p, repetition_penalty; };
    struct tl_random { uint64_t state; };
    void tl_random_seed(struct tl_random *random, uint32_t seed);
    uint32_t tl_random_next(struct tl_random *random);
    uint32_t tl_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                       const struct tl_sampler_settings *settings, struct tl_random *random);
"""


def sampler_files(vocab_size: int, kernels: KernelSet = GENERIC) -> dict[str, str]:
    return {
        "vocabulary.h": f"#include <stdint.h>\ntypedef uint16_t tl_token_t;\n#define TL_VOCAB_SIZE {vocab_size}u\n",
        **table_files(),
        **kernel_files(kernels),
    }


SAMPLER_SOURCES: list[str | Path] = [
    ENGINE / "sampler.c",
    ENGINE / "selection.c",
    "copy_above.c",
    "count_distances.c",
    "sum_probabilities.c",
    "tables.c",
]


@pytest.fixture(scope="session")
def build_sampler(tmp_path_factory):
    def build(vocab_size: int, wide: bool = True) -> Any:
        """wide: products of 64 bits are used, as everywhere but on a Cortex-M0+ and an Xtensa."""
        folder, files = tmp_path_factory.mktemp("sampler"), sampler_files(vocab_size)
        return load_c(folder, files, SAMPLER_SOURCES, SAMPLER, f"-DTL_WIDE_PRODUCTS={int(wide)}")

    return build


@pytest.fixture(scope="session", params=[(1, True), (2, True), (40, True), (512, True), (512, False)])
def sampler(request, build_sampler):
    """A compiled sampler and the size of its vocabulary."""
    return build_sampler(*request.param), request.param[0]


def whole_range(setting: Setting) -> st.SearchStrategy[int]:
    return st.integers(SETTINGS[setting].minimum, SETTINGS[setting].maximum)


setting = st.fixed_dictionaries(
    {
        "temperature": st.one_of(st.sampled_from([0, 1, 2, ONE, 100 * ONE]), whole_range(Setting.TEMPERATURE)),
        "top_k": st.one_of(st.sampled_from([0, 1, 2, 2**32 - 1]), st.integers(0, 600)),
        "top_p": st.one_of(st.sampled_from([1, ONE - 1, ONE]), whole_range(Setting.TOP_P)),
        "min_p": st.one_of(st.sampled_from([0, 1, ONE]), whole_range(Setting.MIN_P)),
        "repetition_penalty": st.one_of(
            st.sampled_from([655, ONE, 100 * ONE]), whole_range(Setting.REPETITION_PENALTY)
        ),
    }
)


def some_logits(kind: str, seed: int, size: int) -> np.ndarray:
    """int32 (size,): smooth ones as a model gives, few distinct values, units, the whole range with its ends, or close
    to a few steps of one power of two, which is how the board finds the nearest of them.
    """
    generator = np.random.default_rng(seed)
    if kind == "smooth":
        return np.rint(generator.normal(0, 3 * ONE, size)).astype(np.int32)
    if kind == "ties":
        return (generator.integers(-2, 3, size) * (ONE >> int(generator.integers(0, 17)))).astype(np.int32)
    if kind == "units":
        return generator.integers(-3, 4, size).astype(np.int32)
    if kind == "steps":
        steps = generator.integers(0, 33, size) << int(generator.integers(0, 24))
        return (-steps + generator.integers(-80, 81, size)).astype(np.int32)
    if kind == "equal":
        return np.full(size, generator.choice([-INT32_MAX, 0, INT32_MAX]), np.int32)
    whole = generator.integers(-INT32_MAX, INT32_MAX, size, endpoint=True)
    return np.where(generator.random(size) < 0.3, generator.choice([-INT32_MAX, INT32_MAX], size), whole).astype(
        np.int32
    )


def state_before(number: int) -> int:
    """A PCG32 state whose next number is this one: no rotation, and the xorshift undone."""
    shifted = number << 27
    return shifted ^ shifted >> 18 ^ shifted >> 36 ^ shifted >> 54


def assert_same_tokens(library, own: SamplerSettings, seed: int, logits: np.ndarray, recent: list[int]) -> None:
    """Both samplers draw alike from `seed` on, and at the ends of what random numbers the kept tokens share.

    Those ends tell a kept set or a probability that is wrong. After a greedy choice the C leaves the penalised logits.
    """
    lib, ffi = library.lib, library.ffi
    penalized = logits.astype(np.int64)
    if own.repetition_penalty != ONE:
        penalized = penalize(penalized, recent, own.repetition_penalty)
    reference = Sampler(own, seed)
    board_settings = ffi.new("struct tl_sampler_settings *", vars(own))
    board_random = ffi.new("struct tl_random *")
    lib.tl_random_seed(board_random, seed)
    tokens, buffer = ffi.new("tl_token_t[]", recent), ffi.new("int32_t[]", len(logits))

    def draw() -> int:
        ffi.memmove(buffer, logits, logits.nbytes)
        return lib.tl_sample(buffer, tokens, len(recent), board_settings, board_random)

    for _ in range(3):
        assert draw() == reference.sample(logits, recent)
    assert board_random.state == reference.random.state
    if own.temperature == 0:
        assert np.array_equal(np.frombuffer(ffi.buffer(buffer), np.int32), penalized)
        return
    z = exponents(penalized, own.temperature)
    kept = candidates(z, own.top_k, own.top_p, own.min_p)
    sums = np.cumsum(fixedpoint.exp2_q30(-z[kept]))
    total = int(sums[-1])
    for running in np.random.default_rng(seed).permutation(sums)[:16].tolist():
        for number in {max((running << 32) // total - 1, 0), min((running << 32) // total, 2**32 - 1)}:
            board_random.state = state_before(number)
            assert draw() == kept[np.searchsorted(sums, number * total >> 32, side="right")]


@settings(max_examples=100, deadline=None)
@given(
    values=setting,
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["smooth", "ties", "units", "equal", "steps", "whole range"]),
    recent_seed=st.integers(0, 2**32 - 1),
    n_recent=st.integers(0, 80),
)
def test_the_board_draws_the_tokens_the_specification_draws(sampler, values, seed, kind, recent_seed, n_recent):
    library, size = sampler
    logits = some_logits(kind, seed, size)
    recent = np.random.default_rng(recent_seed).integers(0, size, n_recent).tolist()
    assert_same_tokens(library, SamplerSettings(**values), seed, logits, recent)


def test_equally_likely_tokens_share_the_random_numbers_evenly_to_the_last_one(sampler):
    library, size = sampler
    everything = SamplerSettings.from_float(temperature=1, top_p=1)
    reference = Sampler(everything, 0)
    board_settings = library.ffi.new("struct tl_sampler_settings *", vars(everything))
    logits = [7] * size
    for token in range(size):
        first = -(-token * 2**32 // size)
        last = -(-(token + 1) * 2**32 // size) - 1
        for number in (first, last):
            board_random = library.ffi.new("struct tl_random *", [state_before(number)])
            reference.random.state = state_before(number)
            buffer = library.ffi.new("int32_t[]", logits)
            assert library.lib.tl_sample(buffer, library.ffi.NULL, 0, board_settings, board_random) == token
            assert reference.sample(logits) == token


def test_a_vocabulary_of_32000_is_drawn_from_alike(build_sampler):
    library = build_sampler(32_000)
    recent = list(range(0, 32_000, 100))
    for kind in ("smooth", "ties", "equal", "steps", "whole range"):
        logits = some_logits(kind, 5, 32_000)
        for values in ({}, {"top_k": 40}, {"top_k": 1000, "top_p": 0.5, "min_p": 0.05, "repetition_penalty": 1.3}):
            assert_same_tokens(library, SamplerSettings.from_float(**values), 9, logits, recent)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_boards_random_numbers_are_pcg32(sampler, seed):
    library, _ = sampler
    board, reference = library.ffi.new("struct tl_random *"), Random(seed)
    library.lib.tl_random_seed(board, seed)
    assert [library.lib.tl_random_next(board) for _ in range(8)] == [reference.next() for _ in range(8)]


@pytest.mark.parametrize("temperature", [1, 8, 40, 100])
def test_top_k_counts_tokens_of_equal_exponents_by_their_ids_however_far_their_logits_are_apart(sampler, temperature):
    """The board first counts logits in 32 ranges: tokens on both sides of a border may have the same exponent."""
    library, size = sampler
    generator = np.random.default_rng(1)
    reach = temperature * ONE * 0.6931 * (15 + (size - 1).bit_length())
    border = 2 ** (int(reach).bit_length() - 5)
    for _ in range(20):
        spread = generator.integers(-2 * temperature, 2 * temperature, size, endpoint=True)
        logits = (-border * generator.integers(1, 4, size) + spread).astype(np.int32)
        logits[-1] = 0
        top_k = int(generator.integers(1, size, endpoint=True))
        assert_same_tokens(library, SamplerSettings.from_float(temperature=temperature, top_k=top_k), 3, logits, [])


@pytest.mark.parametrize("top_p", [1, ONE // 2, 58982, ONE - 64, ONE - 1])
def test_tokens_too_unlikely_for_top_p_are_left_out_only_if_all_of_them_are_that(sampler, top_p):
    """One likely token and many equal ones: the board only weighs the many if they cannot be kept."""
    library, size = sampler
    for octaves in range(31):
        for spare in (-1, 0, 1):
            logits = np.full(size, -round(octaves * np.log(2) * ONE) + spare, np.int32)
            logits[size // 2] = 0
            assert_same_tokens(library, SamplerSettings(temperature=ONE, top_p=top_p), 3, logits, [])
