"""What a token costs a board: counted figures are exact, which is the same number in every run."""

from __future__ import annotations

import pytest

from tinyllm.errors import Failure
from tinyllm.host.api.board import Board
from tinyllm.host.link import link, serial_port
from tinyllm.host.prove.benchmark import MOST, Phase, phase

SECOND_OPINION = True
TOKENS = 6


def test_counted_figures_are_the_same_in_every_run(board: Board) -> None:
    """Whatever the board did before, and after it was started anew."""
    first = board.bench(TOKENS)
    assert first.answer.tokens == TOKENS
    if first.answer.unit == "microseconds":
        pytest.skip("a clock that measures differs from run to run")
    assert first.answer.per_token > 500_000 and first.answer.tokens_per_second is None
    board.settings.update(temperature=1.1, seed=4)
    board.ask("The dog", 3).read()
    board.link.memory()
    assert board.bench(TOKENS) == first
    board.restart()
    assert board.bench(TOKENS) == first


def test_counted_figures_are_the_same_if_each_token_takes_the_emulator_long(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board that is slow to answer is asked whether it is at work, but not while it is counted."""
    first = board.bench(TOKENS)
    if first.answer.unit == "microseconds":
        pytest.skip("a clock that measures differs from run to run")
    monkeypatch.setattr(link, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(serial_port, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(board.link._port, "timeout", 0.001)
    assert board.bench(TOKENS) == first


def test_the_answer_and_the_settings_of_a_bench_leave_no_trace(board: Board) -> None:
    board.settings.update(temperature=0.9, seed=3)
    expected = board.expect("The dog", max_tokens=TOKENS)[0]
    digest = board.bench(TOKENS).digest
    assert board.link.update_hello().context_used == 0
    assert board.ask("The dog", TOKENS).read().tokens == expected
    assert board.bench(TOKENS).digest == digest


def test_a_time_that_a_board_cannot_tell_is_no_figure() -> None:
    """DONE has 32 bits for it."""
    assert phase("instructions", [(2, MOST - 1), (2, 3)], "pico") == Phase(4, "instructions", (MOST + 2) / 4, None)
    with pytest.raises(Failure, match=r"pico: an answer took 4,294,967,295 instructions or more, .* fewer tokens"):
        phase("instructions", [(2, 3), (2, MOST)], "pico")
