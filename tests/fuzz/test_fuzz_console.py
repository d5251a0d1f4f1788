"""Hostile bytes in both voices of a program built with the address and undefined behaviour sanitizers.

Whatever arrives, the program lives, obeys nothing that is damaged, and a good frame or line works right afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.fuzz.mutation import damaged
from tests.pipeline.console_board import SANITIZED, Board, Person, Program, build
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, decode_frame, encode_frame

ONCE = "Once upon a time"
TOKENS = 12
BYTES = 10_000

REQUESTS: tuple[protocol.Request, ...] = (
    protocol.Hello(),
    protocol.Prompt(3, ONCE),
    protocol.Prompt(3, (1, 2, 3)),
    protocol.Prompt(protocol.UNTIL_STOP, "x" * 900),
    protocol.Cancel(),
    protocol.Reset(),
    protocol.Set(protocol.Setting.TEMPERATURE, 65536),
    protocol.Set(protocol.Setting.SEED, 99),
    protocol.Get(),
    protocol.Logits(0, 60),
    protocol.Memory(),
    protocol.Bye(),
)


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    with Board(build(flags=SANITIZED).program) as board:
        yield board


@pytest.fixture
def program(board: Board) -> Iterator[Program]:
    """Knows the board's greedy answer from before the noise, with one turn of conversation behind it."""
    with board.connected() as stream:
        program = Program(stream)
        program.ask(protocol.Cancel(), protocol.Ok)
        program.set(temperature=0)
        program.reset()
        program.prompt(ONCE, TOKENS)
        yield program
        program.stream.write(b"\x00")
        program.ask(protocol.Cancel(), protocol.Ok)
        program.ask(protocol.Bye(), protocol.Ok)


def assert_untouched(program: Program, before: protocol.HelloReply, settings: dict[int, int]) -> None:
    """The conversation and the settings are what they were, and the greedy answer is still given."""
    program.stream.write(b"\x00")
    facts = program.hello()
    assert (facts.conversation_digest, facts.context_used) == (before.conversation_digest, before.context_used)
    assert program.get() == settings
    answer = program.prompt(ONCE, TOKENS)
    program.reset()
    first = program.prompt(ONCE, TOKENS)
    assert first.done.conversation_digest == before.conversation_digest
    assert program.prompt(ONCE, TOKENS).tokens == answer.tokens


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_between_frames_are_not_obeyed(program: Program, seed: int) -> None:
    before, settings = program.hello(), program.get()
    generator = random.Random(seed)
    noise = generator.randbytes(BYTES)
    if seed % 2:
        noise = bytes(byte % 8 for byte in noise)  # short frames of plausible types
    assert not any(decode_frame(segment) for segment in noise.split(b"\x00"))
    program.stream.write(noise)
    assert_untouched(program, before, settings)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_frames_are_counted_and_not_obeyed(program: Program, seed: int) -> None:
    before, settings = program.hello(), program.get()
    generator = random.Random(seed)
    corrupt = 0
    for _ in range(300):
        wire = damaged(program.wire(generator.choice(REQUESTS)), generator)
        segments = wire.split(b"\x00")
        if not any(decode_frame(segment) for segment in segments):  # 1 in 65536 passes the check; damage may cancel out
            program.stream.write(wire)
            corrupt += sum(len(segment) > 1 for segment in segments)
    assert_untouched(program, before, settings)
    assert program.hello().corrupt_frames - before.corrupt_frames == corrupt


@pytest.mark.parametrize("seed", range(4))
def test_noise_between_good_frames_loses_none_of_them(program: Program, seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(40):
        noise = generator.randbytes(generator.randrange(250)) + b"\x00"
        if not any(decode_frame(segment) for segment in noise.split(b"\x00")):
            program.stream.write(noise)
        settings = program.get()
        assert settings[protocol.Setting.TEMPERATURE] == 0


@pytest.mark.parametrize("seed", range(4))
def test_sound_frames_of_any_content_never_crash(board: Board, seed: int) -> None:
    generator = random.Random(seed)
    with board.connected() as stream:
        program = Program(stream)
        for _ in range(250):
            size = generator.choice((0, 1, 2, 4, 5, 6, 9, 13, 40, 700, 1500))
            body = bytearray(generator.choices((0, 1, 2, 255, 65, 200), k=size))
            if size >= 5 and generator.random() < 0.7:
                body[1:4] = bytes(3)
            kind = generator.choice((1, 2, 3, 4, 5, 6, 7, 8, 77))
            stream.write(encode_frame(Frame(kind, 0, bytes(body))))
            program.ask(protocol.Cancel(), protocol.Ok)
        program.ask(protocol.Bye(), protocol.Ok)


# --- The text voice ---


@pytest.fixture
def person(board: Board) -> Iterator[Person]:
    with board.connected() as stream:
        person = Person(stream)
        person.interrupt()
        for command in ("/seed 1", "/temp 0", "/max 5", "/reset"):
            person.enter(command)
        yield person
        person.type("\x03\x03/echo on\r")
        person.until_bytes(b"> ")


def lines(generator: random.Random) -> bytes:
    """Lines as a hostile person types them: commands almost right, long, and not UTF-8."""
    words = [b"/temp", b"/topk", b"/seed", b"/stats", b"/help", b"/", b" ", b"1", b".", b"999999999999", b"-", b"\xc3"]
    words += [b"\xff\xfe", b"\xf0\x9f", b"\x7f", b"\x08", b"\t", b"\x1b[A", b"a" * 600, b"\r", b"\n", b"\r\n", b"cat "]
    return b"".join(generator.choices(words, k=1200))


NOISE = {
    "any bytes": lambda generator: generator.randbytes(BYTES),
    "printable text without an end": lambda generator: bytes(generator.choices(range(32, 127), k=BYTES)),
    "not utf-8": lambda generator: bytes(generator.choices([*range(128, 256), 10], k=BYTES)),
    "nuls": lambda generator: bytes(generator.choices([0, 0, 2, 5, 6, 65, 10], k=BYTES)),
    "lines": lines,
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", NOISE)
def test_after_any_noise_the_line_comes_back_and_answers_as_before(person: Person, kind: str, seed: int) -> None:
    expected = person.enter(ONCE)
    noise = NOISE[kind](random.Random(seed))
    assert not any(decode_frame(segment) for segment in noise.split(b"\x00"))
    person.type("/echo off\r")
    person.until(b"/echo off\r\n")
    person.type(noise + b"\x03\x03/seed 271828\r")
    person.until(b"seed 271828\r\n")  # and all that it said meanwhile is UTF-8
    for command in ("/temp 0", "/topk 0", "/max 5", "/reset"):
        person.type(command + "\r")
        person.until(b"\r\n")
    person.type(ONCE + "\r/topk\r")
    assert person.until(b"\r\ntopk 0\r\n").replace("\r\n", "\n") == expected


def test_noise_that_is_no_hello_leaves_the_text_voice(person: Person) -> None:
    wire = Program(person.stream, hello=False).wire(protocol.Hello())
    for place in range(1, len(wire) - 1):
        for bit in range(8):
            frame = bytearray(wire)
            frame[place] ^= 1 << bit
            person.type(bytes(frame))
    person.type("\x00/temp\r")
    person.until_bytes(b"temp 0\r\n")
