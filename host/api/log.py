"""Progress and notes as records of Python's logging, because a library should not write to the terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tinyllm.host.output import Output

LOGGER = logging.getLogger("tinyllm")


class LogOutput(Output):
    """An Output whose notes and steps go to the logger "tinyllm" at INFO, and its warnings at WARNING."""

    def note(self, text: str, style: str = "dim") -> None:
        LOGGER.info("%s", text)

    def warning(self, text: str) -> None:
        LOGGER.warning("%s", text)

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        LOGGER.info("%s", what)
        yield lambda step: LOGGER.info("%s: %s", what, step)
