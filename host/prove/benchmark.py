"""Benchmarks a board: what reading and generating a token costs, and if that is counted, estimated or measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.sampler_settings import U32_MAX
from tinyllm.errors import Failure, UserError
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.answer import Answer, collect, generate, rate
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import token_digest
from tinyllm.host.link.settings import apply_settings, wire_settings
from tinyllm.host.prove.expected_answers import GREEDY
from tinyllm.host.prove.prove import COUNT, PROMPT
from tinyllm.host.virtual.profile import Counts

MOST = U32_MAX
"""The value in DONE of a time that does not fit (docs/protocol.md)."""

Step = Callable[[str], None]


@dataclass(frozen=True)
class Phase:
    """The cost of reading the prompt, or of generating the answer.

    per_token: in `unit`: microseconds, instructions or cycles. tokens_per_second: None unless the unit is a time,
    because a chip takes more than one cycle for some instructions.
    """

    tokens: int
    unit: str
    per_token: float
    tokens_per_second: float | None


@dataclass(frozen=True)
class Place:
    """What one token costs at a place in the conversation: its forward pass and its sampling.

    first, last: positions, from 0; the figures are means over them. per_token: in the unit of Phase. counts: for each
    core, what its functions executed, by part; () if the board does not count.
    """

    first: int
    last: int
    per_token: float
    counts: tuple[Counts, ...]

    @property
    def name(self) -> str:
        """The position or range as people write it: 64, or 5-132."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def position(self) -> float:
        """The mean position."""
        return (self.first + self.last) / 2


@dataclass(frozen=True)
class Prefill:
    """The cost of the first tokens of a conversation: read as one prompt, and generated one after another.

    per_token: the mean when read; decoded: the mean when generated; both in the unit of Phase.
    """

    tokens: int
    per_token: float
    decoded: float

    @property
    def share(self) -> float:
        """The cost of a token that is read, as a fraction of that of a generated one."""
        return self.per_token / self.decoded if self.decoded else 0.0


@dataclass(frozen=True)
class Benchmark:
    """The cost of one prompt and its greedy answer, of a long prompt, and of tokens at chosen positions.

    digest: CRC-32 of the answer's token ids, eight hexadecimal digits. kind: counted, estimated or measured.
    executed: instructions of each core for prompt and answer, other work of the board included; () if they are not
    counted. prefill: None if it was not requested. places: the mean of the answer's tokens, then each position.
    Counted figures are the same in every run.
    """

    prompt: Phase
    answer: Phase
    digest: str
    kind: str
    executed: tuple[int, ...]
    prefill: Prefill | None
    places: tuple[Place, ...]


class Bench:
    """A board under measurement. Errors as Link.prompt; Failure if a time does not fit into the board's reply."""

    def __init__(self, connection: Connection, link: Link, step: Step = lambda step: None) -> None:
        """step: called with each step in words."""
        self._connection, self._link, self._step = connection, link, step
        process = connection.process
        self._counts = process.counts if process else None
        self._profile = process.profile if process else None
        self._unit = self._counts.unit if self._counts else "microseconds"

    def run(self, tokens: int = COUNT, positions: Sequence[int] = (), prefill: int = 0) -> Benchmark:
        """Let the board generate `tokens` greedy tokens in a new conversation, past any token that ends an answer.

        Then let it read a prompt of `prefill` tokens (0: none), and one token at each of the positions, in
        conversations of the model's own tokens. UserError for a number of tokens that no board takes, and for a
        position or a prompt beyond the context.
        """
        if not 1 <= tokens <= U32_MAX:
            raise UserError(f"{tokens} tokens to bench: expected 1 to {U32_MAX}.")
        context = self._link.hello.context
        if not 0 <= prefill <= context:
            raise UserError(f"a prompt of {prefill} tokens: expected 0 to {context}, the context.")
        if beyond := [position for position in positions if not 0 <= position < context]:
            raise UserError(f"position {beyond[0]}: expected 0 to {context - 1}, for the context is {context}.")
        # A board that counts is a process on a line that loses nothing, and a question would be counted too.
        self._link.asks_meanwhile = self._counts is None
        try:
            return self._run(tokens, positions, prefill)
        finally:
            self._link.asks_meanwhile = True

    def _run(self, tokens: int, positions: Sequence[int], prefill: int) -> Benchmark:
        link = self._link
        apply_settings(link, wire_settings(GREEDY, seed=1))
        link.number_from(1)
        before = self._executed()
        self._step(f"{tokens} tokens")
        read = collect(link.prompt(PROMPT, 0))
        after = self._executed()
        start, answers = self._profiled(), []
        for answer in generate(link, (), tokens):
            answers.append(answer)
            after = self._executed()
        counts = self._since(start, tokens)
        ids = [token for answer in answers for token in answer.tokens]
        prompt = phase(self._unit, [(read.done.prompt_tokens, read.done.prefill_us)], link.name)
        # From the second answer on, prefill is the time of reading the token that ended the answer before.
        took = [(done.tokens, _sum(done.prefill_us, done.decode_us)) for done in (answer.done for answer in answers)]
        answered = phase(self._unit, took, link.name)
        mean = Place(prompt.tokens, prompt.tokens + tokens - 1, answered.per_token, counts)
        return Benchmark(
            prompt=prompt,
            answer=answered,
            digest=f"{token_digest(ids):08x}",
            kind=kind_of(self._connection),
            executed=tuple(now - then for then, now in zip_longest(before, after, fillvalue=0)),
            prefill=self._prefill(prefill, ids[0]) if prefill else None,
            places=(mean, *self._at(positions, ids)),
        )

    def _prefill(self, tokens: int, first: int) -> Prefill:
        """Measure greedy tokens after the token `first`: as they are generated, and then read as a prompt."""
        self._step(f"a prompt of {tokens} tokens")
        self._link.reset()
        self._executed()
        answers = list(generate(self._link, (first,), tokens))
        took = [(done.tokens, _sum(done.prefill_us, done.decode_us)) for done in (answer.done for answer in answers)]
        decoded = phase(self._unit, took, self._link.name)
        ids = [first, *(token for answer in answers for token in answer.tokens)]
        self._link.reset()
        read = phase(self._unit, [(tokens, self._ask(ids[:tokens], 0).done.prefill_us)], self._link.name)
        return Prefill(tokens, read.per_token, decoded.per_token)

    def _at(self, positions: Sequence[int], ids: Sequence[int]) -> list[Place]:
        """The cost of a token at each position. ids: an answer of the model; a longer one is generated if needed."""
        if positions and len(ids) <= max(positions):
            self._link.reset()
            self._step("the text that leads to the positions")
            ids = [token for answer in generate(self._link, PROMPT, max(positions) + 1) for token in answer.tokens]
        places = []
        for position in positions:
            self._step(f"position {position}")
            self._link.reset()
            if position:
                self._ask(ids[:position], 0)
            start = self._profiled()
            done = self._ask(ids[position : position + 1], 1).done
            took = phase(self._unit, [(1, _sum(done.prefill_us, done.decode_us))], self._link.name)
            places.append(Place(position, position, took.per_token, self._since(start, 1)))
        return places

    def _ask(self, ids: Sequence[int], tokens: int) -> Answer:
        self._executed()  # answers when the board sleeps
        return collect(self._link.prompt(tuple(ids), tokens))

    def _profiled(self) -> NDArray[np.uint64] | None:
        return self._profile.counts() if self._profile else None

    def _since(self, start: NDArray[np.uint64] | None, tokens: int) -> tuple[Counts, ...]:
        """For each core that did something, the counts of a token since `start`; () if nothing is counted."""
        if self._profile is None or start is None:
            return ()
        counted = self._profile.named(self._profile.counts() - start)
        return tuple(
            {part: {name: count / tokens for name, count in row.items()} for part, row in core.items()}
            for core in counted
            if core
        )

    def _executed(self) -> tuple[int, ...]:
        """Instructions of each core so far, when the board sleeps: its work between answers is then always the same."""
        process = self._connection.process
        return process.instructions() if process and self._counts and self._counts.both_cores else ()


def phase(unit: str, parts: list[tuple[int, int]], name: str) -> Phase:
    """The phase of several answers. parts: tokens and time of each. Failure if a time does not fit into DONE."""
    if any(took >= MOST for _, took in parts):
        raise Failure(
            f"{name}: an answer took {MOST:,} {unit} or more, more than a board can tell. Bench fewer tokens."
        )
    tokens, took = (sum(values) for values in zip(*parts, strict=True))
    return Phase(tokens, unit, took / max(tokens, 1), rate(tokens, took) if unit == "microseconds" else None)


def _sum(prefill: int, decode: int) -> int:
    """The sum of both times, or MOST if one of them is MOST."""
    return max(prefill, decode) if MOST in (prefill, decode) else prefill + decode


def kind_of(connection: Connection) -> str:
    """In words: whether the times of a board are measured, counted or estimated."""
    if connection.on_hardware:
        return f"measured on the board by its own clock, {date.today().isoformat()}"
    return connection.clock
