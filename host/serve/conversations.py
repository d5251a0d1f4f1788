"""Many clients' conversations on one board: which one the board holds now, and how to give it another.

A request carries its whole conversation. If the board already holds its past, the board reads only the new turn. If its
tokens are remembered here, they are replayed. Otherwise the board reads the past as text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinyllm.errors import UserError
from tinyllm.host.api.answer_stream import AnswerStream
from tinyllm.host.api.board import Board
from tinyllm.host.api.chat import BoardChat
from tinyllm.host.chat.conversation import ReplayDiffers, Turn
from tinyllm.host.link.errors import Refused
from tinyllm.host.serve.errors import ApiError
from tinyllm.host.serve.history import History, fingerprint, read_history
from tinyllm.host.serve.parts import Part, Text
from tinyllm.host.serve.request_body import Body, ChatBody, CompletionBody, Message
from tinyllm.host.serve.speech import Speech

KEPT = 64
"""How many conversations' tokens are remembered."""


@dataclass(frozen=True)
class Held:
    """The conversation that the board holds. key: the fingerprint of its messages.

    waiting: the answer that waits for a call's result, None if none does.
    """

    chat: BoardChat
    key: bytes
    context_used: int
    waiting: AnswerStream | None


class Conversations:
    """Answers requests with one board. Use it from one thread alone.

    with_system: whether system messages of requests go to the model.
    """

    def __init__(self, board: Board, with_system: bool = True) -> None:
        self.board = board
        self._with_system = with_system
        self._kept: OrderedDict[bytes, list[Turn]] = OrderedDict()
        self._held: Held | None = None
        board.settings.update(overflow="slide")

    def reconnect(self) -> None:
        """Look once for a board that was lost. Errors as Board.reconnect."""
        self._held = None
        self.board.reconnect(patience=0)

    def leave(self) -> None:
        """Leave the answer under way, and forget which conversation the board holds."""
        self._held = None
        self.board.leave_answer()

    def answer(self, body: Body, seed: int) -> Iterator[Part]:
        """The parts of the answer to a request. seed: used if the request names none.

        Raises ApiError and what Board.ask raises. A caller that leaves early must call `leave`.
        """
        settings = {"seed": seed, **body.sampling}
        held, self._held = self._held, None
        if isinstance(body, ChatBody):
            yield from self._chat(body, held, settings)
        elif isinstance(body, CompletionBody):
            self.board.link.asks_first = False
            self.board.reset()
            speech = Speech(self.board.ask(body.prompt, body.limit, **settings), self.board.link, body, False)
            self.board.link.answer_call = speech.result_of
            yield from speech.parts(0)

    def _chat(self, body: ChatBody, held: Held | None, settings: dict[str, Any]) -> Iterator[Part]:
        history = read_history(body.messages, self._with_system)
        key = self._key(history, history.past)
        if held is not None and (held.key != key or bool(history.results) != (held.waiting is not None)):
            held = None
        result = _only(history.results) if history.results else None
        if result is None:
            chat = held.chat if held else (yield from self._place(history, key))
            stream = chat.ask(history.said, self._prepare(body), **settings)
        elif held is not None and held.waiting is not None:
            chat, stream = held.chat, held.waiting
        else:
            chat, stream = self._wait_again(history, key, settings, body)
        replayed = result is not None and held is None
        speech = Speech(stream, self.board.link, body, bool(body.tool_names) or result is not None, result, replayed)
        self.board.link.answer_call = speech.result_of
        yield from speech.parts(held.context_used if held else 0)
        if speech.whole:
            key = self._key(history, [*history.messages, speech.message()])
            self._keep(key, chat.turns)
            self._held = Held(chat, key, speech.context_used, stream if speech.call else None)

    def _prepare(self, body: Body) -> int:
        """Set who is asked first for calls, and return `max_tokens` for the prompt.

        If the client has tools it is asked first, and the board gets no limit (0): Speech counts the tokens then.
        """
        self.board.link.asks_first = bool(body.tool_names)
        return 0 if body.tool_names else body.limit

    # --- The conversation before the new turn -------------------------------------------------------------------------

    def _place(self, history: History, key: bytes) -> Generator[Part, None, BoardChat]:
        """Give the board the past of a conversation that it does not hold. Errors as BoardChat.recall.

        This may take long. An empty part before each step lets the caller leave.
        """
        chat = self._begin(history)
        turns = self._kept.get(key)
        if turns and turns[-1].done is not None:
            try:
                chat.take_up(_copied(turns))
                return chat
            except (ReplayDiffers, Refused):
                chat = self._begin(history)
        for said, answered in history.turns:
            yield Text("")
            chat.recall(said, answered)
        return chat

    def _wait_again(
        self, history: History, key: bytes, settings: dict[str, Any], body: Body
    ) -> tuple[BoardChat, AnswerStream]:
        """Replay a conversation up to the call whose result the request brings.

        Raises ApiError if that call is not remembered.
        """
        turns = self._kept.get(key)
        if not turns or not turns[-1].awaits_result:
            raise ApiError(
                400,
                "messages: no call is known that waits for this tool result; expected the messages before it as they "
                "were sent and received. Begin again from the user's message.",
                "messages",
            )
        chat = self._begin(history)
        chat.take_up(_copied(turns))
        self._prepare(body)
        stream = chat.resume(**settings)
        assert stream is not None, "its last turn waits"
        return chat, stream

    def _begin(self, history: History) -> BoardChat:
        """Begin a new conversation. Raises ApiError for a system message that the model cannot take."""
        self.board.link.asks_first = False
        try:
            return self.board.chat(history.system)
        except UserError as error:
            raise ApiError(
                400, f"messages: a system message: {error} `tinyllm serve --no-system` leaves it out.", "messages"
            ) from None

    def _keep(self, key: bytes, turns: Sequence[Turn]) -> None:
        """Remember the tokens of a conversation. Beyond KEPT, the one that was unused for longest is forgotten."""
        self._kept[key] = _copied(turns)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _key(self, history: History, messages: Sequence[Message]) -> bytes:
        return fingerprint(self.board.hello.model_hash, history.system, messages)


def _copied(turns: Sequence[Turn]) -> list[Turn]:
    """Copies of the turns, because a chat goes on writing to its own."""
    return [replace(turn, answer=list(turn.answer)) for turn in turns]


def _only(results: Sequence[str]) -> str:
    if len(results) > 1:
        raise ApiError(400, f"messages: {len(results)} tool results; expected one, as calls come singly.", "messages")
    return results[0]
