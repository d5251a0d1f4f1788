"""A person types at the board: lines, commands and Ctrl-C, on the program that the emitter writes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.console_board import Board, Built, Person, Program, build
from tests.pipeline.escape_sequences import CUT, KEYS, SEQUENCES
from tinyllm.host.link import messages as protocol

ONCE = "Once upon a time"
CAT = "The cat sat"
RESET_DEFAULTS = ("/temp 0", "/topk 0", "/topp 0.9", "/minp 0", "/penalty 1", "/seed 1", "/max 40", "/overflow slide")


@pytest.fixture(scope="module")
def built() -> Built:
    return build()


@pytest.fixture(scope="module")
def board(built: Built) -> Iterator[Board]:
    with Board(built.program) as board:
        yield board


@pytest.fixture
def person(board: Board) -> Iterator[Person]:
    """At a board that is greedy, answers with 40 tokens at most and has forgotten what was before."""
    with board.connected() as stream:
        person = Person(stream)
        person.interrupt()
        for command in (*RESET_DEFAULTS, "/reset"):
            person.enter(command)
        yield person


def greedy(built: Built, *prompts: str) -> str:
    """The text of the reference's answer to the last prompt."""
    return built.text(built.answers(prompts, 40)[-1])


def test_a_line_is_a_prompt_and_the_answer_is_the_references(built: Built, person: Person) -> None:
    assert person.enter(ONCE) == greedy(built, ONCE)


def test_both_voices_say_the_same(board: Board, person: Person) -> None:
    for command in ("/temp 0.8", "/seed 11", "/max 30", "/reset"):
        person.enter(command)
    typed = [person.enter(prompt) for prompt in (ONCE, CAT)]
    program = Program(person.stream)
    program.reset()
    assert [program.prompt(prompt, 30).text for prompt in (ONCE, CAT)] == typed
    program.ask(protocol.Bye(), protocol.Ok)
    person.enter("/reset")
    assert [person.enter(prompt) for prompt in (ONCE, CAT)] == typed


@pytest.mark.parametrize("line_end", [b"\r", b"\n", b"\r\n"])
def test_a_line_may_end_in_any_way(built: Built, person: Person, line_end: bytes) -> None:
    person.type(ONCE.encode() + line_end + b"/stats" + line_end)
    assert person.until(Person.READY) == ONCE + "\r\n" + greedy(built, ONCE).replace("\n", "\r\n")
    assert "last answer 40 tokens in " in person.until(Person.READY)


def test_empty_lines_are_no_prompts(person: Person) -> None:
    assert person.enter("") == ""
    assert "context 0 of 256" in person.enter("/stats")


@pytest.mark.parametrize("erase", [b"\x08", b"\x7f"])
def test_a_character_can_be_erased_whatever_its_bytes(built: Built, person: Person, erase: bytes) -> None:
    person.type(erase + "Oné🙂".encode() + erase * 2 + b"x" + erase + b"ce upon a time\r")
    person.until(b"time\r\n")
    assert person.until(Person.READY).replace("\r\n", "\n") == greedy(built, ONCE)


def test_other_control_characters_are_ignored(built: Built, person: Person) -> None:
    person.type(b"\x1b\x01On\x02ce\x06\x10 upon\x15 a ti\x1fme\r")
    person.until(b"\r\n")
    assert person.until(Person.READY).replace("\r\n", "\n") == greedy(built, ONCE)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_no_character_is_not_part_of_the_prompt(built: Built, person: Person, key: str) -> None:
    person.type(b"/te" + KEYS[key] + b"mp" + KEYS[key] + KEYS[key] + b"\r")
    assert person.until(Person.READY) == "/temp\r\ntemp 0", "and it is not echoed"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_prompt_with_any_escape_sequences_in_between_is_the_prompt_alone(
    built: Built, person: Person, data: st.DataObject
) -> None:
    person.enter("/reset")
    typed = b"".join(character.encode() + data.draw(SEQUENCES | st.just(b"")) for character in ONCE)
    person.type(typed + data.draw(CUT) + b"\r")
    assert person.until(Person.READY) == ONCE + "\r\n" + greedy(built, ONCE).replace("\n", "\r\n")


def test_keys_pressed_during_an_answer_are_not_part_of_the_next_prompt(
    board: Board, built: Built, person: Person
) -> None:
    with board.frozen():
        person.type(ONCE.encode() + b"\r" + b"\x1b[A".join(bytes([byte]) for byte in CAT.encode()) + b"\x1b[B\x1b\n")
    for prompts in ((ONCE,), (ONCE, CAT)):
        answer = greedy(built, *prompts).replace("\n", "\r\n")
        assert person.until(Person.READY) == f"{prompts[-1]}\r\n{answer}"


def test_a_sequence_that_arrives_byte_by_byte_is_still_one(board: Board, person: Person) -> None:
    for byte in b"/te\x1b[1;5Dmp\x1bOP\x1b]0;title\x1b\\\r":
        with board.frozen():
            person.type(bytes([byte]))
    assert person.until(Person.READY) == "/temp\r\ntemp 0"


def test_a_sequence_may_begin_before_the_end_of_an_answer_and_end_after_it(built: Built, person: Person) -> None:
    person.type(ONCE.encode() + b"\r\x1b")
    person.until_bytes(Person.READY)
    person.type(b"[A/temp\r")
    assert person.until(Person.READY) == "/temp\r\ntemp 0"


def test_after_the_esc_key_and_a_pause_comes_text_but_an_arrow_key_never_does(built: Built, person: Person) -> None:
    person.type(b"\x1b")
    time.sleep(0.7)
    person.type(ONCE[:1].encode() + b"\x1b")
    time.sleep(0.7)
    person.type(b"[D" + ONCE[1:].encode() + b"\r")
    assert person.until(Person.READY) == ONCE + "\r\n" + greedy(built, ONCE).replace("\n", "\r\n")


@pytest.mark.parametrize("begun", [b"\x1b", b"\x1b[1;", b"\x1bO", b"\x1b]0;title", b"\x1bP", b"\x1b(", b"\x1b\xc3"])
@pytest.mark.parametrize("attention", [b"\x03\x00\x00", b"\x00", b""])
def test_a_program_is_heard_in_the_middle_of_an_escape_sequence(person: Person, begun: bytes, attention: bytes) -> None:
    person.type(begun + attention)
    program = Program(person.stream, hello=False)
    program.ask(protocol.Hello(), protocol.HelloReply)
    program.ask(protocol.Bye(), protocol.Ok)
    assert person.enter("/temp") == "temp 0", "and nothing of the sequence is left"


@pytest.mark.parametrize("begun", [b"\x1b", b"\x1b[1;", b"\x1b]0;title"])
def test_ctrl_c_ends_an_escape_sequence_too(person: Person, begun: bytes) -> None:
    person.type(b"/temp 1" + begun + b"\x03")
    person.until(b"^C" + Person.READY)
    assert person.enter("/temp") == "temp 0"


@pytest.mark.parametrize("line", [b"\xff\xfe", b"caf\xc3", b"\xed\xa0\x80 cat", b"\xf0\x9f\x98"])
def test_invalid_utf8_reaches_the_model_and_answers_are_whole_characters(person: Person, line: bytes) -> None:
    assert person.enter("/temp 100") == "temp 100"
    person.type(line + b"\r")
    person.until_bytes(line + b"\r\n")
    person.until(Person.READY)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("/temp", "temp 0"),
        ("/temp 0.5", "temp 0.5"),
        ("/temp  .25 ", "temp 0.25"),
        ("/temp 100", "temp 100"),
        ("/temp 0.000001", "temp 0"),
        ("/temp 0.00002", "temp 0.00002"),
        ("/topk 512", "topk 512"),
        ("/topk 1000", "topk 1000"),
        ("/topk 4294967295", "topk 4294967295"),
        ("/topp 1", "topp 1"),
        ("/minp 0.05", "minp 0.05"),
        ("/penalty 1.1", "penalty 1.1"),
        ("/seed 4294967295", "seed 4294967295"),
        ("/max 0", "max 0"),
        ("/overflow stop", "overflow stop"),
        ("/overflow", "overflow slide"),
    ],
)
def test_settings_are_shown_and_changed(person: Person, command: str, answer: str) -> None:
    assert person.enter(command) == answer
    assert person.enter(command.split()[0]) == answer


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("/temp 100.1", "temp: expected 0 to 100, up to six decimals"),
        ("/temp -1", "temp: expected 0 to 100, up to six decimals"),
        ("/temp warm", "temp: expected 0 to 100, up to six decimals"),
        ("/temp .", "temp: expected 0 to 100, up to six decimals"),
        ("/temp 1.0000001", "temp: expected 0 to 100, up to six decimals"),
        ("/temp 99999999999999999999", "temp: expected 0 to 100, up to six decimals"),
        ("/topp 0", "topp: expected 0.00002 to 1, up to six decimals"),
        ("/penalty 0", "penalty: expected 0.01 to 100, up to six decimals"),
        ("/topk 4294967296", "topk: expected 0 to 4294967295"),
        ("/topk 1.5", "topk: expected 0 to 4294967295"),
        ("/seed 4294967296", "seed: expected 0 to 4294967295"),
        ("/overflow up", "overflow: expected slide or stop"),
        ("/echo maybe", "echo: expected on or off"),
        ("/tempo", "no such command, /help lists them"),
        ("/", "no such command, /help lists them"),
        ("/ temp 1", "no such command, /help lists them"),
    ],
)
def test_a_wrong_command_says_what_was_expected_and_changes_nothing(person: Person, command: str, answer: str) -> None:
    before = person.enter("/stats")
    assert person.enter(command) == answer
    assert person.enter("/stats") == before


def test_settings_are_the_same_in_both_voices(person: Person) -> None:
    person.enter("/temp 0.7")
    person.enter("/max 12")
    program = Program(person.stream)
    settings = program.get()
    assert (settings[protocol.Setting.TEMPERATURE], settings[protocol.Setting.MAX_TOKENS]) == (round(0.7 * 65536), 12)
    program.set(top_k=33)
    program.ask(protocol.Bye(), protocol.Ok)
    assert person.enter("/topk") == "topk 33"


def test_help_names_every_command(person: Person) -> None:
    text = person.enter("/help")
    named = {line.split()[0] for line in text.splitlines() if line.startswith("/")}
    assert named == {f"/{name}" for name in ("help", "reset", "echo", "stats", "text")} | {
        command.split()[0] for command in RESET_DEFAULTS
    }


def test_stats_show_settings_context_the_last_answer_and_memory(person: Person) -> None:
    person.enter("/max 240")
    person.enter(ONCE)
    text = person.enter("/stats")
    assert "temp 0, topk 0, topp 0.9, minp 0, penalty 1, seed 1, max 240, overflow slide" in text
    tokens = int(re.search(r"last answer (\d+) tokens in ", text)[1])
    assert f"kernels host\ncontext {5 + tokens} of 256" in text
    assert "last prompt 5 tokens in " in text
    assert " tok/s" in text and "ram.kv_cache" in text


def test_one_token_has_no_rate(person: Person) -> None:
    person.enter("/max 1")
    person.enter(ONCE)
    assert re.search(r"last answer 1 tokens in [0-9.]+ s\n", person.enter("/stats"))


def test_reset_forgets_and_turns_follow_each_other_without_it(built: Built, person: Person) -> None:
    assert person.enter(CAT) == greedy(built, CAT)
    person.enter("/reset")
    person.enter(ONCE)
    assert person.enter(CAT) == greedy(built, ONCE, CAT)


def test_lines_typed_during_an_answer_are_answered_in_order(board: Board, built: Built, person: Person) -> None:
    with board.frozen():
        person.type(f"{ONCE}\n{CAT}\n/stats\n")
    first, second = (greedy(built, *prompts).replace("\n", "\r\n") for prompts in ((ONCE,), (ONCE, CAT)))
    assert person.until(Person.READY) == f"{ONCE}\r\n{first}"
    assert person.until(Person.READY) == f"{CAT}\r\n{second}"
    assert "last answer 40 tokens" in person.until(Person.READY)


def test_ctrl_c_stops_an_answer_before_the_next_forward_pass(board: Board, built: Built, person: Person) -> None:
    whole = greedy(built, ONCE)
    with board.frozen():
        person.type(ONCE.encode() + b"\r/temp 1\r\x03")
    person.until(b"time\r\n")
    assert person.until(Person.READY) == "", "not a token was made"
    assert person.enter("/temp") == "temp 0", "what was typed ahead is dropped"
    assert "context 0 of 256" in person.enter("/stats")
    assert person.enter(ONCE) == whole


def test_more_typed_during_an_answer_than_fits_is_dropped_and_said(board: Board, built: Built, person: Person) -> None:
    with board.frozen():
        person.type(ONCE.encode() + b"\r" + b"/temp 1\r" * 200)
    person.until(b"time\r\n")
    assert person.until(b"dropped: more than 1024 bytes" + Person.READY).startswith(greedy(built, ONCE)[:9])


@pytest.mark.parametrize("length", [1025, 1026, 5000, 100_000])
def test_an_overlong_line_is_dropped_whole_and_said(built: Built, person: Person, length: int) -> None:
    person.type(b"/temp 1" + b"a" * (length - 7) + b"\r")
    assert person.until(Person.READY).endswith("dropped: more than 1024 bytes")
    assert person.enter("/temp") == "temp 0"


def test_a_line_of_the_longest_length_is_taken(person: Person) -> None:
    person.type(b"/" + b"temp" + b" " * 1017 + b".5\r")
    assert person.until(Person.READY).endswith("temp 0.5")


def test_a_prompt_of_too_many_tokens_is_refused_and_changes_nothing(built: Built, person: Person) -> None:
    person.enter(ONCE)
    assert "too long" in person.enter("zq" * 500)
    assert person.enter(CAT) == greedy(built, ONCE, CAT)


@pytest.mark.parametrize("clear", [b"\x03", b"\x00", b"\x00\x00", b"\x00\x03"])
def test_ctrl_c_or_a_zero_drops_what_was_typed(person: Person, clear: bytes) -> None:
    person.type(b"/temp 1" + clear)
    person.type("/topk 3\r")
    person.until(b"topk 3" + Person.READY)
    assert person.enter("/temp") == "temp 0"


@pytest.mark.parametrize("noise", [b"\x00", b"\x00\x05", b"\x00\x05\x02", b"\x00\xff\x00\x0d", b"\x00\x05\x02abc\r\n"])
@pytest.mark.parametrize("clear", [b"\x03\x03", b"\x00"])
def test_after_noise_the_line_comes_back(person: Person, noise: bytes, clear: bytes) -> None:
    person.type(noise + clear)
    person.type("/topk 3\r")
    person.until_bytes(b"topk 3" + Person.READY)


def test_echo_off_leaves_only_what_the_board_has_to_say(built: Built, person: Person) -> None:
    person.type("/echo off\r")
    person.until(b"/echo off\r\n")
    person.type(f"{ONCE}\r/topk\r")
    assert person.until(b"topk 0\r\n") == greedy(built, ONCE).replace("\n", "\r\n") + "\r\n"
    person.type("/echo on\r")
    person.until(b"> ")


def test_with_overflow_stop_a_full_context_is_said() -> None:
    with Board(build(64).program) as board, board.connected() as stream:
        person = Person(stream)
        person.interrupt()
        person.enter("/overflow stop")
        assert person.enter(ONCE).endswith("the context is full: /reset, or /overflow slide")
        assert "too long" in person.enter(ONCE)
        person.enter("/overflow slide")
        person.enter("/max 5")
        assert "too long" not in person.enter(ONCE)


def test_frames_other_than_hello_are_neither_obeyed_nor_answered_nor_taken_for_text(person: Person) -> None:
    program = Program(person.stream, hello=False)
    for request in (
        protocol.Prompt(5, "/temp 1\r/temp 1\r"),
        protocol.Prompt(protocol.UNTIL_STOP, "\r/temp 1\r" * 100),
        protocol.Prompt(256, tuple(b"\r/temp 1\r")),
        protocol.Set(protocol.Setting.TEMPERATURE, 65536),
        protocol.Reset(),
    ):
        program.send(request)
    person.type("/temp\r")
    assert b"\x00" not in person.until_bytes(b"temp 0" + Person.READY), "not even a reply"


def test_a_damaged_hello_does_not_change_the_voice(person: Person) -> None:
    program = Program(person.stream, hello=False)
    frame = bytearray(program.wire(protocol.Hello()))
    frame[3] ^= 1
    person.type(bytes(frame))
    assert person.enter("/temp") == "temp 0"
