"""Compares a running board with the reference, bit by bit and over the board's own protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.host.chat.conversation import read
from tinyllm.host.link.answer import generate
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import token_digest
from tinyllm.host.link.settings import apply_settings, wire_settings
from tinyllm.host.prove.expected_answers import Expected

PROMPT = "Once upon a time"
COUNT = 128
"""Tokens that a board generates to prove itself."""


@dataclass(frozen=True)
class Comparison:
    """How many of what (tokens, positions) agree, and the first difference in words. digest: of the board's tokens."""

    what: str
    exact: int
    compared: int
    temperature: float | None = None
    digest: str | None = None
    expected_digest: str | None = None
    difference: str | None = None

    @property
    def bit_exact(self) -> bool:
        """Whether everything agrees."""
        return self.difference is None

    def __str__(self) -> str:
        shown = f", digest {self.digest}" if self.digest else ""
        return f"bit-exact: {self.exact}/{self.compared} {self.what}{shown}"


def prove(
    link: Link,
    expected: Expected,
    temperatures: Sequence[float] = (0.0, 0.8),
    seed: int = 1,
    count: int = COUNT,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Comparison]:
    """Let the board generate `count` tokens at each temperature and read its logits at a few positions; compare.

    Errors as Link. The board keeps the settings of the last temperature.
    """
    for temperature in temperatures:
        settings = SamplerSettings.from_float(temperature=temperature)
        progress(f"computing the reference of {count} tokens at temperature {temperature:g}")
        (wanted,) = expected.answers([PROMPT], count, settings, seed, through_stops=True)
        apply_settings(link, wire_settings(settings, seed))
        progress(f"the board generates {len(wanted)} tokens at temperature {temperature:g}")
        got = [token for answer in generate(link, PROMPT, len(wanted)) for token in answer.tokens]
        yield compare_tokens(got, list(wanted), temperature)
    tokens = [*expected.encode(PROMPT), *expected.answers([PROMPT], count, through_stops=True)[0]][:count]
    positions = chosen_positions(len(tokens))
    progress(f"reading logits at {len(positions)} positions")
    yield compare_logits(link, expected, tokens, positions)


def compare_tokens(got: list[int], wanted: list[int], temperature: float) -> Comparison:
    """Compare token ids; both lists have the same length."""
    exact = next((i for i, pair in enumerate(zip(got, wanted, strict=True)) if pair[0] != pair[1]), len(wanted))
    difference = None
    if exact < len(wanted):
        difference = f"token {exact} is {got[exact]}, the reference has {wanted[exact]}"
    digests = f"{token_digest(got):08x}", f"{token_digest(wanted):08x}"
    return Comparison("tokens", exact, len(wanted), temperature, *digests, difference)


def chosen_positions(count: int) -> list[int]:
    """A few of `count` positions: 0, 1, 3, 7, 15 and so on, and the last."""
    powers = [2**i - 1 for i in range(count.bit_length()) if 2**i <= count]
    return sorted({*powers, count - 1})


def compare_logits(link: Link, expected: Expected, tokens: Sequence[int], positions: Sequence[int]) -> Comparison:
    """Prefill the tokens from one position to the next and compare all logits there; positions ascend."""
    wanted = expected.logits(tokens)
    size = min(link.hello.context, link.hello.text_max // 4)
    link.reset()
    begin = 0
    for exact, position in enumerate(positions):
        while begin <= position:
            end = min(begin + size, position + 1)
            read(link, tokens[begin:end])
            begin = end
        got = link.logits()
        wrong = [i for i, pair in enumerate(zip(got, wanted[position], strict=True)) if pair[0] != pair[1]]
        if wrong:
            at = wrong[0]
            text = f"position {position}: logit {at} is {got[at]}, the reference has {wanted[position][at]}"
            return Comparison("positions", exact, len(positions), difference=text)
    return Comparison("positions", len(positions), len(positions))
