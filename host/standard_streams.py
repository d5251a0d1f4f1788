"""Standard input, output and error of this process, whatever they are: closed, full, or of a narrow encoding."""

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
    """Standard output takes no more text."""


def open_standard_streams() -> None:
    """Replace the standard streams, so that none of them can end a verb with an exception of its own.

    A closed stream becomes the null device. Output in a narrow encoding shows a question mark for each character that
    it lacks. Input that is not valid text keeps its bytes as surrogates. After this, a write to standard output raises
    OutputLost, or BrokenPipeError if its reader is gone; what standard error cannot take is dropped.
    """
    # In the order of their numbers: what opens takes the lowest number that is free.
    sys.stdin = _text(sys.stdin) or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stdin.reconfigure(errors="surrogateescape")
    for name, kind in (("stdout", _StandardOutput), ("stderr", _Lenient)):
        stream = _text(getattr(sys, name)) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        encoding, by_line = stream.encoding, stream.line_buffering or stream.write_through
        raw: Any = stream.detach()
        if isinstance(raw, io.BufferedWriter):  # of `python -u` it is the raw stream already
            raw = raw.detach()
        checked = io.TextIOWrapper(io.BufferedWriter(kind(raw)), encoding, "replace", line_buffering=by_line)
        setattr(sys, name, checked)
        setattr(sys, f"__{name}__", checked)


def _text(stream: object) -> io.TextIOWrapper | None:
    """A standard stream; None for one that was closed when Python started."""
    assert stream is None or isinstance(stream, io.TextIOWrapper)
    return stream


def run_to_the_end(work: Callable[[], int]) -> int:
    """The exit code of `work`, which is not 0 if standard output could not take all that was written to it."""
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
    """A stream that loses what cannot be written, and all that comes after it: notes may be lost, the work goes on."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def write(self, data: Buffer) -> int:
        try:
            while (written := self._raw.write(data)) is None:  # of a pipe that does not block: until there is room
                select.select([], [self], [])
            return written
        except OSError as error:
            # Also what is still buffered goes nowhere, so that no later flush fails again.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._raw.fileno())
            return self.lost(error, memoryview(data).nbytes)

    def lost(self, error: OSError, size: int) -> int:
        """What `write` returns for so many bytes that were lost."""
        return size

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()


class _StandardOutput(_Lenient):
    """Here lost text is the end of the work."""

    def lost(self, error: OSError, size: int) -> int:
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputLost(f"standard output cannot be written ({error.strerror or error}).") from None
