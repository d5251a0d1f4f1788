"""An answer of a board: collected, stopped by Ctrl-C, and described in words and numbers."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from tinyllm.errors import Failure
from tinyllm.host.link.link import Event, Link
from tinyllm.host.link.messages import Done, Reason, Token

RATED = ((4, 1000), (16, 100))
"""Fewest tokens and microseconds that give a rate of tokens per second; an answer must reach both of one pair."""
STOP_SECONDS = 3.0
"""How long a board may take to stop an answer: a forward pass, and again if the request was lost."""


@dataclass(frozen=True)
class Answer:
    """The whole answer to one prompt.

    tokens: their ids. text: their text, with unfinished characters as U+FFFD. done: the board's message at the end.
    counted: whether the board's clock counts instructions or cycles, not time. calls: each call of the model, and its
    result.
    """

    tokens: tuple[int, ...]
    text: str
    done: Done
    counted: bool = False
    calls: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def reason(self) -> str:
        """Why it ended: "stop" (the model ended it), "length" (max_tokens), "context" (full) or "cancelled"."""
        return reason_name(self.done)

    @property
    def prompt_tokens(self) -> int:
        """Tokens that the board read before it answered."""
        return self.done.prompt_tokens

    @property
    def prefill_us(self) -> int:
        """Microseconds of reading the prompt, by the board's own clock; instructions or cycles if `counted`."""
        return self.done.prefill_us

    @property
    def decode_us(self) -> int:
        """Microseconds of generating the tokens, by the board's own clock; instructions or cycles if `counted`."""
        return self.done.decode_us

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens per second by the board's own clock; None if nothing was timed."""
        return None if self.counted else rate(len(self.tokens), self.decode_us)

    @property
    def digest(self) -> str:
        """CRC-32 of the token ids, eight hexadecimal digits."""
        return f"{self.done.digest:08x}"

    @property
    def conversation_digest(self) -> str:
        """CRC-32 of every token since the reset, eight hexadecimal digits."""
        return f"{self.done.conversation_digest:08x}"

    @property
    def context_used(self) -> int:
        """Positions of the board's context that the conversation takes now."""
        return self.done.context_used


def collect(events: Iterable[Event]) -> Answer:
    """Collect the events of Link.prompt into an answer. Errors as Link.prompt; Failure if no Done comes."""
    tokens: list[int] = []
    text = ""
    for event in events:
        if isinstance(event, Token):
            tokens.append(event.token)
            text += event.text
        elif isinstance(event, Done):
            return Answer(tuple(tokens), text + event.text, event)
    raise Failure("the board's answer had no end. Flash the board again.")


def generate(link: Link, prompt: str | tuple[int, ...], count: int) -> Iterator[Answer]:
    """Answers with `count` tokens in all; if a token ends one, the next continues from it. Errors as Link.prompt.

    prompt: text or token ids; () continues the conversation. Failure if an answer has no token, because the loop would
    never end.
    """
    while count > 0:
        answer = collect(link.prompt(prompt, count))
        yield answer
        if not answer.tokens:
            raise Failure(f"{link.name}: the board ended an answer without a token.")
        count -= len(answer.tokens)
        prompt = ()


@contextmanager
def stopping(link: Link) -> Iterator[None]:
    """While an answer streams, Ctrl-C stops it. A second one, after STOP_SECONDS, raises KeyboardInterrupt."""
    asked = math.inf

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if link.stop_requested and time.monotonic() - asked > STOP_SECONDS:
            raise KeyboardInterrupt
        if not link.stop_requested:
            asked = time.monotonic()
        link.stop()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def rate(tokens: int, microseconds: int) -> float | None:
    """Tokens per second; None if there were too few tokens, or too little time, for a meaningful rate (RATED).

    The first token of an answer has no time of its own: it is drawn from the logits that the prompt left.
    """
    enough = any(tokens >= fewest and microseconds >= shortest for fewest, shortest in RATED)
    return tokens / (microseconds / 1e6) if enough else None


def format_rate(speed: float) -> str:
    """Tokens per second for people."""
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}"


def reason_name(done: Done) -> str:
    """Why the answer ended, as a word."""
    try:
        return Reason(done.reason).name.lower()
    except ValueError:
        return f"reason {done.reason}"


def summary(done: Done, clock: str) -> str:
    """The status line of one answer. clock: the name of the clock of its times."""
    speed = rate(done.tokens, done.decode_us)
    took = f"{format_rate(speed)} tokens/s" if speed else f"{done.decode_us / 1000:,.1f} ms"
    decoded = f"{counted(done.tokens)}, {took} ({clock})"
    prefilled = f"prompt {counted(done.prompt_tokens)}, {done.prefill_us / 1000:,.1f} ms"
    return f"{decoded} · {prefilled} · ended: {reason_name(done)}"


def counted(tokens: int) -> str:
    """How many tokens, in words."""
    return "1 token" if tokens == 1 else f"{tokens} tokens"
