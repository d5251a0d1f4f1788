"""How many positions the KV cache holds, and which stay when it slides, as --window and --sinks choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tinyllm
from tests.conftest import STORY_MODEL
from tests.pipeline.conftest import BASE, random_model
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import ModelConfig, Rope
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.verify import verify
from tinyllm.errors import UserError
from tinyllm.host.cli import app as cli
from tinyllm.host.fit.fits import fit_board
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.model.sketch import read_sketch

GREEDY = {"temperature": 0, "repetition_penalty": 1.1}
WHOLE_VECTORS = replace(BASE, n_heads=4, n_kv_heads=2, head_dim=16, rope=Rope(rotary_dim=16))
"""With heads that the vector kernels take."""


@pytest.mark.parametrize(("window", "sinks"), [(None, 0), (None, 7), (16, 4), (13, 1), (17, 0), (9, 5)])
@pytest.mark.parametrize(
    "kernels",
    ["host", "xtensa_s3"]
    + [pytest.param(name, marks=pytest.mark.sweep) for name in KERNEL_SETS if name not in ("host", "xtensa_s3")],
)
def test_any_window_and_any_sinks_are_bit_exact_far_past_the_context(
    kernels: str, window: int | None, sinks: int, stories_tokenizer: Tokenizer
) -> None:
    model = quantize(random_model(replace(WHOLE_VECTORS, cache_window=window, sinks=sinks), seed=3))
    for verdict in verify(model, stories_tokenizer, ("O2",), (0.8,), positions=3 * BASE.context, kernels=[kernels]):
        assert verdict.exact == verdict.positions == 3 * BASE.context, verdict.difference


@pytest.mark.parametrize("bits", [(4, 4), (8, 4)])
def test_a_window_works_with_an_int4_cache_and_a_prefix_longer_than_it(
    bits: tuple[int, int], stories_tokenizer: Tokenizer
) -> None:
    own = replace(BASE, cache_window=11, sinks=2, prefix=(1, 7, 9, 30, 2, 5, 8, 3, 9, 9, 4, 6, 11, 12))
    model = quantize(random_model(replace(own, key_bits=bits[0], value_bits=bits[1])))
    for verdict in verify(model, stories_tokenizer, ("ubsan",), positions=60):
        assert verdict.bit_exact, verdict.difference


@pytest.mark.parametrize("config", [replace(BASE, cache_window=16, sinks=3), replace(BASE, sinks=0)])
def test_tokens_may_be_cut_into_batches_anywhere(config: ModelConfig) -> None:
    model = quantize(random_model(config))
    random = np.random.default_rng(2)
    tokens = random.integers(0, 512, 3 * config.context)
    at_once = Reference(model)
    expected = at_once.forward(tokens)
    for cuts in (np.arange(1, tokens.size), *(np.sort(random.integers(0, tokens.size, 6)) for _ in range(5))):
        pieces = Reference(model)
        got = [pieces.forward(part) for part in np.split(tokens, cuts) if part.size]
        assert np.array_equal(expected, np.concatenate(got))
        assert np.array_equal(at_once.k, pieces.k) and np.array_equal(at_once.v_scale, pieces.v_scale)


@pytest.mark.parametrize("length", [30, 90], ids=["within the context", "past it"])
def test_only_the_sinks_and_the_last_tokens_of_the_window_count(length: int) -> None:
    """A token that slid out leaves no trace in a one-layer model; a sink does, and the oldest of the last tokens."""
    window, sinks = 12, 3
    model = quantize(random_model(replace(BASE, schedule=(0,), cache_window=window, sinks=sinks), seed=4))
    tokens = np.random.default_rng(0).integers(0, 512, length)
    plain = Reference(model).forward(tokens)[-1]

    def counts(changed: int) -> bool:
        mine = tokens.copy()
        mine[changed] = (mine[changed] + 1) % 512
        return not np.array_equal(Reference(model).forward(mine)[-1], plain)

    oldest = length - (window - sinks)
    assert [counts(at) for at in (0, sinks - 1, oldest, length - 1)] == [True] * 4
    assert [counts(at) for at in (sinks, sinks + 1, oldest - 1)] == [False] * 3


def test_within_the_window_nothing_changes() -> None:
    tokens = np.random.default_rng(0).integers(0, 512, 16)
    whole, short = (
        Reference(quantize(random_model(replace(BASE, cache_window=window)))).forward(tokens) for window in (None, 16)
    )
    assert np.array_equal(whole, short)


def test_each_choice_is_another_model_to_a_board_and_the_default_is_as_it_was() -> None:
    def digest(**chosen: int) -> str:
        return quantize(random_model(replace(BASE, **chosen))).short_digest()

    assert digest(cache_window=BASE.context) == digest(sinks=4) == digest()
    different = [digest(), digest(cache_window=16), digest(cache_window=17), digest(sinks=3), digest(sinks=5)]
    assert len(set(different)) == len(different)
    windows = replace(BASE, windows=(16, 16))
    assert quantize(random_model(windows)).digest() != quantize(random_model(replace(BASE, cache_window=16))).digest()


def test_a_window_takes_the_ram_of_so_short_a_context() -> None:
    def cache(**options: int) -> int:
        sketch = read_sketch(STORY_MODEL, LoadOptions(**options))
        needs = fit_board(sketch, load_board("pico2")).formats["int8"].needs
        return needs.plan.ram["kv_cache"]

    assert cache(context=128, window=32) == cache(context=32) < cache(context=128) / 3


def test_a_prompt_may_be_longer_than_the_window() -> None:
    """The board answers as the reference does, and counts the context, not the window."""
    model = tinyllm.load(STORY_MODEL, context=64, window=16, sinks=2)
    with tinyllm.Board.host(model) as board:
        list(
            board.ask(
                "Once upon a time there was a little girl. She liked to run in the park with her dog.", max_tokens=10
            )
        )
        hello = board.link.update_hello()
        assert hello.context == 64 and 30 < hello.context_used <= 64
        assert [comparison.difference for comparison in board.verify() if not comparison.bit_exact] == []


def test_the_whole_prefix_may_stay(tmp_path: Path) -> None:
    path = tmp_path / "prefix.txt"
    path.write_text("Once upon a time there was a little fox who")
    options = LoadOptions(context=32, prefix=path, sinks="prefix")
    config = read_sketch(STORY_MODEL, options).config
    assert config.sinks == len(config.prefix) > 4
    assert tinyllm.load(STORY_MODEL, context=32, prefix=path, sinks="prefix").model.config.sinks == config.sinks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 7}, "--window 7: expected 8 to 64, the positions of the context."),
        ({"window": 65}, "--window 65: expected 8 to 64, the positions of the context."),
        ({"window": 16, "sinks": 13}, "--window 16: expected 17 to 64, the positions of the context."),
        ({"sinks": 61}, "--sinks: 61 of the 64 positions of the KV cache would stay; expected at most 60. "),
        ({"sinks": "all"}, "--sinks 'all': expected a number of tokens, or prefix."),
        ({"sinks": "-1"}, "--sinks '-1': expected a number of tokens, or prefix."),
        ({"sinks": "prefix"}, "--sinks prefix: no prefix was given; expected --prefix FILE beside it."),
    ],
)
def test_numbers_that_do_not_go_together_are_told(options: dict[str, int | str], message: str) -> None:
    with pytest.raises(UserError) as error:
        tinyllm.load(STORY_MODEL, context=64, **options)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_a_prefix_without_room_to_slide_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "prefix.txt"
    path.write_text("Once upon a time there was a little fox who")
    arguments = ["fit", str(STORY_MODEL), "--prefix", str(path), "--sinks", "prefix"]
    assert cli.run([*arguments, "--window", "16"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --sinks: ") and "Keep fewer, or give a larger --window." in told
