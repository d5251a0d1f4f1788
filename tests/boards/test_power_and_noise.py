"""Power cuts and line noise: every answer ends, whole or with a clear error, and the next prompt works."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from tests.boards.noisy_line import Damage, NoisyLine, drop, flip
from tinyllm.errors import TinyllmError
from tinyllm.host.api.board import Board
from tinyllm.host.link.errors import BoardGone
from tinyllm.host.link.link import SILENCE_SECONDS, Link
from tinyllm.host.link.messages import Setting, Token

ONCE = "Once upon a time"
TOKENS = 24
RATE = 0.01
ROUNDS = [None, pytest.param(100, marks=pytest.mark.sweep)]
"""As `usual` says, or a sweep."""
PATIENCE = SILENCE_SECONDS + 10


def usual(board: Board) -> int:
    """Rounds in a run without sweeps: it is this computer's side that is on trial, so the other boards get fewer."""
    return 8 if board.hello.board == "host" else 1


def ask(link: Link, tokens: int) -> tuple[int, ...]:
    return tuple(event.token for event in link.prompt(ONCE, tokens) if isinstance(event, Token))


@pytest.fixture(params=[drop, flip], ids=["dropped", "flipped"])
def line(board: Board, request: pytest.FixtureRequest) -> Iterator[NoisyLine]:
    """A bad cable to the board; the suite's own connection is closed meanwhile."""
    damage: Damage = request.param
    board.link.close()
    line = NoisyLine(board.link.name, damage, seed=1)
    yield line
    line.close()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_with_noise_on_the_line_an_answer_is_whole_or_an_error_and_the_next_one_is_whole(
    board: Board, line: NoisyLine, rounds: int | None
) -> None:
    (expected,) = board.expect(ONCE, max_tokens=TOKENS)
    errors = []
    with Link(line.url, wire=board.wire) as link:
        link.set(Setting.TEMPERATURE, 0)
        for i in range(rounds or usual(board)):
            tokens = TOKENS - i * 7 % TOKENS
            link.reset()
            line.rate = RATE
            begun = time.monotonic()
            try:
                assert ask(link, tokens) == expected[:tokens]
            except TinyllmError as error:
                errors.append(str(error))
            assert time.monotonic() - begun < PATIENCE
            line.rate = 0.0
            link.reset()
            assert ask(link, 3) == expected[:3]
    assert line.damaged > 0
    assert all(error.startswith(line.url) for error in errors)


@pytest.mark.parametrize("rounds", [None, pytest.param(8, marks=pytest.mark.sweep)])
def test_with_noise_on_the_line_a_connection_is_had_or_refused(
    board: Board, line: NoisyLine, rounds: int | None
) -> None:
    (expected,) = board.expect(ONCE, max_tokens=3)
    for _ in range(rounds or usual(board) // 4 + 1):
        line.rate = RATE
        begun = time.monotonic()
        try:
            with Link(line.url, wire=board.wire) as link:
                link.get()
        except TinyllmError as error:
            assert str(error).startswith(line.url)
        assert time.monotonic() - begun < PATIENCE
        line.rate = 0.0
        with Link(line.url, wire=board.wire) as link:
            link.set(Setting.TEMPERATURE, 0)
            link.reset()
            assert ask(link, 3) == expected


@pytest.mark.parametrize("rounds", ROUNDS)
def test_after_a_power_cut_at_any_moment_the_next_prompt_works(board: Board, rounds: int | None) -> None:
    if not board.can_restart:
        pytest.skip("somebody would have to pull the plug")
    (expected,) = board.expect(ONCE, max_tokens=TOKENS)
    begun = time.monotonic()
    assert board.ask(ONCE, TOKENS).read().tokens == expected
    seconds = time.monotonic() - begun
    moments = random.Random(1)
    for _ in range(rounds or usual(board)):
        board.link.reset()
        cut = threading.Timer(moments.uniform(0, 1.2 * seconds), board.cut_power)
        cut.start()
        try:
            assert board.ask(ONCE, TOKENS).read().tokens == expected
        except BoardGone as gone:
            assert "the board went away" in str(gone)
        cut.join()
        board.reconnect()
        assert board.ask(ONCE, TOKENS).read().tokens == expected
