"""A lock between processes: two builds into one folder run one after the other, and so do two flashes of one board."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from tinyllm.cache_folder import home
from tinyllm.errors import UserError


@contextmanager
def one_at_a_time(what: str, busy: str, notice: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock named `what` while the context lasts. It keeps this user's other processes out.

    Waits if another process holds the lock; notice then gets `busy`. The lock is in the cache folder, so that a project
    folder holds only the project. Raises UserError if the cache folder cannot be written.
    """
    locks = home() / "locks"
    lock = _lock(what)
    try:
        locks.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            notice(busy)
            lock.acquire()
    except OSError as error:
        raise UserError(
            f"{locks}: cannot be written ({error.strerror or error}). Set TINYLLM_HOME to a folder of yours."
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def if_free(what: str) -> Iterator[bool]:
    """Yield whether the lock named `what` was free. If so, hold it while the context lasts."""
    lock = _lock(what)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock(what: str) -> FileLock:
    name = hashlib.sha256(what.encode(errors="surrogateescape")).hexdigest()[:24]
    return FileLock(home() / "locks" / f"{name}.lock")
