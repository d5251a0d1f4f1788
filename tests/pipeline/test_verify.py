"""The emitted C computes what the reference says, bit for bit, on any model the Model form can hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

import tinyllm
from tests.pipeline.conftest import BASE, RANDOM_CONFIGS, random_model
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import N_SINKS, Model, ModelConfig, Rope
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.codegen.tokenizers import find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.library import BUILDS, HostLibrary, compile_library
from tinyllm.codegen.verify.verify import CACHE, first_difference, generate, reference_run, verify
from tinyllm.errors import Failure
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.cli import app as cli
from tinyllm.models import bundled


@pytest.mark.parametrize(
    "builds", [("O3", "ubsan"), pytest.param(tuple(BUILDS), marks=pytest.mark.sweep)], ids=["two builds", "every build"]
)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.sweep if name == "chat" else []) for name in sorted(bundled())],
)
def test_every_bundled_model_is_bit_exact_over_its_whole_context(name: str, builds: tuple[str, ...]) -> None:
    model = read_model(bundled()[name])
    tokenizer = read_tokenizer(find_tokenizer(bundled()[name], model.config.vocab_size))
    verdicts = list(verify(quantize(model), tokenizer, builds))
    assert len(verdicts) == 2 * len(builds)
    for verdict in verdicts:
        assert str(verdict) == f"bit-exact: {model.config.context}/{model.config.context} positions", verdict.difference


OFTEN = ("grouped-query", "shared blocks", "interleaved pairs", "attention scaling", "windows of several sizes")
"""What changes which code is emitted; the others are a sweep."""


@pytest.mark.parametrize(
    "feature",
    [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.sweep, id=name) for name in RANDOM_CONFIGS],
)
def test_every_feature_of_the_model_form_is_bit_exact(feature: str, stories_tokenizer: Tokenizer) -> None:
    model = quantize(random_model(RANDOM_CONFIGS[feature]))
    for verdict in verify(model, stories_tokenizer, ("ubsan",), positions=min(40, model.config.context)):
        assert verdict.exact == verdict.positions, verdict.difference


def test_attention_biases_are_bit_exact(stories_tokenizer: Tokenizer) -> None:
    for verdict in verify(quantize(random_model(BASE, biases=True)), stories_tokenizer, ("ubsan",)):
        assert verdict.exact == verdict.positions, verdict.difference


@pytest.mark.parametrize("scale", [1e-4, 30.0, 1000.0])
def test_weights_of_any_size_saturate_without_overflow(scale: float, stories_tokenizer: Tokenizer) -> None:
    for verdict in verify(quantize(random_model(BASE, scale=scale)), stories_tokenizer, ("ubsan",)):
        assert verdict.exact == verdict.positions, verdict.difference


def test_a_conversation_that_slides_past_its_context_stays_bit_exact(stories_tokenizer: Tokenizer) -> None:
    model = quantize(random_model(BASE, seed=3))
    for verdict in verify(model, stories_tokenizer, ("O2",), positions=3 * BASE.context):
        assert verdict.exact == verdict.positions == 3 * BASE.context, verdict.difference


def test_past_the_context_only_the_sinks_and_the_last_tokens_count(stories_tokenizer: Tokenizer) -> None:
    """A token that slid out leaves no trace in a one-layer model, a sink does."""
    model = quantize(random_model(replace(BASE, schedule=(0,)), seed=4))
    random = np.random.default_rng(0)
    tokens = random.integers(0, 512, 3 * BASE.context)

    def last_logits(changed: int | None = None) -> np.ndarray:
        mine = tokens.copy()
        if changed is not None:
            mine[changed] = (mine[changed] + 1) % 512
        return Reference(model).forward(mine)[-1]

    assert np.array_equal(last_logits(), last_logits(changed=N_SINKS))
    assert np.array_equal(last_logits(), last_logits(changed=len(tokens) - 1 - (BASE.context - N_SINKS)))
    assert not np.array_equal(last_logits(), last_logits(changed=0))
    assert not np.array_equal(last_logits(), last_logits(changed=len(tokens) - (BASE.context - N_SINKS)))


def test_tokens_may_be_read_one_by_one_or_all_at_once(stories: Model) -> None:
    model = quantize(stories, context=64)
    tokens = np.random.default_rng(1).integers(0, 512, 70)
    at_once, one_by_one = Reference(model), Reference(model)
    expected = at_once.forward(tokens)
    assert np.array_equal(expected, np.concatenate([one_by_one.forward([token]) for token in tokens]))
    assert np.array_equal(at_once.k, one_by_one.k) and np.array_equal(at_once.v_scale, one_by_one.v_scale)


WINDOWED = RANDOM_CONFIGS["windows of several sizes"]


def test_windows_change_nothing_of_how_tokens_are_cut_into_batches() -> None:
    model = quantize(random_model(WINDOWED))
    random = np.random.default_rng(2)
    tokens = random.integers(0, 512, 40)
    at_once = Reference(model)
    expected = at_once.forward(tokens)
    for _ in range(5):
        pieces = Reference(model)
        cuts = np.sort(random.integers(0, 40, 6))
        got = [pieces.forward(part) for part in np.split(tokens, cuts) if part.size]
        assert np.array_equal(expected, np.concatenate(got))
        for name in CACHE:
            for ours, theirs in zip(getattr(at_once, name), getattr(pieces, name), strict=True):
                assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("windows", "build"),
    [
        (WINDOWED.windows, "ubsan"),
        pytest.param(WINDOWED.windows, "asan", marks=pytest.mark.sweep),
        pytest.param((5, 5, 5, 5), "O2", marks=pytest.mark.sweep),
        ((31, 32, 33, None), "O2"),
    ],
)
def test_windows_stay_bit_exact_far_past_the_context(
    windows: tuple[int | None, ...], build: str, stories_tokenizer: Tokenizer
) -> None:
    model = quantize(random_model(replace(WINDOWED, windows=windows), seed=3))
    for verdict in verify(model, stories_tokenizer, (build,), positions=3 * BASE.context):
        assert verdict.exact == verdict.positions == 3 * BASE.context, verdict.difference


def test_a_token_behind_the_window_leaves_no_trace_and_one_within_does() -> None:
    model = quantize(random_model(replace(BASE, schedule=(0,), windows=(5,)), seed=4))
    tokens = np.random.default_rng(0).integers(0, 512, 3 * BASE.context)

    def last_logits(changed: int) -> np.ndarray:
        mine = tokens.copy()
        mine[changed] = (mine[changed] + 1) % 512
        return Reference(model).forward(mine)[-1]

    expected = Reference(model).forward(tokens)[-1]
    assert np.array_equal(last_logits(0), expected)
    assert np.array_equal(last_logits(len(tokens) - 6), expected)
    assert not np.array_equal(last_logits(len(tokens) - 5), expected)


def test_a_window_as_long_as_the_context_is_full_attention(stories_tokenizer: Tokenizer) -> None:
    full = quantize(random_model(BASE))
    for window in (BASE.context, BASE.context + 1):
        covered = quantize(random_model(replace(BASE, windows=(window, None))))
        assert emit_project(covered, stories_tokenizer, load_board("host")) == emit_project(
            full, stories_tokenizer, load_board("host")
        )
    windowed = quantize(random_model(replace(BASE, windows=(BASE.context - 1, None))))
    assert windowed.digest() != full.digest()


@pytest.mark.parametrize("tensor", ["logits", "tokens", "k", "v_scale"])
def test_verify_names_the_first_tensor_that_differs(
    tensor: str, stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = quantize(random_model(BASE))
    files = emit_project(model, stories_tokenizer, load_board("host")).files
    library = compile_library(files, tmp_path_factory.mktemp("c"))
    settings = SamplerSettings.from_float(temperature=0.8)
    got = generate(library, model.config, 1, settings, 1, 20)
    expected = reference_run(model, got.tokens, settings, 1)
    assert first_difference(expected, got) == (20, None)
    if tensor == "logits":
        got.logits[7, 3] += 1
    elif tensor == "tokens":
        got.tokens[8] += 1
    else:
        got.cache[tensor][1][0, 7] += 1
    exact, difference = first_difference(expected, got)
    assert exact == 7
    assert difference is not None
    assert difference.startswith("position 7: ")
    assert {"logits": "logit 3", "tokens": "sampled"}.get(tensor, f"{tensor} of layer 1, head 0") in difference


@pytest.mark.parametrize(
    ("config", "slot", "position"),
    [
        (replace(BASE, windows=(None, 5)), 2, 27),
        (replace(BASE, cache_window=12, sinks=3), 2, 2),
        (replace(BASE, cache_window=12, sinks=3), 4, 22),
        (replace(BASE, context=16), 5, 29),
    ],
    ids=["a window", "a sink", "a short cache", "past the context"],
)
def test_a_wrong_slot_is_of_the_position_that_wrote_it_last(
    config: ModelConfig,
    slot: int,
    position: int,
    stories_tokenizer: Tokenizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    model = quantize(random_model(config))
    files = emit_project(model, stories_tokenizer, load_board("host")).files
    library = compile_library(files, tmp_path_factory.mktemp("c"))
    settings = SamplerSettings.from_float(temperature=0.8)
    got = generate(library, config, 1, settings, 1, 31)
    expected = reference_run(model, got.tokens, settings, 1)
    assert first_difference(expected, got) == (31, None)
    got.cache["v"][1][0, slot] += 1
    assert first_difference(expected, got) == (position, f"position {position}: v of layer 1, head 0")


def test_a_wrong_kernel_is_found(stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = quantize(random_model(BASE))
    files = emit_project(model, stories_tokenizer, load_board("host")).files
    attention = files["src/engine/attention.c"]
    files["src/engine/attention.c"] = attention.replace("31 + down - softmax.exponent", "30 + down - softmax.exponent")
    assert files["src/engine/attention.c"] != attention
    library = compile_library(files, tmp_path_factory.mktemp("c"))
    settings = SamplerSettings.from_float(temperature=0.0)
    got = generate(library, model.config, 1, settings, 1, 5)
    exact, difference = first_difference(reference_run(model, got.tokens, settings, 1), got)
    assert exact < 5 and difference


@pytest.fixture(scope="module")
def loaded() -> LanguageModel:
    """Of the shapes that the kernels have code of their own for."""
    return tinyllm.load(context=24)


@pytest.mark.parametrize(
    "builds", [("O2",), pytest.param(("O0", "O3", "ubsan"), marks=pytest.mark.sweep)], ids=["O2", "the other levels"]
)
def test_the_kernels_of_every_board_are_bit_exact_on_this_computer(
    builds: tuple[str, ...], loaded: LanguageModel
) -> None:
    verdicts = loaded.verify(builds, (0.8,), positions=40, kernels="all")
    assert [(verdict.kernels, verdict.build) for verdict in verdicts] == list(product(KERNEL_SETS, builds))
    for verdict in verdicts:
        assert verdict.exact == verdict.positions == 40, (verdict.kernels, verdict.difference)


@pytest.fixture
def wrong_armv8m(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it changes is in the file of armv8m alone, so that the C of that set must be what is compiled."""

    def wrong(*arguments: Any) -> Project:
        project = emit_project(*arguments)
        name = "src/kernels/score_rows.c"
        project.files[name] = project.files[name].replace("& 2047", "& 255")
        return project

    monkeypatch.setattr("tinyllm.codegen.verify.verify.emit_project", wrong)


@pytest.mark.usefixtures("wrong_armv8m")
def test_a_wrong_kernel_of_one_set_is_found_in_that_set_alone(loaded: LanguageModel) -> None:
    found = loaded.verify(("O2",), (0.0,), positions=5, kernels=("pico2", "generic", "armv8m"))
    assert [(verdict.kernels, verdict.bit_exact) for verdict in found] == [("armv8m", False), ("generic", True)]


@pytest.mark.usefixtures("wrong_armv8m")
def test_the_verb_shows_a_line_for_each_set_and_level_and_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--context", "24", "--positions", "5", "--kernels", "pico2", "--kernels", "generic"]
    assert cli.run(["verify", *options, "--build", "O0", "--build", "O2", "--temperature", "0"]) == 1
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[2:6]] == [["armv8m", "O0"], ["armv8m", "O2"], ["generic", "O0"], ["generic", "O2"]]
    assert [row[2] == "5/5" for row in rows[2:6]] == [False, False, True, True]
    assert [" ".join(row[:7]) for row in rows[6:]] == [
        f"first difference of armv8m, {build}, temperature 0:" for build in ("O0", "O2")
    ]
    assert cli.run(["verify", *options, "--temperature", "0", "--build", "O2", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["bit_exact"] is False
    runs = [(run["kernels"], run["build"], run["exact"] == run["positions"]) for run in document["runs"]]
    assert runs == [("armv8m", "O2", False), ("generic", "O2", True)]


def test_undefined_behaviour_is_reported_and_not_survived(
    stories_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = quantize(random_model(BASE))

    def overflowing(*arguments: Any) -> Project:
        project = emit_project(*arguments)
        name = "src/engine/matmul.c"
        changed = project.files[name].replace("w->most);", "(int32_t)w->columns * INT32_MAX);")
        assert changed != project.files[name]
        project.files[name] = changed
        return project

    monkeypatch.setattr("tinyllm.codegen.verify.verify.emit_project", overflowing)
    with pytest.raises(Failure, match=r"ubsan build stopped: .*signed integer overflow"):
        list(verify(model, stories_tokenizer, ("ubsan",), positions=3))


def test_the_weights_are_checked_at_start(
    stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = quantize(random_model(BASE))
    files = emit_project(model, stories_tokenizer, load_board("host")).files
    whole = HostLibrary(compile_library(files, tmp_path_factory.mktemp("c")), model.config)
    assert whole.c.tl_weights_intact()
    changed, count = re.subn(r"(codes TL_ALIGNED = \{\n\{\n\")(\\...|.)", r"\1z", files["src/weights.c"], count=1)
    assert count == 1 and changed != files["src/weights.c"]
    files["src/weights.c"] = changed
    broken = HostLibrary(compile_library(files, tmp_path_factory.mktemp("c")), model.config)
    assert not broken.c.tl_weights_intact()


def test_any_two_codes_in_a_row_stand_in_the_c_as_they_are(
    stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Quotes, digits after an escape, trigraphs: the CRC over what the compiler made of them is that of the codes."""
    model = quantize(random_model(replace(BASE, dim=256, head_dim=64, rope=Rope(rotary_dim=64))))
    every = np.arange(-127, 128)
    pairs = np.stack(np.meshgrid(every, every), axis=-1).ravel()
    codes = np.resize(pairs, (512, 256)).astype(np.int8)
    assert codes.size > pairs.size
    model = replace(model, embedding=replace(model.embedding, codes=codes))
    files = emit_project(model, stories_tokenizer, load_board("host")).files
    c = HostLibrary(compile_library(files, tmp_path_factory.mktemp("c")), model.config)
    assert c.c.tl_weights_intact()


def test_c_that_does_not_compile_is_reported_in_one_line(
    stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = emit_project(quantize(random_model(BASE)), stories_tokenizer, load_board("host")).files
    files["src/model.c"] += "nonsense\n"
    with pytest.raises(Failure, match=r"cannot build the emitted C \(O2\): src/model.c"):
        compile_library(files, tmp_path_factory.mktemp("c"))
