"""A chat with a board: turns in the model's own chat format, and their transcript."""

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

    Each turn goes through the model's chat template, on the board or on this computer. A model without a template
    continues the text, like the beginning of a story.
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
        """Send `text` as the user's turn and stream the answer. Arguments and errors as Board.ask.

        Also raises UserError if the template writes the whole conversation anew and it is too long for the board.
        """
        limit = self._board.settings.limit(max_tokens)

        def events() -> Events:
            sent = self._turns.write(text, self._conversation.turns)
            return self._conversation.ask(self._board.link, text, limit, sent)

        return self._board.stream(events, progress, **settings)

    def reset(self) -> None:
        """Forget the conversation, here and on the board. The random numbers start again from the seed."""
        self._board.reset()
        self._conversation = Conversation(self._board.hello)

    # --- Earlier conversations ----------------------------------------------------------------------------------------

    def take_up(self, turns: Sequence[Turn]) -> None:
        """Replace the conversation by these turns, which were held with the same model, and replay them on the board.

        The last may be an interrupted one, for `resume`. Errors as `replay`.
        """
        self._conversation = Conversation(self._board.hello, turns)
        self.replay()

    def recall(self, said: str, answered: str) -> None:
        """Add a turn that was held elsewhere and of which only the text is known. The board prefills it.

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
        """Hash of the model that the conversation is held with."""
        return self._conversation.model_hash

    @property
    def interrupted(self) -> Turn | None:
        """The last turn if its answer did not end, else None."""
        return self._conversation.interrupted

    def held(self) -> bool:
        """Ask the board whether its KV cache holds exactly the finished turns."""
        self._board.leave_answer()
        return self._conversation.held_by(self._board.link.update_hello())

    def replay(self, progress: Callable[[int, int], None] = lambda done, total: None) -> bool:
        """Prefill the finished turns into the board again. True if the digests prove that the result is exact.

        False if a turn was stopped during its prefill: its prompt is now read whole. progress takes the number of turns
        replayed, and the number of all. Raises ReplayDiffers if the board holds other tokens afterwards, Failure if it
        runs another model.
        """
        self._board.leave_answer()
        return self._conversation.replay(self._board.link, progress)

    def resume(self, progress: PromptProgress | None = None, **settings: Unpack[Sampling]) -> AnswerStream | None:
        """Stream the rest of the interrupted answer; None if no answer was interrupted.

        The board must hold the finished turns: check with `held`, restore with `replay`. settings: those that `ask`
        had. Errors as `ask`.
        """
        if self.interrupted is None:
            return None
        return self._board.stream(lambda: self._conversation.resume(self._board.link), progress, **settings)

    # --- Transcript ---------------------------------------------------------------------------------------------------

    def transcript(self) -> dict[str, Any]:
        """Model, board, settings and every turn, ready for json.dumps."""
        return transcript(self._conversation, self._board.hello, self._board.settings.wire)

    def save(self, name: str | Path) -> Path:
        """Write a new file: JSON for `load` if it is called NAME.json, else text to read. UserError if it cannot."""
        return save_transcript(name, self.transcript())

    def load(self, name: str | Path) -> None:
        """Take the turns and settings from a JSON file of `save`. Call `replay` to give the turns to the board.

        Raises UserError, and changes nothing, for any other file and for a conversation with another model.
        """
        self._board.leave_answer()
        turns, settings = load_transcript(name, self._board.hello)
        self._conversation = Conversation(self._board.hello, turns)
        self._board.settings.set_wire(settings)
