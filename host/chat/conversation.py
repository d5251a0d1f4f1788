"""A conversation with a board. This computer keeps a copy, so that it survives if the board loses its memory.

Prompts are sent as text, which only the board encodes, or as token ids. TOKEN frames tell the ids of the answers. After
each answer the board reports the digest of every token since its reset. A replay of all prompts and answers on the same
model must give the same digest: that proves that the board holds the same tokens again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tinyllm.errors import Failure
from tinyllm.host.link.errors import Refused
from tinyllm.host.link.link import Event, Link
from tinyllm.host.link.messages import (
    UNTIL_STOP,
    Call,
    CallResult,
    Done,
    Handler,
    HelloReply,
    Overflow,
    Reason,
    Setting,
    Token,
    token_digest,
)

EMPTY_DIGEST = token_digest(())


@dataclass(frozen=True)
class Sent:
    """A prompt as it was sent to the board: text, or token ids.

    chat: the text is a turn for the board's chat template. anew: the board was reset first.
    """

    content: str | tuple[int, ...]
    chat: bool = False
    anew: bool = False


@dataclass
class Turn:
    """One prompt and its answer: token ids, their text, and how it ended (None if it did not).

    results: the number of ids that the model did not generate, but read as results of its calls. awaits_result: the
    last id ends a call that nobody has carried out, and its result did not arrive.
    """

    prompt: str
    sent: Sent
    max_tokens: int
    answer: list[int] = field(default_factory=list)
    text: str = ""
    done: Done | None = None
    results: int = 0
    awaits_result: bool = False


class ReplayDiffers(Failure):
    """After a replay the board holds other tokens than before."""


class Conversation:
    """The turns since the last reset, and the model that they were held with."""

    def __init__(self, hello: HelloReply, turns: Sequence[Turn] = ()) -> None:
        self.model_hash = hello.model_hash
        self.model = hello.model
        self.turns = list(turns)

    @property
    def interrupted(self) -> Turn | None:
        """The last turn if its answer did not end, else None."""
        return self.turns[-1] if self.turns and self.turns[-1].done is None else None

    def ask(self, link: Link, prompt: str, max_tokens: int, sent: Sent | None = None) -> Generator[Event, None, None]:
        """Send a prompt, keep it and its answer as a turn, and yield the board's messages.

        sent: what to send for the prompt; None sends its text as it is. Errors as Link.prompt. A refused prompt is not
        kept.
        """
        turn = Turn(prompt, sent or Sent(prompt), max_tokens)
        self.turns.append(turn)
        try:
            for event in send(link, turn.sent, max_tokens):
                yield self._remember(turn, event)
        except Refused:
            self.turns.remove(turn)
            raise

    def held_by(self, hello: HelloReply) -> bool:
        """Whether the board's memory holds exactly the finished turns, so that `resume` can go on from there.

        False if some of an interrupted answer arrived, because the board may hold more of it.
        """
        if hello.model_hash != self.model_hash or (self.interrupted and self.interrupted.answer):
            return False
        digests = [turn.done.conversation_digest for turn in self.turns if turn.done]
        return hello.conversation_digest == (digests[-1] if digests else EMPTY_DIGEST)

    def replay(self, link: Link, on_progress: Callable[[int, int], None] = lambda done, total: None) -> bool:
        """Prefill the finished turns into the board again. True if their digests prove that the result is exact.

        If a turn was stopped during its prefill, its prompt is now read whole; False if that changes the digest. Raises
        ReplayDiffers for any other change of a digest, Failure if the board runs another model. on_progress takes the
        number of turns replayed and the number of all.
        """
        if link.hello.model_hash != self.model_hash:
            raise Failure(
                f"{link.name}: the board now runs {link.hello.model}, the conversation was held with {self.model}. "
                "Flash that model again, or /reset."
            )
        link.reset()
        exact = True
        finished = [turn for turn in self._since_anew() if turn.done is not None]
        for index, turn in enumerate(finished):
            on_progress(index, len(finished))
            held = prefill(link, turn.sent, turn.answer)
            if turn.done is None or held.conversation_digest == turn.done.conversation_digest:
                continue
            exact = exact and not (turn.done.reason == Reason.CANCELLED and not turn.answer)
            if exact:
                raise ReplayDiffers(
                    f"{link.name}: after replaying turn {index + 1} the board holds other tokens (digest "
                    f"{held.conversation_digest:08x}, was {turn.done.conversation_digest:08x})."
                )
            turn.done = replace(turn.done, conversation_digest=held.conversation_digest)
        on_progress(len(finished), len(finished))
        return exact

    def resume(self, link: Link) -> Generator[Event, None, None]:
        """Continue the interrupted answer and yield its new messages. The board must hold the finished turns."""
        turn = self.interrupted
        if turn is None:
            return
        left = turn.max_tokens if turn.max_tokens == UNTIL_STOP else turn.max_tokens - len(turn.answer) + turn.results
        if turn.answer:
            # Drop the token that ended a call without a result: the model samples it again, and the board then sends
            # the Call again.
            ended = turn.answer.pop() if turn.awaits_result else None
            turn.awaits_result = False
            prefill(link, turn.sent, turn.answer)
            events = link.prompt((), left if ended is None or left == UNTIL_STOP else left + 1)
        else:
            events = send(link, turn.sent, left)
        for event in events:
            yield self._remember(turn, event)

    def _since_anew(self) -> list[Turn]:
        """The turns since the last one for which the board was reset (Sent.anew), that one included."""
        starts = [index for index, turn in enumerate(self.turns) if turn.sent.anew]
        return self.turns[starts[-1] if starts else 0 :]

    def _remember(self, turn: Turn, event: Event) -> Event:
        if isinstance(event, Token):
            turn.answer.append(event.token)
            turn.text += event.text
        elif isinstance(event, Call):
            turn.awaits_result = event.answered != Handler.CARRIED_OUT
        elif isinstance(event, CallResult):
            turn.awaits_result = False
            turn.answer += event.tokens
            turn.results += len(event.tokens)
        elif isinstance(event, Done):
            turn.text += event.text
            turn.done = event
        return event


def send(link: Link, sent: Sent, max_tokens: int) -> Generator[Event, None, None]:
    """Send a prompt and yield the board's messages. Errors as Link.prompt."""
    if sent.anew:
        link.reset()
    yield from link.prompt(sent.content, max_tokens, sent.chat)


def prefill(link: Link, sent: Sent, answer: list[int]) -> Done:
    """Append a turn to the board's conversation by prefill alone, and return the board's last message.

    A full context slides, as it did when the turn was new, whatever the setting is now.
    """
    overflow = link.get()[Setting.OVERFLOW]
    size = max(1, min(link.hello.context, link.hello.text_max // 4))
    link.set(Setting.OVERFLOW, Overflow.SLIDE)
    try:
        held = _end(send(link, sent, 0))
        for start in range(0, len(answer), size):
            held = read(link, answer[start : start + size])
    finally:
        link.set(Setting.OVERFLOW, overflow)
    return held


def read(link: Link, ids: Sequence[int]) -> Done:
    """Append token ids to the board's conversation by prefill alone, and return the board's last message."""
    return _end(link.prompt(ids, 0))


def _end(events: Iterator[Event]) -> Done:
    (end,) = [event for event in events if isinstance(event, Done)]
    return end
