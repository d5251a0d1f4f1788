"""AnswerStream: the model's answer, piece by piece while the board sends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator

from tinyllm.errors import Failure
from tinyllm.host.link.answer import Answer
from tinyllm.host.link.link import Event, Link
from tinyllm.host.link.messages import Call, CallResult, Done, Progress, Token

Events = Generator[Event, None, None]

PromptProgress = Callable[[int, int], None]
"""Called with the number of prompt tokens that the board has read, and the number of all prompt tokens."""


class AnswerStream(Iterator[str]):
    """The pieces of text of one answer, in the order in which the board sends them.

        for piece in board.ask("Once upon a time"):
            print(piece, end="", flush=True)

    A call that the model makes appears as `[call: result]`, which is not part of the answer's text.
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
        """Take the first of `events`, which sends the prompt. Raises what `events` raises.

        finished: called with the whole answer at its end. counted: the board's clock counts instructions or cycles, not
        time.
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
        """The same stream as pairs: a token's id, and the text that it completes, which may be "".

        The id is None for text left over at the end, and for the text that shows a call.
        """
        return self._pieces

    def messages(self) -> Iterator[Event]:
        """The same stream as the board's messages: Progress, Token, Call, CallResult and, last, Done.

        If the board has not carried out a Call, Link.answer_call is asked for the result only when the next message is
        taken.
        """
        return self._arriving

    def read(self) -> Answer:
        """Wait for the end of the answer and return all of it. Raises Failure if the stream was closed before."""
        for _ in self:
            pass
        if self._answer is None:
            raise Failure(f"{self._link.name}: the answer was left before its end; ask again.")
        return self._answer

    def stop(self) -> None:
        """Ask the board to end the answer. Text that it has sent still arrives; the answer's reason is "cancelled"."""
        self._link.stop()

    def close(self) -> None:
        """Tell the board to end the answer, and drop what still arrives. Does nothing after the answer's end."""
        with contextlib.suppress(Failure):
            self._pieces.close()
            self._arriving.close()
            self._events.close()

    def _note(self, first: Event) -> Generator[Event, None, None]:
        """Pass the events on, and collect the whole answer from them."""
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
