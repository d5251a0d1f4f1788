"""The option --all-attached of flash and bench: the same work on every attached board, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Generic, TypeVar

import click

from tinyllm.boards.description import load_boards
from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.link.drives import drives
from tinyllm.host.link.serial_port import PortInfo
from tinyllm.host.output import Output

all_attached_option = click.option(
    "--all-attached", "everywhere", is_flag=True, help="Every board that is attached, or with --board those of a kind."
)
Result = TypeVar("Result")
Step = Callable[[str], None]


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """The outcome for the board on one port: a result, or an error."""

    port: str
    result: Result | None
    error: str | None


def work_on_all(
    output: Output,
    what: str,
    lanes: Sequence[Sequence[PortInfo]],
    work: Callable[[PortInfo, Step], Result],
) -> list[Outcome[Result]]:
    """Do `work` on each port: lanes run at the same time, the ports of a lane one after another.

    what: the title of the progress display. work: called with the port and a callback for one short line per step; its
    TinyllmError becomes the outcome of that port. The outcomes are in the order of the lanes. After Ctrl-C no more
    ports are begun.
    """
    stopped = Event()

    def lane(ports: Sequence[PortInfo]) -> list[Outcome[Result]]:
        return [each(port) for port in ports if not stopped.is_set()]

    def each(port: PortInfo) -> Outcome[Result]:
        outcome: Outcome[Result]
        try:
            outcome = Outcome(port.device, work(port, lambda text: step(port.device, text)), None)
        except TinyllmError as error:
            outcome = Outcome(port.device, None, str(error))
        step(port.device, "done" if outcome.error is None else f"failed: {outcome.error}")
        return outcome

    names = [port.device for ports in lanes for port in ports]
    with output.working_on(what, names) as step, ThreadPoolExecutor(max(len(lanes), 1)) as threads:
        try:
            return [outcome for outcomes in list(threads.map(lane, lanes)) for outcome in outcomes]
        finally:
            stopped.set()


def refuse_port(port: str | None, virtual: bool = False) -> None:
    """Raise UserError for --port or --virtual, which contradict --all-attached."""
    if port is not None or virtual:
        wrong = "--virtual is not attached" if virtual else "--port names one board"
        raise UserError(f"--all-attached: {wrong}; leave one of the two out.")


def tell_drives(output: Output) -> None:
    """Say how to flash each board that waits as a drive for its first program, because it is on no port yet."""
    waiting = [board for board in load_boards() if board.bootloader_drive in drives()]
    for drive in dict.fromkeys(board.bootloader_drive for board in waiting):
        names = " or ".join(board.name for board in waiting if board.bootloader_drive == drive)
        output.note(f"{drive}: a {names} waits for its first program: `tinyllm flash --board NAME`, one at a time.")


def tell_failures(output: Output, outcomes: Sequence[Outcome[Result]], done: str) -> None:
    """Print a line for each failure, and a summary. done: the verb of the summary, such as "flashed"."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        text = str(outcome.error)
        output.line(text if text.startswith(outcome.port) else f"{outcome.port}: {text}", style="red")
    good = len(outcomes) - len(failed)
    boards = "1 board" if len(outcomes) == 1 else f"{len(outcomes)} boards"
    output.line(f"{boards}: {good} {done}" + (f", {len(failed)} failed" if failed else ""), style="bold")
