"""The verb monitor: shows a board's text voice or its frames as they arrive."""

from __future__ import annotations

import sys

import click

from tinyllm.boards.description import load_board
from tinyllm.host.link.frame_port import BAUD
from tinyllm.host.link.port_names import AUTO
from tinyllm.host.link.usb import find_running
from tinyllm.host.monitor.display import Display, Frames, RawBytes, Text
from tinyllm.host.monitor.monitor import Monitor
from tinyllm.host.output import Output


@click.command()
@click.option("--port", metavar="PORT", help="Where the board is; default: found by its USB numbers.")
@click.option("--board", metavar="NAME", help="A board of `tinyllm boards`; default: the one attached.")
@click.option("--timestamps", is_flag=True, help="Begin each line with the time.")
@click.option("--frames", is_flag=True, help="Say hello and show frames with their fields, and what is damaged.")
@click.option("--baud", metavar="N", type=click.IntRange(min=1), default=BAUD, show_default=True, help="Of a UART.")
@click.option("--seconds", metavar="S", type=click.FloatRange(min=0), help="Leave after so long; default: stay.")
def command(
    port: str | None, board: str | None, timestamps: bool, frames: bool, baud: int, seconds: float | None
) -> None:
    """Show what a board says, and type to it: keys go to the board, Ctrl-] leaves.

    It connects again by itself when the board comes back. Through pipes, stdin goes to the board, and stdout gets the
    board's bytes as they are.
    """
    output = Output()
    named = None if board is None else load_board(board)
    port_name = find_running(named) if port is None or port == AUTO else port
    Monitor(port_name, _display(timestamps, frames), output.note, baud).run(seconds)


def _display(timestamps: bool, frames: bool) -> Display:
    if frames:
        return Frames(_write)
    if timestamps or sys.stdout.isatty():
        return Text(_write, timestamps)
    return RawBytes(_write)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
