"""What a token costs a board: counted figures are exact, which is the same number in every run."""

from __future__ import annotations

import pytest

from tinyllm.errors import Failure
from tinyllm.host.api.board import Board
from tinyllm.host.link import link, serial_port
from tinyllm.host.prove.benchmark import MOST, Phase, phase
from tinyllm.host.virtual.parts import PARTS, Part, part_of
from tinyllm.host.virtual.profile import ELSEWHERE

SECOND_OPINION = True
TOKENS = 6
POSITIONS = (0, 20)


def test_counted_figures_are_the_same_in_every_run(board: Board) -> None:
    """Whatever the board did before, and after it was started anew."""
    first = board.bench(TOKENS, POSITIONS)
    assert first.answer.tokens == TOKENS
    if first.answer.unit == "microseconds":
        pytest.skip("a clock that measures differs from run to run")
    assert first.answer.per_token > 100_000 and first.answer.tokens_per_second is None
    board.settings.update(temperature=1.1, seed=4)
    board.ask("The dog", 3).read()
    board.link.memory()
    assert board.bench(TOKENS, POSITIONS) == first
    board.restart()
    assert board.bench(TOKENS, POSITIONS) == first


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


def test_each_part_of_a_token_is_counted_and_all_parts_are_the_token(board: Board) -> None:
    """Of the time between two readings of the board's clock all but the session's own work is in the parts."""
    mean, first, later = board.bench(TOKENS, (0, 40)).places
    if not mean.counts:
        pytest.skip("nobody counts what a board by itself executes")
    assert (mean.name, first.name, later.name) == ("5-10", "0", "40")
    for place in (mean, first, later):
        core = sum(sum(row.values()) for row in place.counts[0].values())
        if len(place.counts) == 1:
            assert core < place.per_token < 1.005 * core
        else:
            assert core < 1.005 * place.per_token
    assert set(mean.counts[0]) == set(PARTS)
    matrices, attention = (
        [sum(sum(core.get(part, {}).values()) for core in place.counts) for place in (first, later)]
        for part in (Part.MATRICES, Part.ATTENTION)
    )
    assert matrices[0] == pytest.approx(matrices[1], rel=0.01)  # a value that is out of a kernel's range costs more
    assert attention[1] > 3 * attention[0]


def test_every_function_that_makes_a_token_has_its_place_in_the_table_of_parts(board: Board) -> None:
    """Greedy or with every setting of the sampler: what the table does not know would count for whoever calls it.

    So does assembly without the symbol of a function, which is a part of memcpy on Xtensa.
    """
    if board.connection.process is None or board.connection.process.profile is None:
        pytest.skip("nobody counts what a board by itself executes")
    board.ask("The dog", TOKENS).read()
    sampling = {"temperature": 0.9, "top_k": 20, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.1}
    board.ask(" and", TOKENS, **sampling).read()
    profile = board.connection.process.profile
    seen = {name for core in profile.named(profile.counts()) for row in core.values() for name in row}
    assert {"tl_forward", "tl_sample"} <= seen
    unknown = sorted(name for name in seen - {ELSEWHERE} if part_of(name) is None)
    assert not unknown, f"{unknown} run for a token: name their part in host/virtual/parts.py"
