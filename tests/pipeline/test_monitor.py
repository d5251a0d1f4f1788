"""tinyllm monitor with a real board: on a terminal, through pipes, with frames, and over the loss of its port."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipeline.terminal import PATIENCE
from tests.pipeline.test_odd_ports import adapter
from tinyllm.boards.description import load_board
from tinyllm.host.build.build import build
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, encode_frame
from tinyllm.host.link.messages import to_frame
from tinyllm.host.model.load import load_model
from tinyllm.host.monitor.display import Frames, Text

MONITOR = [sys.executable, "-m", "tinyllm.host.cli.app", "monitor"]
STORY = ", there was a little girl named Lily"
ASK = b"/temp 0\n/max 12\nOnce upon a time\n"


@pytest.fixture(scope="module")
def program() -> Path:
    return build(load_model(None), load_board("host"), 64).program


@pytest.fixture
def board(program: Path) -> Iterator[BoardProcess]:
    with BoardProcess([program]) as running:
        yield running


class Screen:
    """A monitor on a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self.keys, self.terminal = pty.openpty()
        self.before = termios.tcgetattr(self.terminal)
        self.process = subprocess.Popen(
            [*MONITOR, *arguments], stdin=self.terminal, stdout=self.terminal, stderr=self.terminal
        )
        self.seen = ""

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.keys)
        os.close(self.terminal)

    def type(self, keys: str) -> None:
        os.write(self.keys, keys.encode())

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> str:
        """Until the pattern appears in what comes from now on."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen, re.DOTALL)):
            assert time.monotonic() < deadline, f"{pattern!r} did not appear in {self.seen!r}"
            if select.select([self.keys], [], [], 0.1)[0]:
                self.seen += os.read(self.keys, 4096).decode(errors="replace")
        self.seen = self.seen[match.end() :]
        return match[0]

    def leave(self) -> int:
        """Ctrl-]; the exit code."""
        self.type("\x1d")
        return self.process.wait(PATIENCE)


def test_a_person_types_to_the_board_and_ctrl_c_stops_its_answer_not_the_monitor(board: BoardProcess) -> None:
    with Screen("--port", board.url) as screen:
        screen.wait_for("is open. Ctrl-] leaves, Ctrl-C goes to the board")
        screen.type("/temp 0\r")
        screen.wait_for("/temp 0\r+\ntemp 0\r+\n> ")
        screen.type("/max 0\r")
        screen.wait_for("max 0\r+\n> ")
        for key in "Oncx\x7fe upon a time\r":
            screen.type(key)
        screen.wait_for(STORY)
        screen.type("\x03")  # With /max 0 and greedy, this story has no end.
        screen.wait_for("\r+\n> $")
        screen.type("/max 5\r")
        screen.wait_for("max 5\r+\n> ")
        assert screen.leave() == 0
        assert termios.tcgetattr(screen.terminal) == screen.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_monitor_and_leaves_the_terminal_as_it_was(
    board: BoardProcess, number: signal.Signals
) -> None:
    with Screen("--port", board.url) as screen:
        screen.wait_for("is open")
        screen.type("/temp\r")
        screen.wait_for("temp 0.8")
        screen.process.send_signal(number)
        assert screen.process.wait(PATIENCE) == 0
        assert termios.tcgetattr(screen.terminal) == screen.before


@contextmanager
def piped(typed: bytes, *arguments: str) -> Iterator[Callable[[str], str]]:
    """A monitor between pipes, ended by Ctrl-C; waits for a pattern in its output and gives all that came so far."""
    process = subprocess.Popen(
        [*MONITOR, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(typed)
    process.stdin.close()
    shown = bytearray()
    reader = process.stdout

    def wait_for(pattern: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern.encode(), shown, re.MULTILINE):
            assert time.monotonic() < deadline, f"{pattern!r} did not appear in {bytes(shown)!r}"
            if select.select([reader], [], [], 0.1)[0]:
                shown.extend(os.read(reader.fileno(), 4096))
        return shown.decode()

    try:
        yield wait_for
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        reader.close()


def test_through_pipes_the_bytes_are_the_boards_own(board: BoardProcess) -> None:
    with piped(ASK, "--port", board.url) as wait_for:
        shown = wait_for(STORY + r".*\r\n> \Z")
    echo, *lines = shown.split("\r\n")
    assert echo.endswith("/temp 0")
    assert lines[:4] == ["temp 0", "> /max 12", "max 12", "> Once upon a time"]
    assert lines[-1] == "> "


def test_each_line_begins_with_the_time_if_that_is_wanted(board: BoardProcess) -> None:
    with piped(ASK, "--port", board.url, "--timestamps") as wait_for:
        shown = wait_for(STORY + r".*\n.*> \Z")
    lines = shown.split("\n")
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d\d\d ", line) for line in lines)
    assert [line[13:] for line in lines[1:5]] == ["temp 0", "> /max 12", "max 12", "> Once upon a time"]


def test_frames_are_shown_with_their_fields_and_the_board_is_left_as_it_was_found(board: BoardProcess) -> None:
    asked = b"".join(
        encode_frame(to_frame(request, number))
        for number, request in enumerate((protocol.Get(), protocol.Prompt(2, "Once")), start=7)
    )
    with piped(asked + b"\0\x05damaged\0", "--port", board.url, "--frames") as wait_for:
        wait_for(r"> #1 Hello version=4$")
        wait_for(r"< #1 Hello version=4 context=64 .* board='host'")
        wait_for(r"< #7 Settings entries=\(\(1, 52429\), ")
        wait_for(r"< #8 Token index=0 token=\d+ text='")
        wait_for(r"< #8 Done reason=2 prompt_tokens=\d+ tokens=2 ")
        wait_for(r"< #0 Error code=1 request=0 message='")
    with piped(b"/help\n", "--port", board.url) as wait_for:
        wait_for("/stats")


def test_the_monitor_leaves_by_itself_after_so_many_seconds(board: BoardProcess) -> None:
    command = [*MONITOR, "--port", board.url, "--seconds", "0.5"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, f"{board.url} is open.\n")


def test_what_is_no_frame_is_shown_as_what_it_is() -> None:
    shown: list[bytes] = []
    display = Frames(shown.append)
    frame = encode_frame(Frame(0x83, 5, b"\x11\0\0\0\x22\0\0\0hi"))
    display.feed(b"boot: hello\r\n" + frame)
    display.feed(frame.replace(b"hi", b"ho"))
    display.feed(frame.replace(b"\x11", b""))
    display.feed(encode_frame(Frame(0xA0, 5, b"\x01")) + encode_frame(Frame(0x82, 5, b"")))
    display.feed(frame[:6])
    display.idle()
    display.feed(frame[6:])
    display.feed(b"> ")
    display.idle()
    display.feed(b"half a frame\xff")
    display.idle()
    lines = [line[13:] for line in b"".join(shown).decode().splitlines()]
    token = "< #5 Token index=17 token=34 text='hi'"
    assert lines[:2] == ["< text 'boot: hello\\r\\n'", token]
    assert re.fullmatch(r"< damaged \(#5 type 83, CRC [0-9a-f]{4} instead of [0-9a-f]{4}\): [0-9a-f ]+", lines[2])
    assert re.fullmatch(r"< damaged \(.*, valid with an XON or XOFF put back in\): [0-9a-f ]+", lines[3])
    assert lines[4] == "< #5 type a0, malformed (unknown reply type a0): 01"
    assert lines[5] == "< #5 type 82, malformed (0 bytes, expected 1)"
    assert lines[6:] == [token, "< text '> '"]


def test_a_board_cannot_steer_the_terminal() -> None:
    shown: list[bytes] = []
    display = Text(shown.append)
    for piece in (b"\x1b[2J", b"\xc3", b"\xa9", b"\xff\x07", "\u202e".encode(), b"a\b \b\r\n"):
        display.feed(piece)
    assert b"".join(shown).decode() == "\\x1b[2Jé\\xff\\x07\\u202ea\b \b\r\n"


def test_a_port_that_goes_away_is_waited_for(program: Path) -> None:
    command = [program, "--tcp", "0", "--parent-pipe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        url = first.stdout.readline().split()[-1]
        with Screen("--port", url) as screen:
            screen.wait_for("is open")
            screen.type("/temp 0\r")
            screen.wait_for("temp 0\r+\n> ")
            first.kill()
            screen.wait_for("went away; waiting for it to come back")
            command[2] = url.rsplit(":", 1)[1]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second:
                screen.wait_for(f"{re.escape(url)} is there again")
                screen.type("/temp\r")
                screen.wait_for("temp 0.8")
                second.kill()
            screen.wait_for("went away")
            assert screen.leave() == 0, "it can be left while it waits"


def test_a_serial_port_is_monitored_like_an_address(board: BoardProcess) -> None:
    with adapter(board) as port, Screen("--port", port, "--timestamps") as screen:
        screen.wait_for(f"{port} is open")
        screen.type("/topk\r")
        screen.wait_for(r"\d\d:\d\d:\d\d\.\d{3} topk 0")
        assert screen.leave() == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--port", "/dev/ttyNONE"), "/dev/ttyNONE: no such port"),
        (("--port", "socket://127.0.0.1"), "the port's number is missing"),
        (("--board", "picoo", "--port", "x"), "unknown board 'picoo'. Did you mean pico"),
        (("--baud", "0"), "--baud"),
    ],
)
def test_a_mistake_is_told_before_anything_is_opened(arguments: tuple[str, ...], complaint: str) -> None:
    done = subprocess.run([*MONITOR, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
