"""A chat with a board: turns in the model's own chat format, and a record of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tinyllm.host.api.answer_stream import AnswerStream, Events, PromptProgress
from tinyllm.host.api.settings import BoardSettings, Sampling
from tinyllm.host.chat.conversation import Conversation, Turn
from tinyllm.host.chat.transcript import transcript
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
        self._conversation.turns.clear()

    def transcript(self) -> dict[str, Any]:
        """Model, board, settings and every turn, ready for json.dumps."""
        return transcript(self._conversation, self._board.hello, self._board.settings.wire)
