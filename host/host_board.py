"""The `host` board: the compiled program as a process of this computer, reached by TCP.

It ends with us, however we end: it watches a pipe that closes when this process is gone.
"""

from __future__ import annotations

import queue
import re
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import IO

from tinyllm.boards.errors import Failure

START_SECONDS = 10.0
LISTENING = re.compile(r"^tinyllm: listening on (socket://\S+)")


class HostBoard:
    """A running program, ended when the context manager is left. `url` is where it listens, on this computer only."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self._said: deque[str] = deque(maxlen=20)
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> HostBoard:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the program on a free port; Failure where it does not say in time where it listens."""
        self.stop()
        try:
            self._process = subprocess.Popen(
                [self.program, "--tcp", "0", "--parent-pipe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise Failure(f"{self.program}: cannot be started ({error.strerror}). Build it again.") from None
        found: queue.Queue[str | None] = queue.Queue()
        assert self._process.stdout is not None
        threading.Thread(target=self._listen, args=(self._process.stdout, found), daemon=True).start()
        try:
            url = found.get(timeout=START_SECONDS)
        except queue.Empty:
            url = None
        if url is None:
            self.stop()
            raise Failure(f"{self.program}: the host board did not start{self.last_words()}.")
        self.url = url

    def stop(self) -> None:
        """End the program, if it runs."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        """How a program that ended did so, and what it said last; nothing where it still runs or was never started."""
        if self._process is None or self._process.poll() is None:
            return ""
        said = f": {self._said[-1]}" if self._said else ""
        return f" (it ended with code {self._process.returncode}{said})"

    def _listen(self, stream: IO[str], found: queue.Queue[str | None]) -> None:
        """Read what the program says, to its end, so that it never waits for us."""
        with stream:
            for line in stream:
                self._said.append(line.strip())
                if match := LISTENING.match(line):
                    found.put(match[1])
        found.put(None)
