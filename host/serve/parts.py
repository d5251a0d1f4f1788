"""The parts of an answer, in the order in which they go from the board to a client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyllm.host.serve.errors import ApiError


@dataclass(frozen=True)
class Begun:
    """The board has taken the prompt: a stream may begin now."""


@dataclass(frozen=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A call that the client must carry out. arguments: a JSON object as text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class End:
    """The end of the answer. reason: stop, length or tool_calls.

    prompt_tokens: tokens that the context held before the answer. cached_tokens: how many of these the board already
    held from earlier requests. completion_tokens: tokens of the answer that the client got.
    """

    reason: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Failed:
    """The answer failed before its end."""

    error: ApiError


Part = Begun | Text | ToolCall | End | Failed


class StopAt:
    """Cuts an answer at its first stop text.

    Text that may be the beginning of a stop text is held back until more of the answer has come.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """Take a piece of the answer; return the text that may be shown, up to the first stop text."""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.found = True
            return self._held[: min(places)]
        size = max((self._beginning(stop) for stop in self._stops), default=0)
        shown, self._held = self._held[: len(self._held) - size], self._held[len(self._held) - size :]
        return shown

    def rest(self) -> str:
        """The text that is still held back when the answer ends."""
        return "" if self.found else self._held

    def _beginning(self, stop: str) -> int:
        """How many characters at the end of the held text are the beginning of this stop text."""
        longest = min(len(stop) - 1, len(self._held))
        return next((size for size in range(longest, 0, -1) if self._held.endswith(stop[:size])), 0)
