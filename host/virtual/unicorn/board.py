"""The process of a virtual board. It ends when its parent asks for that, or when the firmware faults."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.virtual.line import Line, PtyLine, TcpLine
from tinyllm.host.virtual.profile import OpenProfile
from tinyllm.host.virtual.unicorn.chips import CHIPS
from tinyllm.host.virtual.unicorn.image import read_image
from tinyllm.host.virtual.unicorn.instruction_counter import CompiledCounter, PythonCounter
from tinyllm.host.virtual.unicorn.machine import Machine
from tinyllm.host.virtual.unicorn.uart import UartLine


def main() -> int:
    """Run the board of the command line. Returns 2 for a user's mistake, 1 for a fault of the firmware, else 0."""
    # Python handles no signal while the emulator runs. A killed board is like one that lost its power.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        run(arguments())
    except TinyllmError as error:
        print(f"tinyllm: {error}" if "\n" not in str(error) else str(error), file=sys.stderr)
        return error.exit_code
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line. Exits with 2 if it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tinyllm.host.virtual.unicorn", description="Runs a virtual board.")
    parser.add_argument("image", type=Path, help="the ELF image")
    parser.add_argument("--chip", choices=CHIPS, required=True)
    line = parser.add_mutually_exclusive_group(required=True)
    line.add_argument("--tcp", type=int, metavar="PORT", help="listen on 127.0.0.1:PORT, 0 for any free port")
    line.add_argument("--pty", action="store_true", help="open a pseudo-terminal")
    parser.add_argument(
        "--parent-pipe", action="store_true", help="end when standard input ends; a line there asks for counts"
    )
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="count into the profile in FOLDER")
    parser.add_argument("--count", action="store_true", help="one instruction is one microsecond of the board's clock")
    return parser.parse_args()


def run(chosen: argparse.Namespace) -> None:
    """Run until the firmware faults. Raises UserError if the board cannot start, BoardFault at the fault."""
    image = read_image(chosen.image, CHIPS[chosen.chip])
    chip = image.chip
    line: Line = PtyLine() if chosen.pty else TcpLine(chosen.tcp)
    uart, clock_mhz = UartLine(line), 1 if chosen.count else chip.clock_mhz
    profile = OpenProfile(chosen.profile) if chosen.profile else None
    try:
        machine = Machine(chip, image, uart, CompiledCounter, clock_mhz, profile)
    except UserError as error:
        print(f"tinyllm: counting instructions in Python, which is slow: {error}", file=sys.stderr)
        machine = Machine(chip, image, uart, PythonCounter, clock_mhz)
    if chosen.parent_pipe:
        threading.Thread(target=obey_parent, args=(machine,), daemon=True).start()
    print(f"tinyllm: listening on {line.port}", flush=True)
    machine.run()


def obey_parent(machine: Machine) -> None:
    """Answer each line on standard input with what each core has executed. Its end ends the process at once.

    The answer comes when the board sleeps, so that the difference of two answers is exact.
    """
    requests = threading.Semaphore(0)
    threading.Thread(target=tell_counts, args=(machine, requests), daemon=True).start()
    for _ in sys.stdin.buffer:
        requests.release()
    os._exit(0)


def tell_counts(machine: Machine, requests: threading.Semaphore) -> None:
    """Print the counts once for each request, when the board sleeps."""
    while requests.acquire():
        machine.asleep.wait()
        print("tinyllm: counted", *(processor.instructions for processor in machine.processors), flush=True)
