"""A process that is killed (SIGKILL) at a change of its files: one before each, as if the power had gone there."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHANGES = ("write_bytes", "replace", "rename", "unlink", "mkdir", "rmdir")
"""Methods of Path by which tinyllm changes files; shutil.rmtree is one change more."""


def killed_at(change: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that is killed just before that change of its files, the first being 0.

    False if the work was done before that many changes. What it does to the memory of this process is lost.
    """
    if sys.platform == "win32":
        pytest.skip("forks a process")
    child = os.fork()
    if child == 0:
        left = [change]

        def counted(method: Any) -> Any:
            def before(*arguments: Any, **more: Any) -> Any:
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return method(*arguments, **more)

            return before

        for name in CHANGES:
            setattr(Path, name, counted(getattr(Path, name)))
        shutil.rmtree = counted(shutil.rmtree)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
