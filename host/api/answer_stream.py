"""An answer as it comes, piece by piece."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator

from tinyllm.errors import Failure
from tinyllm.host.link.answer import Answer
from tinyllm.host.link.link import Event, Link
from tinyllm.host.link.messages import Call, CallResult, Done, Progress, Token

Events = Generator[Event, None, None]

PromptProgress = Callable[[int, int], None]
"""Takes the number of prompt tokens that the board has read, and the number in all."""


class AnswerStream(Iterator[str]):
    """The pieces of text of one answer, in the order in which the board sends them.

        for piece in board.ask("Once upon a time"):
            print(piece, end="", flush=True)

    A call of the model shows as `[call: result]`, which is no part of the answer's text.
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
        """Send the prompt: `events` does so when its first event is taken. Errors as its own.

        finished: takes the whole answer at its end. counted: the board's clock counts instructions or cycles, not time.
        """
        self._link, self._events, self._finished, self._progress = link, events, finished, progress
        self._counted = counted
        self._tokens: list[int] = []
        self._text = ""
        self._calls: list[tuple[str, str]] = []
        self._answer: Answer | None = None
        self._arriving = self._note(next(events))
        self._pieces = self._show()

    def __next__(self) -> str:
        return next(text for _, text in self._pieces if text)

    def tokens(self) -> Iterator[tuple[int | None, str]]:
        """The same stream token by token: its id, and the text that it completes, which may be "".

        Text that is left at the end comes with None, and so does what shows a call.
        """
        return self._pieces

    def messages(self) -> Iterator[Event]:
        """The same stream as the board's messages: Progress, Token, Call, CallResult and, last, Done.

        After a Call that the board has not carried out, nothing happens until the next message is taken: its result is
        then asked for (Link.answer_call).
        """
        return self._arriving

    def read(self) -> Answer:
        """Wait for the end of the answer and return all of it. Failure if the stream was closed before its end."""
        for _ in self:
            pass
        if self._answer is None:
            raise Failure(f"{self._link.name}: the answer was left before its end; ask again.")
        return self._answer

    def stop(self) -> None:
        """Ask the board to end the answer. Text sent until then still comes; the reason is "cancelled"."""
        self._link.stop()

    def close(self) -> None:
        """Leave the answer: tell the board to end it, and take no more of it. Does nothing after its end."""
        with contextlib.suppress(Failure):
            self._pieces.close()
            self._arriving.close()
            self._events.close()

    def _note(self, first: Event) -> Generator[Event, None, None]:
        """The events as they come, noted for the whole answer."""
        event: Event | None = first
        call = ""
        while event is not None:
            if isinstance(event, Progress):
                if self._progress:
                    self._progress(event.done, event.total)
            elif isinstance(event, Token):
                self._tokens.append(event.token)
                self._text += event.text
            elif isinstance(event, Call):
                call = event.text
            elif isinstance(event, CallResult):
                self._calls.append((call, event.text))
            elif isinstance(event, Done):
                self._answer = Answer(
                    tuple(self._tokens), self._text + event.text, event, self._counted, tuple(self._calls)
                )
                self._finished(self._answer)
            yield event
            event = next(self._events, None)

    def _show(self) -> Generator[tuple[int | None, str], None, None]:
        for event in self._arriving:
            if isinstance(event, Token):
                yield event.token, event.text
            elif isinstance(event, CallResult):
                yield None, shown_call(*self._calls[-1])
            elif isinstance(event, Done) and event.text:
                yield None, event.text


def shown_call(call: str, result: str) -> str:
    """A call and its result as a person sees them."""
    return f"[{call}: {result}]"
