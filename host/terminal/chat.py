"""A chat: turns with a board, slash commands, and recovery after the board was lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS, SettingRange
from tinyllm.errors import Failure, TinyllmError, UserError
from tinyllm.host.api.answer_stream import AnswerStream
from tinyllm.host.api.board import Board
from tinyllm.host.api.chat import BoardChat
from tinyllm.host.chat.conversation import ReplayDiffers, Turn
from tinyllm.host.link.answer import Answer, format_rate, summary
from tinyllm.host.link.errors import BoardGone, LostFrame, Refused
from tinyllm.host.link.kernels import kernels_warning
from tinyllm.host.link.messages import Reason
from tinyllm.host.standard_streams import OutputLost
from tinyllm.host.terminal.screen import MORE, Screen
from tinyllm.text import printable

COMMANDS = {
    "/help": "list the commands",
    "/reset": "forget the conversation, restart the random numbers from the seed",
    **{f"/{setting.command}": setting.meaning for setting in SETTINGS.values()},
    "/overflow": "slide or stop: what happens when the context is full",
    "/stats": "settings, context, the last answer's counts and times, memory",
    "/replay": "reset the board and give it its memory of this conversation back",
    "/save": "write the conversation to a file: NAME.json for /load, another name for people",
    "/load": "take up the conversation of a file that /save wrote as JSON",
    "/quit": "leave (so does Ctrl-D)",
}


ENDINGS: dict[int, str] = {
    Reason.CANCELLED: "(stopped)",
    Reason.CONTEXT: "(the context is full: /overflow slide forgets the oldest tokens, /reset forgets all)",
}


RECOVERIES = 5
"""How many times in a row a board may be lost while its conversation is replayed."""

QUOTES = '"""'
"""Begins and ends a text of several lines."""


class Quit(Exception):
    """The user wants to leave."""


class Chat:
    """One conversation on one board, until the user leaves."""

    def __init__(self, board: Board, chat: BoardChat, screen: Screen) -> None:
        self.board, self.chat, self.screen = board, chat, screen
        self.last: Answer | None = None
        self.context_used = 0

    def run(self) -> None:
        """Read and answer until the end of input or /quit. Raises Failure if a lost board is given up."""
        self._greet()
        while True:
            try:
                line = self.screen.read(self.status)
                text = self._read_quoted(line) if line.startswith(QUOTES) else None
            except EOFError:
                return
            except KeyboardInterrupt:
                self.screen.note("Ctrl-D or /quit leaves.")
                continue
            try:
                if text is not None:
                    self._handle(self._ask, text)
                elif line.startswith("/"):
                    self._handle(self._command, *line.split(maxsplit=1))
                else:
                    self._handle(self._ask, line)
            except Quit:
                return

    def status(self) -> str:
        """The status line."""
        hello = self.board.hello
        speed = self.last.tokens_per_second if self.last else None
        rated = f" · {format_rate(speed)} tokens/s" if speed else ""
        return f"{hello.model}@{hello.board} · context {self.context_used}/{hello.context}{rated}"

    def _greet(self) -> None:
        hello = self.board.hello
        if hello.conversation_digest:
            self.screen.note("The board held an earlier conversation; a new one begins.")
        self.screen.note(f"{hello.model} on {hello.board}, context {hello.context} tokens. /help lists the commands.")
        if self.chat.template:
            self.screen.note(f"The model's chat template is used, on the {self.chat.template}; --raw leaves it out.")
        else:
            self.screen.note("No chat template is used: the model continues your text. Type a beginning.")

    def _read_quoted(self, line: str) -> str | None:
        """A text of several lines between triple quotes; "" if the input ends before the closing ones."""
        lines = [line.removeprefix(QUOTES)]
        try:
            while not lines[-1].rstrip().endswith(QUOTES):
                lines.append(self.screen.read(self.status, MORE))
        except EOFError:
            self.screen.note(f"The closing {QUOTES} is missing; this text was not sent.")
            return ""
        lines[-1] = lines[-1].rstrip().removesuffix(QUOTES)
        return "\n".join(lines).strip("\n")

    def _handle(self, do: Callable[..., None], *arguments: str) -> None:
        """Do what a line asks for. Errors are shown, and the chat goes on if it can."""
        try:
            do(*arguments)
        except (BoardGone, LostFrame) as lost:
            self._recover(lost)
        except OutputLost:
            raise
        except TinyllmError as error:
            self.screen.note(str(error))
        except KeyboardInterrupt:
            if self.chat.interrupted is not None:
                raise  # The board does not stop its answer.
            self.screen.note("Interrupted.")

    def _ask(self, text: str) -> None:
        """Send a prompt and show its answer. An empty prompt is ignored."""
        if text.strip():
            self._show(lambda: self.chat.ask(text, progress=self._reading))

    def _show(self, send: Callable[[], AnswerStream | None]) -> None:
        """Call `send`, which sends the prompt, and show the answer as it comes. Ctrl-C ends the answer."""
        with self.board.stopping():
            stream = send()
            if stream is None:
                return
            for piece in stream:
                self.screen.write(piece)
        self.last = answer = stream.read()
        self.context_used = answer.context_used
        self.screen.end_answer()
        if answer.done.reason in ENDINGS:
            self.screen.note(ENDINGS[answer.done.reason])

    def _reading(self, done: int, total: int) -> None:
        self.screen.working(f"reading the prompt, {done} of {total} tokens")

    # --- Commands -----------------------------------------------------------------------------------------------------

    def _command(self, name: str, argument: str = "") -> None:
        argument = argument.strip()
        setting = next((row for row in SETTINGS.values() if name == f"/{row.command}"), None)
        if setting is not None:
            if argument:
                self.board.settings[setting.name] = setting.parse(argument)
            self.screen.note(self._setting(setting))
        elif name == "/help":
            self.screen.table(list(COMMANDS.items()))
        elif name == "/reset":
            self._start_anew()
            self.screen.note("The conversation is forgotten.")
        elif name == "/stats":
            self.screen.note("\n".join(self._stats()))
        elif name == "/replay":
            self._replay()
        elif name == "/save":
            if not argument:
                raise UserError("/save: name the file, as in /save talk.txt.")
            self.screen.note(f"Saved to {self.chat.save(argument)}.")
        elif name == "/load":
            if not argument:
                raise UserError("/load: name the file, as in /load talk.json.")
            self._load(argument)
        elif name in ("/quit", "/exit"):
            raise Quit
        else:
            raise UserError(f"{name}: no such command. /help lists them; a prompt does not start with a slash.")

    def _setting(self, setting: SettingRange) -> str:
        return f"{setting.name} {setting.shown(self.board.settings.wire[setting.setting])}"

    def _load(self, name: str) -> None:
        """Take up a saved conversation with its settings. If the file cannot be loaded, the present one stays."""
        self.chat.load(name)
        self.last = None
        turns = self.chat.turns
        self.screen.note(f"{name}: {count_turns(turns)}" + (", the last of them:" if turns else "."))
        if turns:
            self.screen.note(printable(f"> {turns[-1].prompt}\n{turns[-1].text}"))
        self._replay()

    def _stats(self) -> Iterator[str]:
        link = self.board.link
        hello = link.update_hello()
        self.context_used = hello.context_used
        yield f"{hello.model} ({hello.model_hash}) on {hello.board}, build {hello.build_id}, firmware {hello.firmware}"
        warning = kernels_warning(hello)
        yield f"kernels {hello.kernels}" if warning is None else f"warning: {warning}"
        yield ", ".join(map(self._setting, SETTINGS.values()))
        yield f"context {hello.context_used}/{hello.context} tokens, {count_turns(self.chat.turns)}"
        if self.last:
            yield f"last answer: {summary(self.last.done, self.board.clock)}"
        damaged = link.damaged_frames + hello.corrupt_frames
        yield f"damaged frames: {damaged}"
        yield "memory: " + ", ".join(f"{name} {size:,}" for name, size in link.memory().items())

    # --- A board that was lost ----------------------------------------------------------------------------------------

    def _recover(self, lost: BoardGone | LostFrame) -> None:
        """Restore the board's conversation, and try again if the board is lost meanwhile.

        Raises Failure if it is lost RECOVERIES times in a row without a new token in between.
        """
        left, arrived = RECOVERIES, self._arrived()
        while left:
            try:
                self.screen.end_answer()
                if isinstance(lost, BoardGone):
                    self._reconnect(lost)
                    self._restore("The board is back, but its memory of the conversation is gone.")
                else:
                    self.screen.note(str(lost))
                    self._restore("The board's memory is ahead of what arrived here.")
                return
            except (BoardGone, LostFrame) as again:
                lost = again
                left = left - 1 if self._arrived() == arrived else RECOVERIES
                arrived = self._arrived()
        raise Failure(f"{lost} The board was lost {RECOVERIES} times in a row; the chat ends.")

    def _arrived(self) -> int:
        """Tokens of all answers so far."""
        return sum(len(turn.answer) for turn in self.chat.turns)

    def _reconnect(self, gone: BoardGone) -> None:
        """Wait for the board, and restore its settings. Raises Failure if the user gives up."""
        self.screen.note(f"{str(gone).removesuffix('.')}{self.board.connection.why_lost()}.")
        self.screen.note("Waiting for it to come back; Ctrl-C gives up.")
        try:
            self.board.reconnect(patience=math.inf, keep=True)
        except KeyboardInterrupt:
            raise Failure("the board did not come back.") from None

    def _restore(self, what_is_wrong: str) -> None:
        """Make the board hold our conversation again.

        If it still does, go on. Otherwise replay the conversation, or begin a new one if the user declines.
        """
        held = self.chat.held()
        if self.board.hello.model_hash != self.chat.model_hash:
            self.screen.note(f"The board now runs {self.board.hello.model}, another model; a new conversation begins.")
            self._start_anew()
        elif held:
            self.screen.note("The board is back and still holds the conversation.")
            self._show(self._resume)
        else:
            self.screen.note(what_is_wrong)
            if self.screen.confirm(f"Replay it ({count_turns(self.chat.turns)})?"):
                self._replay()
            else:
                self._start_anew()
                self.screen.note("A new conversation begins.")

    def _replay(self) -> None:
        try:
            exact = self.chat.replay(lambda done, total: self.screen.working(f"replaying, {done} of {total} turns"))
        except (Refused, ReplayDiffers) as error:
            self.screen.note(f"{error}\nA new conversation begins.")
            self._start_anew()
            return
        except KeyboardInterrupt:
            self.screen.note("The replay was stopped. A new conversation begins.")
            self._start_anew()
            return
        hello = self.board.link.update_hello()
        self.context_used = hello.context_used
        turn = self.chat.interrupted
        if len(self.chat.turns) > (turn is not None):
            proof = f"digest {hello.conversation_digest:08x}" if exact else "a prompt that was stopped is now whole"
            self.screen.note(f"Replayed: the board holds {hello.context_used} tokens again ({proof}).")
        if turn is not None:
            self.screen.note("Going on with the answer that was cut short:")
            self.screen.write(turn.text)
            self._show(self._resume)

    def _resume(self) -> AnswerStream | None:
        return self.chat.resume(self._reading)

    def _start_anew(self) -> None:
        self.chat.reset()
        self.last, self.context_used = None, 0


def count_turns(turns: Sequence[Turn]) -> str:
    return f"{len(turns)} turn" + ("s" if len(turns) != 1 else "")
