"""Two commands of tinyllm at once: the first is held in the middle of compiling until the second has said something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.conftest import skip_unless_ci

SECONDS = 120.0


def run_both(first: Sequence[str], second: Sequence[str], waits: str, folder: Path) -> tuple[str, str]:
    """What both have said when they are done; the second must say `waits` while the first is at work.

    folder: for a compiler that waits, and the sign to go on.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        skip_unless_ci("no cc on PATH")
    slow, begun, go = folder / "bin", folder / "begun", folder / "go"
    slow.mkdir()
    (slow / "cc").write_text(
        f'#!/bin/sh\ntouch "{begun}"\nwhile [ ! -e "{go}" ]; do sleep 0.05; done\nexec "{compiler}" "$@"\n'
    )
    (slow / "cc").chmod(0o755)
    processes = [_start(first, os.environ | {"PATH": f"{slow}{os.pathsep}{os.environ['PATH']}"})]
    try:
        _until(begun.exists)
        processes.append(_start(second, dict(os.environ)))
        output = processes[1].stdout
        assert output is not None
        said = ""
        while waits not in said:
            line = output.readline()
            assert line, f"the second ended without a word of waiting: {said}"
            said += line
        assert processes[0].poll() is None
        go.touch()
        told = (processes[0].communicate(timeout=SECONDS)[0], said + processes[1].communicate(timeout=SECONDS)[0])
        assert [process.returncode for process in processes] == [0, 0], told
        return told
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(arguments: Sequence[str], variables: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tinyllm.host.cli.app", *arguments]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
