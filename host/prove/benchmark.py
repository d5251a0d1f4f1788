"""The cost of a token on a board, read and generated, and whether it is counted, estimated or measured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import zip_longest

from tinyllm.codegen.arithmetic.sampler_settings import U32_MAX
from tinyllm.errors import Failure, UserError
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.answer import generate, rate
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import token_digest
from tinyllm.host.link.settings import apply_settings, wire_settings
from tinyllm.host.prove.expected_answers import GREEDY
from tinyllm.host.prove.prove import COUNT, PROMPT

MOST = U32_MAX
"""The value in DONE of a time that does not fit (docs/protocol.md)."""


@dataclass(frozen=True)
class Phase:
    """Reading the prompt, or making the answer.

    per_token: in `unit`s: microseconds, instructions or cycles. tokens_per_second: None unless the unit is a time: a
    chip takes more than one cycle for some instructions.
    """

    tokens: int
    unit: str
    per_token: float
    tokens_per_second: float | None


@dataclass(frozen=True)
class Benchmark:
    """The cost of one prompt and its greedy answer.

    digest: CRC-32 of the answer's token ids, eight hexadecimal digits. kind: counted, estimated or measured.
    executed: instructions of each core meanwhile, other work of the board included; () if they are not counted.
    Counted figures are the same in every run.
    """

    prompt: Phase
    answer: Phase
    digest: str
    kind: str
    executed: tuple[int, ...]


def measure(connection: Connection, link: Link, tokens: int = COUNT) -> Benchmark:
    """Let the board make `tokens` greedy tokens in a new conversation, on through any that ends an answer.

    Errors as Link.prompt; UserError for a number of tokens that no board takes; Failure if a time does not fit into the
    board's reply.
    """
    if not 1 <= tokens <= U32_MAX:
        raise UserError(f"{tokens} tokens to bench: expected 1 to {U32_MAX}.")
    process = connection.process
    counts = process.counts if process else None
    apply_settings(link, wire_settings(GREEDY, seed=1))
    link.number_from(1)
    before = _executed(connection)
    answers = []
    # A process of ours on a line that loses nothing; a question on the way would be counted.
    link.asks_meanwhile = counts is None
    try:
        for answer in generate(link, PROMPT, tokens):
            answers.append(answer)
            # Told when the board sleeps: what it does between two answers is then the same each time.
            after = _executed(connection)
    finally:
        link.asks_meanwhile = True
    ends = [answer.done for answer in answers]
    ids = [token for answer in answers for token in answer.tokens]
    unit = counts.unit if counts else "microseconds"
    return Benchmark(
        prompt=phase(unit, [(done.prompt_tokens, done.prefill_us) for done in ends], link.name),
        answer=phase(unit, [(done.tokens, done.decode_us) for done in ends], link.name),
        digest=f"{token_digest(ids):08x}",
        kind=_kind(connection),
        executed=tuple(now - then for then, now in zip_longest(before, after, fillvalue=0)),
    )


def phase(unit: str, parts: list[tuple[int, int]], name: str) -> Phase:
    """From (tokens, microseconds) of each answer."""
    if any(took == MOST for _, took in parts):
        raise Failure(
            f"{name}: an answer took {MOST:,} {unit} or more, more than a board can tell. Bench fewer tokens."
        )
    tokens, took = (sum(values) for values in zip(*parts, strict=True))
    return Phase(tokens, unit, took / max(tokens, 1), rate(tokens, took) if unit == "microseconds" else None)


def _executed(connection: Connection) -> tuple[int, ...]:
    process = connection.process
    return process.instructions() if process and process.counts and process.counts.both_cores else ()


def _kind(connection: Connection) -> str:
    if connection.on_hardware:
        return f"measured on the board by its own clock, {date.today().isoformat()}"
    return connection.clock
