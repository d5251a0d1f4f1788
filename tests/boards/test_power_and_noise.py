"""Power cuts and line noise: every answer ends, whole or with a clear error, and the next prompt works.

A few rounds; `make faults` has a thousand of each.
"""

from __future__ import annotations

import pytest

from tests.boards.noisy_line import DAMAGES, NoisyLine
from tests.reliability.noise import Rounds, right_answer
from tests.reliability.power import Cuts
from tinyllm.host.api.board import Board

DAILY = ("host", "pico2", "esp32c3")
"""As in the record of power cuts."""
RATE = 0.01


def test_with_noise_on_the_line_an_answer_or_a_connection_is_right_or_refused_and_the_next_is_right(
    board: Board,
) -> None:
    """It is this computer's side that is on trial, so the other boards get one kind of damage."""
    board.settings.update(temperature=0)
    right = right_answer(board)
    board.link.close()
    for name in DAMAGES if board.hello.board == "host" else ["flipped"]:
        line = NoisyLine(board.link.name, DAMAGES[name], seed=1)
        rounds = Rounds(line, right, RATE)
        rounds.run(1)
        rounds.run(1, connect_every=1)
        line.close()
        assert rounds.wrong == []
        assert line.damaged > 0 or name == "delayed"


def test_after_a_power_cut_in_mid_answer_the_conversation_goes_on_as_if_there_had_been_none(board: Board) -> None:
    if not board.can_restart:
        pytest.skip("somebody would have to pull the plug")
    cuts = Cuts(board.hello.board)
    cuts.run_on(board, rounds=2 if board.hello.board == "host" else 1, seed=1)
    assert cuts.wrong == []
    assert cuts.in_mid_answer > 0
