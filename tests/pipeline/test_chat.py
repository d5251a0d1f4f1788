"""The link, the conversation and the chat with the real program, over a cable that can be damaged and cut."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyllm.boards.description import load_board
from tinyllm.errors import UserError
from tinyllm.host.build.build import build
from tinyllm.host.chat.conversation import Conversation
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.answer import summary
from tinyllm.host.link.errors import BoardGone, LostFrame, Refused
from tinyllm.host.link.frames import Frame, FrameReader, encode_frame
from tinyllm.host.link.link import QUIET_SECONDS, SILENCE_SECONDS, Event, Link
from tinyllm.host.link.messages import Done, ErrorCode, Overflow, Reason, ReplyType, Setting, Token
from tinyllm.host.model.load import load_model
from tinyllm.host.terminal.chat import RECOVERIES

CONTEXT = 64
FOREVER = protocol.UNTIL_STOP
PROMPT = "Once upon a time"


@pytest.fixture(scope="session")
def endless() -> Path:
    """The bundled model with a head that gives its stop tokens logit 0, so that a greedy answer goes on for ever."""
    loaded = load_model(None)
    model = loaded.model
    head = model.embedding.copy()
    head[list(loaded.tokenizer.stop_ids)] = 0
    untied = replace(model, head=head, config=replace(model.config, tied_head=False))
    return build(replace(loaded, model=untied), load_board("host"), CONTEXT).program


@pytest.fixture
def board(endless: Path) -> Iterator[BoardProcess]:
    with BoardProcess([endless]) as running:
        yield running


@pytest.fixture
def link(board: BoardProcess) -> Iterator[Link]:
    with Link(board.url) as connection:
        connection.set(Setting.TEMPERATURE, 0)
        yield connection


class Cable:
    """A TCP connection to a board through which every frame from the board passes one by one.

    `inspect` may return other bytes than those of the frame, or raise Cut to unplug both ends.
    """

    class Cut(Exception):
        """Unplug, after these last bytes."""

    def __init__(self, board: BoardProcess, inspect: Callable[[Frame], bytes]) -> None:
        self.board, self.inspect = board, inspect
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                host, _ = self.listener.accept()
            except OSError:
                return
            address = self.board.url.removeprefix("socket://").split(":")
            try:
                with host, socket.create_connection((address[0], int(address[1]))) as board:
                    self._carry(host, board)
            except OSError as error:
                assert error.errno in (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE)

    def _carry(self, host: socket.socket, board: socket.socket) -> None:
        reader = FrameReader()
        while True:
            readable, _, _ = select.select([host, board], [], [])
            for side in readable:
                data = side.recv(4096)
                if not data:
                    return
                if side is host:
                    board.sendall(data)
                    continue
                for item in reader.feed(data):
                    if isinstance(item, Frame):
                        try:
                            host.sendall(self.inspect(item))
                        except Cable.Cut as cut:
                            host.sendall(b"".join(cut.args))
                            return


Lay = Callable[[Callable[[Frame], bytes]], Cable]


@pytest.fixture
def cable(board: BoardProcess) -> Iterator[Lay]:
    cables = []

    def lay(inspect: Callable[[Frame], bytes]) -> Cable:
        cables.append(Cable(board, inspect))
        return cables[-1]

    yield lay
    for laid in cables:
        laid.close()


def token_number(frame: Frame) -> int | None:
    """The index of a TOKEN frame, None for any other."""
    return int.from_bytes(frame.body[:4], "little") if frame.type == ReplyType.TOKEN else None


def answer(events: Iterator[Event]) -> tuple[list[int], Done]:
    ids = []
    for event in events:
        if isinstance(event, Token):
            ids.append(event.token)
        elif isinstance(event, Done):
            return ids, event
    raise AssertionError("no DONE")


# --- The link ---------------------------------------------------------------------------------------------------------


def test_a_board_says_who_it_is(link: Link) -> None:
    assert (link.hello.board, link.hello.context, link.hello.context_used) == ("host", CONTEXT, 0)
    assert link.hello.version == protocol.PROTOCOL_VERSION


def test_the_same_seed_and_prompt_give_the_same_tokens_after_a_reset(link: Link) -> None:
    link.set(Setting.TEMPERATURE, protocol.Q16)
    link.reset()
    first, _ = answer(link.prompt(PROMPT, 30))
    answer(link.prompt("another conversation", 10))
    link.reset()
    assert answer(link.prompt(PROMPT, 30))[0] == first
    link.set(Setting.SEED, 2)
    link.reset()
    assert answer(link.prompt(PROMPT, 30))[0] != first


def test_settings_come_back_as_they_were_set(link: Link) -> None:
    wanted = {Setting.TOP_K: 40, Setting.TOP_P: 60000, Setting.OVERFLOW: Overflow.STOP, Setting.SEED: 0xFFFFFFFF}
    for setting, value in wanted.items():
        link.set(setting, value)
    settings = link.get()
    assert {setting: settings[setting] for setting in wanted} == wanted
    assert set(settings) == set(Setting)


def test_a_value_out_of_range_is_refused_as_the_users_mistake(link: Link) -> None:
    with pytest.raises(Refused) as error:
        link.set(Setting.TOP_P, 0)
    assert (error.value.code, error.value.exit_code) == (ErrorCode.BAD_VALUE, 2)


def test_logits_are_there_after_a_prefill_and_gone_after_a_token(link: Link) -> None:
    _, done = answer(link.prompt(PROMPT, 0))
    assert done.tokens == 0
    logits = link.logits()
    assert len(logits) == link.hello.vocab_size
    (token,), _ = answer(link.prompt([], 1))
    assert token == max(range(len(logits)), key=lambda i: (logits[i], -i))
    with pytest.raises(Refused) as error:
        link.logits()
    assert error.value.code == ErrorCode.NO_LOGITS


def test_the_memory_map_has_the_kv_cache(link: Link) -> None:
    assert link.memory()["ram.kv_cache"] > 0


def test_an_endless_answer_stops_when_asked(link: Link) -> None:
    seen = 0
    for event in link.prompt(PROMPT, FOREVER):
        seen += isinstance(event, Token)
        if seen == 100:
            link.stop()
    assert isinstance(event, Done)
    assert event.reason == Reason.CANCELLED
    assert event.tokens >= 100


def test_an_answer_that_nobody_waits_for_is_cancelled(link: Link) -> None:
    for event in link.prompt(PROMPT, FOREVER):
        if isinstance(event, Token) and event.index == 5:
            break
    link.reset()
    assert answer(link.prompt(PROMPT, 5))[1].reason == Reason.LENGTH


def test_a_new_connection_ends_the_answer_that_the_last_one_left(board: BoardProcess) -> None:
    first = Link(board.url)
    events = first.prompt(PROMPT, FOREVER)
    next(events)
    first._port.close()
    with Link(board.url) as second:
        assert answer(second.prompt(PROMPT, 3))[1].reason == Reason.LENGTH
    events.close()


def test_tokens_for_an_earlier_program_whose_prompt_had_the_same_number_are_passed_over(
    board: BoardProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyllm.host.link.frame_port.random.randrange", lambda end: 100)
    first = Link(board.url)
    first.number_from(102)  # A second program says hello with 101 and cancels with 102.
    events = first.prompt(PROMPT, FOREVER)
    next(events)
    first._port.close()
    with Link(board.url) as second:
        assert second.late_replies > 0
        assert answer(second.prompt(PROMPT, 3))[1].reason == Reason.LENGTH
    events.close()


@pytest.mark.parametrize("prompt", ["x" * 10_000, "word " * (CONTEXT + 1), list(range(3, 3 + CONTEXT + 1))])
def test_a_prompt_longer_than_the_board_takes_is_the_users_mistake(link: Link, prompt: str | list[int]) -> None:
    with pytest.raises(Refused, match=f"this board takes {CONTEXT} tokens") as error:
        answer(link.prompt(prompt, 1))
    assert error.value.exit_code == 2
    assert answer(link.prompt(PROMPT, 3))[1].tokens == 3


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
def test_a_serial_port_works_like_an_address_and_is_locked_while_open(endless: Path) -> None:
    command = [endless, "--pty", "--parent-pipe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        port = program.stdout.readline().split()[-1]
        for _ in range(2):
            with Link(port) as link:
                assert answer(link.prompt(PROMPT, 10))[1].tokens == 10
                with pytest.raises(UserError, match=f"{port}: the port is in use"):
                    Link(port)
        program.stdin.close()


# --- A cable that damages ---------------------------------------------------------------------------------------------


def test_a_token_that_is_lost_is_reported(cable: Lay) -> None:
    line = cable(lambda frame: b"" if token_number(frame) == 7 else encode_frame(frame))
    with Link(line.url) as link:
        with pytest.raises(LostFrame, match=r"token 7 of the answer never arrived \(token 8 came\)"):
            answer(link.prompt(PROMPT, 20))
        link.reset()
        assert link.update_hello().context_used == 0


def test_a_damaged_frame_is_counted_and_the_gap_reported(cable: Lay) -> None:
    def flip(frame: Frame) -> bytes:
        wire = bytearray(encode_frame(frame))
        if token_number(frame) == 3:
            wire[-3] ^= 4 if wire[-3] != 4 else 8
        return bytes(wire)

    with Link(cable(flip).url) as link, pytest.raises(LostFrame, match="1 damaged frames were received"):
        answer(link.prompt(PROMPT, 20))


def test_an_answer_whose_end_is_lost_is_given_up_soon_and_the_next_one_is_whole(cable: Lay) -> None:
    lost = iter([True])
    line = cable(
        lambda frame: b"" if frame.type == ReplyType.DONE and next(lost, False) else encode_frame(frame),
    )
    with Link(line.url) as link:
        link.set(Setting.TEMPERATURE, 0)
        begun = time.monotonic()
        with pytest.raises(LostFrame, match="the prompt or the end of its answer was lost on the way"):
            answer(link.prompt(PROMPT, 20))
        assert time.monotonic() - begun < SILENCE_SECONDS
        link.reset()
        assert answer(link.prompt(PROMPT, 20))[1].tokens == 20


def test_a_reply_that_is_lost_is_asked_for_again(cable: Lay) -> None:
    lost = {number: iter([True, True]) for number in (ReplyType.OK, ReplyType.SETTINGS, ReplyType.HELLO)}
    line = cable(lambda frame: b"" if next(lost.get(frame.type, iter(())), False) else encode_frame(frame))
    with Link(line.url) as link:
        link.set(Setting.TOP_K, 7)
        assert link.get()[Setting.TOP_K] == 7


def test_a_slow_answer_is_waited_for(cable: Lay) -> None:
    """The board is asked meanwhile whether it is still at it."""

    def delay(frame: Frame) -> bytes:
        if token_number(frame) in (3, 9):
            time.sleep(2 * QUIET_SECONDS)
        return encode_frame(frame)

    with Link(cable(delay).url) as link:
        link.set(Setting.TEMPERATURE, 0)
        assert answer(link.prompt(PROMPT, 20))[1].tokens == 20


def test_a_token_that_was_changed_on_the_way_is_caught_by_the_digest(
    cable: Lay,
) -> None:
    def change(frame: Frame) -> bytes:
        if token_number(frame) == 3:
            frame = Frame(frame.type, frame.sequence, frame.body[:4] + b"\x09\0\0\0" + frame.body[8:])
        return encode_frame(frame)

    with Link(cable(change).url) as link, pytest.raises(LostFrame, match=r"the board sent 20 tokens .* 20 arrived"):
        answer(link.prompt(PROMPT, 20))


def test_text_from_elsewhere_between_frames_changes_nothing(link: Link, cable: Lay) -> None:
    clean, _ = answer(link.prompt(PROMPT, 20))
    link.close()
    with Link(cable(lambda frame: b"boot: \x1b[0m hello\r\n" + encode_frame(frame)).url) as noisy:
        noisy.set(Setting.TEMPERATURE, 0)
        noisy.reset()
        assert answer(noisy.prompt(PROMPT, 20))[0] == clean


# --- A conversation that outlives the board's memory ------------------------------------------------------------------


def test_a_replay_gives_the_board_exactly_its_memory_back(board: BoardProcess) -> None:
    """Long enough that the context has slid; proved by the digest, and by the answers that follow."""
    link = Link(board.url)
    link.set(Setting.TEMPERATURE, 0)
    conversation = Conversation(link.hello)
    for prompt, tokens in ((PROMPT, 50), ("Then", 90), ("The dog", 20)):
        answer(conversation.ask(link, prompt, tokens))
    before = link.update_hello()
    assert conversation.held_by(before)
    expected, _ = answer(link.prompt("In the end", 20))
    link.close()

    board.kill()
    with Connection(board).reopen() as again:
        assert again.hello.context_used == 0
        assert not conversation.held_by(again.hello)
        again.set(Setting.TEMPERATURE, 0)
        again.set(Setting.OVERFLOW, Overflow.STOP)
        assert conversation.replay(again)
        assert again.get()[Setting.OVERFLOW] == Overflow.STOP
        assert again.update_hello().conversation_digest == before.conversation_digest
        again.set(Setting.OVERFLOW, Overflow.SLIDE)
        assert answer(again.prompt("In the end", 20))[0] == expected


def test_a_prompt_that_is_refused_leaves_no_trace(link: Link) -> None:
    conversation = Conversation(link.hello)
    answer(conversation.ask(link, PROMPT, 5))
    with pytest.raises(Refused):
        answer(conversation.ask(link, "x" * 10_000, 5))
    assert [turn.prompt for turn in conversation.turns] == [PROMPT]
    assert conversation.held_by(link.update_hello())


def test_a_board_that_vanishes_in_mid_answer_is_reported(
    cable: Lay,
) -> None:
    def cut(frame: Frame) -> bytes:
        if token_number(frame) == 7:
            raise Cable.Cut
        return encode_frame(frame)

    link = Link(cable(cut).url)
    conversation = Conversation(link.hello)
    with pytest.raises(BoardGone, match="the board went away"):
        answer(conversation.ask(link, PROMPT, 20))
    link.close()
    assert conversation.interrupted is not None
    assert len(conversation.interrupted.answer) == 7


# --- The chat, in a process of its own --------------------------------------------------------------------------------


CHAT = [sys.executable, "-m", "tinyllm.host.cli.app", "chat"]
TALK = ["/temp 0", "/max 40", PROMPT, "/max 60", "The dog"]


def chat(lines: list[str], *arguments: str) -> tuple[dict[str, Any], str]:
    """The transcript of a chat through pipes, and what it said on stderr."""
    typed = "".join(f"{line}\n" for line in lines)
    done = subprocess.run([*CHAT, "--json", *arguments], input=typed, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def answers(document: dict[str, Any]) -> list[tuple[str, list[int], str]]:
    return [(turn["prompt"], turn["tokens"], turn["text"]) for turn in document["turns"]]


def test_a_chat_through_pipes_answers_every_line(board: BoardProcess) -> None:
    document, notes = chat([*TALK, "/stats", "/nonsense", "/temp hot", "/quit", "not read"], "--port", board.url)
    assert [(prompt, len(ids)) for prompt, ids, _ in answers(document)] == [(PROMPT, 40), ("The dog", 60)]
    assert document["settings"]["temperature"] == 0
    assert f"context {CONTEXT}/{CONTEXT} tokens, 2 turns" in notes
    assert "/nonsense: no such command" in notes
    assert "temperature 'hot': expected a number" in notes


def test_a_chat_writes_the_answer_to_stdout_and_the_rest_to_stderr(board: BoardProcess) -> None:
    document, _ = chat(TALK, "--port", board.url)
    typed = "".join(f"{line}\n" for line in TALK)
    done = subprocess.run([*CHAT, "--port", board.url], input=typed, capture_output=True, text=True, timeout=60)
    assert done.stdout == "".join(f"{text}\n" for _, _, text in answers(document))


def test_a_saved_conversation_is_taken_up_again_with_its_settings(board: BoardProcess, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    unbroken, _ = chat([*TALK, f"/save {saved}", "/max 15", "In the end"], "--port", board.url)
    board.kill()
    board.start()
    again, notes = chat(["Something else", f"/load {saved}", "/max 15", "In the end"], "--port", board.url)
    assert re.search(r"Replayed: the board holds \d+ tokens again \(digest [0-9a-f]{8}\)", notes)
    assert answers(again) == answers(unbroken)
    assert again["turns"][-1]["conversation_digest"] == unbroken["turns"][-1]["conversation_digest"]
    assert again["settings"] == unbroken["settings"]


def test_a_saved_conversation_with_a_changed_token_is_not_taken_up(board: BoardProcess, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    document, _ = chat([*TALK, f"/save {saved}"], "--port", board.url)
    document["turns"][0]["tokens"][3] ^= 1
    saved.write_text(json.dumps(document))
    after, notes = chat([f"/load {saved}", "/max 2", "Then"], "--port", board.url)
    assert "after replaying turn 1 the board holds other tokens" in notes
    assert [prompt for prompt, _, _ in answers(after)] == ["Then"]


def test_a_conversation_that_cannot_be_loaded_leaves_the_present_one(board: BoardProcess, tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text("{}")
    lines = ["/max 2", "Once", f"/load {tmp_path}/talk.json", f"/load {tmp_path}/none.json", "/load", "Then", "/load x"]
    document, notes = chat(lines, "--port", board.url)
    assert [prompt for prompt, _, _ in answers(document)] == ["Once", "Then"]
    assert "is no conversation that this /save wrote" in notes
    assert "none.json: no such file" in notes
    assert "/load: name the file" in notes


def test_a_text_in_triple_quotes_is_one_prompt(board: BoardProcess) -> None:
    lines = ["/max 2", '"""one', "/quit", '"""', '"""in one line"""', '"""never closed', "lost"]
    document, notes = chat(lines, "--port", board.url)
    assert [prompt for prompt, _, _ in answers(document)] == ["one\n/quit", "in one line"]
    assert 'The closing """ is missing; this text was not sent.' in notes


def test_a_model_without_a_template_asks_for_a_beginning(board: BoardProcess) -> None:
    assert "the model continues your text. Type a beginning." in chat([], "--port", board.url)[1]


def test_a_chat_goes_on_where_it_was_when_the_board_lost_its_memory_in_mid_answer(
    board: BoardProcess, cable: Lay
) -> None:
    unbroken, _ = chat(TALK, "--port", board.url)
    crashes = iter(range(2))

    def crash(frame: Frame) -> bytes:
        if token_number(frame) == 25 and next(crashes, None) is not None:
            board.kill()
            board.start()
            raise Cable.Cut
        return encode_frame(frame)

    broken, notes = chat(TALK, "--port", cable(crash).url)
    assert answers(broken) == answers(unbroken)
    assert notes.count("the board went away") == 2
    assert notes.count("its memory of the conversation is gone") == 2
    assert re.search(r"Replayed: the board holds \d+ tokens again \(digest [0-9a-f]{8}\)", notes)


def test_a_chat_goes_on_when_only_the_cable_was_pulled_between_two_turns(board: BoardProcess, cable: Lay) -> None:
    unbroken, _ = chat(TALK, "--port", board.url)
    pulls = iter([True])

    def pull(frame: Frame) -> bytes:
        if frame.type == ReplyType.DONE and next(pulls, False):
            raise Cable.Cut(encode_frame(frame))
        return encode_frame(frame)

    broken, notes = chat(TALK, "--port", cable(pull).url)
    assert "The board is back and still holds the conversation." in notes
    assert answers(broken) == answers(unbroken)


def test_a_chat_goes_on_when_frames_are_lost_while_it_recovers_from_a_loss(board: BoardProcess, cable: Lay) -> None:
    unbroken, _ = chat(TALK, "--port", board.url)
    losses = iter(range(3))

    def lose(frame: Frame) -> bytes:
        if token_number(frame) == 25 and next(losses, None) is not None:
            return b""
        return encode_frame(frame)

    broken, notes = chat(TALK, "--port", cable(lose).url)
    assert answers(broken) == answers(unbroken)
    assert notes.count("never arrived") == 3


def test_a_chat_goes_on_when_the_replay_itself_is_cut_off_and_damaged(board: BoardProcess, cable: Lay) -> None:
    unbroken, _ = chat(TALK, "--port", board.url)
    ends = iter(range(1, 99))

    def hurt(frame: Frame) -> bytes:
        if frame.type == ReplyType.DONE:
            number = next(ends)
            if number in (2, 4):
                board.kill()
                board.start()
                raise Cable.Cut
            if number in (3, 5):
                return b""
        return encode_frame(frame)

    broken, notes = chat(TALK, "--port", cable(hurt).url)
    assert answers(broken) == answers(unbroken)
    assert notes.count("the board went away") == 2
    assert notes.count("was lost on the way") == 2


def test_a_chat_gives_up_with_a_clear_word_when_every_recovery_fails(board: BoardProcess, cable: Lay) -> None:
    answered = iter([False])

    def lose(frame: Frame) -> bytes:
        return b"" if frame.type == ReplyType.DONE and next(answered, True) else encode_frame(frame)

    typed = "".join(f"{line}\n" for line in TALK)
    command = [*CHAT, "--port", cable(lose).url]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=90)
    assert done.returncode == 1
    assert f"The board was lost {RECOVERIES} times in a row; the chat ends." in done.stderr
    assert "Traceback" not in done.stderr


def test_the_host_board_that_a_chat_started_is_started_again(board: BoardProcess) -> None:
    connection = Connection(board)
    with connection.open() as link:
        board.kill()
        with pytest.raises(BoardGone):
            answer(link.prompt(PROMPT, 20))
    assert f"it ended with code -{int(signal.SIGKILL)}" in connection.why_lost() or os.name == "nt"
    with connection.reopen() as again:
        assert answer(again.prompt(PROMPT, 20))[1].tokens == 20


def test_the_host_board_ends_with_the_process_that_started_it(endless: Path) -> None:
    code = "import sys,os; from pathlib import Path; from tinyllm.host.connect.board_process import BoardProcess\n"
    code += "b = BoardProcess([Path(sys.argv[1])]); b.start(); print(b.url, flush=True); os._exit(9)"
    done = subprocess.run([sys.executable, "-c", code, str(endless)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 9
    address = ("127.0.0.1", int(done.stdout.rsplit(":", 1)[1]))
    for _ in range(100):
        try:
            socket.create_connection(address).close()
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("the program still listens")


# --- One prompt -------------------------------------------------------------------------------------------------------


RUN = [sys.executable, "-m", "tinyllm.host.cli.app", "run", "-p", PROMPT]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, timeout=120)


def test_one_command_builds_runs_and_answers_and_the_next_one_only_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    arguments = ("--context", str(CONTEXT), "-n", "20", "--seed", "7")
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "wall clock of this host process" in first.stderr
    (new,) = (tmp_path / "builds").glob("host-*")
    built = (new / "built.json").stat().st_mtime_ns
    document = json.loads(run(*arguments, "--json").stdout)
    assert document["text"] + "\n" == first.stdout
    assert f"{len(document['tokens'])} tokens" in first.stderr
    assert document["settings"]["seed"] == 7
    assert document["digest"] == f"{protocol.token_digest(document['tokens']):08x}"
    assert (new / "built.json").stat().st_mtime_ns == built


def test_a_top_k_above_the_vocabulary_means_all_of_it(board: BoardProcess) -> None:
    arguments = ("--port", board.url, "-n", "15", "--temperature", "1.3", "--seed", "9", "--top-k")
    every, above, largest = (run(*arguments, top_k) for top_k in ("0", "1000", "4294967295"))
    assert above.returncode == 0, above.stderr
    assert every.stdout == above.stdout == largest.stdout


def test_a_board_that_runs_another_model_is_not_taken_for_the_one_that_was_named(board: BoardProcess) -> None:
    done = run(load_model(None).path.as_posix(), "--port", board.url)
    assert done.returncode == 2
    assert f"{board.url}: the board runs" in done.stderr


def test_an_answer_does_not_depend_on_who_talked_before(board: BoardProcess) -> None:
    arguments = ("--port", board.url, "-n", "15")
    first = run(*arguments)
    chat(["/temp 1.5", "/topk 3", "/seed 9", "/overflow stop", "Something else"], "--port", board.url)
    assert len(first.stdout) > 15
    assert run(*arguments).stdout == first.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_an_endless_answer_and_keeps_what_came(board: BoardProcess) -> None:
    command = [*RUN, "--port", board.url, "--temperature", "0", "-n", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    begun = process.stdout.read(200)
    process.send_signal(signal.SIGINT)
    rest, notes = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(begun) == 200
    assert rest.endswith("\n")
    assert "ended: cancelled" in notes


def run_on(board: BoardProcess, *arguments: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    """`tinyllm run` on a board that is there, with text piped into it."""
    command = [*RUN[: RUN.index("-p")], "--port", board.url, "--temperature", "0", *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arguments", [(), ("-p", "-")])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_pipe_gives_the_prompt(board: BoardProcess, arguments: tuple[str, ...], ending: str) -> None:
    done = run_on(board, *arguments, "-n", "5", "--json", typed=PROMPT + ending)
    assert json.loads(done.stdout)["prompt"] == PROMPT


def test_lines_and_spaces_of_a_piped_prompt_stay(board: BoardProcess) -> None:
    assert json.loads(run_on(board, "-n", "1", "--json", typed=" a\n\nb \n\n").stdout)["prompt"] == " a\n\nb \n"


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [("", "holds no prompt"), ("\n", "holds no prompt"), ("x" * 1100000, "no board takes")],
    ids=["nothing", "an empty line", "a million letters"],
)
def test_a_pipe_that_holds_no_prompt_is_the_users_mistake(board: BoardProcess, typed: str, complaint: str) -> None:
    done = run_on(board, typed=typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_json_lines_come_token_by_token_and_end_with_the_document(board: BoardProcess) -> None:
    document = json.loads(run_on(board, "-p", PROMPT, "-n", "12", "--json").stdout)
    *tokens, last = map(json.loads, run_on(board, "-p", PROMPT, "-n", "12", "--json-lines").stdout.splitlines())
    assert [line["token"] for line in tokens] == document["tokens"]
    assert "".join(line["text"] for line in tokens) == document["text"]
    timed = {"prefill_us", "decode_us", "tokens_per_second"}
    assert {name: last[name] for name in set(last) - timed} == {name: document[name] for name in set(document) - timed}


def test_json_lines_arrive_while_the_board_still_answers(board: BoardProcess) -> None:
    command = [*RUN, "--port", board.url, "--temperature", "0", "-n", "0", "--json-lines"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["text"] == ","
    process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
    *_, last = process.communicate(timeout=60)[0].splitlines()
    assert json.loads(last)["reason"] == "cancelled" or os.name == "nt"


def test_a_mistake_is_a_json_line_too(board: BoardProcess) -> None:
    (line,) = run_on(board, "-p", "x", "--board", "nosuch", "--json-lines").stdout.splitlines()
    assert json.loads(line)["error"]["exit_code"] == 2


# --- Rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "microseconds", "shown"),
    [
        (1, 2, "1 token, 0.0 ms (clock)"),
        (0, 0, "0 tokens, 0.0 ms (clock)"),
        (3, 500_000, "3 tokens, 500.0 ms (clock)"),
        (100, 99, "100 tokens, 0.1 ms (clock)"),
        (15, 999, "15 tokens, 1.0 ms (clock)"),
        (16, 100, "16 tokens, 160,000 tokens/s (clock)"),
        (4, 1000, "4 tokens, 4,000 tokens/s (clock)"),
        (20, 8_000_000, "20 tokens, 2.5 tokens/s (clock)"),
    ],
)
def test_a_rate_is_shown_if_there_were_tokens_and_time_enough(tokens: int, microseconds: int, shown: str) -> None:
    done = Done(Reason.LENGTH, 1, tokens, 900, microseconds, 0, 0, 0)
    assert summary(done, "clock") == f"{shown} · prompt 1 token, 0.9 ms · ended: length"


def test_one_token_has_no_rate_anywhere(board: BoardProcess) -> None:
    assert json.loads(run_on(board, "-p", PROMPT, "-n", "1", "--json").stdout)["tokens_per_second"] is None
    assert "tokens/s" not in run_on(board, "-p", PROMPT, "-n", "1").stderr
    document, notes = chat(["/max 1", "Once", "/stats"], "--port", board.url)
    assert document["turns"][0]["tokens_per_second"] is None
    assert "tokens/s" not in notes
