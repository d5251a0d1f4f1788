"""A command says and makes the same whatever the clock of the computer says, and however it jumps meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from tests.conftest import STORY_MODEL
from tests.pipeline.false_clocks import CLOCKS, false_clock, require_faketime

RUN = ("-m", "tinyllm", "run", STORY_MODEL, "-p", "Once upon a time", "-n", "40", "--temperature", "0", "--json")


def said(*command: object, **variables: str) -> str:
    """What a command of Python prints; it must end well, and soon."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=os.environ | variables, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def right() -> str:
    require_faketime()
    return said(*RUN)


@pytest.mark.parametrize("clock", ["2038, at the end of 31 bits", "jumping to and fro"])
def test_an_answer_is_the_same_under_any_clock(clock: str, right: str) -> None:
    with false_clock(clock) as variables:
        assert answer(said(*RUN, **variables)) == answer(right)


def answer(document: str) -> list[object]:
    """What does not depend on how fast the board is."""
    return [json.loads(document)[field] for field in ("text", "tokens", "digest", "reason", "settings")]


def test_the_clocks_are_false() -> None:
    require_faketime()
    tell = "import time; print(time.time()); time.sleep(0.3); print(time.time())"
    years = {}
    for name in CLOCKS:
        with false_clock(name) as variables:
            years[name] = [
                datetime.fromtimestamp(float(line), timezone.utc).year for line in said("-c", tell, **variables).split()
            ]
    now = datetime.now(timezone.utc).year
    assert years["1970, at the first seconds"] == [1970, 1970] and years["2106, at the end of 32 bits"] == [2106, 2106]
    assert abs(years["twenty years ahead"][0] - now - 20) < 2 > abs(years["ten years behind"][0] - now + 10)
    assert len(set(years["jumping to and fro"])) == 2
