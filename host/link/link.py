"""The link to one board: requests and replies in the program voice of docs/protocol.md."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from tinyllm.errors import Failure
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.errors import BoardGone, LostFrame, Refused
from tinyllm.host.link.frame_port import BAUD, FramePort
from tinyllm.host.link.handshake import FLOW_CONTROL, check_flow_control, say_hello
from tinyllm.host.link.wire_log import WireLog
from tinyllm.text import one_line

HANDSHAKE_SECONDS = 6.0
REPLY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""How long to wait for a reply before a request is repeated; a board looks for input between two forward passes."""
CORRUPT_SECONDS = 0.5
"""How long to go on waiting for a reply after damaged bytes, which may have been something else."""
QUIET_SECONDS = 2.0
"""After this long without a frame in mid-answer, the board is asked whether it is still busy."""
SILENCE_SECONDS = 30.0
"""Longest wait for the next token or sign of life; the slowest boards need about a second for one."""
BYE_SECONDS = 0.5
STUCK_SECONDS = 300.0
"""Longest wait for the next token or progress of a board that says it is busy."""

LONGEST_MESSAGE = 160
"""Characters of a board's message that are shown."""

NO_HANDLER = "error: no handler"
"""The result of a call that has no handler; a board in the text voice says the same."""

Event = protocol.Progress | protocol.Token | protocol.Call | protocol.CallResult | protocol.Done
_R = TypeVar("_R", bound=protocol.Reply)


class Link(FramePort):
    """A port with a board that has said hello; `hello` is its last reply to HELLO.

    Use it as a context manager: leaving it says BYE and closes the port. Every method raises BoardGone if the board
    went away or does not answer, and Refused if it answers with an error.
    """

    def __init__(
        self,
        name: str,
        handshake_seconds: float = HANDSHAKE_SECONDS,
        silence_seconds: float = HANDSHAKE_SECONDS,
        wire: WireLog | None = None,
        baud: int = BAUD,
    ) -> None:
        """Open the port, say hello and end an answer that may be under way; `wire` gets every byte both ways.

        handshake_seconds: how long to wait for the board; silence_seconds: how long, if it says nothing at all.
        Raises UserError that names the port, what was seen and what to do.
        """
        super().__init__(name, baud, wire)
        self._unsettled = True  # An answer may be under way that nobody waits for.
        self.stop_requested = False
        self.answer_call: Callable[[str], str | None] = lambda call: NO_HANDLER
        """Returns the result of a call that the board has not carried out; None leaves it to the board's handler."""
        self.asks_first = False
        """Whether the board must ask this side before its own handler carries out a call."""
        # The result of a call, and its sequence number, until the board confirms it. It is repeated under the same
        # number, so that the board does not take it for the result of the next call.
        self._given: tuple[protocol.Request, int] | None = None
        self._call_end: int | None = None
        """The token that ends a call, known from the first one on."""
        self.asks_meanwhile = True
        """Whether a board that is quiet for long is asked if it is busy; the question costs the board instructions."""
        try:
            say_hello(self, handshake_seconds, silence_seconds)
            self._settle()
            check_flow_control(self)
            self.hello = self.update_hello()
        except BaseException:
            self._port.close()
            raise

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the board back to the text voice, if it is still there, and close the port."""
        with contextlib.suppress(Failure):
            if self._port.is_open:
                sequence = self.send(protocol.Bye())
                # Wait for the reply: a connection that closes at once may lose the request.
                deadline = time.monotonic() + BYE_SECONDS
                while time.monotonic() < deadline and self.receive(sequence)[1] is None:
                    pass
        self._port.close()

    # --- Requests -----------------------------------------------------------------------------------------------------

    def update_hello(self, meanwhile: bool = False) -> protocol.HelloReply:
        """Ask again who the board is and what it holds.

        meanwhile: ask while a call waits for its result, without ending the answer.
        """
        said = self._ask(protocol.Hello(), protocol.HelloReply, meanwhile)
        self.hello = replace(
            said,
            model=one_line(said.model),
            board=one_line(said.board),
            firmware=one_line(said.firmware),
            kernels=one_line(said.kernels),
        )
        return self.hello

    def reset(self) -> None:
        """Forget the conversation; settings stay, the random numbers restart from the seed."""
        self._ask(protocol.Reset(), protocol.Ok)

    def set(self, setting: protocol.Setting, value: int) -> None:
        """Change a setting; `value` as on the wire (a real number as Q16.16)."""
        self._ask(protocol.Set(setting, value), protocol.Ok)

    def get(self) -> dict[protocol.Setting, int]:
        """All settings of protocol.Setting, values as on the wire."""
        known = {int(setting) for setting in protocol.Setting}
        entries = self._ask(protocol.Get(), protocol.Settings).entries
        settings = {protocol.Setting(setting): value for setting, value in entries if setting in known}
        if len(settings) != len(known):
            raise Failure(f"{self.name}: the board has {len(settings)} of {len(known)} settings. Flash it again.")
        return settings

    def logits(self, first: int = 0, count: int | None = None) -> list[int]:
        """Logits of the last prefilled position, Q16.16 int32, of `count` tokens from `first` on (default: all)."""
        end = self.hello.vocab_size if count is None else first + count
        values: list[int] = []
        while (start := first + len(values)) < end:
            wanted = min(protocol.MAX_LOGITS, end - start)
            reply = self._ask(protocol.Logits(start, wanted), protocol.LogitsReply)
            if reply.first != start or len(reply.values) != wanted:
                raise Failure(f"{self.name}: asked for {wanted} logits from {start}, got {len(reply.values)}.")
            values += reply.values
        return values

    def memory(self) -> dict[str, int]:
        """Bytes of each part of the board's memory map."""
        return {one_line(name): size for name, size in self._ask(protocol.Memory(), protocol.MemoryReply).entries}

    def stop(self) -> None:
        """Stop the answer under way; safe in a signal handler. `prompt` then ends with DONE cancelled."""
        self.stop_requested = True

    def prompt(self, content: str | Sequence[int], max_tokens: int, chat: bool = False) -> Generator[Event, None, None]:
        """Append to the conversation and yield progress, tokens and, last, Done.

        content: text, encoded on the board, or token ids, taken as they are.
        max_tokens: 0 prefills only, protocol.UNTIL_STOP sets no limit. chat: the text is a turn of a chat, for the
        board's chat template. `answer_call` gets each call that the board has no handler for; with `asks_first`, all.
        Raises LostFrame if token indices, count or digest show a gap. A caller that leaves early cancels the answer.
        """
        words = content if isinstance(content, str) else tuple(content)
        message = protocol.Prompt(max_tokens, words, chat, self.asks_first)
        text_max, ids_max = self.hello.text_max, max(self.hello.text_max, 4 * self.hello.context)
        if len(message.body()) > protocol.PROMPT_HEADER + (text_max if isinstance(content, str) else ids_max):
            raise Refused(self._too_long(), protocol.ErrorCode.TOO_LONG)
        self._settle()
        self.stop_requested = False
        self._given = None
        sequence = self.send(message)
        self._unsettled = True
        tokens: list[int] = []
        called: protocol.Call | None = None  # The call whose result has not come yet.
        ended = False  # The last token ended a call, so Call comes next.
        try:
            for reply in self._replies(sequence):
                if reply == called:
                    continue  # The board repeats the call that it waits for.
                self._check_call(called, ended, reply)
                ended = ended and isinstance(reply, protocol.Progress)
                if isinstance(reply, protocol.Token):
                    if reply.index != len(tokens):
                        raise LostFrame(
                            f"{self.name}: token {len(tokens)} of the answer never arrived (token {reply.index} came)."
                            f"{self._damage()}"
                        )
                    if reply.index >= max_tokens:
                        raise Failure(f"{self.name}: {max_tokens} tokens were asked for and more came. Flash it again.")
                    tokens.append(reply.token)
                    ended = reply.token == self._call_end
                elif isinstance(reply, protocol.Done):
                    self._unsettled = False
                    self._check_answer(reply, tokens)
                elif isinstance(reply, protocol.Error):
                    self._unsettled = False
                    raise self._refusal(reply)
                elif isinstance(reply, protocol.CallResult):
                    self._given = called = None
                elif isinstance(reply, protocol.Call):
                    called = reply
                    self._call_end = tokens[-1] if tokens else None
                elif not isinstance(reply, protocol.Progress):
                    raise self._unexpected(reply, message)
                yield reply
                if isinstance(reply, protocol.Call) and reply.answered != protocol.Handler.CARRIED_OUT:
                    result = self._result_of(reply)
                    self._given = result, self.send(result)
                if isinstance(reply, protocol.Done):
                    return
        finally:
            if self._unsettled:
                with contextlib.suppress(BoardGone):
                    self.send(protocol.Cancel())

    def _replies(self, sequence: int) -> Iterator[protocol.Reply]:
        """The replies to a PROMPT while the board is busy with it; sends CANCEL if `stop` was called.

        A quiet board is asked for zero logits. ERROR busy means that the answer is under way; any other error means
        that it is over or never began. Replies keep their order, so the prompt or the end of the answer was lost.
        """
        advanced = heard = time.monotonic()
        asked = cancelled = 0.0
        question, damaged = sequence, self.damaged_frames
        patience = SILENCE_SECONDS if self.asks_meanwhile else STUCK_SECONDS
        while True:
            now = time.monotonic()
            if now - heard > patience:
                raise BoardGone(f"{self.name}: the board fell silent in mid-answer. Reset it or plug it in again.")
            if now - advanced > STUCK_SECONDS:
                raise BoardGone(f"{self.name}: the board says that it is busy and gets nowhere. Reset it.")
            if self.stop_requested and now - cancelled > QUIET_SECONDS:
                self.send(protocol.Cancel())
                cancelled = now
            # The damaged frame may have been the prompt or the end of the answer.
            quiet = CORRUPT_SECONDS if self.damaged_frames > damaged else QUIET_SECONDS
            if self.asks_meanwhile and now - max(heard, asked) > quiet:
                if self._given is not None:
                    result, number = self._given
                    self.send(result, sequence=number)
                question = self.send(protocol.Logits(0, 0))
                asked, damaged = now, self.damaged_frames
            number, reply = self.receive(sequence, question)
            if reply is None:
                continue
            if isinstance(reply, protocol.Error) and reply.code == protocol.ErrorCode.CORRUPT:
                self.damaged_frames += 1
                continue
            heard, damaged = time.monotonic(), self.damaged_frames
            if number == sequence:
                yield reply
                # The caller may have been slow to take the replies.
                advanced = heard = time.monotonic()
            elif not isinstance(reply, protocol.Error):
                raise self._unexpected(reply, protocol.Logits(0, 0))
            elif reply.code != protocol.ErrorCode.BUSY:
                raise LostFrame(
                    f"{self.name}: the prompt or the end of its answer was lost on the way.{self._damage()}"
                )

    def _result_of(self, call: protocol.Call) -> protocol.Request:
        """The request that answers a call: its result, or the order to carry it out."""
        result = self.answer_call(call.text)
        if result is None and call.answered == protocol.Handler.ASKED_FIRST:
            return protocol.CarryOut()
        return protocol.GiveResult(NO_HANDLER if result is None else result)

    def _settle(self) -> None:
        """End an answer that nobody waits for, even if a request to cancel it was lost."""
        if self._unsettled:
            self._ask(protocol.Cancel(), protocol.Ok)
            self._unsettled = False

    def _check_call(self, called: protocol.Call | None, ended: bool, reply: protocol.Reply) -> None:
        """Raise LostFrame if `reply` shows that a call or the result of one was lost.

        called: the call that has no result yet. ended: whether the token before ends a call.
        """
        cancelled = isinstance(reply, protocol.Done) and reply.reason == protocol.Reason.CANCELLED
        goes_on = isinstance(reply, protocol.Token | protocol.Done) and not cancelled
        lost_result = called is not None and (goes_on or isinstance(reply, protocol.Call))
        lost_call = called is None and (isinstance(reply, protocol.CallResult) or (ended and goes_on))
        if lost_result or lost_call:
            raise LostFrame(f"{self.name}: a call of the answer, or its result, never arrived.{self._damage()}")

    def _check_answer(self, done: protocol.Done, tokens: list[int]) -> None:
        if done.tokens != len(tokens) or done.digest != protocol.token_digest(tokens):
            raise LostFrame(
                f"{self.name}: the board sent {done.tokens} tokens (digest {done.digest:08x}), {len(tokens)} arrived "
                f"(digest {protocol.token_digest(tokens):08x}).{self._damage()}"
            )

    # --- Frames -------------------------------------------------------------------------------------------------------

    def _ask(self, request: protocol.Request, expected: type[_R], meanwhile: bool = False) -> _R:
        """Send a request that may safely be repeated, and wait for its reply.

        meanwhile: the board serves this request during an answer, so do not end the answer first.
        """
        if not meanwhile and not isinstance(request, protocol.Cancel):
            self._settle()
        sent: list[int] = []
        for patience in REPLY_SECONDS:
            sent.append(self.send(request))
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                _, reply = self.receive(*sent)
                if isinstance(reply, expected):
                    return reply
                if isinstance(reply, protocol.Error) and reply.code == protocol.ErrorCode.CORRUPT:
                    deadline = min(deadline, time.monotonic() + CORRUPT_SECONDS)
                elif isinstance(reply, protocol.Error):
                    raise self._refusal(reply)
                elif isinstance(reply, Event):
                    # From an answer to an earlier program, whose PROMPT had this number by chance.
                    self.late_replies += 1
                elif reply is not None:
                    raise self._unexpected(reply, request)
        raise BoardGone(
            f"{self.name}: no answer to {type(request).__name__} after {len(sent)} attempts.{self._damage()} "
            "Reset the board or plug it in again."
        )

    def _damage(self) -> str:
        """The damage on the line so far, and the advice for it."""
        if 2 * self.without_flow_control > self.damaged_frames:
            return f" {FLOW_CONTROL}"
        damaged = f" {self.damaged_frames} damaged frames were received." if self.damaged_frames else ""
        return f"{damaged} Check the cable or lower the baud rate."

    def _unexpected(self, reply: protocol.Reply, request: protocol.Request) -> Failure:
        return Failure(f"{self.name}: {type(reply).__name__} came as the answer to {type(request).__name__}.")

    def _refusal(self, error: protocol.Error) -> Refused:
        try:
            name = protocol.ErrorCode(error.code).name.lower()
        except ValueError:
            name = f"error {error.code}"
        if error.code == protocol.ErrorCode.TOO_LONG:
            return Refused(self._too_long(), error.code)
        return Refused(
            f"{self.name}: the board refused ({name}): {one_line(error.message, LONGEST_MESSAGE)}", error.code
        )

    def _too_long(self) -> str:
        return (
            f"the prompt is too long: this board takes {self.hello.context} tokens and {self.hello.text_max} bytes at "
            "most, with overflow stop only what is left of the context. Shorten it, or build with a larger --context."
        )
