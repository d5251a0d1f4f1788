"""--weights, --calibrate, --fit-to and eval --variants: what they do, what they refuse, and that everything agrees."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import STORY_MODEL
from tinyllm.boards.description import BOARDS_DIR, load_board
from tinyllm.cache_folder import home
from tinyllm.codegen.calibration import calibrate as calibration
from tinyllm.codegen.calibration.sequences import FEWEST_TOKENS
from tinyllm.codegen.memory.outline import outline_of
from tinyllm.codegen.memory.plan import memory_needs
from tinyllm.codegen.verify.perplexity import STORY_SEPARATOR, split_stories
from tinyllm.errors import UserError
from tinyllm.host.api.model import LanguageModel, load
from tinyllm.host.cli import app as cli
from tinyllm.host.fit.weights import Mixture, mixture_of
from tinyllm.host.model import calibrate
from tinyllm.host.model.budgets import best_that_fits, budget_of, table_bytes
from tinyllm.host.model.calibrate import calibration_of, integers_of
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.model.mixtures import keep_mixture
from tinyllm.host.model.quantisation_report import quantisation_of
from tinyllm.host.model.sketch import read_sketch
from tinyllm.host.model.weights import Weights

BOARDS = Path(__file__).resolve().parents[2] / "boards"

Tinyllm = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for the tests of this file: what one of them calibrated serves the others."""
    folder = tmp_path_factory.getbasetemp() / "weights-home"
    monkeypatch.setenv("TINYLLM_HOME", str(folder))


@pytest.fixture
def tinyllm(capsys: pytest.CaptureFixture[str]) -> Tinyllm:
    """Exit code, stdout and stderr of a command."""

    def command(*arguments: object) -> tuple[int, str, str]:
        code = cli.run(list(map(str, arguments)))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory, stories_text: str) -> Path:
    """A short calibration text."""
    path = tmp_path_factory.mktemp("text") / "some.txt"
    path.write_text(STORY_SEPARATOR.join(split_stories(stories_text)[:8]))
    return path


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("int8", Weights("int8")),
        ("INT4", Weights("int4")),
        ("mixed", Weights("mixed")),
        ("mixed:600KB", Weights("mixed", 614_400)),
        ("mixed:1.5 MB", Weights("mixed", 1_572_864)),
        ("mixed:256KiB", Weights("mixed", 262_144)),
        ("mixed:123456", Weights("mixed", 123_456)),
    ],
)
def test_formats_are_read(written: str, meant: Weights) -> None:
    assert Weights.parse(written) == meant
    assert Weights.parse(str(meant)) == meant


@pytest.mark.parametrize("wrong", ["", "int2", "fp32", "int4:3KB", "mixed:", "mixed:0", "mixed:-1KB", "mixed:6 GBit"])
def test_what_is_no_format_is_refused_with_those_there_are(wrong: str, tinyllm: Tinyllm) -> None:
    code, _, err = tinyllm("verify", "--weights", wrong)
    assert code == 2
    assert "expected int8, int4, mixed, or mixed:SIZE" in err
    code, _, err = tinyllm("eval", "--text", "x", "--variants", f"int8,{wrong if wrong != 'fp32' else 'fp16'}")
    assert code == 2
    assert "--variants" in err


def test_every_part_of_the_tool_has_the_same_int4_integers(text: Path, tinyllm: Tinyllm) -> None:
    options = ("--weights", "int4", "--calibrate", text, "--context", 64)
    shown = tinyllm("run", *options, "-p", "Once", "-n", 4, "--json")
    assert shown[0] == 0, shown
    model = load(context=64, weights="int4", calibrate=text)
    assert json.loads(shown[1])["model_hash"] == model.quantize().short_digest()
    assert all(verdict.bit_exact for verdict in model.verify(positions=20))
    built = tinyllm("build", *options, "--board", "host", "--json")
    document = json.loads(built[1])
    assert document["model_hash"] == model.quantize().short_digest()
    matrices = {each["name"]: each for each in document["quantisation"]}
    assert matrices["embedding"]["bits"] == 8
    assert matrices["blocks.0.wq"]["bits"] == 4
    assert 0 < matrices["blocks.0.wq"]["output_error"] < 0.2


def test_a_second_calibration_comes_from_the_cache(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(context=64, weights="int4", calibrate=text)
    once = integers_of(model).digest()
    monkeypatch.setattr(calibrate, "calibrate", lambda *_: pytest.fail("calibrated again"))
    assert integers_of(load(context=64, weights="int4", calibrate=text)).digest() == once


@pytest.mark.parametrize("damage", ["cut", "flipped", "of another model", "empty"])
def test_a_damaged_entry_of_the_cache_is_not_trusted(
    text: Path, damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = load(context=64, weights="int4", calibrate=text)
    right = calibration_of(model)
    entries = list((home() / "calibrations").iterdir())
    contents = {entry: entry.read_bytes() for entry in entries}
    for entry, content in contents.items():
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        wrong = {"cut": content[:middle], "flipped": flipped, "empty": b"", "of another model": b"\0" * 32 + content}
        entry.write_bytes(wrong[damage])
    again: list[object] = []
    monkeypatch.setattr(calibrate, "calibrate", lambda *given: again.append(given) or right)
    found = calibration_of(model)
    assert len(again) == 1
    np.testing.assert_array_equal(found.codes[0, "wo"].codes, right.codes[0, "wo"].codes)
    for entry, content in contents.items():
        entry.write_bytes(content)


def test_without_a_text_the_model_writes_one_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tinyllm: Tinyllm, tmp_path: Path
) -> None:
    monkeypatch.setattr(calibrate, "OWN_TOKENS", FEWEST_TOKENS)
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    code, _, err = tinyllm("verify", "--weights", "int4", "--context", 64, "--positions", 4)
    assert code == 0
    assert "writes its own calibration text" in err


def test_a_text_that_will_not_do_is_refused(tmp_path: Path, tinyllm: Tinyllm) -> None:
    def refused(content: str) -> str:
        (tmp_path / "text.txt").write_text(content)
        code, out, err = tinyllm("verify", "--weights", "int4", "--calibrate", tmp_path / "text.txt")
        assert (code, out) == (2, "")
        return err

    assert f"at least {FEWEST_TOKENS:,} are needed" in refused("Once upon a time, there was a dog.")
    assert re.search(r"text\.txt: \d+ tokens, at least", refused("Once upon a time, there was a dog."))
    assert "no text in it" in refused(f" {STORY_SEPARATOR}\n")
    code, _, err = tinyllm("verify", "--weights", "int4", "--calibrate", tmp_path / "missing.txt")
    assert code == 2
    assert "no such file" in err


def test_a_text_in_another_language_is_told_with_both_perplexities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tinyllm: Tinyllm
) -> None:
    words = "Wer reitet so spät durch Nacht und Wind? Es ist der Vater mit seinem Kind, er hat den Knaben wohl im Arm. "
    (tmp_path / "german.txt").write_text(words * 40)
    made: list[object] = []
    monkeypatch.setattr(calibrate, "calibrate", lambda *given: made.append(given) or calibration.INT8)
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    for _ in range(2):  # The second calibration comes from the cache.
        code, _, err = tinyllm("verify", "--weights", "int4", "--calibrate", tmp_path / "german.txt", "--positions", 2)
        assert code == 0
        assert re.search(r"has a perplexity of [\d,.]+ on this text and of [\d.]+ on what it writes itself", err)
    assert len(made) == 1


def test_calibrate_with_int8_says_that_it_has_no_effect(text: Path, tinyllm: Tinyllm) -> None:
    code, _, err = tinyllm("verify", "--calibrate", text, "--positions", 2, "--context", 16)
    assert code == 0
    assert "has no effect" in err


def test_a_budget_that_nothing_meets_names_the_smallest_and_why(tinyllm: Tinyllm) -> None:
    code, _, err = tinyllm("verify", "--weights", "mixed:90KB")
    assert code == 2
    model = load()
    least = table_bytes(model.model, model.tokenizer, model.context, calibration_keys(model))
    assert f"at least {least:,} bytes" in err
    assert f"Give {-(-least // 1024)}KB or more" in err
    assert "the embedding, which stay" in err


def test_a_budget_with_room_for_int8_gives_int8_and_calibrates_nothing(tinyllm: Tinyllm) -> None:
    options = ("--positions", 4, "--context", 16, "--json")
    int8, (code, out, err) = (tinyllm("verify", "--weights", name, *options) for name in ("int8", "mixed:1MB"))
    assert code == 0
    assert "there is room for all of" in err
    assert out == int8[1]


def calibration_keys(model: LanguageModel) -> list[tuple[int, str]]:
    """All matrices of the blocks."""
    names = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")
    return [(stored, name) for stored in range(len(model.model.blocks)) for name in names]


def test_fit_counts_a_mixture_as_its_calibration_chose_it(text: Path, tinyllm: Tinyllm, tmp_path: Path) -> None:
    """Else fit says that it estimates: before, for another budget, and when the checkpoint has changed."""
    folder = Path(shutil.copytree(STORY_MODEL, tmp_path / "stories"))

    def told(weights: str) -> str:
        found = json.loads(tinyllm("fit", folder, "--board", "pico2", "--weights", weights, "--json")[1])["mixed_bytes"]
        assert ("are estimated" in tinyllm("fit", folder, "--weights", weights)[1]) is (found == "estimated")
        return str(found)

    sketch = read_sketch(folder, LoadOptions(weights="mixed:200KB", context=64))
    guess = mixture_of(sketch).int4
    assert told("mixed:200KB") == "estimated"
    chosen = calibration_of(load(folder, context=64, weights="mixed:200KB", calibrate=text)).codes
    assert mixture_of(sketch) == Mixture(frozenset(chosen), counted=True)
    assert guess != chosen.keys()
    assert told("mixed:200KB") == "counted"
    assert told("mixed:190KB") == "estimated"
    assert told("mixed:900KB") == "counted", "a build has all of it as int8"
    (folder / "config.json").touch()
    assert told("mixed:200KB") == "estimated"


@pytest.mark.parametrize("damage", [b"", b"{}", b"[[0]]", b'[[0, "nosuch"]]', b'[[99, "wq"]]', b"[" * 9999, b"\xff"])
def test_a_damaged_memory_of_a_mixture_is_passed_over(damage: bytes) -> None:
    sketch = read_sketch(STORY_MODEL, LoadOptions())
    keep_mixture(STORY_MODEL, sketch.config, "5.0 bits", [(0, "wq")])
    assert mixture_of(sketch) == Mixture(frozenset({(0, "wq")}), counted=True)
    (entry,) = [each for each in (home() / "mixtures").iterdir() if each.read_bytes() == b'[[0, "wq"]]']
    entry.write_bytes(damage)
    assert not mixture_of(sketch).counted
    entry.unlink()


@pytest.mark.sweep
def test_a_mixture_fills_its_budget(text: Path) -> None:
    model = load(context=64, weights="mixed:200KB", calibrate=text)
    codes = calibration_of(model).codes
    size = table_bytes(model.model, model.tokenizer, model.context, codes)
    assert 194_000 < size <= 204_800
    assert sum(8 - each.bits for each in quantisation_of(model)) == 4 * len(codes)


def test_fit_to_takes_the_best_that_fits(tinyllm: Tinyllm) -> None:
    assert load(fit_to="pico2").weights == Weights("int8")
    code, _, err = tinyllm("verify", "--weights", "int4", "--fit-to", "pico2")
    assert code == 2
    assert "leave one out" in err
    code, _, err = tinyllm("verify", "--fit-to", "nosuch")
    assert code == 2
    assert "nosuch" in err


def test_fit_to_mixes_if_int8_does_not_fit_and_names_what_is_short_if_int4_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: Path
) -> None:
    model = load(context=64, calibrate=text)
    needed = memory_needs(outline_of(model.model, 64), model.tokenizer, load_board("pico")).total.flash
    # Without room for weights beside the program.
    described = re.sub(r"(?ms)^\[(virtual\.)?weights\]\n.*?\n\n", "", (BOARDS / "pico.toml").read_text())
    for name, less in (("small", 60_000), ("tiny", 150_000)):
        app = needed + 81_920 - less
        (tmp_path / f"{name}.toml").write_text(described.replace("app = 2_093_056", f"app = {app}"))
    monkeypatch.setenv(BOARDS_DIR, str(tmp_path))
    with pytest.raises(UserError, match=r"with int4, the smallest weights, .* it needs .* of flash"):
        best_that_fits("tiny", model.model, model.tokenizer, 64)
    mixed = load(context=64, calibrate=text, fit_to="small")
    assert mixed.weights == Weights("mixed", board="small")
    int4 = calibration_of(mixed).codes
    needs = memory_needs(outline_of(model.model, 64, int4), model.tokenizer, load_board("small"))
    assert 0 < len(int4) < 35
    assert needs.total.flash <= needed - 60_000


def test_another_kv_cache_is_another_budget_of_a_board() -> None:
    """It leaves other room for weights, so a calibration for one must not serve the other."""
    model = load(context=64)
    mixture = Weights("mixed", board="pico")

    def name(kv_cache: str, weights: Weights) -> str:
        wanted = load(context=64, kv_cache=kv_cache).model
        budget = budget_of(weights, partial(outline_of, wanted, 64), model.tokenizer)
        assert budget is not None
        return budget.name

    assert name("int8", mixture) != name("int4", mixture)
    assert name("int8", Weights("mixed")) == name("int4", Weights("mixed"))


def test_variants_stand_side_by_side_with_their_bytes(text: Path, tinyllm: Tinyllm, tmp_path: Path) -> None:
    arguments = ("eval", "--text", text, "--max-tokens", 32, "--calibrate", text)
    code, out, err = tinyllm(*arguments, "--variants", "fp32,int8,int4,int4", "--json")
    assert code == 0, err
    variants = {each["name"]: each for each in json.loads(out)["variants"]}
    assert list(variants) == ["fp32", "int8", "int4"]
    assert variants["fp32"]["ratio"] == 1
    assert variants["int4"]["bytes"] < variants["int8"]["bytes"] < variants["fp32"]["bytes"]
    assert 0 < variants["int8"]["kl"] < variants["int4"]["kl"] < 0.1
    pytest.importorskip("matplotlib")
    code, out, _ = tinyllm(*arguments, "--variants", "int8,int4", "--plot", tmp_path / "plot.svg")
    assert code == 0
    assert "bytes of weights" in out
    assert "<svg" in (tmp_path / "plot.svg").read_text()


def test_variants_and_plot_refuse_what_contradicts_them(text: Path, tinyllm: Tinyllm) -> None:
    for arguments, said in (
        (("--variants", "int4", "--weights", "int4"), "leave out --weights"),
        (("--plot", "x.svg"), "name some"),
        (("--variants", "int4", "--plot", "x.png"), "ends in .svg"),
    ):
        code, _, err = tinyllm("eval", "--text", text, *arguments)
        assert code == 2
        assert said in err


def test_the_python_options_are_those_of_the_command_line(text: Path) -> None:
    assert load(weights="int4", calibrate=text).options == LoadOptions(weights="int4", calibrate=text)
