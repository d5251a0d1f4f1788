"""fit says which boards a model fits, how fast it would be and what it would take: from headers, and never a guess."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.checkpoint_files import random_model, write_huggingface
from tests.unit.huggingface_files import HALF, TINYLLAMA, write_sparse
from tinyllm.boards.description import BOARDS_DIR, FOLDER, load_board, load_boards
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import memory_needs, room
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.host.cli import app as cli
from tinyllm.host.model.load import LoadOptions, load_model
from tinyllm.models import bundled

MODEL = next(iter(bundled().values()))
Fit = Callable[..., dict[str, Any]]


@pytest.fixture
def fit(capsys: pytest.CaptureFixture[str]) -> Fit:
    """The JSON document of `tinyllm fit`."""

    def run(*arguments: object) -> dict[str, Any]:
        assert cli.run(["fit", *map(str, arguments), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert isinstance(document, dict)
        return document

    return run


def of_board(seen: dict[str, Any], board: str) -> dict[str, Any]:
    (found,) = (each for each in seen["boards"] if each["board"] == board)
    return found


# --- Bytes ------------------------------------------------------------------------------------------------------------


def test_the_bytes_are_those_of_the_model_that_is_built(fit: Fit) -> None:
    seen = fit(MODEL, "--context", 64)
    loaded = load_model(str(MODEL), LoadOptions(context=64))
    integers = quantize(loaded.model, 64)
    assert [each["board"] for each in seen["boards"]] == [board.name for board in load_boards()]
    for each in seen["boards"]:
        needed = memory_needs(integers, loaded.tokenizer, load_board(each["board"])).total
        assert each["formats"]["int8"]["needed"] == {
            "flash": needed.flash,
            "ram": needed.ram,
            "psram": needed.psram,
        }


def test_the_longest_context_fits_and_the_next_one_does_not(fit: Fit) -> None:
    longest = of_board(fit(MODEL), "esp32")["formats"]["int8"]["longest_context"]
    assert 8 <= longest < 512
    board, tokenizer = load_board("esp32"), read_tokenizer(MODEL / "tokenizer.model")
    space = room(board)
    assert space is not None
    config = load_model(str(MODEL)).model.config
    at_most, next_one = (outline(replace(config, context=longest + more)) for more in (0, 8))
    assert memory_needs(at_most, tokenizer, board).total.fits(space)
    assert not memory_needs(next_one, tokenizer, board).total.fits(space)


def test_a_context_that_nobody_named_is_shortened_as_a_build_shortens_it(fit: Fit) -> None:
    by_default = of_board(fit(MODEL), "esp32")["formats"]["int8"]
    assert by_default["fits"]
    assert by_default["context"] == by_default["longest_context"] < 512
    named = of_board(fit(MODEL, "--context", 512), "esp32")["formats"]["int8"]
    assert not named["fits"]
    assert named["context"] == 512
    assert named["fullest"] == "SRAM"
    assert named["times_its_room"] == named["needed"]["ram"] / named["room"]["ram"] > 1


def test_a_model_of_a_billion_parameters_fits_no_chip_and_says_by_how_much_within_three_seconds(
    fit: Fit, tmp_path: Path
) -> None:
    folder = write_sparse(tmp_path / "TinyLlama", TINYLLAMA, "BF16", 3)
    start = time.process_time()
    seen = fit(folder)
    assert time.process_time() - start < 3
    assert seen["parameters"] == 1_100_048_384
    for each in seen["boards"]:
        for made in each["formats"].values():
            if each["board"] == "host":
                assert made["fits"]
                continue
            assert not made["fits"]
            assert made["longest_context"] is None
            assert made["fullest"] == "flash"
            assert made["times_its_room"] > 80


# --- Boards of people's own -------------------------------------------------------------------------------------------


def without(tmp_path: Path, board: str, table: str) -> Path:
    """A folder with a board whose file lacks a table."""
    blocks = (FOLDER / f"{board}.toml").read_text("utf-8").split("\n\n")
    kept = [block for block in blocks if f"[{table}]" not in block]
    assert len(kept) == len(blocks) - 1
    (tmp_path / "mine.toml").write_text("\n\n".join(kept))
    return tmp_path


@pytest.mark.parametrize(
    ("tables", "speed", "energy"),
    [(("cycles",), False, False), (("bandwidth",), False, False), (("power",), True, False)],
)
def test_a_figure_that_a_board_lacks_leaves_unknown_what_needs_it(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, speed: bool, energy: bool
) -> None:
    monkeypatch.setenv(BOARDS_DIR, str(without(tmp_path, "pico2", table)))
    mine = of_board(fit(MODEL), "mine")
    made = mine["formats"]["int8"]
    assert made["fits"]
    assert mine["unknown"] == f"its file has no [{table}]"
    assert (made["decode"] is not None, made["prefill"] is not None) == (speed, speed)
    assert speed is False or (made["decode"]["millijoules"] is not None) is energy


# --- Tokenizers -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_without_a_tokenizer_is_told_of_with_an_estimated_one(fit: Fit, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(replace(HALF, context=32)))
    seen = fit(folder)
    assert seen["tokenizer"] is None
    assert "tokenizer" in seen["no_tokenizer"]
    assert of_board(seen, "pico")["formats"]["int8"]["fits"]


# --- Mistakes ---------------------------------------------------------------------------------------------------------


def test_an_unknown_board_and_a_damaged_checkpoint_are_told_in_a_line_or_two(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.run(["fit", str(MODEL), "--board", "pico3"]) == 2
    assert "unknown board 'pico3'" in capsys.readouterr().err
    folder = write_huggingface(tmp_path / "tiny", random_model(HALF))
    (folder / "model.safetensors").write_bytes(b"\0" * 5)
    assert cli.run(["fit", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "model.safetensors" in error
    assert len(error.splitlines()) <= 2
