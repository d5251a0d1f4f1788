"""An emulator's standard input and output as a TCP port of this computer, and what its standard error means.

The emulator is another program: what it reads from stdin arrives at the board's UART, what the board sends comes out of
stdout. One client is served at a time and may come and go; what the board says while nobody listens is dropped, as on a
wire. Standard error stays empty while all is well: a line there is the end of the board, and so is the firmware's own
report of a fault on its UART.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.virtual.elf import Elf

STALL_SECONDS = 1.0
"""A client that takes nothing for so long loses what is sent to it."""

LAST_WORDS_SECONDS = 0.5
"""How long an emulator that has complained may take to end by itself."""

PR_SET_PDEATHSIG = 1

MAX_LINES = 200
"""Complaints that are kept."""

FAULT = re.compile(rb"\r\n(tinyllm: fault(?: stack overflow)?(?: [a-z][a-z0-9 ]{3} [0-9a-f]{8})*)\r\n")
"""What the bare-metal ports send when they cannot go on (firmware/ports/bare)."""

FAULT_BYTES = 512
"""Longer than any such report."""

REGISTER = re.compile(r" ([a-z][a-z0-9]*) +([0-9a-f]{8})")

Explain = Callable[[Sequence[str]], str]


class Bridge:
    """A running emulator and the port that leads to its UART. Use `serve`."""

    def __init__(self, command: Sequence[str | Path], listener: socket.socket, ignore: re.Pattern[str] | None) -> None:
        """Start the emulator. `ignore`: what it may say on stderr. Raises UserError where it cannot be started."""
        try:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            raise UserError(f"{command[0]}: cannot be started ({error.strerror or error}).") from None
        self.complaints: list[str] = []
        self.stopped = False
        self._listener = listener
        self._ignore = ignore
        self._client: socket.socket | None = None
        self._stalled = False
        self._lock = threading.Lock()
        self._outputs = [threading.Thread(target=work, daemon=True) for work in (self._send, self._listen_to_stderr)]

    def run(self) -> int:
        """Carry bytes until the emulator ends; its exit code."""
        threading.Thread(target=self._accept, daemon=True).start()
        for thread in self._outputs:
            thread.start()
        code = self.process.wait()
        for thread in self._outputs:
            thread.join(LAST_WORDS_SECONDS)
        return code

    def stop(self, *_: object) -> None:
        """Pull the plug; may be called from a signal handler."""
        self.stopped = True
        self.process.kill()

    # --- To the board -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setblocking(False)
                self._stalled = False
                self._client = client
                self._receive(client)
                # A send that is under way may still use the socket.
                with self._lock:
                    self._client = None

    def _receive(self, client: socket.socket) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            while True:
                select.select([client], [], [])
                data = client.recv(4096)
                if not data:
                    return
                while data:
                    data = data[self.process.stdin.write(data) :]

    # --- From the board -----------------------------------------------------------------------------------------------

    def _send(self) -> None:
        assert self.process.stdout is not None
        recent = b""
        while data := os.read(self.process.stdout.fileno(), 65536):
            recent = recent[-FAULT_BYTES:] + data
            if fault := FAULT.search(recent):
                recent = b""
                self._complain(fault[1].decode())
            with self._lock, contextlib.suppress(OSError):
                while data and self._client is not None and self._has_room(self._client):
                    data = data[self._client.send(data) :]

    def _has_room(self, client: socket.socket) -> bool:
        """Whether the client takes bytes; one that has stalled is not waited for again until it does."""
        _, ready, _ = select.select([], [client], [], 0 if self._stalled else STALL_SECONDS)
        self._stalled = not ready
        return not self._stalled

    def _listen_to_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.decode(errors="replace").rstrip()
            if text and not (self._ignore and self._ignore.match(text)):
                self._complain(text)

    def _complain(self, text: str) -> None:
        """Note the reason of the end that is near, and see to it that it comes."""
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
    """Run an emulator behind 127.0.0.1:`tcp_port` (0: any free port), say on stdout where, and return an exit code.

    0 where we were asked to stop or the emulator ended well, 1 where it complained or failed: `explain` then turns its
    lines into what is shown, the gist last. parent_pipe: the end of our stdin ends it. `ignore`: lines of stderr that
    mean nothing. Raises UserError for a port that cannot be had and for an emulator that cannot be started.
    """
    with _listening(tcp_port) as listener:
        bridge = Bridge(command, listener, ignore)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, bridge.stop)
        if parent_pipe:
            threading.Thread(target=_watch, args=(bridge.stop,), daemon=True).start()
        print(f"tinyllm: listening on socket://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        code = bridge.run()
    if bridge.stopped or (code == 0 and not bridge.complaints):
        return 0
    print(explain(bridge.complaints or [f"ended with code {code}"]), file=sys.stderr, flush=True)
    return 1


def registers(report: str) -> dict[str, int]:
    """Name -> value in the firmware's report of a fault."""
    return {name: int(value, 16) for name, value in REGISTER.findall(report)}


def account(what: str, trouble: str, program: Elf, values: dict[str, int]) -> str:
    """For people: a line for each register, with the function that it points into, then what stopped, why and where."""
    lines = [f"{name:>4} {value:08x} {program.where(value)}".rstrip() for name, value in values.items()]
    pc = values.get("pc")
    place = "" if pc is None else f", at {pc:#010x}"
    if pc is not None and (function := program.where(pc)):
        place += f" ({function})"
    return "\n".join([*lines, f"{what} stopped: {trouble}{place}"])


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=1)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen on 127.0.0.1:{port}: {reason}; choose another port, or 0 for any free one."
        ) from None
    with listener:
        yield listener


def _end_with_parent() -> None:
    """Where we are killed, and so can kill nobody, the kernel ends the emulator too (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(ended: Callable[[], None]) -> None:
    # Not through sys.stdin, whose lock a thread that waits would still hold when the interpreter ends.
    while os.read(0, 4096):
        pass
    ended()


def argument_parser(what: str) -> argparse.ArgumentParser:
    """The arguments that every bridged emulator has."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("program", type=Path, help="the board's ELF file")
    parser.add_argument("--tcp", type=int, default=0, metavar="PORT", help="listen on 127.0.0.1:PORT, 0 for any free")
    parser.add_argument("--parent-pipe", action="store_true", help="end when standard input ends")
    return parser


def report_errors(main: Callable[[], int]) -> int:
    """Exit code of `main`, with errors as one line on stderr."""
    try:
        return main()
    except TinyllmError as error:
        print(f"tinyllm: {error}", file=sys.stderr)
        return error.exit_code
