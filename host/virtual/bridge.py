"""Joins an emulator's standard input and output to a TCP port of this computer, and explains its standard error.

The emulator is another program. Its stdin is what the board's UART receives, its stdout what the UART sends. Its stderr
stays empty while all is well: a line there ends the board. So does the firmware's report of a fault on its UART.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.virtual.elf import Elf
from tinyllm.host.virtual.line import TcpLine
from tinyllm.processes import APART

LAST_WORDS_SECONDS = 0.5
"""How long an emulator may take to end by itself after it wrote to stderr."""

PR_SET_PDEATHSIG = 1

MAX_LINES = 200
"""How many lines of complaints are kept."""

FAULT = re.compile(rb"\r\n(tinyllm: fault(?: stack overflow)?(?: [a-z][a-z0-9 ]{3} [0-9a-f]{8})*)\r\n")
"""The fault report of the bare-metal ports (firmware/ports/bare)."""

FAULT_BYTES = 512
"""Longer than any fault report."""

REGISTER = re.compile(r" ([a-z][a-z0-9]*) +([0-9a-f]{8})")

Explain = Callable[[Sequence[str]], str]


class Bridge:
    """A running emulator, and the line to its UART. Use `serve` instead of this class."""

    def __init__(self, command: Sequence[str | Path], line: TcpLine, ignore: re.Pattern[str] | None) -> None:
        """Start the emulator. ignore: lines of stderr that mean nothing. Raises UserError if it cannot be started."""
        try:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
                **APART,
            )
        except OSError as error:
            raise UserError(f"{command[0]}: cannot be started ({error.strerror or error}).") from None
        self.complaints: list[str] = []
        self.stopped = False
        self._line = line
        self._ignore = ignore
        self._outputs = [threading.Thread(target=work, daemon=True) for work in (self._send, self._listen_to_stderr)]

    def run(self) -> int:
        """Carry bytes until the emulator ends, and return its exit code."""
        threading.Thread(target=self._receive, daemon=True).start()
        for thread in self._outputs:
            thread.start()
        code = self.process.wait()
        for thread in self._outputs:
            thread.join(LAST_WORDS_SECONDS)
        return code

    def stop(self, *_: object) -> None:
        """Kill the emulator, as if the board lost its power. May be called from a signal handler."""
        self.stopped = True
        self.process.kill()

    def _receive(self) -> None:
        """Carry bytes from the line to the board."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            while True:
                data = self._line.receive(None)
                while data:
                    data = data[self.process.stdin.write(data) :]

    def _send(self) -> None:
        """Carry bytes from the board to the line, and look for a fault report in them."""
        assert self.process.stdout is not None
        recent = b""
        while data := os.read(self.process.stdout.fileno(), 65536):
            recent = recent[-FAULT_BYTES:] + data
            if fault := FAULT.search(recent):
                recent = b""
                self._complain(fault[1].decode())
            self._line.send(data)

    def _listen_to_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.decode(errors="replace").rstrip()
            if text and not (self._ignore and self._ignore.match(text)):
                self._complain(text)

    def _complain(self, text: str) -> None:
        """Keep a line that says why the emulator ends. Kill the emulator if it does not end soon."""
        if not self.complaints:
            end = threading.Timer(LAST_WORDS_SECONDS, self.process.kill)
            end.daemon = True
            end.start()
        if len(self.complaints) < MAX_LINES:
            self.complaints.append(text)


def serve(
    command: Sequence[str | Path],
    explain: Explain,
    tcp_port: int = 0,
    parent_pipe: bool = False,
    ignore: re.Pattern[str] | None = None,
) -> int:
    """Run an emulator behind 127.0.0.1:`tcp_port` (0: any free port), print the port, and return an exit code.

    The code is 0 if we were asked to stop or the emulator ended well. It is 1 if the emulator complained or failed;
    `explain` then turns its lines into the message, with the cause in the last line. parent_pipe: the end of our stdin
    ends the emulator. ignore: lines of stderr that mean nothing. Raises UserError if the port cannot be opened or the
    emulator cannot be started.
    """
    line = TcpLine(tcp_port)
    bridge = Bridge(command, line, ignore)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, bridge.stop)
    if parent_pipe:
        threading.Thread(target=_watch, args=(bridge.stop,), daemon=True).start()
    print(f"tinyllm: listening on {line.port}", flush=True)
    code = bridge.run()
    if bridge.stopped or (code == 0 and not bridge.complaints):
        return 0
    print(explain(bridge.complaints or [f"ended with code {code}"]), file=sys.stderr, flush=True)
    return 1


def registers(report: str) -> dict[str, int]:
    """The registers in the firmware's report of a fault: name -> value."""
    return {name: int(value, 16) for name, value in REGISTER.findall(report)}


def account(what: str, trouble: str, program: Elf, values: dict[str, int]) -> str:
    """The message for a stop: a line for each register and the function that it points into; what, why and where."""
    lines = [f"{name:>4} {value:08x} {program.function_at(value)}".rstrip() for name, value in values.items()]
    pc = values.get("pc")
    place = "" if pc is None else f", at {pc:#010x}"
    if pc is not None and (function := program.function_at(pc)):
        place += f" ({function})"
    return "\n".join([*lines, f"{what} stopped: {trouble}{place}"])


def _end_with_parent() -> None:
    """Make the kernel end the emulator if we are killed, because then we cannot (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(ended: Callable[[], None]) -> None:
    # Not through sys.stdin: this thread would still hold its lock when the interpreter ends.
    while os.read(0, 4096):
        pass
    ended()


def argument_parser(what: str) -> argparse.ArgumentParser:
    """A parser with the arguments that every emulator behind a bridge takes."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("program", type=Path, help="the board's ELF file")
    parser.add_argument("--tcp", type=int, default=0, metavar="PORT", help="listen on 127.0.0.1:PORT, 0 for any free")
    parser.add_argument("--parent-pipe", action="store_true", help="end when standard input ends")
    return parser


def report_errors(main: Callable[[], int]) -> int:
    """Run `main` and return its exit code. Errors become one line on stderr."""
    try:
        return main()
    except TinyllmError as error:
        print(f"tinyllm: {error}", file=sys.stderr)
        return error.exit_code
