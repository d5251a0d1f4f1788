"""Parts, bytes and estimates of a token; the records of bench, and the page that is made of them."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tests.conftest import STORY_MODEL
from tinyllm.boards.board import Bandwidth
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import memory_needs
from tinyllm.codegen.memory.traffic import Traffic, matrix_macs, traffic
from tinyllm.errors import UserError
from tinyllm.host.link.messages import HelloReply
from tinyllm.host.model.budgets import MATRICES
from tinyllm.host.model.load import LoadedModel, load_model
from tinyllm.host.prove import records
from tinyllm.host.prove.benchmark import Benchmark, Phase, Place, Prefill
from tinyllm.host.prove.benchmarks_page import PAGE, page
from tinyllm.host.prove.estimate import Chip, Estimate, estimate, estimate_prefill
from tinyllm.host.prove.plots import PLOTS, Plot, Sources, plots
from tinyllm.host.prove.published import Figure, check_estimate
from tinyllm.host.prove.report import Report, report
from tinyllm.host.virtual.parts import Part, part_of

ROOT = Path(__file__).resolve().parents[2]
CHIP = Chip(100, 1.5, Bandwidth(flash=20, sram=400, psram=40, source="a test"), 2, "a test")
MOVED = Traffic(
    weights=200_000,
    copied=0,
    copied_to_psram=0,
    cache_read=9_000,
    cache_written=1_000,
    weights_in="flash",
    cache_in="SRAM",
)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(str(STORY_MODEL))


@pytest.fixture(scope="module")
def model(loaded: LoadedModel) -> IntegerModel:
    return outline(replace(loaded.model.config, context=256))


# --- Parts ---


@pytest.mark.parametrize(
    ("function", "part"),
    [
        ("tl_forward", Part.REST),
        ("tl_matmul_add", Part.MATRICES),
        ("attend_at_once.constprop.0", Part.ATTENTION),
        ("attend_at_once$constprop$0", Part.ATTENTION),
        ("tl_mix_rows.isra.0.part.1", Part.ATTENTION),
        ("tl_sample", Part.SAMPLING),
        ("memcpy", Part.CALLER),
        ("__aeabi_lmul", Part.CALLER),
        ("tl_console_poll", None),
    ],
)
def test_a_compilers_copy_of_a_function_belongs_to_the_functions_part(function: str, part: Part | None) -> None:
    assert part_of(function) is part


# --- Bytes ---


def test_a_token_reads_every_matrix_once_and_the_cache_up_to_its_position(
    model: IntegerModel, loaded: LoadedModel
) -> None:
    """Dim 64, hidden_dim 176, 4 heads of 16 with 2 for keys and values, 5 layers, 512 tokens, one tied matrix."""
    block = 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 176 * 64
    assert matrix_macs(model) == 5 * block + 512 * 64 == 263_168
    needs = memory_needs(model, loaded.tokenizer)
    moved = traffic(model, needs, 9)
    rows = 5 * (64 + 32 + 32 + 64 + 176 + 176 + 64) + 512
    norms, embedding, shifts = 2 * 64 * 11, 64 + 2, 5 * 2 * 16
    assert moved.weights == 263_168 + 2 * rows + norms + embedding + shifts
    assert moved.cache_written == 5 * 2 * 2 * (16 + 2)
    assert moved.cache_read == 10 * moved.cache_written
    assert moved.by_memory == {"flash": moved.weights, "SRAM": 11 * moved.cache_written}


def test_a_layer_with_a_window_reads_no_more_of_the_cache_than_that(model: IntegerModel, loaded: LoadedModel) -> None:
    config = replace(model.config, windows=(4, None, None, None, None))
    moved = traffic(replace(model, config=config), memory_needs(model, loaded.tokenizer), 99)
    assert moved.cache_read == (4 * 100 + 4) * 2 * 2 * (16 + 2)


# --- Estimates ---


def place(per_token: float, *cores: float) -> Place:
    """A place where each core did so much in matrices, and the first 1000 of the rest."""
    counts = [{Part.MATRICES: {"tl_matmul_s8s8_q16": count}} for count in cores]
    if counts:
        counts[0][Part.REST] = {"tl_forward": 1000.0}
    return Place(0, 0, per_token, tuple(counts))


def test_an_estimate_is_instructions_by_cycles_and_bytes_by_bandwidth() -> None:
    """101,000 instructions of 1.5 cycles at 100 MHz, and 200,000 bytes at 20 MB/s."""
    one, two = estimate(place(101_000, 100_000), "instructions", 1, CHIP, MOVED)
    assert one == Estimate(1, pytest.approx(1.515), pytest.approx(10))
    assert one.tokens_per_second == pytest.approx(1000 / 11.515)
    assert two == Estimate(2, pytest.approx(0.765), pytest.approx(10), half_assumed=True)


def test_two_counted_cores_are_estimated_by_the_longer_way_and_one_by_all_that_was_done() -> None:
    one, two = estimate(place(60_000, 50_000, 50_000), "instructions", 2, CHIP, MOVED)
    assert one == Estimate(1, pytest.approx(1.515), pytest.approx(10))
    assert two == Estimate(2, pytest.approx(0.9), pytest.approx(10))


def test_counted_cycles_are_what_they_are_and_sram_costs_nothing_beside_them() -> None:
    moved = replace(MOVED, weights_in="SRAM")
    (one,) = estimate(place(100_000, 99_000), "cycles", 1, replace(CHIP, cores=1), moved)
    assert one == Estimate(1, pytest.approx(1.0), pytest.approx(0.0))


def test_a_prompt_whose_tokens_share_what_is_read_waits_less_than_its_tokens_generated() -> None:
    """100,000 instructions of 1.5 cycles at 100 MHz and 50,000 bytes at 20 MB/s; else twice, and 200,000 bytes."""
    shared = replace(MOVED, weights=50_000)
    made = estimate_prefill(Prefill(64, 100_000, 200_000), "instructions", 2, CHIP, shared, MOVED)
    assert made.read == Estimate(2, pytest.approx(1.5), pytest.approx(2.5))
    assert made.decoded == Estimate(2, pytest.approx(3.0), pytest.approx(10))
    assert made.share == pytest.approx(4 / 13)


def test_the_estimate_is_checked_against_the_same_program_in_another_memory() -> None:
    """10 ms from SRAM; 0.72 MB at the 72 MB/s of an ESP32-S3's PSRAM are 10 ms more, so a measured 40 is 25% off."""
    base = Figure("a", "esp32s3-n16r8", 240, 1, 720_000, "SRAM", 100.0, "somebody")
    other = Figure("b", "esp32s3-n16r8", 240, 1, 720_000, "PSRAM", 40.0, "somebody", like="a")
    (check,) = check_estimate([base, other])
    assert (check.figure, check.estimated, check.error) == (other, pytest.approx(50.0), pytest.approx(0.25))
    slower = replace(other, name="c", clock_mhz=120, memory="SRAM", tokens_per_second=50.0)
    assert check_estimate([base, slower])[0].error == pytest.approx(0.0)


# --- Records ---

HELLO = HelloReply(2, 256, 512, 512, 0, 0, 0, "11" * 8, "22" * 8, "a-model", "pico2-virtual", "0.1.0")


def made() -> Report:
    """Of one core, with parts and without the model."""
    phase = Phase(4, "instructions", 101_000.5, None)
    places = (place(101_000.5, 100_000),)
    return report(HELLO, Benchmark(phase, phase, "cafe0123", "counted instructions", (9,), None, places), None)


def test_records_are_appended_and_what_a_person_wrote_into_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "new/pico2.toml"
    records.save(made(), path)
    path.write_text("# my desk\n" + path.read_text("utf-8"), "utf-8")
    records.save(made(), path, "rp2040js")
    assert path.read_text("utf-8").startswith("# my desk\n[[record]]")
    first, second = records.read(path)
    assert "emulator" not in first and second["emulator"] == "rp2040js"
    assert (first["model"], first["board"], first["context"], first["cores"]) == ("a-model", "pico2-virtual", 256, 1)
    assert first["place"][0] == {
        "positions": "0",
        "per_token": 101_000.5,
        "by_core": [101_000],
        "parts": {"matrices": 100_000, "attention": 0, "norms": 0, "sampling": 0, "rest": 1000},
    }
    assert list(records.all_records(path.parent)) == [first, second]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[record", "not a readable TOML file"),
        ("a = 1", "no [[record]] in it"),
        ("[[record]]\nmodel = 'x'", "record 1 has no sound date"),
    ],
)
def test_a_file_that_holds_something_else_is_not_appended_to(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(complaint)):
        records.save(made(), path)
    assert path.read_text() == text


# --- The page ---


def test_int4_weights_are_a_model_of_their_own_beside_the_int8_ones(tmp_path: Path) -> None:
    for name in ("published.toml", "negative.toml", "llama2c.toml", "counted.toml"):
        shutil.copy(ROOT / "benchmarks" / name, tmp_path / name)
    for weights in (None, "int8", "int4"):
        records.save(replace(made(), weights=weights), tmp_path / "pico2.toml")
    sources = Sources.read(tmp_path)
    assert [record["model"] for record in sources.records] == ["a-model", "a-model", "a-model, int4"]
    assert [key[0] for key in sources.latest] == ["a-model", "a-model, int4"]


def test_the_format_of_a_models_weights_is_that_of_its_blocks(model: IntegerModel) -> None:
    def of(*int4: tuple[int, str]) -> str:
        return outline(model.config, (), int4).weights

    assert (of(), of((0, "wo")), of(*product(range(5), MATRICES))) == ("int8", "mixed", "int4")


def test_the_page_says_what_the_records_say() -> None:
    assert (ROOT / PAGE).read_text("utf-8") == page(Sources.read(ROOT / "benchmarks")), "run `make benchmarks`"


def test_each_plot_is_drawn_from_the_records() -> None:
    """A picture holds the digest of what it shows."""
    wanted = plots(Sources.read(ROOT / "benchmarks"))
    assert {plot.name for plot in wanted} == {"parts", "history", "positions", "speed"}
    assert sorted(path.name for path in (ROOT / PLOTS).iterdir()) == sorted(plot.path.name for plot in wanted)
    old = [plot.name for plot in wanted if plot.digest not in (ROOT / plot.path).read_text("utf-8")]
    assert not old, f"the pictures of {old} show older records: run `make benchmarks`"


def test_a_plot_is_the_same_picture_each_time() -> None:
    draw = pytest.importorskip("tinyllm.host.prove.pictures", exc_type=ImportError).draw
    plot = Plot("x", "A title", "an axis", "stacked", {"one": {"a": 1.0, "b": 2.0}, "two": {"a": 0.5}})
    picture = draw(plot)
    assert picture == draw(plot)
    assert plot.digest in picture and "A title" in picture and "3.0" in picture
