"""Commands of tinyllm in processes of their own, forked from one that has imported everything.

A command takes seconds to import torch or the hub's client, and moments to write what it makes: it is the moments that
a trial of many rounds is about. The process that is forked from has done nothing but imports.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinyllm.host.cli import app

IMPORTED = (
    *("tinyllm.host.cli.build", "tinyllm.host.cli.flash", "tinyllm.host.cli.pull", "tinyllm.host.cli.train"),
    *("tinyllm.host.hub.pull", "tinyllm.host.build.build", "tinyllm.host.api.board", "tinyllm.host.api.chat"),
    *("tinyllm.models.training.train", "tinyllm.host.fit.fits", "torch._dynamo", "matplotlib.figure", __name__),
)
"""What is not there is passed over."""
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(IMPORTED))


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    """A command in a process that begins from nothing."""
    command = [sys.executable, "-m", "tinyllm", *map(str, arguments)]
    return subprocess.Popen(
        command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


class Forked:
    """A function in a forked process, with variables of its environment. What it prints goes to a file."""

    def __init__(self, work: Callable[..., object], *arguments: object, **variables: str) -> None:
        self._output = tempfile.NamedTemporaryFile(prefix="tinyllm-said-")  # noqa: SIM115 - lives as long as this
        self._process: Any = _FORKS.Process(target=_work, args=(self._output.name, variables, work, arguments))
        self._process.start()
        self.pid: int = self._process.pid

    @classmethod
    def command(cls, *arguments: str | Path, **variables: str) -> Forked:
        """A command of tinyllm."""
        return cls(_command, *map(str, arguments), **variables)

    def poll(self) -> int | None:
        """Its exit code, None as long as it runs."""
        code: int | None = self._process.exitcode
        return code

    def kill(self) -> None:
        """At once, by SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.join()

    def wait(self, seconds: float) -> tuple[int | None, str]:
        """Its exit code and what it printed. A code of None: it still runs after that time."""
        self._process.join(seconds)
        return self.poll(), Path(self._output.name).read_text("utf-8", "replace")


def _work(output: str, variables: dict[str, str], work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    os.environ.update(variables)
    said = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(said, number)
    os.close(said)
    work(*arguments)


def _command(*arguments: str) -> None:
    sys.argv = ["tinyllm", *arguments]
    app.main()
