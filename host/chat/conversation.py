"""A conversation with a board, remembered here too, so that it outlives the board's memory.

Prompts travel as text that only the board encodes, or as token ids; the answers' ids are known from its TOKEN frames.
After each answer the board reports the digest of every token since its reset. Replaying what was sent and answered on
the same model must give the same digest: that equality is the proof that the board holds the same tokens again.
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
    """The prompt as it was sent to the board: text, or token ids.

    chat: the text is a turn for the board's chat template. anew: the board forgets the conversation first.
    """

    content: str | tuple[int, ...]
    chat: bool = False
    anew: bool = False


@dataclass
class Turn:
    """One prompt and its answer: token ids, the text they gave, and how it ended (None while it has not).

    results: how many of the ids the model did not make, but read as results of its calls. awaits_result: the last id
    ends a call whose result did not come, and which nobody has carried out.
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
    """The board holds other tokens after a replay than before."""


class Conversation:
    """The turns since the last reset, and the model that they were held with."""

    def __init__(self, hello: HelloReply, turns: Sequence[Turn] = ()) -> None:
        self.model_hash = hello.model_hash
        self.model = hello.model
        self.turns = list(turns)

    @property
    def interrupted(self) -> Turn | None:
        """The last turn, if its answer never came to its end."""
        return self.turns[-1] if self.turns and self.turns[-1].done is None else None

    def ask(self, link: Link, prompt: str, max_tokens: int, sent: Sent | None = None) -> Generator[Event, None, None]:
        """Send a prompt (as it is if `sent` is None), remember it and its answer, and yield what arrives.

        Errors as Link.prompt. A prompt that the board refuses leaves no trace here.
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

        The board may hold more of an interrupted answer than arrived here, or nothing any more.
        """
        if hello.model_hash != self.model_hash or (self.interrupted and self.interrupted.answer):
            return False
        digests = [turn.done.conversation_digest for turn in self.turns if turn.done]
        return hello.conversation_digest == (digests[-1] if digests else EMPTY_DIGEST)

    def replay(self, link: Link, on_progress: Callable[[int, int], None] = lambda done, total: None) -> bool:
        """Give the board its memory of the finished turns back, by prefill alone; True if that is proved exact.

        A turn that was stopped while the board still read its prompt is read whole this time; if that makes a
        difference, the replay is not exact. Any other difference of digests raises ReplayDiffers; another model on the
        board raises Failure. on_progress takes the turns replayed and the turns in all.
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
        """With the finished turns in the board's memory, go on with the interrupted answer and yield what is new."""
        turn = self.interrupted
        if turn is None:
            return
        left = turn.max_tokens if turn.max_tokens == UNTIL_STOP else turn.max_tokens - len(turn.answer) + turn.results
        if turn.answer:
            # The model ends such a call once more, and only then it is told again.
            ended = turn.answer.pop() if turn.awaits_result else None
            turn.awaits_result = False
            prefill(link, turn.sent, turn.answer)
            events = link.prompt((), left if ended is None or left == UNTIL_STOP else left + 1)
        else:
            events = send(link, turn.sent, left)
        for event in events:
            yield self._remember(turn, event)

    def _since_anew(self) -> list[Turn]:
        """The turns since the board was last told to forget."""
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
    """Send it and yield the board's messages; errors as Link.prompt."""
    if sent.anew:
        link.reset()
    yield from link.prompt(sent.content, max_tokens, sent.chat)


def prefill(link: Link, sent: Sent, answer: list[int]) -> Done:
    """Append a turn to the board's conversation by prefill alone, and return the board's last message.

    A full context slides meanwhile, as it did when the turn was new, whatever the present setting.
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
