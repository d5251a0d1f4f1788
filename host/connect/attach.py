"""Reaching the board that a person asked for: one on a port, or the host or a virtual board with their model."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

from tinyllm.boards.description import Board, load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.errors import UserError
from tinyllm.host.build.build import build
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.link import BoardGone, Link
from tinyllm.host.link.messages import Done, Reason
from tinyllm.host.link.usb import find_board, find_port
from tinyllm.host.link.wire_log import WireLog
from tinyllm.host.model.load import LoadOptions, load_model
from tinyllm.host.model.trim_report import saving_line
from tinyllm.host.output import Output
from tinyllm.host.virtual import require_emulator

HOST = "host"
AUTO = "auto"
"""As a port: the one that shows a board's USB numbers."""


@dataclass(frozen=True)
class BoardRequest:
    """What a person asked for.

    count: a virtual board's clock is to count its instructions. emulator: another than the board's own, rp2040js.
    """

    model: str | None
    options: LoadOptions
    board: str
    port: str | None
    virtual: bool = False
    count: bool = False
    emulator: str | None = None

    def target(self) -> Board:
        """The board to build for. Raises UserError for an unknown board, and for one without a virtual twin."""
        board = load_board(self.board)
        if not self.virtual:
            return board
        twin = board.twin()
        return replace(twin, emulator=self.emulator or twin.emulator)


class BoardOnPort(Connection):
    """A board that was there already; `named` is the kind that a person says it is, None where they do not say."""

    def __init__(self, port: str, named: Board | None) -> None:
        super().__init__(port)
        self._named = named

    def open(self, wire: WireLog | None = None) -> Link:
        """Connect; `wire` and errors as Link. UserError where the board is another than named; a twin is not."""
        link = super().open(wire)
        named, found = self._named, link.hello.board
        if named is None or found == named.name or (named.virtual and found == named.twin().name):
            return link
        link.close()
        raise UserError(
            f"{link.name}: the board is {found}, not {named.name}. "
            f"Leave --board out and say --port {link.name} to talk to what is there, or name the port of {named.name}."
        )


@contextmanager
def attach(request: BoardRequest, output: Output) -> Iterator[Connection]:
    """Build and start what is needed; the host board or a virtual one ends with the context.

    What such a board says when it stops by itself, the registers of a fault for instance, goes to stderr.
    """
    if request.virtual and request.port is not None:
        raise UserError("--virtual starts a board on this computer; leave it out with --port.")
    board = request.target()
    port = _port(request, board)
    if port is not None:
        yield BoardOnPort(port, None if board.name == HOST else board)
        return
    if board.emulator == "unicorn":
        require_emulator()
    loaded = load_model(request.model, request.options)
    if loaded.saving is not None:
        output.note(saving_line(loaded.saving))
    where = "this computer" if board.name == HOST else f"the virtual {request.board}"
    with output.working(f"building {loaded.name} for {where}") as step:
        built = build(loaded, board, loaded.context, progress=step, notice=output.note)
    with BoardProcess.of(board, built.program, request.count) as running:
        try:
            yield Connection(running)
        except BoardGone:
            for line in running.report():
                output.note(line)
            raise


def _port(request: BoardRequest, board: Board) -> str | None:
    """Where the board is plugged in; None for one that is started on this computer. Errors as finding.find_port."""
    if request.port is None and (board.name == HOST or board.emulator):
        return None
    port = _found(request, board) if request.port in (None, AUTO) else request.port
    if request.options.context is not None:
        raise UserError("--context is settled when a board is built; leave it out with a board that runs already.")
    return port


def _found(request: BoardRequest, board: Board) -> str:
    """The port that shows the board's USB numbers; the host board stands for whichever is attached."""
    named = board if board.name != HOST else find_board()
    found = find_port(named, twin_will_do=request.port is None)
    if found is None:
        raise UserError(f"{named.name} waits for a program: `tinyllm flash --board {named.name}`.")
    return found.device


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


def check_model(request: BoardRequest, connection: Connection, link: Link) -> None:
    """Where a person names a model, a board that was there already must run it; UserError where it does not."""
    if connection.process is not None or request.model is None:
        return
    hello = link.hello
    loaded = load_model(request.model, replace(request.options, context=hello.context))
    if quantize(loaded.model, hello.context).digest()[:8].hex() != hello.model_hash:
        raise UserError(
            f"{link.name}: the board runs {hello.model} ({hello.model_hash}), not {loaded.name}. "
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
