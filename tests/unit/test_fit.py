"""fit says which boards a model fits, how fast it would be and what it would take: from headers, and never a guess."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import STORY_MODEL
from tests.unit.checkpoint_files import random_model, write_huggingface
from tests.unit.huggingface_files import HALF, TINYLLAMA, write_sparse
from tinyllm.boards.description import BOARDS_DIR, FOLDER, load_board, load_boards
from tinyllm.boards.families import kinds
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import PARTITION, PROGRAM, memory_needs, room
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.host.cli import app as cli
from tinyllm.host.cli.build import planned
from tinyllm.host.cli.fit_tables import REST
from tinyllm.host.fit.fits import fit_board
from tinyllm.host.fit.largest import largest_model
from tinyllm.host.model.budgets import MATRICES
from tinyllm.host.model.load import LoadOptions, load_model
from tinyllm.host.model.sketch import read_sketch
from tinyllm.host.output import Output

MODEL = STORY_MODEL
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
        assert each["formats"]["int8"]["needed"] == asdict(needed)


def test_what_a_build_shows_of_ram_is_what_fit_counts(fit: Fit) -> None:
    """On boards with PSRAM too, where structures in RAM point to copies of matrices."""
    loaded = load_model(str(MODEL))
    integers, seen = quantize(loaded.model), fit(MODEL)
    pointed = 0
    for name in ("lolin-s2-mini", "pico-plus-2", "esp32s3-n16r8", "pico2"):
        board = load_board(name)
        needs = memory_needs(integers, loaded.tokenizer, board)
        shown = {part: size for memory, part, size in planned(needs, board) if memory == "RAM"}
        found = of_board(seen, name)["formats"]["int8"]["memories"]
        (sram,) = (each["parts"] for each in found if each["memory"] == "SRAM")
        assert shown.get("copies of tables", "0") == f"{sram.get('tables', 0):,}"
        pointed += needs.placed.pointers
    assert pointed > 0


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


def test_a_model_of_a_billion_parameters_fits_no_chip_and_says_by_how_much(fit: Fit, tmp_path: Path) -> None:
    folder = write_sparse(tmp_path / "TinyLlama", TINYLLAMA, "BF16", 3)
    seen = fit(folder)
    assert seen["parameters"] == 1_100_048_384
    for each in seen["boards"]:
        for made in each["formats"].values():
            if each["board"] == "host":
                assert made["fits"]
                continue
            assert not made["fits"]
            assert made["longest_context"] is None
            assert made["fullest"] in ("flash", "flash for weights")
            assert made["times_its_room"] > 35


# --- Boards of people's own -------------------------------------------------------------------------------------------


def without(tmp_path: Path, board: str, table: str) -> Path:
    """A folder with a board whose file lacks a table."""
    blocks = (FOLDER / f"{board}.toml").read_text("utf-8").split("\n\n")
    kept = [block for block in blocks if f"[{table}]" not in block]
    assert len(kept) == len(blocks) - 1
    (tmp_path / "mine.toml").write_text("\n\n".join(kept))
    return tmp_path


@pytest.mark.parametrize(
    ("table", "speed", "energy"),
    [("cycles", False, False), ("bandwidth", False, False), ("power", True, False)],
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


def test_a_board_without_memory_is_unknown_and_no_promise(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = without(tmp_path, "pico2", "memory")
    path = folder / "mine.toml"
    blocks = path.read_text().split("[virtual]")[0].split("\n\n")
    path.write_text("\n\n".join(block for block in blocks if "[weights]" not in block))
    monkeypatch.setenv(BOARDS_DIR, str(folder))
    made = of_board(fit(MODEL), "mine")["formats"]["int8"]
    assert (made["fits"], made["decode"], made["fullest"]) == (None, None, None)


# --- One board --------------------------------------------------------------------------------------------------------


def test_a_memory_is_filled_by_its_parts_and_what_is_left(fit: Fit) -> None:
    seen = fit(MODEL, "--board", "esp32s3-n16r8")
    board = load_board("esp32s3-n16r8")
    assert board.memory is not None and board.reserve is not None
    for made in seen["boards"][0]["formats"].values():
        memories = {each["memory"]: each for each in made["memories"]}
        sizes = {name: memory["bytes"] for name, memory in memories.items()}
        assert sizes == {"flash": board.memory.app, "SRAM": board.memory.static, "PSRAM": board.memory.psram}
        for memory in memories.values():
            assert sum(memory["parts"].values()) + memory["free"] - memory["lacking"] == memory["bytes"]
        assert memories["flash"]["parts"]["core"] == board.reserve.flash
        assert memories["flash"]["bounds"] == ["program"]
        assert memories["PSRAM"]["parts"]["tables"] > 0, "weights are copied to PSRAM, which is faster than flash"


# --- Weights beside the program ---------------------------------------------------------------------------------------


@pytest.fixture
def fifteen_million(tmp_path: Path) -> Path:
    """A folder of stories15M's shape: of the ESP32s one with 16 MB alone has room for it, beside the program."""
    rope = replace(TINYLLAMA.rope, rotary_dim=48)
    wide = replace(
        TINYLLAMA, name="large", dim=288, hidden_dim=768, n_heads=6, n_kv_heads=6, head_dim=48, context=256, rope=rope
    )
    return write_sparse(tmp_path / "large", replace(wide, schedule=tuple(range(6)), tied_head=True), "BF16", 1)


def test_weights_beside_the_program_are_a_memory_of_their_own(
    fit: Fit, fifteen_million: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = fit(fifteen_million, "--board", "esp32s3-n16r8")["boards"][0]["formats"]["int8"]
    memories = {each["memory"]: each for each in made["memories"]}
    assert list(memories) == ["flash", "flash for weights", "SRAM", "PSRAM"]
    assert memories["flash for weights"]["parts"] == {"weights": 15_298_112}
    assert made["fits"] and made["room"]["weights"] == memories["flash for weights"]["bytes"]
    assert cli.run(["fit", str(fifteen_million), "--board", "esp32s3-n16r8"]) == 0
    out = capsys.readouterr().out
    assert "flash for weights: 14.9 MB" in out and "beside it" in out
    assert cli.run(["fit", str(fifteen_million)]) == 0
    assert re.search(r"\d\d%\+98% ", capsys.readouterr().out)


def test_a_picture_shows_weights_in_the_program_and_beside_it(tmp_path: Path, fifteen_million: Path) -> None:
    """Of a model that fits the program as int4 alone."""
    pytest.importorskip("matplotlib")
    half = replace(read_sketch(fifteen_million, LoadOptions()).config, vocab_size=8192)
    folder = write_sparse(tmp_path / "half", half, "BF16", 1)
    board = load_board("esp32s3-n16r8")
    formats = fit_board(read_sketch(folder, LoadOptions()), board).formats
    assert {weights: made.needs.weights_in for weights, made in formats.items()} == {
        "int8": PARTITION,
        "mixed": PARTITION,
        "int4": PROGRAM,
    }
    assert cli.run(["fit", str(folder), "--board", board.name, "--plot", str(tmp_path / "half.svg")]) == 0
    assert "flash for weights" in (tmp_path / "half.svg").read_text()


def test_where_the_weights_are_wanted_is_where_they_are_counted(fit: Fit) -> None:
    inside, beside = (
        of_board(fit(MODEL, "--weights-in", where), "pico2")["formats"]["int8"] for where in (PROGRAM, PARTITION)
    )
    assert inside["fits"] and beside["fits"]
    assert inside["needed"]["weights"] == 0 < beside["needed"]["weights"]
    assert beside["room"]["flash"] < inside["room"]["flash"]


def test_a_board_without_a_place_for_weights_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = without(tmp_path, "esp32", "weights")
    monkeypatch.setenv(BOARDS_DIR, str(folder))
    (folder / "mine.toml").write_text((folder / "mine.toml").read_text().split("[virtual]")[0])
    for arguments in ([], ["--board", "mine"]):
        assert cli.run(["fit", str(MODEL), "--weights-in", "partition", *arguments]) == 0
        assert "no place for weights" in capsys.readouterr().out


def test_a_model_that_fits_nowhere_is_told_by_the_place_that_comes_nearest(fit: Fit, fifteen_million: Path) -> None:
    config = read_sketch(fifteen_million, LoadOptions()).config
    folder = write_sparse(fifteen_million.parent / "deep", replace(config, schedule=tuple(range(12))), "BF16", 1)
    made = of_board(fit(folder), "esp32s3-n16r8")["formats"]["int8"]
    assert (made["fits"], made["fullest"]) == (False, "flash for weights")
    assert 1.3 < made["times_its_room"] < 1.5


@pytest.mark.parametrize("int4", [False, True])
@pytest.mark.parametrize("board", ["esp32", "esp32s3", "pico"])
def test_the_largest_model_fits_and_one_block_more_does_not(board: str, int4: bool) -> None:
    sketch, described = read_sketch(MODEL, LoadOptions()), load_board(board)
    largest = largest_model(sketch, described, 128, int4)
    assert largest is not None and not largest.at_least

    def model_of(blocks: int) -> IntegerModel:
        config = replace(sketch.config, context=128, schedule=tuple(range(blocks)))
        return outline(config, (), frozenset((block, name) for block in range(blocks) for name in MATRICES if int4))

    there = room(described)
    assert there is not None
    assert memory_needs(model_of(largest.blocks), sketch.pieces, described).total.fits(there)
    assert not memory_needs(model_of(largest.blocks + 1), sketch.pieces, described).total.fits(there)
    parts = [part for block in model_of(largest.blocks).blocks for part in vars(block).values() if part is not None]
    inside = sum(part.codes.size for part in parts)
    assert largest.parameters == inside + (sketch.config.vocab_size + 1) * sketch.config.dim


def test_every_change_is_computed_as_a_model_of_its_own(fit: Fit) -> None:
    seen = fit(MODEL, "--board", "esp32", "--context", 512)
    changes = {each["change"]: each for each in seen["changes"]}
    longest = of_board(seen, "esp32")["formats"]["int8"]["longest_context"]
    shorter = changes[f"--context {longest}"]
    alone = of_board(fit(MODEL, "--board", "esp32", "--context", longest), "esp32")["formats"]["int8"]
    assert shorter["fits"]
    assert {name: shorter[name] for name in alone} == alone
    fastest = of_board(fit(MODEL, "--context", 512), "pico-plus-2")["formats"]["int8"]
    assert {name: changes["--board pico-plus-2"][name] for name in fastest} == fastest
    assert "--weights int4" not in changes, "it is RAM that is short"


def test_a_model_that_fits_is_shown_only_what_makes_it_faster(fit: Fit) -> None:
    seen = fit(MODEL, "--board", "pico")
    now = of_board(seen, "pico")["formats"]["int8"]["decode"]["tokens_per_second"]
    assert seen["changes"]
    assert all(each["fits"] and each["decode"]["tokens_per_second"] > now for each in seen["changes"])


def test_a_smaller_cache_is_proposed_for_the_longer_context_that_it_allows(fit: Fit) -> None:
    seen = fit(MODEL, "--board", "esp32")
    now = of_board(seen, "esp32")["formats"]["int8"]["context"]
    changes = {each["change"]: each for each in seen["changes"]}
    assert now < changes["--kv-cache k8v4"]["context"] < changes["--kv-cache int4"]["context"] <= 512
    built = of_board(fit(MODEL, "--board", "esp32", "--kv-cache", "int4"), "esp32")["formats"]["int8"]
    assert {name: changes["--kv-cache int4"][name] for name in built} == built


def test_only_changes_that_come_nearer_are_proposed(fit: Fit, tmp_path: Path) -> None:
    """With 512 tokens the ESP32 lacks SRAM, of which other weights spare nothing. 1.1B parameters lack flash alone."""
    changes = [each["change"] for each in fit(MODEL, "--board", "esp32", "--context", 512)["changes"]]
    assert not [change for change in changes if change.startswith("--weights")]
    assert [change.split()[0] for change in changes if "--weights int4" in change and "k8v4" not in change] == [
        "--kv-cache", "--window", "--context",
    ]  # fmt: skip
    large = write_sparse(tmp_path / "TinyLlama", TINYLLAMA, "BF16", 1)
    changes = [each["change"] for each in fit(large, "--board", "pico2")["changes"]]
    assert "--weights int4" in changes and not [change for change in changes if change.startswith("--kv-cache")]


def test_a_window_of_the_cache_is_proposed_for_the_whole_context(fit: Fit) -> None:
    """The longest one: eight slots more do not fit."""
    (found,) = (each for each in fit(MODEL, "--board", "esp32")["changes"] if each["change"].startswith("--window"))
    window = int(found["change"].split()[1])
    assert found["fits"] and found["context"] == 512

    def with_window(slots: int) -> dict[str, Any]:
        seen = fit(MODEL, "--board", "esp32", "--window", slots, "--context", 512)
        return dict(of_board(seen, "esp32")["formats"]["int8"])

    made = with_window(window)
    assert {name: found[name] for name in made} == made
    assert not with_window(window + 8)["fits"]


def test_the_columns_of_one_format_are_those_of_the_chosen_one(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    energy = {}
    for weights in ("int8", "int4"):
        assert cli.run(["fit", str(MODEL), "--weights", weights]) == 0
        out = capsys.readouterr().out
        (row,) = (line.split() for line in out.splitlines() if line.startswith("pico2 "))
        energy[weights] = row[6]
        assert f"with {weights} weights" in " ".join(out.split())
    seen = of_board(fit(MODEL), "pico2")["formats"]
    assert energy == {name: f"{seen[name]['decode']['millijoules']:.3g}" for name in energy}


def test_a_smaller_vocabulary_is_proposed_if_it_is_much_of_what_is_short(fit: Fit, tmp_path: Path) -> None:
    wide = replace(
        TINYLLAMA, dim=128, hidden_dim=352, n_heads=4, n_kv_heads=2, head_dim=32, schedule=(0, 1, 2, 3), tied_head=True
    )
    folder = write_sparse(tmp_path / "wide", replace(wide, rope=replace(wide.rope, rotary_dim=32)), "BF16", 1)
    changes = fit(folder, "--board", "esp32s3", "--context", 64)["changes"]
    trimmed = [each for each in changes if each["change"].startswith("--trim-vocab FILE to ")]
    assert trimmed and trimmed[0]["fits"]


def test_every_figure_has_its_inputs(fit: Fit) -> None:
    inputs = of_board(fit(MODEL, "--board", "pico2"), "pico2")["inputs"]
    board = load_board("pico2")
    assert board.cycles and board.bandwidth and board.power
    assert inputs["clock_mhz"] == board.clock_mhz
    assert inputs["cycles"]["source"] == board.cycles.source
    assert inputs["bandwidth"]["source"] == board.bandwidth.source
    assert inputs["power"] == {"busy_mw": board.power.busy_mw, "source": board.power.source}
    assert inputs["instructions"]["half_assumed"] is False


def test_the_speed_is_the_formula_of_its_inputs(fit: Fit) -> None:
    seen = of_board(fit(MODEL), "pico")
    decode = seen["formats"]["int8"]["decode"]
    inputs = seen["inputs"]
    assert decode["position"] == 255.5
    compute = decode["instructions"] * inputs["cycles"]["per_instruction"] / (inputs["clock_mhz"] * 1000)
    wait = decode["bytes"]["flash"] / (inputs["bandwidth"]["flash"] * 1000)
    assert decode["compute_ms"] == pytest.approx(compute)
    assert decode["transfer_ms"] == pytest.approx(wait)
    assert decode["tokens_per_second"] == pytest.approx(1000 / (compute + wait))
    assert decode["millijoules"] == pytest.approx(inputs["power"]["busy_mw"] * (compute + wait) / 1000)
    assert decode["tokens_per_charge"]["two AA"] == int(6 * 3600 * 1000 / decode["millijoules"])


# --- What people see --------------------------------------------------------------------------------------------------


def test_people_see_a_row_for_each_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["fit", str(MODEL)]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0] for line in out.splitlines() if line}
    for first, *equal in kinds(load_boards()):
        assert first.name in rows and not rows & {board.name for board in equal}
    assert "share a row: esp32c3 for esp32c3-mini, xiao-esp32c3; " in out
    assert "longest" in out and "--board NAME" in out


def test_a_trimmed_vocabulary_has_fewer_parameters(fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Once upon a time")
    whole, trimmed = fit(MODEL), fit(MODEL, "--trim-vocab", tmp_path / "text.txt")
    config = load_model(str(MODEL)).model.config
    kept = load_model(str(MODEL), LoadOptions(trim_vocab=tmp_path / "text.txt")).model.config.vocab_size
    assert whole["parameters"] - trimmed["parameters"] == (config.vocab_size - kept) * config.dim > 0


@pytest.mark.parametrize("model", [str(MODEL), "chat"])
def test_a_narrow_terminal_is_told_which_columns_a_wider_one_shows_and_that_one_shows_them(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(columns: int) -> str:
        monkeypatch.setattr(Output, "columns", columns)
        assert cli.run(["fit", model]) == 0
        return capsys.readouterr().out

    told = re.search(r"A\s+terminal\s+of\s+(\d+)\s+columns\s+shows\s+.*?\s+and\s+PSRAM\s+too", shown(80), re.DOTALL)
    assert told is not None
    needed, seen = int(told[1]), set()
    assert max(map(len, shown(needed).splitlines())) == needed
    assert "columns shows PSRAM too." in " ".join(shown(needed - 1).split())
    for columns in (60, 80, 100, needed - 1, needed):
        lines = shown(columns).splitlines()
        (heading,) = (line for line in lines if line.startswith("board "))
        (row,) = (line for line in lines if line.startswith("pico2 "))
        assert len(row.split()) == len(heading.split()), "no row is broken"
        assert max(len(heading), len(row)) <= columns
        left_out = [name for name in REST if name not in heading.split()]
        assert left_out == [*REST][len(REST) - len(left_out) :], "the first columns are the ones that are kept"
        assert all(name in " ".join(lines) for name in left_out)
        seen.add(len(left_out))
    assert 0 in seen and len(seen) >= 4


def test_a_board_that_never_takes_weights_beside_the_program_is_told_before_one_is_looked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["flash", str(MODEL), "--board", "teensy41", "--model-only"]) == 2
    told = capsys.readouterr().err
    assert "board teensy41 has no place for weights beside the program" in told and "Leave --model-only out." in told
    words = ["flash", str(MODEL), "--board", "esp32s3-n16r8", "--model-only", "--weights-in", "program"]
    assert cli.run(words) == 2
    assert "leave --weights-in program out" in capsys.readouterr().err


def test_the_table_has_the_largest_model_of_each_board(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    seen = fit(MODEL)
    assert cli.run(["fit", str(MODEL)]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    for name in ("esp32s3-n16r8", "pico", "pico2"):
        largest = of_board(seen, name)["largest"]
        described, sketch = load_board(name), read_sketch(MODEL, LoadOptions())
        context = of_board(seen, name)["formats"]["int8"]["context"]
        assert largest["int4"] == asdict(largest_model(sketch, described, context, int4=True))  # type: ignore[call-overload]
        assert largest["int4"]["parameters"] >= largest["int8"]["parameters"]
        told = f"{largest['int4']['parameters'] / 1e6:,.1f}M"
        assert any(cell.removesuffix("+") == told for cell in rows[name])
    assert of_board(seen, "host")["largest"] == {"int8": None, "int4": None}


def test_people_see_a_boards_memories_as_bars_and_what_is_lacking(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.run(["fit", str(MODEL), "--board", "pico"]) == 0
    out = capsys.readouterr().out
    assert "K KV cache" in out and "KB free" in out and "lacking" not in out
    bars = [line.split()[1] for line in out.splitlines() if line.startswith("int8 ") and "KB free" in line]
    assert len(bars) == 2, "flash and SRAM"
    assert bars[1].startswith("c") and bars[1].endswith("f")
    assert cli.run(["fit", str(write_sparse(tmp_path / "TinyLlama", TINYLLAMA, "BF16", 1)), "--board", "pico"]) == 0
    out = capsys.readouterr().out
    assert "MB lacking" in out and "no, flash x" in out and "no chip that is described has room" in out


def test_a_picture_of_a_model_that_fits_nowhere_has_no_negative_speed_and_whole_kilobytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = write_sparse(tmp_path / "TinyLlama", TINYLLAMA, "BF16", 3)
    assert cli.run(["fit", str(folder), "--plot", str(tmp_path / "boards.svg")]) == 0
    assert cli.run(["fit", str(folder), "--board", "pico2", "--plot", str(tmp_path / "board.svg")]) == 0
    boards, board = ((tmp_path / name).read_text() for name in ("boards.svg", "board.svg"))
    assert " does not fit" in boards and "\u2212" not in boards and "1e6" not in board and "MB lacking" in board


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for arguments in ([], ["--board", "pico2"]):
        pictures = []
        for name in ("one.svg", "two.svg"):
            assert cli.run(["fit", str(MODEL), *arguments, "--plot", str(tmp_path / name)]) == 0
            pictures.append((tmp_path / name).read_text())
        assert pictures[0] == pictures[1]
        assert "tinystories-260k" in pictures[0] and "pico2" in pictures[0]


def test_this_computers_memories_are_not_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert cli.run(["fit", str(MODEL), "--board", "host", "--plot", str(tmp_path / "x.svg")]) == 2
    assert "no memories to draw" in capsys.readouterr().err
    assert not (tmp_path / "x.svg").exists()


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
