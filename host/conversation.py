"""A conversation with a board, remembered here too, so that it outlives the board's memory.

Prompts travel as text and only the board encodes them; the answers' token ids are known from its TOKEN frames. After
each answer the board reports the digest of every token since its reset. Replaying the same texts and ids on the same
model must give the same digest: that equality is the proof that the board holds the same tokens again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tinyllm.boards.errors import Failure
from tinyllm.host.link import Event, Link, Refused
from tinyllm.host.protocol import UNTIL_STOP, Done, HelloReply, Overflow, Reason, Setting, Token, token_digest

EMPTY_DIGEST = token_digest(())


@dataclass
class Turn:
    """One prompt and its answer: token ids, the text they gave, and how it ended (None while it has not)."""

    prompt: str
    max_tokens: int
    answer: list[int] = field(default_factory=list)
    text: str = ""
    done: Done | None = None


class ReplayDiffers(Failure):
    """The board holds other tokens after a replay than before."""


class Conversation:
    """The turns since the last reset, and the model that they were held with."""

    def __init__(self, facts: HelloReply) -> None:
        self.model_hash = facts.model_hash
        self.model = facts.model
        self.turns: list[Turn] = []

    @property
    def interrupted(self) -> Turn | None:
        """The last turn, if its answer never came to its end."""
        return self.turns[-1] if self.turns and self.turns[-1].done is None else None

    def reset(self, link: Link) -> None:
        """Forget everything, on both sides."""
        link.reset()
        self.turns.clear()

    def ask(self, link: Link, prompt: str, max_tokens: int) -> Iterator[Event]:
        """Send a prompt, remember it and its answer, and yield what arrives; errors as Link.prompt.

        A prompt that the board refuses leaves no trace here.
        """
        turn = Turn(prompt, max_tokens)
        self.turns.append(turn)
        try:
            for event in link.prompt(prompt, max_tokens):
                yield self._remember(turn, event)
        except Refused:
            self.turns.remove(turn)
            raise

    def held_by(self, facts: HelloReply) -> bool:
        """Whether the board's memory holds exactly the finished turns, so that `resume` can go on from there.

        Of an interrupted answer the board may know more than arrived here, or nothing any more.
        """
        if facts.model_hash != self.model_hash or (self.interrupted and self.interrupted.answer):
            return False
        digests = [turn.done.conversation_digest for turn in self.turns if turn.done]
        return facts.conversation_digest == (digests[-1] if digests else EMPTY_DIGEST)

    def replay(self, link: Link, on_progress: Callable[[int, int], None] = lambda done, total: None) -> bool:
        """Give the board its memory of the finished turns back, by prefill alone; True where that is proved exact.

        A turn that was stopped while the board still read its prompt is read whole this time; where that makes a
        difference the replay is not exact. Any other difference of digests raises ReplayDiffers; another model on the
        board raises Failure. on_progress takes the turns replayed and the turns in all.
        """
        if link.facts.model_hash != self.model_hash:
            raise Failure(
                f"{link.name}: the board now runs {link.facts.model}, the conversation was held with {self.model}. "
                "Flash that model again, or /reset."
            )
        link.reset()
        exact = True
        finished = [turn for turn in self.turns if turn.done is not None]
        for index, turn in enumerate(finished):
            on_progress(index, len(finished))
            held = prefill(link, turn.prompt, turn.answer)
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

    def resume(self, link: Link) -> Iterator[Event]:
        """With the finished turns in the board's memory, go on with the interrupted answer and yield what is new."""
        turn = self.interrupted
        if turn is None:
            return
        left = turn.max_tokens if turn.max_tokens == UNTIL_STOP else turn.max_tokens - len(turn.answer)
        if turn.answer:
            prefill(link, turn.prompt, turn.answer)
            events = link.prompt((), left)
        else:
            events = link.prompt(turn.prompt, left)
        for event in events:
            yield self._remember(turn, event)

    def _remember(self, turn: Turn, event: Event) -> Event:
        if isinstance(event, Token):
            turn.answer.append(event.token)
            turn.text += event.text
        elif isinstance(event, Done):
            turn.text += event.text
            turn.done = event
        return event


def prefill(link: Link, prompt: str, answer: list[int]) -> Done:
    """Append a turn to the board's conversation by prefill alone; what the board says at its end.

    Meanwhile a full context slides, as it did when the turn was new, whatever the setting is by now.
    """
    overflow = link.get()[Setting.OVERFLOW]
    size = max(1, min(link.facts.context, link.facts.text_max // 4))
    link.set(Setting.OVERFLOW, Overflow.SLIDE)
    try:
        held = read(link, prompt)
        for start in range(0, len(answer), size):
            held = read(link, answer[start : start + size])
    finally:
        link.set(Setting.OVERFLOW, overflow)
    return held


def read(link: Link, content: str | Sequence[int]) -> Done:
    """Append text or token ids to the board's conversation by prefill alone; what the board says at the end."""
    (held,) = [event for event in link.prompt(content, 0) if isinstance(event, Done)]
    return held
