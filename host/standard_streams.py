"""Standard input, output and error of this process, whatever they are: closed, full, or of a narrow encoding."""

from __future__ import annotations

import contextlib
import io
import os
import sys

from tinyllm.errors import Failure


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
    for name, kind in (("stdout", _StandardOutput), ("stderr", _StandardError)):
        stream = _text(getattr(sys, name)) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        checked = kind(stream.detach(), stream.encoding, "replace", line_buffering=stream.line_buffering)
        setattr(sys, name, checked)
        setattr(sys, f"__{name}__", checked)


def _text(stream: object) -> io.TextIOWrapper | None:
    """A standard stream; None for one that was closed when Python started."""
    assert stream is None or isinstance(stream, io.TextIOWrapper)
    return stream


def finish_output(code: int) -> int:
    """Write what is still buffered; the exit code, which is not 0 if that failed."""
    try:
        sys.stdout.flush()
    except OutputLost as lost:
        sys.stderr.write(f"error: {lost}\n")
        return code or lost.exit_code
    except BrokenPipeError:
        return code or 1
    return code


class _Checked(io.TextIOWrapper):
    """Hands what it cannot write to _give_up."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Whatever is buffered goes nowhere, so that no later flush fails again."""
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


class _StandardOutput(_Checked):
    def _give_up(self, error: OSError) -> None:
        super()._give_up(error)
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputLost(f"standard output cannot be written ({error.strerror or error}).") from None


class _StandardError(_Checked):
    """Notes are lost if nobody takes them; the work goes on."""
