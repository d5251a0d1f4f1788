"""An answer of a board: collected, stopped by Ctrl-C, and told in words and numbers."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from tinyllm.errors import Failure
from tinyllm.host.link.link import Event, Link
from tinyllm.host.link.messages import Done, Reason, Token


@dataclass(frozen=True)
class Answer:
    """All that came for one prompt: token ids, the text they make, and the board's counts, times and digests."""

    tokens: tuple[int, ...]
    text: str
    done: Done

    @property
    def reason(self) -> Reason:
        """Why the answer ended."""
        return Reason(self.done.reason)


def collect(events: Iterable[Event]) -> Answer:
    """The answer that Link.prompt yields, with its errors. Failure if it has no end."""
    tokens: list[int] = []
    text = ""
    for event in events:
        if isinstance(event, Token):
            tokens.append(event.token)
            text += event.text
        elif isinstance(event, Done):
            return Answer(tuple(tokens), text + event.text, event)
    raise Failure("the board's answer had no end. Flash the board again.")


def generate(link: Link, prompt: str, count: int) -> Iterator[Answer]:
    """Answers of `count` tokens in all; if a token ends one, the next goes on from it. Errors as Link.prompt.

    Failure if an answer has no token, for then there would be no end.
    """
    content: str | tuple[int, ...] = prompt
    while count > 0:
        answer = collect(link.prompt(content, count))
        yield answer
        if not answer.tokens:
            raise Failure(f"{link.name}: the board ended an answer without a token.")
        count -= len(answer.tokens)
        content = ()


@contextmanager
def stopping(link: Link) -> Iterator[None]:
    """While an answer streams, Ctrl-C ends the answer; a second one interrupts, if the board does not listen."""

    def handle(number: int, frame: FrameType | None) -> None:
        if link.stop_requested:
            raise KeyboardInterrupt
        link.stop()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def rate(tokens: int, microseconds: int) -> float | None:
    """Tokens per second, None if nothing was timed."""
    return tokens / (microseconds / 1e6) if tokens and microseconds else None


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
    """The status line of one answer. clock: what its times are measured with."""
    speed = rate(done.tokens, done.decode_us)
    decoded = f"{done.tokens} tokens" + (f", {format_rate(speed)} tokens/s ({clock})" if speed else "")
    prefilled = f"prompt {done.prompt_tokens} tokens, {done.prefill_us / 1000:,.1f} ms"
    return f"{decoded} · {prefilled} · ended: {reason_name(done)}"
