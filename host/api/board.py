"""A board to talk to: a process of this computer, a virtual board in an emulator, or hardware on a port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinyllm.boards.description import HOST
from tinyllm.errors import UserError
from tinyllm.host.api.answer_stream import AnswerStream, Events, PromptProgress
from tinyllm.host.api.chat import BoardChat
from tinyllm.host.api.log import LogOutput
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.api.settings import BoardSettings, Sampling
from tinyllm.host.chat.turn_writer import turn_writer_for
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.answer import Answer, stopping
from tinyllm.host.link.frame_port import BAUD
from tinyllm.host.link.kernels import kernels_warning
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import HelloReply
from tinyllm.host.link.port_names import AUTO
from tinyllm.host.link.serial_port import open_port
from tinyllm.host.link.text_voice import Terminal
from tinyllm.host.link.wire_log import WireLog
from tinyllm.host.model.load import AS_STORED, LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.prove.benchmark import Bench, Benchmark
from tinyllm.host.prove.expected_answers import Answers, Expected, check_model, expected_of
from tinyllm.host.prove.prove import COUNT, Comparison, prove
from tinyllm.host.tools.registry import TOOLS

if TYPE_CHECKING:
    from typing_extensions import Unpack

RECOVERY_SECONDS = 20.0
"""How long a board may take to answer after it restarted or its port was closed."""

ModelName = str | Path | LanguageModel


class Board:
    """An open connection to a board. Use it as a context manager, or call `close`.

        with Board.host() as board:
            for piece in board.ask("Once upon a time", max_tokens=40, temperature=0):
                print(piece, end="")

    `answer` is the last whole answer: None before the first one, and while one streams. `settings` is a mapping of the
    board's settings. `link` is the connection, `wire` its last bytes, `request` the BoardRequest.

    Methods that talk to the board raise BoardGone if it went away or does not answer, and Refused if it answers with an
    error. A board does one thing at a time: any request ends an answer that still streams.
    """

    def __init__(self, request: BoardRequest, output: Output | None = None) -> None:
        """Build, start and connect what `request` names; the class methods below do this for the usual cases.

        output: takes progress lines, and a warning if the board's kernels failed their check; by default the logger
        "tinyllm". Errors as `attach` and Link.
        """
        self.request = request
        self.wire = WireLog()
        self.answer: Answer | None = None
        self._stream: AnswerStream | None = None
        self._output = output or LogOutput()
        self._warned: str | None = None
        with ExitStack() as opened:
            self.connection: Connection = opened.enter_context(attach(request, self._output))
            self.link: Link = self.connection.open(self.wire)
            opened.callback(lambda: self.link.close())
            check_model(request, self.connection, self.link)
            self.link.answer_call = TOOLS.answer
            self.settings = BoardSettings(self.link)
            self._opened = opened.pop_all()
        self._warn()

    @classmethod
    def open(cls, port: str = AUTO, model: ModelName | None = None, board: str = HOST) -> Board:
        """Connect to a board on a port that already runs its program, as after `tinyllm flash`.

        port: "/dev/ttyACM0", "COM3", "socket://host:port", or "auto": the port that shows a known board's USB numbers.
        model: the checkpoint that it runs; `chat` with a system message needs it, and `expected` unless it is a bundled
        one. board: the kind of board, if several are plugged in.
        Raises UserError if there is no such port, no tinyllm answers, or the board runs another model than `model`.
        """
        return cls(_request(model, None, board, port=port))

    @classmethod
    def host(cls, model: ModelName | None = None, context: int | None = None) -> Board:
        """Build the firmware for `model` and run it as a process of this computer. It ends with the connection.

        model: a bundled or pulled model's name, a path, or a loaded model; by default the first bundled model.
        context: tokens that the model sees; by default its own, at most 512.
        Raises UserError for a wrong model or a missing compiler, Failure if the C does not compile.
        """
        return cls(_request(model, context, HOST))

    @classmethod
    def virtual(
        cls, board: str, model: ModelName | None = None, context: int | None = None, count: bool = False
    ) -> Board:
        """Start the virtual twin of a board: the chip's program in an emulator on this computer.

        board: "pico", "pico2", "esp32c3", ...; `tinyllm boards` lists them. count: its clock counts instructions, so an
        answer's microseconds are instructions. model, context and errors as `host`; UserError also if the emulator is
        missing.
        """
        return cls(replace(_request(model, context, board, virtual=True), count=count))

    def close(self) -> None:
        """Give the board back to the text voice and close the port. A board of this computer ends."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave_answer()
        self._opened.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<Board {self.name} at {self.link.name}, {self.hello.model}>"

    @property
    def name(self) -> str:
        """The board's name, with the emulator's if it is not the usual one."""
        return f"{self.hello.board} in {self.request.emulator}" if self.request.emulator else self.hello.board

    @property
    def hello(self) -> HelloReply:
        """The board's last reply to HELLO: model, context, vocab_size, board, firmware, ..."""
        return self.link.hello

    @property
    def warning(self) -> str | None:
        """One line if the board's kernels failed their check at its start; None if all is well."""
        return kernels_warning(self.hello)

    def _warn(self) -> None:
        """Show a new warning once. Called after every connect: another board may answer than before."""
        if self.warning is not None and self.warning != self._warned:
            self._output.warning(self.warning)
        self._warned = self.warning

    @property
    def clock(self) -> str:
        """The clock that measures an answer's times: "the board's own clock", "counted instructions", ..."""
        return self.connection.clock

    # --- Talking ------------------------------------------------------------------------------------------------------

    def ask(
        self,
        text: str | Sequence[int],
        max_tokens: int | None = None,
        progress: PromptProgress | None = None,
        **settings: Unpack[Sampling],
    ) -> AnswerStream:
        """Append `text` to the conversation on the board, as it is, and stream the model's answer.

        text: a string, which the board encodes, or token ids, which it takes as they are; () continues the last answer.
        max_tokens: limit of the answer; 0 lets it go on until the model stops; by default the board's setting.
        progress: called with the number of prompt tokens that the board has read, and the number of all.
        settings: temperature, top_k, top_p, min_p, repetition_penalty, seed, for this answer alone.

        Iterate over the result for pieces of text, or call its `read()` for the whole Answer, which `answer` keeps.
        Raises UnknownSetting for a wrong name, UserError for a value out of range, Refused if the prompt is too long.
        """
        limit = self.settings.limit(max_tokens)
        return self.stream(lambda: self.link.prompt(text, limit), progress, **settings)

    def chat(self, system: str | None = None, raw: bool = False) -> BoardChat:
        """Begin a new conversation in which each turn goes through the model's chat template.

        system: the system message, which the template puts first. raw: send text without the template.
        Raises UserError for a system message that no template can take.
        """
        turns = turn_writer_for(self.request, self.connection, self.hello, raw, system)
        self.reset()
        return BoardChat(self, turns)

    def reset(self) -> None:
        """Begin a new conversation. The settings stay; the random numbers start again from the seed."""
        self.leave_answer()
        self.settings.apply({})
        self.link.reset()

    def logits(self, text: str | Sequence[int] | None = None) -> NDArray[np.int32]:
        """Logits of the next token, int32 (vocab_size,) in Q16.16: divide by 65536 for real numbers.

        text: a string or token ids, appended to the conversation first, without an answer.
        Raises Refused if the board has read nothing since the last answer.
        """
        self.leave_answer()
        if text is not None:
            for _ in self.link.prompt(text, 0):
                pass
        return np.array(self.link.logits(), np.int32)

    def stream(
        self,
        events: Callable[[], Events],
        progress: PromptProgress | None = None,
        **settings: Unpack[Sampling],
    ) -> AnswerStream:
        """Stream one answer, for `ask` and BoardChat. events: sends the prompt and yields the board's messages."""
        self.leave_answer()
        self.settings.apply(settings)
        self.answer = None
        counted = self.connection.process is not None and self.connection.process.counts is not None
        self._stream = AnswerStream(self.link, events(), self._finish, progress, counted)
        return self._stream

    def _finish(self, answer: Answer) -> None:
        self.answer = answer

    def leave_answer(self) -> None:
        """End the answer that still streams, if there is one. Every request to the board does this first."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def stopping(self) -> AbstractContextManager[None]:
        """A context in which Ctrl-C stops the streaming answer, as its `stop` does, instead of the program.

        If the board does not end it within STOP_SECONDS, another Ctrl-C raises KeyboardInterrupt. Main thread only.
        """
        return stopping(self.link)

    # --- Against the reference ----------------------------------------------------------------------------------------

    @cached_property
    def expected(self) -> Expected:
        """The reference for the board's model. UserError if that is neither the named model nor a bundled one."""
        return expected_of(self.link, self.request.model, self.request.options)

    def expect(self, *prompts: str, max_tokens: int = 64) -> Answers:
        """The reference's answers, as token ids, to the prompts of one conversation, with the board's settings."""
        return self.expected.answers(prompts, max_tokens, self.settings.sampler, self.settings.seed)

    def verify(
        self,
        temperatures: Sequence[float] = (0.0, 0.8),
        seed: int = 1,
        count: int = COUNT,
        progress: Callable[[str], None] = lambda step: None,
        each: Callable[[Comparison], None] = lambda comparison: None,
    ) -> list[Comparison]:
        """Compare the board with the reference, bit by bit: `count` tokens at each temperature, and logits.

        progress takes one short line per step, `each` every comparison as soon as it is made. A comparison's
        `bit_exact` says whether everything agrees, its `difference` what does not. Begins a new conversation
        afterwards. Errors as `expected`.
        """
        self.leave_answer()
        self.settings.doubt(self.link)
        comparisons = []
        for comparison in prove(self.link, self.expected, temperatures, seed, count, progress):
            each(comparison)
            comparisons.append(comparison)
        self.reset()
        return comparisons

    def bench(
        self,
        tokens: int = COUNT,
        positions: Sequence[int] = (),
        prefill: int = 0,
        step: Callable[[str], None] = lambda step: None,
    ) -> Benchmark:
        """The cost of a token: microseconds, or instructions if a virtual board counts them.

        positions: measure one token at each of these. prefill: measure a prompt of so many tokens. step takes one short
        line per step.

        Samples greedily in a conversation of its own, and begins a new one afterwards. Counted figures are the same in
        every run. Errors as `ask`, and Failure if a time does not fit into the board's reply.
        """
        self.leave_answer()
        self.settings.doubt(self.link)
        measured = Bench(self.connection, self.link, step).run(tokens, positions, prefill)
        self.reset()
        return measured

    # --- The board itself ---------------------------------------------------------------------------------------------

    @property
    def can_restart(self) -> bool:
        """Whether the board is a process of this computer."""
        return self.connection.process is not None

    def cut_power(self) -> None:
        """End the board's process at once, as a power cut. UserError for a board on a port."""
        if self.connection.process is None:
            raise UserError(f"{self.link.name}: only the host board and virtual boards can be switched off from here.")
        self.connection.process.kill()

    def restart(self) -> None:
        """Cut the power, start again, connect. Keeps settings, not the conversation. Errors as cut_power and Link."""
        self.cut_power()
        self.reconnect()

    def reconnect(self, patience: float = RECOVERY_SECONDS, keep: bool = False) -> None:
        """Close the connection, open it again and begin a new conversation. A process that ended is started again.

        patience: seconds to wait for the board. keep: keep the conversation, if the board still holds it.
        Raises the last error if the board does not answer in time.
        """
        self.leave_answer()
        self.link.close()
        self.link = self.connection.reopen(self.wire, patience)
        self.link.answer_call = TOOLS.answer
        self._warn()
        self.settings.doubt(self.link)
        if keep:
            self.settings.apply({})
        else:
            self.reset()

    @contextmanager
    def typing(self) -> Iterator[Terminal]:
        """Use the board's text voice, as at a serial monitor; then return to the program voice, same conversation."""
        self.leave_answer()
        name = self.link.name
        self.link.close()
        with open_port(name, BAUD) as port:
            yield Terminal(name, port)
        self.link = self.connection.reopen(self.wire, RECOVERY_SECONDS)
        self.link.answer_call = TOOLS.answer
        self.settings.doubt(self.link)


def _request(
    model: ModelName | None, context: int | None, board: str, port: str | None = None, virtual: bool = False
) -> BoardRequest:
    options: LoadOptions = model.options if isinstance(model, LanguageModel) else AS_STORED
    if context is not None or port is not None:
        # A board on a port has its context already, so the model's is dropped.
        options = replace(options, context=context)
    name = model.path if isinstance(model, LanguageModel) else model
    return BoardRequest(None if name is None else str(name), options, board, port, virtual)
