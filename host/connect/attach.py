"""Connects to the board that a person asked for: on a port, or built and started on this computer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tinyllm.boards.description import HOST, Board, load_board
from tinyllm.errors import UserError
from tinyllm.host.connect.connection import Connection
from tinyllm.host.connect.start import started
from tinyllm.host.link.errors import BoardGone
from tinyllm.host.link.link import Link
from tinyllm.host.link.port_names import AUTO
from tinyllm.host.link.usb import find_running
from tinyllm.host.link.wire_log import WireLog
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.virtual.emulators import RP2040JS


@dataclass(frozen=True)
class BoardRequest:
    """The board that a person asked for.

    count: a virtual board's clock counts instructions. emulator: rp2040js, or None for the board's own. cores: the
    number of a virtual board's cores that compute, None for all.
    """

    model: str | None
    options: LoadOptions
    board: str
    port: str | None
    virtual: bool = False
    count: bool = False
    emulator: str | None = None
    cores: int | None = None

    def target(self) -> Board:
        """The board to build for.

        Raises UserError for an unknown board, for a virtual one without a twin, and for more cores or another emulator
        than the twin has.
        """
        board = load_board(self.board)
        if not self.virtual:
            return board
        twin = board.twin()
        if self.cores is not None and self.cores > twin.cores:
            raise UserError(f"--cores {self.cores}: the virtual {board.name} computes on {twin.cores}.")
        if self.emulator == RP2040JS and board.chip != "rp2040":
            raise UserError(f"--emulator {RP2040JS} runs a pico alone, not {board.name}.")
        return replace(twin, emulator=self.emulator or twin.emulator, cores=self.cores or twin.cores)


class BoardOnPort(Connection):
    """A board on a port that runs already. named: the kind of board that it must be, None for any."""

    def __init__(self, port: str, named: Board | None) -> None:
        super().__init__(port)
        self._named = named

    def open(self, wire: WireLog | None = None) -> Link:
        """Connect; `wire` and errors as Link. UserError if the board is neither the named one nor its twin."""
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
    """Find the board on a port, or build and start a host or virtual board, which ends with the context.

    If a started board stops by itself, its last lines, such as the registers of a fault, go to stderr. Raises UserError
    for a virtual board with a port, and as BoardRequest.target, find_running and `started`.
    """
    if request.virtual and request.port is not None:
        raise UserError("--virtual starts a board on this computer; leave it out with --port.")
    board = request.target()
    port = _port(request, board)
    if port is not None:
        yield BoardOnPort(port, None if board.name == HOST else board)
        return
    with started(board, request.model, request.options, request.count, output) as process:
        try:
            yield Connection(process)
        except BoardGone:
            for line in process.report():
                output.note(line)
            raise


def _port(request: BoardRequest, board: Board) -> str | None:
    """The board's port; None if it is to be started on this computer. Errors as find_running."""
    if request.port is None and (board.name == HOST or board.emulator):
        return None
    port = request.port
    if port in (None, AUTO):
        # Here the host board, the default, means any board that is attached.
        port = find_running(None if board.name == HOST else board, suggest_virtual=port is None)
    if request.options.context is not None:
        raise UserError("--context is settled when a board is built; leave it out with a board that runs already.")
    return port
