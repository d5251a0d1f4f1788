"""SCons's cache of compiled objects, in the user's cache folder. All models and boards share it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from tinyllm.cache_folder import home_path

KEPT_BYTES = 512 << 20
LOCK_SECONDS = 1.0
"""A lock of SCons that is older was left by a killed process."""


def objects_folder() -> Path:
    """The folder of SCons's cache, which may not exist yet. PLATFORMIO_BUILD_CACHE_DIR sets another."""
    chosen = os.environ.get("PLATFORMIO_BUILD_CACHE_DIR")
    return Path(chosen).expanduser().absolute() if chosen else home_path() / "objects"


def mend_objects() -> None:
    """Remove a lock or a damaged `config` that a killed process or a full disk left in the folder of objects.

    SCons holds its lock for moments only, and would wait in vain for a killed holder. It refuses a truncated `config`.
    """
    config = objects_folder() / "config"
    lock = config.with_name("config.lock")
    with contextlib.suppress(OSError):
        held, deadline = _made(lock), time.monotonic() + LOCK_SECONDS
        while _made(lock) == held:
            if time.monotonic() > deadline:
                lock.unlink()
            time.sleep(LOCK_SECONDS / 10)
    with contextlib.suppress(OSError):
        try:
            json.loads(config.read_text("utf-8"))
        except ValueError:
            config.unlink()


def prune_objects() -> None:
    """Remove the oldest objects beyond KEPT_BYTES. Another process may remove some at the same time."""
    found = []
    for path in objects_folder().rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                about = path.stat()
                found.append((about.st_mtime, about.st_size, path))
    room = KEPT_BYTES
    for _, size, path in sorted(found, reverse=True):
        room -= size
        if room < 0:
            with contextlib.suppress(OSError):
                path.unlink()


def _made(path: Path) -> tuple[int, int]:
    """Inode and time, which tell a file from a later one of the same name. OSError if there is no file."""
    about = path.stat()
    return about.st_ino, about.st_mtime_ns
