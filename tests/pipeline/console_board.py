"""The emitted program as a board, and the two who talk to it: a program and a person."""

from __future__ import annotations

import itertools
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.pipeline.c_library import compile_and_link
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import Sampler, SamplerSettings
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece, encode
from tinyllm.host.build.build import build as build_project
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import FrameReader, Stray, encode_frame
from tinyllm.host.model.load import load_model

SECONDS = 20.0
"""Longest wait for anything: never reached by a program that works."""

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
GREEDY = SamplerSettings(temperature=0)

# Sequence numbers start apart, so that a program does not take late replies to another for its own.
_first_sequences = itertools.cycle(range(0, 255, 50))
_folder = tempfile.TemporaryDirectory(prefix="tinyllm-console-")
_R = TypeVar("_R", bound=protocol.Reply)


@dataclass(frozen=True, eq=False)
class Built:
    """A compiled program and its sources. `text_max`: the most bytes of a prompt that it takes."""

    program: Path
    model: IntegerModel
    tokenizer: Tokenizer
    files: dict[str, str]

    @property
    def text_max(self) -> int:
        return int(self.files["src/model.h"].split("#define TL_TEXT_MAX ")[1].split("u\n")[0])

    def text(self, tokens: Sequence[int]) -> str:
        """The text of an answer's tokens."""
        return b"".join(decode_piece(self.tokenizer, token) for token in tokens).decode()

    def answers(
        self, prompts: Sequence[str], max_tokens: int, settings: SamplerSettings = GREEDY, seed: int = 1
    ) -> list[list[int]]:
        """What the reference and the Python sampler answer to the prompts of one conversation."""
        return [list(answer) for answer in _answers(self, tuple(prompts), max_tokens, settings, seed)]


@lru_cache
def _answers(
    built: Built, prompts: tuple[str, ...], max_tokens: int, settings: SamplerSettings, seed: int
) -> list[list[int]]:
    reference, sampler = Reference(built.model), Sampler(settings, seed)
    conversation: list[int] = []
    answers = []
    for prompt in prompts:
        unread = conversation[-1:] + encode(built.tokenizer, prompt, bos=not conversation)
        conversation = conversation[:-1]
        answer: list[int] = []
        while not answer or (len(answer) < max_tokens and answer[-1] not in built.tokenizer.stop_ids):
            logits = reference.forward(unread)[-1]
            conversation += unread
            in_context = {reference.place(position): token for position, token in enumerate(conversation)}
            unread = [sampler.sample(logits, in_context.values())]
            answer += unread
        conversation += unread
        answers.append(answer)
    return answers


@lru_cache
def build(context: int = 256, flags: tuple[str, ...] = ()) -> Built:
    """The bundled model at this context: as `tinyllm build` compiles it, or with flags of its own."""
    loaded, board = load_model(None), load_board("host")
    model, tokenizer = quantize(loaded.model, context), loaded.tokenizer
    files = emit_project(model, tokenizer, board).files
    if not flags:
        return Built(build_project(loaded, board, context).program, model, tokenizer, files)
    folder = Path(_folder.name) / f"{context}{''.join(flags)}".replace("=", "-").replace(",", "-")
    return Built(compile_program(files, folder, flags), model, tokenizer, files)


def compile_program(files: dict[str, str], folder: Path, flags: Sequence[str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sources = [name for name in files if name.endswith(".c")]
    include = [f"-Isrc/{part}" for part in ("", "engine", "kernels", "console", "port")]
    compile_and_link(["cc", *WARNINGS, *flags, *include], sources, folder, folder / "program")
    return folder / "program"


class Stream:
    """Bytes both ways over file descriptors. A board that is silent, or takes nothing, for SECONDS fails the test."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        os.set_blocking(writer, False)

    def read(self) -> bytes:
        assert select.select([self._reader], [], [], SECONDS)[0], "the board is silent"
        data = os.read(self._reader, 65536)
        assert data, "the board hung up"
        return data

    def write(self, data: bytes) -> None:
        while data:
            assert select.select([], [self._writer], [], SECONDS)[1], "the board takes nothing"
            data = data[os.write(self._writer, data) :]

    def is_quiet(self, seconds: float) -> bool:
        return not select.select([self._reader], [], [], seconds)[0]


class Board:
    """A running program that listens. Leaving the context ends it; if it ended before, the test fails.

    parent_pipe: the program ends with this process, however this one ends.
    """

    def __init__(self, program: Path, *arguments: str, parent_pipe: bool = True) -> None:
        options = [*(arguments or ("--tcp", "0")), *(["--parent-pipe"] if parent_pipe else [])]
        self.process = subprocess.Popen([program, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("tinyllm: listening on "), line
        self.port = line.split()[-1]

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        code = self.process.wait(SECONDS)
        assert self.process.stdout is not None and self.process.stdin is not None
        self.process.stdout.close()
        self.process.stdin.close()
        assert kind is not None or code == 0, f"the program ended with {code}"

    @contextmanager
    def connected(self) -> Iterator[Stream]:
        """A connection to the program's TCP port or pseudo-terminal."""
        if self.port.startswith("socket://"):
            with socket.create_connection(("127.0.0.1", int(self.port.split(":")[-1])), SECONDS) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield Stream(connection.fileno(), connection.fileno())
        else:
            fd = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
            try:
                yield Stream(fd, fd)
            finally:
                os.close(fd)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the program for a while: all bytes sent meanwhile have arrived when it goes on."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        yield
        time.sleep(0.02)
        self.process.send_signal(signal.SIGCONT)


@dataclass
class Answer:
    """All replies to one PROMPT."""

    done: protocol.Done
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    progress: list[tuple[int, int]] = field(default_factory=list)


class Refused(AssertionError):
    """The board answered with ERROR."""

    def __init__(self, error: protocol.Error) -> None:
        super().__init__(f"{protocol.ErrorCode(error.code).name}: {error.message}")
        self.code = protocol.ErrorCode(error.code)
        self.message = error.message


class Program:
    """The program's end of the conversation: sends requests, reads replies."""

    def __init__(self, stream: Stream, hello: bool = True) -> None:
        self.stream = stream
        self.sequence = next(_first_sequences)
        self.strays: list[Stray] = []
        self._reader = FrameReader()
        self._replies: list[tuple[int, protocol.Reply]] = []
        if hello:
            stream.write(protocol.ATTENTION)
            self.facts = self.ask(protocol.Hello(), protocol.HelloReply)

    def wire(self, request: protocol.Request) -> bytes:
        """The request under the next sequence number, as it goes over the wire."""
        self.sequence = self.sequence % 255 + 1
        return encode_frame(protocol.to_frame(request, self.sequence))

    def send(self, request: protocol.Request) -> int:
        self.stream.write(self.wire(request))
        return self.sequence

    def next(self) -> tuple[int, protocol.Reply]:
        """The next reply and its sequence number."""
        while not self._replies:
            for item in self._reader.feed(self.stream.read()):
                if isinstance(item, Stray):
                    self.strays.append(item)
                else:
                    self._replies.append((item.sequence, protocol.parse_reply(item)))
        return self._replies.pop(0)

    def reply(self, sequence: int) -> protocol.Reply:
        """The next reply under this number; others are passed over."""
        while True:
            number, reply = self.next()
            if number == sequence:
                return reply

    def ask(self, request: protocol.Request, expected: type[_R]) -> _R:
        reply = self.reply(self.send(request))
        if isinstance(reply, protocol.Error):
            raise Refused(reply)
        assert isinstance(reply, expected), reply
        return reply

    def hello(self) -> protocol.HelloReply:
        return self.ask(protocol.Hello(), protocol.HelloReply)

    def reset(self) -> None:
        self.ask(protocol.Reset(), protocol.Ok)

    def set(self, **settings: int) -> None:
        for name, value in settings.items():
            self.ask(protocol.Set(protocol.Setting[name.upper()], value), protocol.Ok)

    def get(self) -> dict[int, int]:
        return dict(self.ask(protocol.Get(), protocol.Settings).entries)

    def logits(self, first: int, count: int) -> tuple[int, ...]:
        return self.ask(protocol.Logits(first, count), protocol.LogitsReply).values

    def prompt(self, content: str | Sequence[int], max_tokens: int = 40) -> Answer:
        """Ask, and collect the answer, checking counts and digests on the way."""
        return self.collect(
            self.send(protocol.Prompt(max_tokens, content if isinstance(content, str) else tuple(content)))
        )

    def collect(self, sequence: int) -> Answer:
        tokens: list[int] = []
        text = ""
        progress: list[tuple[int, int]] = []
        while True:
            reply = self.reply(sequence)
            if isinstance(reply, protocol.Token):
                assert reply.index == len(tokens)
                tokens.append(reply.token)
                text += reply.text
            elif isinstance(reply, protocol.Progress):
                assert not tokens
                progress.append((reply.done, reply.total))
            elif isinstance(reply, protocol.Done):
                assert (reply.tokens, reply.digest) == (len(tokens), protocol.token_digest(tokens))
                return Answer(reply, tokens, text + reply.text, progress)
            else:
                assert isinstance(reply, protocol.Error), reply
                raise Refused(reply)


class Person:
    """The person's end: types bytes, reads text."""

    READY = b"\r\n> "

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._seen = b""

    def type(self, data: str | bytes) -> None:
        self.stream.write(data.encode() if isinstance(data, str) else data)

    def until(self, mark: bytes) -> str:
        """What the board wrote up to `mark`, which is taken too; it must be UTF-8."""
        return self.until_bytes(mark).decode()

    def until_bytes(self, mark: bytes) -> bytes:
        while mark not in self._seen:
            self._seen += self.stream.read()
        seen, self._seen = self._seen.split(mark, 1)
        return seen

    def interrupt(self) -> None:
        """Ctrl-C at an idle board: an empty line."""
        self.type(b"\x03")
        self.until(b"^C" + self.READY)

    def enter(self, line: str | bytes) -> str:
        """Type a line; what the board answers, without the line's own echo."""
        data = line.encode() if isinstance(line, str) else line
        self.type(data + b"\r")
        self.until_bytes(data + b"\r\n")
        return self.until(b"> ").removesuffix("\r\n").replace("\r\n", "\n")
