"""The guard of speed: no virtual board's token becomes dearer unnoticed (benchmarks/counted.toml)."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from tests.boards.conftest import missing
from tests.conftest import skip_unless_ci
from tinyllm.boards.description import load_board
from tinyllm.errors import Failure
from tinyllm.host.prove.counted import CASES, FILE, MORE, Case, Counted, count, differences, how_to_accept, read, write

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = read(ROOT / FILE)
OFTEN = ("pico", "pico2", "pico2, 2 cores", "esp32s3")
"""The others are a sweep."""
each_case = pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[] if case.name in OFTEN else pytest.mark.sweep, id=case.name) for case in CASES],
)


@each_case
def test_no_token_has_become_dearer(case: Case) -> None:
    """Counted with another compiler than the file's, the figures say nothing about the source."""
    if lacking := missing(load_board(case.board), True, case.emulator, None):
        skip_unless_ci(lacking)
    accepted = ACCEPTED[case.name]
    if case.compiler() != accepted.compiler:
        pytest.skip(f"counted with {accepted.compiler}, here is {case.compiler()}")
    changes = differences(case, count(case), accepted)
    dearer = [f"position {position}: {change:+.2%}" for position, change in changes if change > MORE]
    assert not dearer, f"{case.name}: a token has become dearer, {', '.join(dearer)}. {how_to_accept(case)}"
    if all(change < -MORE for _, change in changes):
        warnings.warn(
            f"{case.name}: a token has become cheaper, {changes[-1][1]:+.2%} at position {changes[-1][0]}: "
            f"{FILE.as_posix()} can be lowered. {how_to_accept(case)}",
            stacklevel=1,
        )


def test_two_counts_of_one_case_are_equal() -> None:
    case = Case("pico2", 2)
    if lacking := missing(load_board(case.board), True, case.emulator, None):
        skip_unless_ci(lacking)
    assert count(case) == count(case)


def test_the_file_has_every_case_and_no_other(tmp_path: Path) -> None:
    assert set(ACCEPTED) == {case.name for case in CASES}
    shutil.copy(ROOT / FILE, tmp_path / "counted.toml")
    write(ACCEPTED, tmp_path / "counted.toml")
    assert (tmp_path / "counted.toml").read_bytes() == (ROOT / FILE).read_bytes()


def test_a_dearer_token_is_told_by_how_much_and_other_positions_are_an_error() -> None:
    case = Case("pico", 1)
    accepted = Counted("gcc 12.2", "instructions", {"0": 1000, "64": 2000})
    now = replace(accepted, per_token={"0": 1011, "64": 1980})
    assert differences(case, now, accepted) == [("0", pytest.approx(0.011)), ("64", pytest.approx(-0.01))]
    with pytest.raises(Failure, match=r"pico: .* other positions .* make counted BOARDS=pico"):
        differences(case, replace(now, per_token={"0": 1000}), accepted)
