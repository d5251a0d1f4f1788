"""Whatever a file holds, a reader gives a model or a UserError; nothing else ever comes out."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.checkpoint_files import legacy_bytes, random_model, v1_bytes, v2_bytes, write_huggingface
from tinyllm.codegen.checkpoints import read_model
from tinyllm.errors import UserError

QUICK = settings(deadline=20_000, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def huggingface_files() -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = write_huggingface(Path(name) / "tiny", random_model())
        return (folder / "config.json").read_bytes(), (folder / "model.safetensors").read_bytes()


CHECKPOINTS = [legacy_bytes(random_model()), v1_bytes(random_model()), v2_bytes(random_model(), 4)[0]]
CONFIG_JSON, SAFETENSORS = huggingface_files()


@st.composite
def damaged(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of the originals, cut, extended, or with some bytes or whole numbers replaced (mostly near its start)."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 3))):
        near = draw(st.sampled_from([64, 300, len(data)]))
        offset = draw(st.integers(0, min(near, len(data)) - 1))
        patch = draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.integers(-(2**31), 2**31 - 1).map(lambda number: struct.pack("<i", number)),
                st.floats(width=32).map(lambda number: struct.pack("<f", number)),
            )
        )
        data[offset : offset + len(patch)] = patch
    end = draw(st.one_of(st.none(), st.integers(0, len(data))))
    return bytes(data[:end]) + draw(st.one_of(st.just(b""), st.binary(max_size=40)))


def only_a_user_error_comes_of(reader: Callable[[Path], Any], path: Path, named: Path) -> None:
    try:
        reader(path)
    except UserError as error:
        message = str(error)
        assert str(named) in message
        assert len(message.splitlines()) <= 2
        assert len(message) < len(str(named)) + 500


@QUICK
@given(st.one_of(damaged(CHECKPOINTS), st.binary(max_size=300)))
def test_any_file_is_a_checkpoint_or_a_user_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    only_a_user_error_comes_of(read_model, path, path)


@QUICK
@given(st.sampled_from([1, 2]), st.lists(st.integers(-3, 40), min_size=8, max_size=8), st.integers(0, 5000))
def test_any_small_header_is_a_checkpoint_or_a_user_error(
    tmp_path: Path, version: int, numbers: list[int], size: int
) -> None:
    header = struct.pack("<I8i", 0x616B3432, version, *numbers[:7]) if numbers[7] else struct.pack("<7i", *numbers[:7])
    path = tmp_path / "model.bin"
    path.write_bytes(header.ljust(size, b"\1"))
    only_a_user_error_comes_of(read_model, path, path)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
KEYS = st.sampled_from([*json.loads(CONFIG_JSON), "mlp_bias", "rope_parameters", "pretraining_tp"])


@QUICK
@given(damaged([SAFETENSORS]))
def test_any_safetensors_file_is_a_model_or_a_user_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.json").write_bytes(CONFIG_JSON)
    (tmp_path / "model.safetensors").write_bytes(data)
    only_a_user_error_comes_of(read_model, tmp_path, tmp_path)


@QUICK
@given(st.one_of(damaged([CONFIG_JSON]), st.binary(max_size=100)))
def test_any_config_file_makes_a_model_or_a_user_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.json").write_bytes(data)
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    only_a_user_error_comes_of(read_model, tmp_path, tmp_path)


@QUICK
@given(st.dictionaries(KEYS, JSON, min_size=1, max_size=2))
def test_any_value_in_a_config_makes_a_model_or_a_user_error(tmp_path: Path, overrides: dict[str, Any]) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(), **overrides)
    only_a_user_error_comes_of(read_model, folder, folder)


@pytest.mark.parametrize("data", CHECKPOINTS, ids=["legacy", "v1", "v2"])
def test_the_undamaged_files_are_read(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(data)
    read_model(path)
