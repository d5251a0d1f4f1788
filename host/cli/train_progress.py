"""The progress line of the verb train (step, loss, speed, time left), and samples at each validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tinyllm.host.output import Output
from tinyllm.text import one_line

PLAIN_SECONDS = 30.0
"""Seconds between two lines if stderr is not a terminal."""
SMOOTHING = 0.95
"""The weight of the old value in the moving averages of loss and speed."""
LONGEST_SAMPLE = 300


class Step(Protocol):
    """One step of a training."""

    @property
    def number(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def valid_loss(self) -> float | None: ...
    @property
    def tokens(self) -> int: ...


class Line:
    """The progress line of a training.

    show: takes the line that replaces the last one on a terminal. samples: returns pairs of a prompt and its
    continuation by the model.
    """

    def __init__(
        self,
        output: Output,
        show: Callable[[str], None],
        steps: int,
        samples: Callable[[], Sequence[tuple[str, str]]],
    ) -> None:
        self.output, self.show, self.steps, self.samples = output, show, steps, samples
        self.before = self.last_line = time.perf_counter()
        self.loss: float | None = None
        self.seconds: float | None = None
        self.tokens = 0.0

    def report(self, step: Step) -> None:
        """Show a finished step."""
        now = time.perf_counter()
        self.loss = self._smooth(self.loss, step.loss)
        self.seconds = self._smooth(self.seconds, now - self.before)
        self.tokens = self._smooth(self.tokens or None, step.tokens)
        text = (
            f"step {step.number:,}/{self.steps:,} · loss {self.loss:.3f} · "
            f"{self.tokens / self.seconds:,.0f} tokens/s · {duration((self.steps - step.number) * self.seconds)} left"
        )
        self.show(text)
        if step.valid_loss is not None:
            self.output.note(f"{text} · validation {step.valid_loss:.4f}", style="")
            for prompt, written in self.samples():
                given = f"{one_line(prompt)} -> " if prompt else ""
                self.output.note(f"  {given}{one_line(written, LONGEST_SAMPLE)}")
            self.last_line = time.perf_counter()
        elif not self.output.stderr.is_terminal and now - self.last_line > PLAIN_SECONDS:
            self.output.note(text)
            self.last_line = now
        self.before = time.perf_counter()

    @staticmethod
    def _smooth(before: float | None, now: float) -> float:
        return now if before is None else SMOOTHING * before + (1 - SMOOTHING) * now


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours, by its length."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
