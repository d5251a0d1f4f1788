"""Checkpoints of every format become the same model form, and bad ones are refused in words."""

from __future__ import annotations

import math
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.checkpoint_files import (
    CONFIG,
    assert_same_model,
    configs,
    legacy_bytes,
    random_model,
    rotary_tables,
    rotating_neighbours,
    v1_bytes,
    v2_bytes,
    write_huggingface,
)
from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig, Rope
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.errors import UserError

LEGACY_FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "context")


def read_bytes(data: bytes) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.bin"
        path.write_bytes(data)
        return read_model(path)


def refusal(path: Path, **options: Any) -> str:
    """What a person is told of the model at `path`: short, and naming it."""
    with pytest.raises(UserError) as caught:
        read_model(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) <= 2
    assert caught.value.exit_code == 2
    return message


# llama2.c: reading back what was written


@settings(deadline=None, max_examples=30)
@given(configs(), st.integers(0, 99))
def test_a_legacy_checkpoint_reads_back_equal(config: ModelConfig, seed: int) -> None:
    model = random_model(config, seed=seed)
    assert_same_model(read_bytes(legacy_bytes(model)), model)


@settings(deadline=None, max_examples=30)
@given(configs(), st.integers(0, 99))
def test_a_version_1_checkpoint_reads_back_equal(config: ModelConfig, seed: int) -> None:
    model = random_model(config, seed=seed)
    assert_same_model(read_bytes(v1_bytes(model)), model)


@settings(deadline=None, max_examples=30)
@given(configs(), st.integers(0, 99), st.data())
def test_a_version_2_checkpoint_is_its_values_times_their_scales_exactly(
    config: ModelConfig, seed: int, data: st.DataObject
) -> None:
    group_size = data.draw(st.sampled_from([n for n in range(1, config.dim + 1) if config.dim % n == 0]))
    written, dequantized = v2_bytes(random_model(config, seed=seed), group_size)
    assert_same_model(read_bytes(written), dequantized)


def test_a_llama2c_file_is_named_after_its_file_and_rotates_neighbours(stories: Model, stories_llama2c: Path) -> None:
    found = read_model(stories_llama2c)
    expected = rotating_neighbours(stories)
    assert (found.config.name, found.config.family) == ("stories", "llama")
    assert found.config.rope.pairing == "interleaved"
    assert_same_model(found, replace(expected, config=replace(expected.config, name="stories")))
    assert found.n_parameters() == stories.n_parameters()


# llama2.c: the rotary embedding


TURNING = replace(
    CONFIG, dim=16, n_heads=2, n_kv_heads=2, head_dim=8, context=700, rope=Rope(10000.0, "interleaved", 8)
)


def with_rope(rope: Rope, context: int = TURNING.context) -> Model:
    return random_model(replace(TURNING, rope=rope, context=context))


@pytest.mark.parametrize("base", [10000.0, 1000000.0, 500000.0, 1234567.0, 100.0, 1.5, 26000.5])
@pytest.mark.parametrize("context", [2, 3, 700])
def test_a_legacy_checkpoint_has_the_base_that_its_tables_show(base: float, context: int) -> None:
    model = with_rope(replace(TURNING.rope, base=base), context)
    assert_same_model(read_bytes(legacy_bytes(model)), model)


def test_a_table_of_one_position_leaves_the_usual_base() -> None:
    model = with_rope(replace(TURNING.rope, base=500.0), context=1)
    assert read_bytes(legacy_bytes(model)).config.rope == TURNING.rope


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-9, 1), min_size=4, max_size=4), st.integers(2, 700))
@example([0.0, 0.0, 0.0, 4e-07], 301)  # near the base 1, whose turns are others from position 300 on
def test_frequencies_that_no_base_gives_are_kept(logarithms: list[float], context: int) -> None:
    frequencies = np.exp(logarithms)
    rope = Rope(10000.0, "interleaved", 8, tuple(TURNING.rope.frequencies() / frequencies))
    found = read_bytes(legacy_bytes(with_rope(rope, context))).config.rope
    np.testing.assert_allclose(found.frequencies(), frequencies, rtol=1e-6)


def test_it_is_said_that_no_base_gives_the_frequencies_of_a_file(tmp_path: Path) -> None:
    factors = (1.0, 1.0, 2.0, 8.0)
    (tmp_path / "tiny.bin").write_bytes(legacy_bytes(with_rope(replace(TURNING.rope, factors=factors))))
    facts = inspect_checkpoint(tmp_path / "tiny.bin")
    assert "rotary frequencies as the file's own tables have them: no one base gives them" in facts.features
    np.testing.assert_allclose(facts.config.rope.factors, factors, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "positions", "first"),
    [(0.0, slice(None), 1), (math.nan, slice(5, 6), 5), (1.0, slice(None), 1), (0.5, slice(-1, None), 699)],
)
def test_tables_that_are_no_rotary_embedding_are_refused(
    value: float, positions: slice, first: int, tmp_path: Path
) -> None:
    tables = rotary_tables(TURNING.rope.frequencies(), TURNING.context)
    tables[:, positions] = value
    (tmp_path / "tiny.bin").write_bytes(legacy_bytes(random_model(TURNING), tables))
    message = refusal(tmp_path / "tiny.bin")
    assert f"no rotary embedding: position {first if value != 1.0 else 0} does" in message


def test_cosines_and_sines_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    tables = rotary_tables(TURNING.rope.frequencies(), TURNING.context)[::-1]
    (tmp_path / "tiny.bin").write_bytes(legacy_bytes(random_model(TURNING), tables))
    assert "no rotary embedding" in refusal(tmp_path / "tiny.bin")


@pytest.mark.parametrize("version", [1, 2])
def test_the_base_of_versions_1_and_2_is_an_option(version: int, tmp_path: Path) -> None:
    model = random_model(TURNING)
    (tmp_path / "tiny.bin").write_bytes(v1_bytes(model) if version == 1 else v2_bytes(model, 4)[0])
    assert read_model(tmp_path / "tiny.bin").config.rope.base == 10000.0
    assert read_model(tmp_path / "tiny.bin", rope_base=1e6).config.rope == replace(TURNING.rope, base=1e6)
    assert inspect_checkpoint(tmp_path / "tiny.bin", rope_base=1e6).config.rope.base == 1e6
    for base in (0.0, -1.0, math.nan, math.inf, 1e13):
        with pytest.raises(UserError, match=r"--rope-base .*: expected 1 to 1e\+12"):
            read_model(tmp_path / "tiny.bin", rope_base=base)


def test_a_base_is_refused_for_a_format_that_says_its_own(tmp_path: Path) -> None:
    (tmp_path / "tiny.bin").write_bytes(legacy_bytes(random_model()))
    assert "this one has rotary tables of its own: leave it out" in refusal(tmp_path / "tiny.bin", rope_base=1e6)
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF".ljust(300, b"\1"))
    assert "its metadata say it as rope.freq_base" in refusal(tmp_path / "tiny.gguf", rope_base=1e6)
    write_huggingface(tmp_path / "tiny", random_model())
    assert "config.json says it as rope_theta" in refusal(tmp_path / "tiny", rope_base=1e6)


# llama2.c: refusals

FORMATS: dict[str, Callable[[Model], bytes]] = {
    "legacy": legacy_bytes,
    "v1": v1_bytes,
    "v2": lambda model: v2_bytes(model, 4)[0],
}
FIRST_NUMBER = {"legacy": 0, "v1": 8, "v2": 8}


@pytest.fixture(params=FORMATS)
def llama2c_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("change", [-1, -4, 1, 4, 4096])
def test_a_file_of_another_size_than_its_header_asks_for_is_refused_with_both_sizes(
    llama2c_format: str, change: int, tmp_path: Path
) -> None:
    data = FORMATS[llama2c_format](random_model())
    path = tmp_path / "tiny.bin"
    path.write_bytes(data[:change] if change < 0 else data + bytes(change))
    message = refusal(path)
    assert ("truncated" if change < 0 else "over-long") in message
    assert f"{len(data):,} bytes" in message
    assert f"{len(data) + change:,}" in message


@pytest.mark.parametrize("size", [0, 3, 27])
def test_a_file_shorter_than_a_header_is_refused(llama2c_format: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "tiny.bin"
    path.write_bytes(FORMATS[llama2c_format](random_model())[:size])
    assert "truncated" in refusal(path)


@pytest.mark.parametrize("start", [b"GGUF\x03\0\0\0", b"PK\x03\x04", b"ak42\x01\0\0\0", b'{"a"', b"\xff" * 8])
def test_a_foreign_file_is_said_to_be_no_llama2c_checkpoint(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.bin"
    path.write_bytes(start.ljust(300, b"\0"))
    message = refusal(path)
    assert "not a llama2.c checkpoint" in message
    assert repr(start[:4]) in message


@pytest.mark.parametrize("value", [0, -(2**25), 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("field", LEGACY_FIELDS)
def test_an_absurd_dimension_is_refused_by_name(llama2c_format: str, field: str, value: int, tmp_path: Path) -> None:
    data = bytearray(FORMATS[llama2c_format](random_model()))
    offset = FIRST_NUMBER[llama2c_format] + 4 * LEGACY_FIELDS.index(field)
    struct.pack_into("<i", data, offset, value)
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    message = refusal(path)
    assert field in message or (llama2c_format == "legacy" and field == "dim" and "not a llama2.c" in message)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_heads": 3}, "dim 8 is not a multiple of n_heads 3"),
        ({"n_kv_heads": 3}, "n_heads 4 is not a multiple of n_kv_heads 3"),
        ({"n_heads": 8, "n_kv_heads": 8}, "head size 1 is odd"),
        ({"dim": 12}, "head size 3 is odd"),
        ({"dim": 16}, "truncated"),
        ({"n_layers": 1}, "over-long"),
    ],
)
def test_a_header_that_contradicts_itself_or_the_file_is_refused(
    llama2c_format: str, changes: dict[str, int], words: str, tmp_path: Path
) -> None:
    data = bytearray(FORMATS[llama2c_format](random_model()))
    for field, value in changes.items():
        struct.pack_into("<i", data, FIRST_NUMBER[llama2c_format] + 4 * LEGACY_FIELDS.index(field), value)
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    assert words in refusal(path)


@pytest.mark.parametrize(
    ("offset", "raw", "words"),
    [
        (4, struct.pack("<i", 3), "version 3"),
        (36, b"\x02", "shared-classifier byte is 2"),
        (37, struct.pack("<i", 0), "group size 0"),
        (37, struct.pack("<i", -4), "group size -4"),
        (37, struct.pack("<i", 7), "not a multiple of group size 7"),
    ],
)
def test_flags_that_make_no_sense_are_refused(offset: int, raw: bytes, words: str, tmp_path: Path) -> None:
    data = bytearray(FORMATS["v2"](random_model()))
    data[offset : offset + len(raw)] = raw
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    assert words in refusal(path)


def set_in(model: Model, name: str, value: float) -> None:
    """Set the last element of the tensor called `name`, such as blocks[1].wq."""
    owner: Any = model
    if name.startswith("blocks["):
        owner, name = model.blocks[int(name[7])], name[10:]
    getattr(owner, name).flat[-1] = value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["embedding", "final_norm", "head", "blocks[0].attn_norm", "blocks[1].w_down"])
def test_a_weight_that_is_not_finite_is_refused_with_its_tensor(
    llama2c_format: str, name: str, value: float, tmp_path: Path
) -> None:
    model = random_model(replace(CONFIG, tied_head=False))
    set_in(model, name, value)
    path = tmp_path / "tiny.bin"
    with np.errstate(invalid="ignore"):
        path.write_bytes(FORMATS[llama2c_format](model))
    message = refusal(path)
    assert f"tensor {name} " in message
    assert "NaN or infinite" in message


def test_a_negative_scale_is_refused_with_its_tensor(tmp_path: Path) -> None:
    data = bytearray(FORMATS["v2"](random_model()))
    struct.pack_into("<f", data, len(data) - 4, -1.0)
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    assert "blocks[1].w_up has a negative scale" in refusal(path)


def test_a_header_that_promises_much_allocates_nothing(llama2c_format: str, tmp_path: Path) -> None:
    data = bytearray(FORMATS[llama2c_format](random_model())[:400])
    struct.pack_into(
        "<7i", data, FIRST_NUMBER[llama2c_format], 1 << 16, 1 << 18, 1 << 10, 1 << 10, 1 << 10, 1 << 20, 1 << 24
    )
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert "truncated" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.bin")
    assert "config.json" in refusal(tmp_path)
    assert "not a regular file" in refusal(Path("/dev/null"))
