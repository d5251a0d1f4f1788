"""A board that is a process of this computer, reached by TCP: the `host` board's program, or an emulator with an image.

A Ctrl-C does not reach the process. It ends whenever this one ends, because it watches a pipe that closes then.
"""

from __future__ import annotations

import contextlib
import queue
import re
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tinyllm.boards.description import Board
from tinyllm.errors import Failure, UserError
from tinyllm.host.virtual.elf import read_elf
from tinyllm.host.virtual.emulators import EMULATORS, Emulator
from tinyllm.host.virtual.profile import Profile
from tinyllm.processes import APART

START_SECONDS = 30.0
END_SECONDS = 3.0
KEPT_LINES = 60
COUNT_SECONDS = 5.0
COUNTED = re.compile(r"^tinyllm: counted ([0-9 ]+)$")
LISTENING = re.compile(r"^tinyllm: listening on (socket://\S+)")
COMPLAINT = re.compile(r"^(?:error|tinyllm): ")


class BoardProcess:
    """A running board that ends with the context. `url` is its port, open to this computer only.

    command: the program to start; it gets `--tcp 0 --parent-pipe`. clock: names the clock of the board's times. counts:
    the emulator if the clock counts its instructions or cycles, else None. profile: the instructions of each function;
    its folder is removed with the context.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        clock: str = "wall clock of this host process",
        counts: Emulator | None = None,
        profile: Profile | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.clock = clock
        self.counts = counts
        self.profile = profile
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._counted: queue.Queue[tuple[int, ...]] = queue.Queue()
        self.url = ""

    @classmethod
    def of(cls, board: Board, program: Path, count: bool = False) -> BoardProcess:
        """The process that runs `program`, which was built for `board`: `host` or a virtual twin.

        count: a virtual board's clock counts instructions. The emulator also counts them for each function, if this
        computer has a C compiler.
        """
        if board.emulator is None:
            return cls([program])
        emulator = EMULATORS[board.emulator]
        made = Profile.create(Path(tempfile.mkdtemp(prefix="tinyllm-profile-")), read_elf(program)) if count else None
        folder = None if made is None else made.folder
        command = emulator.command(program, board.platformio["board"], count=count, profile=folder)
        if count and board.cores > 1 and emulator.both_cores:
            clock = f"estimated from counted {emulator.unit}, the longer of both cores' ways"
        elif count:
            clock = f"counted {emulator.unit}"
        else:
            clock = emulator.clock.replace("CHIP", board.chip)
        return cls(command, clock, emulator if count else None, made)

    def __enter__(self) -> BoardProcess:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self.profile is not None:
            shutil.rmtree(self.profile.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process on a free port.

        Raises UserError if it exits because this computer lacks something it needs, Failure if it cannot be started or
        does not print its port within START_SECONDS.
        """
        self.stop()
        self._said.clear()
        try:
            self._process = subprocess.Popen(
                [*self.command, "--tcp", "0", "--parent-pipe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                **APART,
            )
        except OSError as error:
            raise Failure(f"{self.command[0]}: cannot be started ({error.strerror}). Build it again.") from None
        found: queue.Queue[str | None] = queue.Queue()
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout, found), daemon=True)
        self._listener.start()
        try:
            url = found.get(timeout=START_SECONDS)
        except queue.Empty:
            url = None
        except BaseException:
            self.stop()
            raise
        if url is None:
            self.stop()
            raise self._not_started()
        self.url = url

    def instructions(self) -> tuple[int, ...]:
        """Instructions that each core of a virtual board has executed so far. Core 1 is included once it is started.

        A busy board answers when it sleeps again. Raises Failure if the process does not answer, or for another
        emulator than Unicorn.
        """
        if self._process is None or self._process.stdin is None or not (self.counts and self.counts.both_cores):
            raise Failure("this board does not count what its cores execute; start it with count and Unicorn.")
        try:
            self._process.stdin.write("count\n")
            self._process.stdin.flush()
            return self._counted.get(timeout=COUNT_SECONDS)
        except (OSError, queue.Empty):
            raise Failure(f"the board did not tell what it has counted{self.last_words()}.") from None

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.terminate()
        self._reap()

    def kill(self) -> None:
        """End the process at once, as a power cut ends a board."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def report(self) -> list[str]:
        """The last lines of a process that ended, such as the registers of a fault; none if it still runs."""
        return list(self._said) if self._ended() else []

    def last_words(self) -> str:
        """The exit code and last line of a process that ended; "" if it still runs or was never started."""
        if not self._ended():
            return ""
        assert self._process is not None
        said = f": {self._said[-1]}" if self._said else ""
        return f" (it ended with code {self._process.returncode}{said})"

    def _ended(self) -> bool:
        """Whether the process has ended. Waits up to 0.5 s, because its connection may close a moment before."""
        if self._process is None:
            return False
        try:
            self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            return False
        if self._listener is not None:
            self._listener.join(timeout=0.5)
        return True

    def _reap(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._listener is not None:
            self._listener.join(timeout=END_SECONDS)

    def _not_started(self) -> Failure | UserError:
        """The error for a process that never listened. With exit code 2 its own message is meant for the user."""
        assert self._process is not None
        complaints = [line for line in self._said if COMPLAINT.match(line)]
        if self._process.returncode == UserError.exit_code and complaints:
            return UserError(COMPLAINT.sub("", complaints[-1]))
        return Failure(f"{' '.join(self.command)}: the board did not start{self.last_words()}.")

    def _listen(self, stream: IO[str], found: queue.Queue[str | None]) -> None:
        """Read the process's output to its end, so that the process never blocks on a full pipe."""
        with stream:
            for line in stream:
                if match := LISTENING.match(line):
                    found.put(match[1])
                elif match := COUNTED.match(line):
                    self._counted.put(tuple(int(number) for number in match[1].split()))
                else:
                    self._said.append(line.strip())
        found.put(None)
