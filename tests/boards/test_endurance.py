"""A board that is interrupted, disturbed, used for long and switched off."""

from __future__ import annotations

import pytest

from tinyllm.host.api.board import Board
from tinyllm.host.chat.conversation import Conversation
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.errors import BoardGone
from tinyllm.host.link.frames import encode_frame
from tinyllm.host.link.messages import Done, Overflow, Reason, Setting, Token, token_digest

ONCE = "Once upon a time"
LONG = "Lily and Tom went to the park and saw a big dog."


def last_reply(board: Board, sequence: int, kind: type[protocol.Reply]) -> list[protocol.Reply]:
    """The replies to one request, up to one of this kind."""
    replies: list[protocol.Reply] = []
    while not (replies and isinstance(replies[-1], kind)):
        _, reply = board.link.receive(sequence)
        if reply is not None:
            replies.append(reply)
    return replies


@pytest.mark.parametrize("end", [protocol.Cancel(), protocol.Reset()], ids=["cancel", "reset"])
@pytest.mark.parametrize("reading", [True, False], ids=["while it reads", "while it speaks"])
def test_an_answer_ends_within_one_token(board: Board, end: protocol.Request, reading: bool) -> None:
    """Both requests in one piece: the board finds the second one after the first forward pass at the latest."""
    if not reading:
        board.logits(LONG)
    content: str | tuple[int, ...] = LONG if reading else ()
    request = protocol.Prompt(protocol.UNTIL_STOP, content)
    number = 200
    together = encode_frame(protocol.to_frame(request, number))
    ending = board.link.send(end, before=together)
    (*_, done) = last_reply(board, number, Done)
    assert isinstance(done, Done)
    assert done.reason == Reason.CANCELLED
    assert done.prompt_tokens + done.tokens <= 1
    last_reply(board, ending, protocol.Ok)
    board.link.reset()
    assert board.ask(ONCE, 8).read().tokens == board.expect(ONCE, max_tokens=8)[0]


def test_an_answer_that_streams_ends_when_asked_and_the_conversation_goes_on(board: Board) -> None:
    board.settings.update(temperature=1.2, top_p=1)
    tokens = []
    for event in board.link.prompt(ONCE, protocol.UNTIL_STOP):
        if isinstance(event, Token):
            tokens.append(event.token)
            if len(tokens) == 3:
                board.link.stop()
    assert isinstance(event, Done)
    assert event.reason in (Reason.CANCELLED, Reason.STOP)
    said = token_digest([*board.expected.encode(ONCE), *tokens])
    assert board.link.update_hello().conversation_digest == said


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_corrupt_frames_are_counted_and_never_obeyed_and_the_next_one_works(board: Board) -> None:
    board.ask(ONCE, 5).read()
    before, settings = board.link.update_hello(), board.link.get()
    requests = [
        protocol.Reset(),
        protocol.Set(Setting.TEMPERATURE, 3 * protocol.Q16),
        protocol.Set(Setting.OVERFLOW, Overflow.STOP),
        protocol.Prompt(5, "and then"),
    ]
    sent = 0
    for request in requests:
        frame = encode_frame(protocol.to_frame(request, 99))
        for at in range(1, len(frame) - 1):
            damaged = flipped(frame, at, at % 8)
            if damaged[at] != 0:  # A zero would make two frames of it.
                board.link.send(protocol.Get(), before=damaged)
                sent += 1
        for damaged in (frame[:-3] + b"\0", frame[:4] + frame[5:], frame[:5] + frame[4:]):
            board.link.send(protocol.Get(), before=damaged)
            sent += 1
        assert board.link.get() == settings
    after = board.link.update_hello()
    assert after.corrupt_frames - before.corrupt_frames == sent
    assert after.conversation_digest == before.conversation_digest
    board.link.reset()
    assert board.ask(ONCE, 8).read().tokens == board.expect(ONCE, max_tokens=8)[0]


def test_200_prompts_in_a_row_leave_no_trace(board: Board) -> None:
    (expected,) = board.expect("One", max_tokens=2)
    first = board.ask("One", 2).read()
    memory = board.link.memory()
    for _ in range(199):
        board.link.reset()
        answer = board.ask("One", 2).read()
        assert (answer.tokens, answer.conversation_digest) == (expected, first.conversation_digest)
    assert board.link.memory() == memory


def test_a_board_that_was_switched_off_starts_anew_and_takes_its_memory_back(board: Board) -> None:
    if not board.can_restart:
        pytest.skip("somebody would have to pull the plug")
    conversation = Conversation(board.hello)
    for prompt, tokens in ((ONCE, 30), ("The cat", 40)):
        list(conversation.ask(board.link, prompt, tokens))
    held = board.link.update_hello()
    board.cut_power()
    with pytest.raises(BoardGone):
        board.ask("and", 5).read()
    board.reconnect()
    assert board.hello.context_used == 0
    assert conversation.replay(board.link)
    assert board.link.update_hello().conversation_digest == held.conversation_digest
