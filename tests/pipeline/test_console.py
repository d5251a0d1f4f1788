"""A program talks to the board: every request and reply of docs/protocol.md, on the program that the emitter writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.console_board import Board, Built, Person, Program, Refused, build, compile_program
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS
from tinyllm.codegen.memory.plan import MOST_BATCH
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, encode_frame
from tinyllm.host.link.messages import ErrorCode, Overflow, Reason, Setting, token_digest

ONCE = "Once upon a time"
CAT = "The cat sat"
LONG = "Lily and Tom went to the park. " * 12
DEFAULTS = {setting: row.start for setting, row in SETTINGS.items()}


@pytest.fixture(scope="module")
def built() -> Built:
    return build()


@pytest.fixture(scope="module")
def board(built: Built) -> Iterator[Board]:
    with Board(built.program) as board:
        yield board


@pytest.fixture
def program(board: Board) -> Iterator[Program]:
    """In conversation with a board that has forgotten what was before, at its default settings but greedy."""
    with board.connected() as stream:
        program = Program(stream)
        for number, value in DEFAULTS.items():
            program.ask(protocol.Set(number, value), protocol.Ok)
        program.set(temperature=0)
        program.reset()
        yield program
        program.ask(protocol.Bye(), protocol.Ok)


@pytest.fixture
def small() -> Iterator[tuple[Built, Program]]:
    """A board with a context of 64 tokens, and a program that talks to it."""
    built = build(64)
    with Board(built.program) as board, board.connected() as stream:
        program = Program(stream)
        program.set(temperature=0)
        yield built, program


def refusal(program: Program, request: protocol.Request) -> ErrorCode:
    reply = program.reply(program.send(request))
    assert isinstance(reply, protocol.Error), reply
    assert reply.request == request.TYPE
    assert reply.message
    return ErrorCode(reply.code)


def test_hello_says_who_the_board_is(built: Built) -> None:
    with Board(built.program) as board, board.connected() as stream:
        facts = Program(stream).facts
    assert (facts.version, facts.context, facts.vocab_size, facts.text_max) == (
        protocol.PROTOCOL_VERSION,
        256,
        512,
        built.text_max,
    )
    assert (facts.model, facts.board) == ("tinystories-260k", "host")
    assert facts.model_hash == built.model.digest()[:8].hex()
    assert ",".join(f"0x{byte:02x}" for byte in bytes.fromhex(facts.build_id)) in built.files["src/identity.h"]
    assert f'"{facts.firmware}"' in built.files["src/identity.h"]
    assert (facts.context_used, facts.conversation_digest, facts.corrupt_frames, facts.chat) == (0, 0, 0, 0)


def test_a_greedy_answer_is_the_one_of_the_reference(built: Built, program: Program) -> None:
    [expected] = built.answers([ONCE], 40)
    prompt = encode(built.tokenizer, ONCE, bos=True)
    answer = program.prompt(ONCE)
    assert answer.tokens == expected
    assert answer.text == built.text(expected)
    assert (answer.done.reason, answer.done.prompt_tokens) == (Reason.LENGTH, len(prompt))
    assert answer.done.context_used == len(prompt) + 40
    assert answer.done.conversation_digest == token_digest(prompt + expected) == program.hello().conversation_digest
    assert answer.done.prefill_us > 0 < answer.done.decode_us


def test_turns_follow_each_other_as_one_sequence_of_tokens(built: Built, program: Program) -> None:
    settings = SamplerSettings(top_k=40, min_p=1000, repetition_penalty=80000)
    program.set(temperature=settings.temperature, top_k=40, min_p=1000, repetition_penalty=80000, seed=7)
    prompts = [ONCE, CAT, "So they"]
    expected = built.answers(prompts, 30, settings, seed=7)
    answers = [program.prompt(prompt, 30) for prompt in prompts]
    assert [answer.tokens for answer in answers] == expected
    assert answers[1].done.prompt_tokens == len(encode(built.tokenizer, CAT))


def test_an_answer_ends_with_the_models_stop_token_which_has_no_text(built: Built, program: Program) -> None:
    program.set(temperature=52429)
    answers = (program.prompt(ONCE, 250) for _ in range(20))
    answer = next(answer for answer in answers if answer.done.reason == Reason.STOP)
    assert answer.tokens[-1] in built.tokenizer.stop_ids
    assert not set(answer.tokens[:-1]) & set(built.tokenizer.stop_ids)
    assert answer.text == built.text(answer.tokens[:-1])


def test_token_ids_are_taken_as_they_are(built: Built, program: Program) -> None:
    text = program.prompt(ONCE)
    program.reset()
    ids = encode(built.tokenizer, ONCE, bos=True)
    tokens = program.prompt(ids)
    assert (tokens.tokens, tokens.done.prompt_tokens) == (text.tokens, len(ids))
    assert tokens.done.conversation_digest == text.done.conversation_digest


def test_the_same_seed_and_prompts_give_the_same_tokens(board: Board, built: Built, program: Program) -> None:
    def conversation(program: Program) -> list[list[int]]:
        return [program.prompt(prompt, 30).tokens for prompt in (ONCE, CAT)]

    program.set(temperature=65536, seed=5)
    first = conversation(program)
    program.reset()
    assert conversation(program) == first, "after a reset"
    program.set(seed=99)
    program.reset()
    assert conversation(program) != first, "another seed"
    program.set(seed=5)
    program.reset()
    assert conversation(program) == first, "after another conversation"
    with Board(built.program) as other, other.connected() as stream:
        fresh = Program(stream)
        fresh.set(temperature=65536, seed=5)
        assert conversation(fresh) == first, "on a board that has just started"


def test_setting_the_seed_starts_the_random_numbers_anew(program: Program) -> None:
    program.set(temperature=65536, seed=5)
    program.prompt(ONCE, 0)
    drawn = program.prompt((), 1).tokens
    program.prompt(CAT, 10)
    program.set(seed=5, overflow=Overflow.SLIDE)
    program.ask(protocol.Cancel(), protocol.Ok)
    program.reset()
    assert program.prompt(ONCE, 1).tokens == drawn


def test_prefill_alone_leaves_logits_to_read(built: Built, program: Program) -> None:
    answer = program.prompt(ONCE, 0)
    assert (answer.tokens, answer.done.reason, answer.done.digest) == ([], Reason.LENGTH, 0)
    read = [value for first in range(0, 512, 60) for value in program.logits(first, min(60, 512 - first))]
    expected = Reference(built.model).forward(encode(built.tokenizer, ONCE, bos=True))[-1]
    assert np.array_equal(read, expected)


def test_a_prompt_without_tokens_goes_on_from_a_prefill_or_an_answer(built: Built, program: Program) -> None:
    [expected] = built.answers([ONCE], 40)
    program.prompt(ONCE, 0)
    assert program.prompt((), 15).tokens == expected[:15]
    assert program.prompt("", 25).tokens == expected[15:]


def test_a_prompt_without_tokens_has_nothing_to_go_on_from_at_first(program: Program) -> None:
    assert refusal(program, protocol.Prompt(5, ())) == ErrorCode.BAD_REQUEST
    assert program.hello().context_used == 0


def test_logits_are_gone_once_a_token_was_sampled(program: Program) -> None:
    assert refusal(program, protocol.Logits(0, 1)) == ErrorCode.NO_LOGITS
    program.prompt(ONCE, 1)
    assert refusal(program, protocol.Logits(0, 1)) == ErrorCode.NO_LOGITS


@pytest.mark.parametrize(("first", "count"), [(0, 0), (0, 61), (512, 1), (500, 13), (0xFFFFFFFF, 60)])
def test_logits_outside_the_vocabulary_are_refused(program: Program, first: int, count: int) -> None:
    program.prompt(ONCE, 0)
    assert refusal(program, protocol.Logits(first, count)) == ErrorCode.BAD_VALUE


def test_long_prompts_report_progress_every_16_tokens(built: Built, program: Program) -> None:
    length = len(encode(built.tokenizer, LONG, bos=True))
    assert program.prompt(LONG, 1).progress == [(done, length) for done in range(16, length + 1, 16)]


@pytest.mark.parametrize("setting", Setting)
def test_a_setting_takes_its_range_and_refuses_the_rest(program: Program, setting: Setting) -> None:
    least, greatest = SETTINGS[setting].minimum, SETTINGS[setting].maximum
    for value in (least, greatest):
        program.ask(protocol.Set(setting, value), protocol.Ok)
        assert program.get()[setting] == value
    for value in (value for value in (least - 1, greatest + 1) if 0 <= value < 2**32):
        assert refusal(program, protocol.Set(setting, value)) == ErrorCode.BAD_VALUE
    assert program.get()[setting] == greatest


@pytest.mark.parametrize("top_k", [512, 513, 1000, 2**32 - 1])
def test_a_top_k_above_the_vocabulary_keeps_all_of_it(built: Built, program: Program, top_k: int) -> None:
    program.set(temperature=65536, top_p=65536, seed=3, top_k=top_k)
    everything = SamplerSettings(temperature=65536, top_p=65536)
    assert program.prompt(ONCE, 30).tokens == built.answers([ONCE], 30, everything, seed=3)[0]


def test_a_board_starts_with_the_documented_settings_and_keeps_them_over_a_reset(built: Built) -> None:
    with Board(built.program) as board, board.connected() as stream:
        program = Program(stream)
        assert program.get() == DEFAULTS
        program.set(temperature=1234, seed=9)
        program.reset()
        assert program.get() == DEFAULTS | {1: 1234, 6: 9}


def test_unknown_settings_are_refused(program: Program) -> None:
    for number in (0, 9, 255):
        assert refusal(program, protocol.Set(number, 1)) == ErrorCode.BAD_VALUE


def test_memory_lists_what_the_plan_counted(built: Built, program: Program) -> None:
    entries = dict(program.ask(protocol.Memory(), protocol.MemoryReply).entries)
    assert entries["ram.kv_cache"] > 0 < entries["flash.weights"]
    assert all(f'{{"{name}", {size}}}' in built.files["src/model.c"] for name, size in entries.items())


# --- While an answer is under way ---


def test_an_answer_under_way_lets_only_some_requests_through(board: Board, program: Program) -> None:
    with board.frozen():
        prompt = program.send(protocol.Prompt(60, ONCE))
        served = [program.send(request) for request in (protocol.Hello(), protocol.Get(), protocol.Memory())]
        busy = [
            program.send(request) for request in (protocol.Prompt(1, CAT), protocol.Set(6, 1), protocol.Logits(0, 1))
        ]
    replies = [program.next() for _ in range(6)]
    assert [sequence for sequence, _ in replies] == served + busy
    assert [type(reply) for _, reply in replies[:3]] == [protocol.HelloReply, protocol.Settings, protocol.MemoryReply]
    assert {reply.code for _, reply in replies[3:] if isinstance(reply, protocol.Error)} == {ErrorCode.BUSY}
    assert len(program.collect(prompt).tokens) == 60


@pytest.mark.parametrize("request_", [protocol.Cancel(), protocol.Reset(), protocol.Bye()])
def test_an_answer_is_ended_before_the_next_forward_pass(
    board: Board, program: Program, request_: protocol.Request
) -> None:
    with board.frozen():
        prompt = program.send(protocol.Prompt(60, ONCE))
        end = program.send(request_)
    (first, done), (second, ok) = program.next(), program.next()
    assert (first, second) == (prompt, end)
    assert isinstance(done, protocol.Done) and isinstance(ok, protocol.Ok)
    assert (done.reason, done.prompt_tokens, done.tokens) == (Reason.CANCELLED, 0, 0)
    assert ok.request == request_.TYPE
    if isinstance(request_, protocol.Bye):
        program.hello()


# A poll takes 4 + 5 + text_max bytes at most and then does one forward pass, so bytes count passes; zeros say nothing.
@pytest.mark.parametrize("passes", [3, 13, 40, 110])
def test_a_cancelled_answer_stays_in_the_conversation_as_far_as_it_went(
    board: Board, built: Built, program: Program, passes: int
) -> None:
    ids = encode(built.tokenizer, LONG, bos=True)[:100]
    with board.frozen():
        prompt = program.wire(protocol.Prompt(protocol.UNTIL_STOP, tuple(ids)))
        sequence = program.sequence
        idle = b"\x00" * ((4 + 5 + built.text_max) * passes - len(prompt))
        program.stream.write(prompt + idle + program.wire(protocol.Cancel()))
    answer = program.collect(sequence)
    assert answer.done.reason == Reason.CANCELLED
    # Batches up to the last token of the prompt, then it alone; the first token is sampled from its pass.
    prefill = -(-99 // MOST_BATCH) + 1
    assert answer.done.prompt_tokens == (min(passes * MOST_BATCH, 99) if passes < prefill else 100)
    assert len(answer.tokens) == max(passes - prefill, 0)
    kept = ids[: answer.done.prompt_tokens] + answer.tokens
    assert answer.done.context_used == len(kept)
    assert program.hello().conversation_digest == token_digest(kept)
    again = program.prompt(CAT, 20).tokens
    program.reset()
    assert program.prompt(kept + encode(built.tokenizer, CAT), 20).tokens == again


def test_cancel_with_nothing_under_way_is_served(program: Program) -> None:
    assert program.ask(protocol.Cancel(), protocol.Ok).request == protocol.Cancel.TYPE


# --- The context ---


def test_a_full_context_slides_and_keeps_the_sinks(small: tuple[Built, Program]) -> None:
    built, program = small
    settings = SamplerSettings(repetition_penalty=75000)
    program.set(temperature=settings.temperature, repetition_penalty=75000)
    prompts = [ONCE, CAT]
    answers = [program.prompt(prompt, 60) for prompt in prompts]
    assert [answer.tokens for answer in answers] == built.answers(prompts, 60, settings)
    assert answers[-1].done.context_used == 64


def test_with_overflow_stop_an_answer_ends_when_the_context_is_full(small: tuple[Built, Program]) -> None:
    built, program = small
    program.set(overflow=Overflow.STOP)
    answer = program.prompt(ONCE, protocol.UNTIL_STOP)
    prompt_tokens = len(encode(built.tokenizer, ONCE, bos=True))
    assert answer.done.reason == Reason.CONTEXT
    assert answer.done.context_used == 64
    assert answer.tokens == built.answers([ONCE], 64 - prompt_tokens + 1)[0]
    before = program.hello()
    assert refusal(program, protocol.Prompt(5, CAT)) == ErrorCode.TOO_LONG
    assert program.hello() == before
    program.set(overflow=Overflow.SLIDE)
    assert program.prompt(CAT, 5).done.reason == Reason.LENGTH


def test_with_overflow_stop_a_prompt_may_fill_the_context(small: tuple[Built, Program]) -> None:
    _, program = small
    program.set(overflow=Overflow.STOP)
    answer = program.prompt([1] * 64, protocol.UNTIL_STOP)
    assert (len(answer.tokens), answer.done.reason) == (1, Reason.CONTEXT)


def test_a_prompt_longer_than_the_board_takes_changes_nothing(built: Built, program: Program) -> None:
    before = program.prompt(ONCE).done.conversation_digest
    too_many_tokens = "zq" * (built.text_max // 2)
    assert len(encode(built.tokenizer, too_many_tokens)) > 256
    for content in ("a" * (built.text_max + 1), "a" * 5000, too_many_tokens, (1,) * 257, (1,) * 2000):
        assert refusal(program, protocol.Prompt(5, content)) == ErrorCode.TOO_LONG
    facts = program.hello()
    assert (facts.conversation_digest, facts.corrupt_frames) == (before, facts.corrupt_frames)
    assert program.prompt(CAT).tokens == built.answers([ONCE, CAT], 40)[1]


def test_a_prompt_as_long_as_the_context_is_taken(program: Program) -> None:
    assert program.prompt((1,) * 256, 1).done.prompt_tokens == 256
    program.reset()
    assert program.prompt("a " * 120, 1).done.prompt_tokens > 100


# --- Bad frames ---


@pytest.mark.parametrize(
    "body",
    [b"", b"\x01\x00\x00\x00", b"\x01\x00\x00\x00\x02", b"\x01\x00\x00\x00\x01\x05\x00\x00", b"\x01\x00\x00\x00\xff"],
)
def test_prompts_of_a_wrong_form_are_refused(program: Program, body: bytes) -> None:
    assert ask_raw(program, 0x02, body) == ErrorCode.BAD_REQUEST


@pytest.mark.parametrize("token", [512, 0xFFFF, 0x10001, 0xFFFFFFFF])
def test_token_ids_outside_the_vocabulary_are_refused(program: Program, token: int) -> None:
    assert refusal(program, protocol.Prompt(5, (1, token))) == ErrorCode.BAD_VALUE
    assert program.hello().context_used == 0


@pytest.mark.parametrize("kind", [0x00, 0x0A, 0x7F, 0x81, 0xFF])
def test_unknown_requests_are_refused(program: Program, kind: int) -> None:
    assert ask_raw(program, kind, b"") == ErrorCode.BAD_REQUEST
    assert ask_raw(program, kind, bytes(5000)) == ErrorCode.BAD_REQUEST


@pytest.mark.parametrize("kind", [0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09])
def test_bodies_of_the_wrong_size_are_refused(program: Program, kind: int) -> None:
    assert ask_raw(program, kind, bytes([protocol.PROTOCOL_VERSION]) * 7) == ErrorCode.BAD_REQUEST


def ask_raw(program: Program, kind: int, body: bytes) -> ErrorCode:
    program.stream.write(encode_frame(Frame(kind, 77, body)))
    reply = program.reply(77)
    assert isinstance(reply, protocol.Error) and reply.request == kind
    return ErrorCode(reply.code)


def test_a_corrupt_frame_is_counted_answered_and_not_obeyed(program: Program) -> None:
    program.prompt(ONCE)
    before = program.hello()
    for position in range(1, 7):
        frame = bytearray(program.wire(protocol.Reset()))
        frame[position] ^= 0x40
        program.stream.write(bytes(frame) + b"\x00")
        reply = program.reply(0)
        assert isinstance(reply, protocol.Error)
        assert (reply.code, reply.request) == (ErrorCode.CORRUPT, 0)
    after = program.hello()
    assert after.corrupt_frames == before.corrupt_frames + 6
    assert after.conversation_digest == before.conversation_digest


def test_frames_may_share_and_repeat_their_zeros(program: Program) -> None:
    first, second = program.wire(protocol.Get()), program.wire(protocol.Memory())
    program.stream.write(b"\x00\x00" + first[:-1] + second + b"\x00\x00")
    assert isinstance(program.next()[1], protocol.Settings)
    assert isinstance(program.next()[1], protocol.MemoryReply)


def test_opening_a_connection_anew_is_not_counted_as_damage(program: Program) -> None:
    program.stream.write(protocol.ATTENTION)
    assert program.hello().corrupt_frames == program.facts.corrupt_frames


# --- Which voice ---


@pytest.mark.parametrize("version", [0, 1, 2, 255])
def test_another_protocol_version_is_refused_in_both_voices(board: Board, version: int) -> None:
    with board.connected() as stream:
        program = Program(stream, hello=False)
        for open_voice in (b"", program.wire(protocol.Hello())):
            stream.write(protocol.ATTENTION + open_voice)
            reply = program.reply(program.send(protocol.Hello(version)))
            assert isinstance(reply, protocol.Error)
            assert (reply.code, reply.message) == (ErrorCode.VERSION, str(protocol.PROTOCOL_VERSION))
        program.ask(protocol.Bye(), protocol.Ok)


def test_a_refused_version_leaves_the_text_voice(board: Board) -> None:
    with board.connected() as stream:
        program, person = Program(stream, hello=False), Person(stream)
        program.reply(program.send(protocol.Hello(1)))
        assert person.enter("/temp 0") == "temp 0"


def test_text_is_no_prompt_in_the_program_voice(program: Program) -> None:
    program.stream.write(b"Once upon a time\r\n/reset\r\ntext\r/texts\n /text\n")
    assert program.stream.is_quiet(0.2)
    program.stream.write(b"\x00")
    assert program.hello().context_used == 0


@pytest.mark.parametrize("before", [b"", b"what now\r\n", b"\x05\x41\n", b"/tex\x00"])
def test_the_line_text_gives_the_board_back_to_a_person(board: Board, before: bytes) -> None:
    with board.connected() as stream:
        Program(stream)
        stream.write(before + b"/text\r\n")
        person = Person(stream)
        person.until_bytes(b"/help.\r\n> ")
        assert person.enter("/seed 3") == "seed 3"


def test_a_prompt_may_contain_the_line_text(program: Program) -> None:
    answer = program.prompt("He wrote\n/text\nand then", 5)
    assert len(answer.tokens) == 5
    assert program.hello().context_used == answer.done.context_used


def test_bye_gives_the_board_back_to_a_person_and_hello_takes_it_again(board: Board) -> None:
    with board.connected() as stream:
        program, person = Program(stream), Person(stream)
        program.ask(protocol.Bye(), protocol.Ok)
        assert person.enter("/seed 4") == "seed 4"
        program = Program(stream)
        assert program.get()[Setting.SEED] == 4
        program.ask(protocol.Bye(), protocol.Ok)


# --- Damaged weights ---


def test_damaged_weights_are_named_in_both_voices_and_generate_nothing(built: Built, tmp_path: Path) -> None:
    weights = built.files["src/weights.c"]
    start = weights.index("{\n", weights.index("uint16_t")) + 2
    comma = weights.index(",", start)
    damaged = weights[:start] + str((int(weights[start:comma]) + 1) % 100) + weights[comma:]
    program_file = compile_program(built.files | {"src/weights.c": damaged}, tmp_path, ("-O1",))
    with Board(program_file) as board, board.connected() as stream:
        person = Person(stream)
        assert "weights failed their CRC" in person.enter("/text")
        assert "weights failed their CRC" in person.enter(ONCE)
        program = Program(stream)
        for content in (ONCE, (1, 2)):
            with pytest.raises(Refused, match="weights failed their CRC") as refused:
                program.prompt(content)
            assert refused.value.code == ErrorCode.MODEL
        assert program.hello().context_used == 0
