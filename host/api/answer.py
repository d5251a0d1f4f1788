"""An answer: as it comes, piece by piece, and whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from tinyllm.errors import Failure
from tinyllm.host.connect.attach import rate, reason_name
from tinyllm.host.link.link import Event, Link
from tinyllm.host.link.messages import Done, Progress, Token

Events = Generator[Event, None, None]

PromptProgress = Callable[[int, int], None]
"""Takes how many tokens of the prompt the board has read, and of how many."""


@dataclass(frozen=True)
class Answer:
    """All that came for one prompt.

    text: what the tokens say, unfinished characters as U+FFFD. tokens: their ids.
    reason: why it ended: "stop" (the model ended it), "length" (max_tokens), "context" (full), or "cancelled".
    prompt_tokens: tokens that the board read before it answered.
    prefill_us, decode_us: microseconds by the board's own clock, of reading the prompt and of making the tokens; a
    virtual board that counts has its instructions or cycles here.
    tokens_per_second: by the same clock; None if nothing was timed, and for a board that counts.
    digest: CRC-32 of the token ids, eight hexadecimal digits. conversation_digest: of every token since the reset.
    context_used: positions of the board's context that the conversation takes now.
    """

    text: str
    tokens: tuple[int, ...]
    reason: str
    prompt_tokens: int
    prefill_us: int
    decode_us: int
    digest: str
    conversation_digest: str
    context_used: int
    tokens_per_second: float | None

    def __str__(self) -> str:
        return self.text


class AnswerStream(Iterator[str]):
    """The pieces of text of one answer, in the order in which the board sends them.

        for piece in board.ask("Once upon a time"):
            print(piece, end="", flush=True)

    `read()` waits for the rest and returns the whole Answer. Every method raises BoardGone if the board goes away and
    LostFrame if a part of the answer does not arrive.
    """

    def __init__(
        self,
        link: Link,
        events: Events,
        finished: Callable[[Answer], None],
        progress: PromptProgress | None = None,
        counted: bool = False,
    ) -> None:
        """Send the prompt: `events` does so when it is asked for the first one. Raises what that raises.

        finished: takes the whole answer when it has come. counted: the board's clock counts and tells no time.
        """
        self._link, self._events, self._finished, self._progress = link, events, finished, progress
        self._counted = counted
        self._tokens: list[int] = []
        self._text = ""
        self._answer: Answer | None = None
        self._pieces = self._read(next(events))

    def __next__(self) -> str:
        return next(self._pieces)

    def read(self) -> Answer:
        """Wait for the end of the answer and return all of it. Failure if the stream was closed before its end."""
        for _ in self:
            pass
        if self._answer is None:
            raise Failure(f"{self._link.name}: the answer was left before its end; ask again.")
        return self._answer

    def stop(self) -> None:
        """Ask the board to end the answer. What it says until then still comes; the reason is "cancelled"."""
        self._link.stop()

    def close(self) -> None:
        """Leave the answer: the board is told to end it, and no more of it comes. Does nothing after its end."""
        with contextlib.suppress(Failure):
            self._pieces.close()
            self._events.close()

    def _read(self, first: Event) -> Generator[str, None, None]:
        event: Event | None = first
        while event is not None:
            if isinstance(event, Progress):
                if self._progress:
                    self._progress(event.done, event.total)
            else:
                self._text += event.text
                if isinstance(event, Token):
                    self._tokens.append(event.token)
                else:
                    self._answer = whole(self._text, self._tokens, event, self._counted)
                    self._finished(self._answer)
                if event.text:
                    yield event.text
            event = next(self._events, None)


def whole(text: str, tokens: list[int], done: Done, counted: bool) -> Answer:
    """The answer that ended with `done`; `counted` as AnswerStream's."""
    return Answer(
        text=text,
        tokens=tuple(tokens),
        reason=reason_name(done),
        prompt_tokens=done.prompt_tokens,
        prefill_us=done.prefill_us,
        decode_us=done.decode_us,
        digest=f"{done.digest:08x}",
        conversation_digest=f"{done.conversation_digest:08x}",
        context_used=done.context_used,
        tokens_per_second=None if counted else rate(len(tokens), done.decode_us),
    )
