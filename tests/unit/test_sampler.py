"""The integer specification of sampling against softmax, its definition in exact arithmetic, and O'Neill's PCG32."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.codegen.arithmetic.fixedpoint import exp2_q30
from tinyllm.codegen.arithmetic.sampler import (
    LOG2E_Q58,
    ONE,
    OUT_OF_REACH,
    Random,
    Sampler,
    SamplerSettings,
    candidates,
    exponents,
    penalize,
)
from tinyllm.errors import UserError

INT32_MAX = 2**31 - 1
EVERYTHING = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}

logit = st.one_of(
    st.integers(-INT32_MAX, INT32_MAX),
    st.integers(-20 * ONE, 20 * ONE),
    st.sampled_from([-INT32_MAX, -1, 0, 1, INT32_MAX]),
)
logits = st.lists(logit, min_size=1, max_size=40).map(lambda values: np.array(values, np.int32))


def softmax(values: np.ndarray, temperature: float) -> np.ndarray:
    """In float64, from Q16.16."""
    scaled = (values - values.max()) / ONE / temperature
    return np.exp(scaled) / np.exp(scaled).sum()


def test_the_random_numbers_are_those_of_the_pcg32_demo():
    """pcg32-demo of pcg-c-basic 0.9, round 1: seed 42, stream 54."""
    random = Random(42)
    first = [random.next() for _ in range(6)]
    assert first == [0xA15C02B7, 0x7B47F409, 0xBA1D3330, 0x83D2F293, 0xBFA4784B, 0xCBED606E]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_seed_gives_the_same_uint32_numbers_again(seed):
    once, again = Random(seed), Random(seed)
    numbers = [once.next() for _ in range(8)]
    assert numbers == [again.next() for _ in range(8)]
    assert all(0 <= number < 2**32 for number in numbers)
    assert len(set(numbers)) > 1


@settings(deadline=None)
@given(values=logits, seed=st.integers(0, 2**32 - 1))
def test_greedy_sampling_takes_the_lowest_id_of_the_largest_logit_and_no_random_number(values, seed):
    sampler = Sampler(SamplerSettings.from_float(temperature=0), seed)
    assert sampler.sample(values) == list(values).index(max(values))
    assert sampler.random.state == Random(seed).state


@settings(deadline=None)
@given(values=logits, temperature=st.integers(1, 100 * ONE))
def test_an_exponent_is_at_most_one_unit_below_the_exact_one(values, temperature):
    """And a quarter above it if the temperature is high, plus the rounding of the multiplier: 2**-21 of itself.

    What is out of reach is so unlikely that all tokens together would weigh less than 2**-15 of the likeliest.
    """
    z = exponents(values.astype(np.int64), temperature)
    exact = Fraction(LOG2E_Q58, 2**58) * ONE * (int(values.max()) - values.astype(object)) / temperature
    for own, real in zip(z.tolist(), exact, strict=True):
        if own == OUT_OF_REACH:
            assert len(values) * 2.0 ** float(-min(real / ONE, 1000)) < 2.0**-15 * 1.0001
        else:
            error = own - real
            assert -1.25 - real * 2**-20 <= error <= 0.25 + real * 2**-20
            assert temperature > 5.78 * ONE or -1 - real * 2**-20 <= error <= real * 2**-20
    assert z.min() == 0
    assert exp2_q30(-OUT_OF_REACH) == 0


@settings(deadline=None)
@given(values=logits, temperature=st.integers(1, 100 * ONE))
def test_a_larger_logit_never_has_the_larger_exponent(values, temperature):
    z = exponents(values.astype(np.int64), temperature)
    assert np.all(np.diff(z[np.argsort(-values.astype(np.int64), kind="stable")]) >= 0)


@pytest.mark.parametrize("temperature", [0.1, 0.8, 1.0, 2.5, 100.0])
@pytest.mark.parametrize("vocab_size", [40, 512, 32_000])
def test_exact_probabilities_equal_softmax(temperature, vocab_size):
    """1.7e-5 of the probability, and for what is out of reach 2**-15 of the likeliest over the whole vocabulary."""
    random = np.random.default_rng(7)
    for spread in (0.01, 1, 4, 30):
        values = np.rint(random.normal(0, spread, vocab_size) * ONE).astype(np.int64)
        rounded = SamplerSettings.from_float(temperature=temperature).temperature
        p = exp2_q30(-exponents(values, rounded))
        expected = softmax(values, rounded / ONE)
        error = np.abs(p / p.sum() - expected)
        assert np.all(error <= 1.7e-5 * expected + 2**-15 / vocab_size * expected.max())


def test_drawn_tokens_follow_softmax():
    """Chi-squared over 10,000 draws with a fixed seed; its mean is 31 for 32 tokens, 61.1 is the 0.999 quantile."""
    values = np.rint(np.random.default_rng(3).normal(0, 1, 32) * ONE).astype(np.int32)
    sampler = Sampler(SamplerSettings.from_float(temperature=0.9, **EVERYTHING), seed=1)
    draws = 10_000
    counts = np.bincount([sampler.sample(values) for _ in range(draws)], minlength=32)
    expected = draws * softmax(values, sampler.settings.temperature / ONE)
    assert np.sum((counts - expected) ** 2 / expected) < 61.1


@settings(deadline=None)
@given(values=logits, k=st.integers(1, 50), top_p=st.integers(1, ONE), min_p=st.integers(0, ONE))
def test_candidates_are_those_of_the_definition(values, k, top_p, min_p):
    """Said again with a Python sort and fractions."""
    z = exponents(values.astype(np.int64), ONE)
    p = exp2_q30(-z)
    order = sorted(range(len(z)), key=lambda token: (z[token], token))[:k]
    whole = sum(int(p[token]) for token in order)
    kept: list[int] = []
    while sum(int(p[token]) for token in kept) < Fraction(top_p, ONE) * whole:
        kept.append(order[len(kept)])
    kept = [token for token in kept if p[token] >= Fraction(min_p, ONE) * 2**30]
    assert candidates(z, k, top_p, min_p).tolist() == sorted(kept)


@settings(deadline=None)
@given(values=logits, penalty=st.integers(655, 100 * ONE), data=st.data())
def test_the_penalty_divides_positive_and_multiplies_negative_logits_once(values, penalty, data):
    recent = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=60))
    result = penalize(values.astype(np.int64), recent, penalty)
    for token, (before, after) in enumerate(zip(values.tolist(), result.tolist(), strict=True)):
        if token not in recent:
            assert after == before
            continue
        exact = Fraction(before * ONE, penalty) if before > 0 else Fraction(before * penalty, ONE)
        exact = max(-INT32_MAX, min(INT32_MAX, exact))
        assert abs(after - exact) <= Fraction(1, 2) + abs(exact) * Fraction(1, 2**17)


@settings(deadline=None)
@given(values=logits)
def test_sampling_leaves_the_logits_as_they_were(values):
    before = values.copy()
    sampler = Sampler(SamplerSettings.from_float(repetition_penalty=1.5), seed=1)
    sampler.sample(values, recent=range(len(values)))
    assert np.array_equal(values, before)


@settings(deadline=None)
@given(values=logits, seed=st.integers(0, 2**32 - 1))
def test_a_tiny_temperature_or_top_p_or_a_top_k_of_one_is_greedy(values, seed):
    likeliest = int(np.argmax(values))
    for own in (SamplerSettings.from_float(top_k=1), SamplerSettings(temperature=ONE, top_p=1)):
        assert Sampler(own, seed).sample(values) == likeliest
    distinct = np.unique(values)
    assert Sampler(SamplerSettings(temperature=1, top_p=ONE, min_p=ONE), seed).sample(distinct) == len(distinct) - 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 100.1),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", -0.5),
        ("min_p", float("inf")),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", 101.0),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(UserError, match=name):
        SamplerSettings.from_float(**{name: value})


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_a_uint32(seed):
    with pytest.raises(UserError, match="seed"):
        Sampler(SamplerSettings(), seed)


def test_the_default_settings_are_a_boards():
    assert SamplerSettings() == SamplerSettings.from_float(temperature=0.8, top_p=0.9)
