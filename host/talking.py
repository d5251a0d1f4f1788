"""Reaching the board that a person asked for: the one on a port, or the host board with the model they named."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tinyllm.boards.errors import UserError
from tinyllm.boards.loader import load_board
from tinyllm.codegen.quantize import quantize
from tinyllm.host.attachment import Attachment
from tinyllm.host.building import build
from tinyllm.host.choosing import Choice, choose
from tinyllm.host.host_board import HostBoard
from tinyllm.host.link import Link
from tinyllm.host.output import Output
from tinyllm.host.protocol import Done, HelloReply, Reason

HOST = "host"


@dataclass(frozen=True)
class Wanted:
    """What a person asked for."""

    model: str | None
    tokenizer: Path | None
    board: str
    port: str | None
    context: int | None


@contextmanager
def attach(wanted: Wanted, output: Output) -> Iterator[Attachment]:
    """Build and start what is needed; the host board ends with the context."""
    board = load_board(wanted.board)
    if wanted.port is not None:
        if wanted.context is not None:
            raise UserError("--context is settled when a board is built; leave it out with --port.")
        yield Attachment(wanted.port)
        return
    if board.name != HOST:
        raise UserError(
            f"--board {board.name}: say where it is plugged in with --port (`tinyllm ports` lists the ports)."
        )
    choice = choose(wanted.model, wanted.tokenizer)
    context = choice.context(wanted.context)
    with output.working(f"building {choice.name} for this computer") as step:
        built = build(choice, board, context, progress=step, notice=output.note)
    with HostBoard(built.program) as running:
        yield Attachment(running)


@contextmanager
def stopping(link: Link) -> Iterator[None]:
    """While an answer streams, Ctrl-C ends the answer; a second one, where the board does not listen, interrupts."""

    def handle(number: int, frame: FrameType | None) -> None:
        if link.stop_requested:
            raise KeyboardInterrupt
        link.stop()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def check_model(wanted: Wanted, facts: HelloReply) -> None:
    """Where a person names a model and a port, the board must run that model; UserError where it does not."""
    if wanted.port is None or wanted.model is None:
        return
    choice: Choice = choose(wanted.model, wanted.tokenizer)
    if quantize(choice.model, facts.context).digest()[:8].hex() != facts.model_hash:
        raise UserError(
            f"{wanted.port}: the board runs {facts.model} ({facts.model_hash}), not {choice.name}. "
            "Leave MODEL out to talk to what is there, or build and flash this one."
        )


def rate(tokens: int, microseconds: int) -> float | None:
    """Tokens per second, None where nothing was timed."""
    return tokens / (microseconds / 1e6) if tokens and microseconds else None


def reason_name(done: Done) -> str:
    """Why the answer ended, as a word."""
    try:
        return Reason(done.reason).name.lower()
    except ValueError:
        return f"reason {done.reason}"


def summary(done: Done, clock: str) -> str:
    """The status line of one answer."""
    speed = rate(done.tokens, done.decode_us)
    decoded = f"{done.tokens} tokens" + (f", {format_rate(speed)} tokens/s ({clock})" if speed else "")
    prefilled = f"prompt {done.prompt_tokens} tokens, {done.prefill_us / 1000:,.1f} ms"
    return f"{decoded} · {prefilled} · ended: {reason_name(done)}"


def format_rate(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}"
