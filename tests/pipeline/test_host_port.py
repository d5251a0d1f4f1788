"""The program of the host board: stdio, TCP and pseudo-terminal, and how it starts and ends."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.pipeline.console_board import SECONDS, Board, Built, Person, Program, Stream, build
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.messages import Reason

ONCE = "Once upon a time"
CAT = "The cat sat"
STREAMS = [("--tcp", "0"), ("--pty",)]


@pytest.fixture(scope="module")
def built() -> Built:
    return build()


def run(built: Built, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([built.program, *arguments], input=stdin, capture_output=True, text=True, timeout=SECONDS)


# --- Standard input and output ---


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_prompt_through_a_pipe_is_answered_and_the_end_of_input_ends_the_program(built: Built, end: str) -> None:
    done = run(built, stdin=f"/temp 0\n/max 40\n{ONCE}\n{CAT}{end}")
    greeting, *lines = done.stdout.split("\n", 3)
    assert greeting == "tinyllm 0.1.0, tinystories-260k on host. Type a prompt, or /help."
    assert lines[:2] == ["temp 0", "max 40"]
    assert lines[2] == "".join(built.text(answer) + "\n" for answer in built.answers([ONCE, CAT], 40))
    assert (done.returncode, done.stderr) == (0, "")


def test_frames_pass_through_a_pipe(built: Built) -> None:
    with subprocess.Popen([built.program, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        program = Program(Stream(process.stdout.fileno(), process.stdin.fileno()))
        program.set(temperature=0)
        assert program.prompt(ONCE).tokens == built.answers([ONCE], 40)[0]
        process.stdin.close()
        assert process.wait(SECONDS) == 0


def test_a_reader_that_leaves_ends_the_program(built: Built) -> None:
    with subprocess.Popen([built.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        process.stdin.write(b"/max 0\nOnce\n/help\n")
        process.stdin.flush()
        assert process.wait(SECONDS) == 0


# --- Listening ---


@pytest.mark.parametrize("arguments", STREAMS)
def test_a_board_keeps_the_conversation_while_the_cable_is_pulled(built: Built, arguments: tuple[str, ...]) -> None:
    with Board(built.program, *arguments) as board:
        with board.connected() as stream:
            program = Program(stream)
            program.set(temperature=0)
            first = program.prompt(ONCE)
        wait_until_gone(board)
        with board.connected() as stream:
            program = Program(stream)
            assert program.facts.conversation_digest == first.done.conversation_digest
            assert [first.tokens, program.prompt(CAT).tokens] == built.answers([ONCE, CAT], 40)
            assert not program.strays, "nothing was left over from before"


@pytest.mark.parametrize("arguments", STREAMS)
def test_an_answer_goes_on_while_nobody_listens_and_is_not_kept_for_later(
    built: Built, arguments: tuple[str, ...]
) -> None:
    [expected] = built.answers([ONCE], 100)
    with Board(built.program, *arguments) as board:
        with board.connected() as stream:
            program = Program(stream)
            program.set(temperature=0)
        wait_until_gone(board)
        with board.frozen(), board.connected() as stream:
            stream.write(program.wire(protocol.Prompt(100, ONCE)))
        time.sleep(0.5)
        with board.connected() as stream:
            assert stream.is_quiet(0.1)
            facts = Program(stream).facts
            conversation = encode(built.tokenizer, ONCE, bos=True) + expected
            assert facts.conversation_digest == protocol.token_digest(conversation)


@pytest.mark.parametrize("arguments", STREAMS)
def test_what_a_listener_left_unread_is_gone_when_the_next_one_comes(built: Built, arguments: tuple[str, ...]) -> None:
    with Board(built.program, *arguments) as board:
        with board.connected() as stream:
            stream.write(Program(stream).wire(protocol.Memory()) * 5)
            assert not stream.is_quiet(SECONDS)
        wait_until_gone(board)
        with board.connected() as stream:
            assert stream.is_quiet(0.1)


@pytest.mark.parametrize("arguments", STREAMS)
def test_a_listener_that_takes_nothing_does_not_hold_the_board_up(built: Built, arguments: tuple[str, ...]) -> None:
    with Board(built.program, *arguments) as board, board.connected() as stream:
        program = Program(stream)
        program.set(temperature=0)
        request = program.wire(protocol.Memory())
        for _ in range(400):
            stream.write(request * 100)  # 5 MB of replies: more than any buffer between us
        program.hello()
        assert program.prompt(ONCE).tokens == built.answers([ONCE], 40)[0]


def wait_until_gone(board: Board) -> None:
    """Give the program the time to notice, as pulling and plugging a cable does."""
    time.sleep(0.2 if board.port.startswith("/") else 0.02)


def test_one_client_is_served_at_a_time(built: Built) -> None:
    with Board(built.program) as board, board.connected() as first, board.connected() as second:
        program = Program(first)
        second.write(protocol.ATTENTION)
        waiting = Program(second, hello=False)
        waiting.send(protocol.Hello())
        assert second.is_quiet(0.1)
        program.hello()


def test_only_this_computer_can_connect(built: Built) -> None:
    with Board(built.program) as board:
        port = int(board.port.split(":")[-1])
        assert board.port == f"socket://127.0.0.1:{port}"
        for address in ("127.0.0.2", socket.gethostbyname(socket.gethostname())):
            if address != "127.0.0.1":
                with pytest.raises(OSError), socket.create_connection((address, port), 1):
                    pass


@pytest.mark.parametrize("arguments", STREAMS)
def test_an_idle_board_does_not_spin(built: Built, arguments: tuple[str, ...]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Board(built.program, *arguments) as board:
        time.sleep(0.5)
        with board.connected() as stream:
            Program(stream).hello()
            time.sleep(0.5)
        time.sleep(0.5)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.15


# --- Starting and ending ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("arguments", [*STREAMS, ("--stdio",)])
def test_signals_end_the_program_cleanly(built: Built, number: signal.Signals, arguments: tuple[str, ...]) -> None:
    with subprocess.Popen([built.program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("arguments", STREAMS)
def test_with_parent_pipe_the_end_of_the_parent_ends_the_program(built: Built, arguments: tuple[str, ...]) -> None:
    for connect in (False, True):
        with Board(built.program, *arguments) as board:
            assert board.process.stdin is not None
            if connect:
                with board.connected() as stream:
                    program = Program(stream)
                    program.send(protocol.Prompt(protocol.UNTIL_STOP, ONCE))
                    board.process.stdin.close()
                    assert board.process.wait(SECONDS) == 0
            else:
                board.process.stdin.close()
                assert board.process.wait(SECONDS) == 0


def test_without_parent_pipe_the_end_of_stdin_means_nothing(built: Built) -> None:
    with Board(built.program, parent_pipe=False) as board:
        assert board.process.stdin is not None
        board.process.stdin.close()
        with board.connected() as stream:
            assert Program(stream).prompt(ONCE, 3).done.reason == Reason.LENGTH


@pytest.mark.parametrize(
    "arguments",
    [("--tcp",), ("--tcp", "65536"), ("--tcp", "-1"), ("--tcp", "http"), ("--tcp", ""), ("--baud", "9600"), ("x",)],
)
def test_wrong_arguments_are_named(built: Built, arguments: tuple[str, ...]) -> None:
    done = run(built, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"tinyllm: unexpected argument {arguments[0]}\nusage: ")
    assert done.stdout == ""


def test_parent_pipe_needs_a_stream_of_its_own(built: Built) -> None:
    done = run(built, "--parent-pipe")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_port_in_use_is_named(built: Built) -> None:
    with Board(built.program) as board:
        port = board.port.split(":")[-1]
        done = run(built, "--tcp", port)
    assert done.returncode == 1
    assert done.stderr == (
        f"tinyllm: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "choose another port, or 0 for any free one\n"
    )


def test_a_person_on_the_pty_sees_what_a_board_would_send(built: Built) -> None:
    with Board(built.program, "--pty") as board, board.connected() as stream:
        person = Person(stream)
        person.interrupt()
        assert person.enter("/temp 0") == "temp 0"
        person.enter("/max 40")
        assert person.enter(ONCE) == built.text(built.answers([ONCE], 40)[0])
    assert not Path(board.port).exists()
