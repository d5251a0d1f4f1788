"""The fuzz targets in C hold on the inputs in the repository and on more; what they and the counts look for is seen."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.conftest import skip_unless_ci
from tests.fuzz.counts import count_board_frames, count_host_frames, damaged
from tests.fuzz.engine import COMPILER, FUZZED, OF_THE_BOARD, WEIGHTS_HEADER, C, Target, build_targets, has_compiler
from tests.fuzz.mutation import mutated
from tests.fuzz.readers import Fault, check_refusal
from tests.fuzz.record import save_record
from tests.fuzz.run import fuzz
from tests.pipeline.c_library import compile_and_link
from tinyllm.errors import UserError

NAMES = (*OF_THE_BOARD, WEIGHTS_HEADER, "encoder_words")
"""The other encoders are fuzzed by `make fuzz` alone; tests/pipeline/test_engine_tokenizers.py compares every form."""
OFTEN = ("program_voice", "encoder_words")
"""The others are a sweep."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not has_compiler():
        skip_unless_ci("no clang with libFuzzer")
    return tmp_path_factory.mktemp("targets")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.sweep) for name in NAMES]
)
def test_a_target_holds_for_a_second(name: str, folder: Path, tmp_path: Path) -> None:
    (target,) = build_targets([name], folder)
    outcome = fuzz(name, target, tmp_path, seed=1, seconds=1)
    assert outcome.fault is None
    assert outcome.runs > 0 and outcome.features > 0


def test_a_broken_promise_is_found_and_its_input_kept(folder: Path, tmp_path: Path) -> None:
    source = folder / "broken.c"
    source.write_text(
        '#include "promise.h"\n'
        "int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {\n"
        "    PROMISE(size < 3 || data[0] != 'b' || data[1] != 'u' || data[2] != 'g');\n"
        "    return 0;\n"
        "}\n"
    )
    compile_and_link([COMPILER, FUZZED, f"-I{C}"], [source], folder, folder / "broken")
    outcome = fuzz("broken", Target("broken", folder / "broken"), tmp_path, seed=1, runs=2_000_000)
    assert outcome.fault is not None and "broken promise" in outcome.fault
    (kept,) = (tmp_path / "faults").iterdir()
    assert kept.read_bytes()[:3] == b"bug" and str(kept) in outcome.fault


def test_thousands_of_damaged_frames_change_nothing_at_a_board(folder: Path) -> None:
    counts = count_board_frames(seed=2, count=3000, folder=folder)
    assert counts["sent"] >= 3000 and counts["corrupt"] > 2000 and counts["answers"] > 1


def test_thousands_of_damaged_replies_are_refused_by_the_host() -> None:
    counts = count_host_frames(seed=2, count=3000)
    assert counts["refused"] > 2500 and counts["sound_by_chance"] < 60  # 1 in 65536, and damage that cancels out


def test_the_same_seed_makes_the_same_hostile_bytes() -> None:
    assert [mutated([b"abc", b'{"a": [1]}'], Random(5)) for _ in range(3)] == 3 * [
        mutated([b"abc", b'{"a": [1]}'], Random(5))
    ]
    assert damaged(b"\0abcdef\0", Random(5)) == damaged(b"\0abcdef\0", Random(5)) != b"\0abcdef\0"


@pytest.mark.parametrize("message", ["no path in it", "{}: a\nb\nc", "{}: " + "x" * 900])
def test_a_message_that_is_not_fit_to_be_shown_is_a_fault(message: str, tmp_path: Path) -> None:
    with pytest.raises(Fault):
        check_refusal(UserError(message.format(tmp_path)), tmp_path)


def test_a_record_keeps_the_faults_that_the_last_one_tells_of(tmp_path: Path) -> None:
    path = save_record("some run", "make fuzz", 1, 2.4, {"runs": 3}, tmp_path)
    text = path.read_text("utf-8")
    assert '"duration_seconds": 2' in text and '"faults": []' in text and path.name == "some-run.json"
    path.write_text(text.replace('"faults": []', '"faults": ["One."]'), "utf-8")
    assert '"One."' in save_record("some run", "make fuzz", 1, 2, {}, tmp_path).read_text("utf-8")
