"""Makes stdin, stdout and stderr safe to use if they are closed, full, or of a narrow encoding."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinyllm.errors import Failure

if TYPE_CHECKING:
    from typing_extensions import Buffer


class OutputLost(Failure):
    """Text could not be written to standard output."""


def open_standard_streams() -> None:
    """Replace the standard streams, so that a verb ends with a clear error and not with an exception of a stream.

    A closed stream becomes the null device. Output in a narrow encoding shows a question mark for each character that
    it lacks. Invalid bytes of the input become surrogates. A failed write to standard output then raises OutputLost, or
    BrokenPipeError if its reader is gone. A failed write to standard error is dropped.
    """
    # In the order of their file descriptors, because open() takes the lowest one that is free.
    sys.stdin = _text(sys.stdin) or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stdin.reconfigure(errors="surrogateescape")
    for name, kind in (("stdout", _StandardOutput), ("stderr", _Lenient)):
        stream = _text(getattr(sys, name)) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        encoding, by_line = stream.encoding, stream.line_buffering or stream.write_through
        raw: Any = stream.detach()
        if isinstance(raw, io.BufferedWriter):  # With `python -u` it is the raw stream already.
            raw = raw.detach()
        checked = io.TextIOWrapper(io.BufferedWriter(kind(raw)), encoding, "replace", line_buffering=by_line)
        setattr(sys, name, checked)
        setattr(sys, f"__{name}__", checked)


def _text(stream: object) -> io.TextIOWrapper | None:
    """A standard stream; None for one that was closed when Python started."""
    assert stream is None or isinstance(stream, io.TextIOWrapper)
    return stream


def run_to_the_end(work: Callable[[], int]) -> int:
    """Run `work` and return its exit code; not 0 if some of its text could not be written to standard output."""
    code = 0
    try:
        code = work()
        sys.stdout.flush()
    except OutputLost as lost:
        sys.stderr.write(f"error: {lost}\n")
        return code or lost.exit_code
    except BrokenPipeError:
        return code or 1
    return code


class _Lenient(io.RawIOBase):
    """A raw stream that drops text after a failed write, so that lost notes do not stop the work."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def write(self, data: Buffer) -> int:
        try:
            while (written := self._raw.write(data)) is None:  # A non-blocking pipe is full: wait for room.
                select.select([], [self], [])
            return written
        except OSError as error:
            # Send the rest of the buffer to the null device too, so that no later flush fails again.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._raw.fileno())
            return self.lost(error, memoryview(data).nbytes)

    def lost(self, error: OSError, size: int) -> int:
        """What `write` returns after it lost `size` bytes."""
        return size

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()


class _StandardOutput(_Lenient):
    """Standard output: lost text ends the work with an error."""

    def lost(self, error: OSError, size: int) -> int:
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputLost(f"standard output cannot be written ({error.strerror or error}).") from None
