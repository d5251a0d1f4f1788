"""A chat with a board: turns in the model's own chat format, and a record of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tinyllm.host.api.answer_stream import AnswerStream, Events, PromptProgress
from tinyllm.host.api.settings import BoardSettings, Sampling
from tinyllm.host.chat.conversation import Conversation, Turn
from tinyllm.host.chat.transcript import load_transcript, save_transcript, transcript
from tinyllm.host.chat.turn_writer import TurnWriter
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import HelloReply

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Speaker(Protocol):
    """The part of a Board that a chat uses."""

    link: Link
    settings: BoardSettings

    @property
    def hello(self) -> HelloReply:
        """As Board.hello."""

    def reset(self) -> None:
        """As Board.reset."""

    def leave_answer(self) -> None:
        """As Board.leave_answer."""

    def stream(
        self, events: Callable[[], Events], progress: PromptProgress | None = None, **settings: Unpack[Sampling]
    ) -> AnswerStream:
        """As Board.stream."""


class BoardChat:
    """A chat, begun by `Board.chat`.

    Each turn goes through the model's chat template, on the board or on this computer. A model without one continues
    the text, as the beginning of a story.
    """

    def __init__(self, board: Speaker, turns: TurnWriter) -> None:
        self._board, self._turns = board, turns
        self._conversation = Conversation(board.hello)

    @property
    def template(self) -> str | None:
        """Where the chat template is rendered, "board" or "host"; None if the model has none."""
        return self._turns.name

    @property
    def turns(self) -> list[Turn]:
        """The turns so far, oldest first: each has `prompt`, `text` and `answer`, the token ids."""
        return list(self._conversation.turns)

    def ask(
        self,
        text: str,
        max_tokens: int | None = None,
        progress: PromptProgress | None = None,
        **settings: Unpack[Sampling],
    ) -> AnswerStream:
        """Say `text` and stream the answer. Arguments and errors as Board.ask.

        Raises UserError also if the template writes the whole conversation anew and it is too long for the board.
        """
        limit = self._board.settings.limit(max_tokens)

        def events() -> Events:
            sent = self._turns.write(text, self._conversation.turns)
            return self._conversation.ask(self._board.link, text, limit, sent)

        return self._board.stream(events, progress, **settings)

    def reset(self) -> None:
        """Forget the conversation, here and on the board; the random numbers restart from the seed."""
        self._board.reset()
        self._conversation = Conversation(self._board.hello)

    # --- Conversations that were held before --------------------------------------------------------------------------

    def take_up(self, turns: Sequence[Turn]) -> None:
        """Go on from these turns, which were held with the same model, in place of the conversation so far.

        Gives them to the board; errors as `replay`. The last may be an interrupted one, for `resume`.
        """
        self._conversation = Conversation(self._board.hello, turns)
        self.replay()

    def recall(self, said: str, answered: str) -> None:
        """Add a turn that was held elsewhere, of which only the text is known: the board reads it, by prefill alone.

        Errors as `ask`.
        """
        self._board.leave_answer()
        for sent in self._turns.write_past(said, answered, self._conversation.turns):
            if sent.content:
                for _ in self._conversation.ask(self._board.link, said, 0, sent):
                    pass
        if self._conversation.turns:
            self._conversation.turns[-1].text = answered

    # --- A board that was lost ----------------------------------------------------------------------------------------

    @property
    def model_hash(self) -> str:
        """Of the model that the conversation is held with."""
        return self._conversation.model_hash

    @property
    def interrupted(self) -> Turn | None:
        """The last turn, if its answer never came to its end."""
        return self._conversation.interrupted

    def held(self) -> bool:
        """Ask the board whether its memory is just that of the finished turns."""
        self._board.leave_answer()
        return self._conversation.held_by(self._board.link.update_hello())

    def replay(self, progress: Callable[[int, int], None] = lambda done, total: None) -> bool:
        """Give the board its memory of the finished turns back, by reading alone; True if digests prove it exact.

        False if a turn was stopped while the board still read its prompt, which it now read whole. progress takes how
        many turns were read, and of how many. Raises ReplayDiffers if the board holds other tokens afterwards, Failure
        if it runs another model.
        """
        self._board.leave_answer()
        return self._conversation.replay(self._board.link, progress)

    def resume(self, progress: PromptProgress | None = None, **settings: Unpack[Sampling]) -> AnswerStream | None:
        """Stream the rest of the answer that was interrupted; None if none was.

        The board must hold the finished turns (`held`), if need be by `replay`. settings: as `ask` had them. Errors as
        `ask`.
        """
        if self.interrupted is None:
            return None
        return self._board.stream(lambda: self._conversation.resume(self._board.link), progress, **settings)

    # --- Its record ---------------------------------------------------------------------------------------------------

    def transcript(self) -> dict[str, Any]:
        """Model, board, settings and every turn, ready for json.dumps."""
        return transcript(self._conversation, self._board.hello, self._board.settings.wire)

    def save(self, name: str | Path) -> Path:
        """Write a new file: NAME.json for `load`, another name for people. UserError if it cannot be written."""
        return save_transcript(name, self.transcript())

    def load(self, name: str | Path) -> None:
        """Take up the turns and the settings of a file that `save` wrote as JSON; `replay` gives them to the board.

        Raises UserError, and changes nothing, for any other file and for one of another model.
        """
        self._board.leave_answer()
        turns, settings = load_transcript(name, self._board.hello)
        self._conversation = Conversation(self._board.hello, turns)
        self._board.settings.set_wire(settings)
