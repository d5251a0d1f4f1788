"""Whatever the files of a Hugging Face folder hold, its reader gives a model or a UserError; nothing else comes out."""

from __future__ import annotations

import json
import pickletools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.test_fuzz_readers import JSON, QUICK, damaged, only_a_user_error_comes_of
from tests.unit.checkpoint_files import huggingface_tensors, random_model, write_huggingface
from tests.unit.huggingface_files import (
    HALF,
    archive,
    bfloat16_bytes,
    safetensors_bytes,
    tensors_of,
    torch_entries,
    write_index,
    write_shards,
    write_torch,
)
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.codegen.checkpoints.huggingface.rope import PARAMETERS
from tinyllm.codegen.checkpoints.huggingface.torch_pickle import PickleError, tensors_in_pickle

MODEL = random_model(HALF, biases=True)
TENSORS = huggingface_tensors(random_model(HALF))
ENTRIES = torch_entries(TENSORS)
BFLOAT16 = bfloat16_bytes(TENSORS)
ROPE_KEYS = st.sampled_from([*sorted(PARAMETERS), "other"])
KEYS = st.sampled_from(
    [
        "share_embedding",
        "layer_sharing",
        "attention_bias",
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "layer_types",
        "partial_rotary_factor",
        "original_max_position_embeddings",
        "max_position_embeddings",
        "num_experts",
        "quantization_config",
        "head_dim",
    ]
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, 1, 2, 4, 1e-9, 1e9, 10**400]))
KINDS = st.sampled_from(["default", "linear", "llama3", "longrope", "su", "yarn", "dynamic"])
MODEL_TYPES = st.sampled_from(["llama", "mobilellm", "phi3", "qwen2", "mistral"])


@QUICK
@given(damaged([BFLOAT16]))
def test_any_bfloat16_file_is_a_model_or_a_user_error(tmp_path: Path, data: bytes) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(HALF))
    (folder / "model.safetensors").write_bytes(data)
    only_a_user_error_comes_of(read_model, folder, folder)


ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "F64", "BOOL", "X"]),
        "shape": st.one_of(JSON, st.lists(st.integers(-1, 8), max_size=3)),
        "data_offsets": st.one_of(JSON, st.lists(st.integers(-1, 64), min_size=2, max_size=2)),
    }
)


@QUICK
@given(st.dictionaries(st.sampled_from(sorted(TENSORS)), st.one_of(ENTRY, JSON), max_size=3), st.integers(0, 64))
def test_any_safetensors_header_is_a_model_or_a_user_error(tmp_path: Path, header: dict[str, Any], n: int) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(HALF))
    (folder / "model.safetensors").write_bytes(safetensors_bytes(header, bytes(n)))
    only_a_user_error_comes_of(read_model, folder, folder)
    only_a_user_error_comes_of(inspect_checkpoint, folder, folder)


@QUICK
@given(
    MODEL_TYPES, st.dictionaries(KEYS, st.one_of(JSON, NUMBERS), max_size=2), st.one_of(st.none(), st.integers(-1, 9))
)
def test_any_switch_makes_a_model_or_a_user_error(
    tmp_path: Path, model_type: str, fields: dict[str, Any], context: int | None
) -> None:
    folder = write_huggingface(tmp_path / "tiny", MODEL, model_type=model_type, **fields)
    (folder / "model.safetensors").write_bytes(bfloat16_bytes(tensors_of(model_type, MODEL)))
    only_a_user_error_comes_of(lambda path: read_model(path, context=context), folder, folder)


@QUICK
@given(KINDS, st.dictionaries(ROPE_KEYS, st.one_of(NUMBERS, st.lists(NUMBERS, max_size=2), JSON), max_size=5))
def test_any_rope_makes_a_model_or_a_user_error(tmp_path: Path, kind: str, fields: dict[str, Any]) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(HALF), rope_scaling={"type": kind} | fields)
    only_a_user_error_comes_of(read_model, folder, folder)


@QUICK
@given(damaged([archive(ENTRIES)]))
def test_any_torch_archive_is_a_model_or_a_user_error(tmp_path: Path, data: bytes) -> None:
    folder = write_torch(tmp_path / "tiny", data)
    only_a_user_error_comes_of(read_model, folder, folder)


@QUICK
@given(st.one_of(damaged([ENTRIES["data.pkl"]]), st.binary(max_size=100)))
def test_any_pickle_in_an_archive_is_a_model_or_a_user_error(tmp_path: Path, data: bytes) -> None:
    folder = write_torch(tmp_path / "tiny", ENTRIES | {"data.pkl": data})
    only_a_user_error_comes_of(read_model, folder, folder)


OPCODES = st.sampled_from([operation.code.encode("latin-1") for operation in pickletools.opcodes])
ARGUMENTS = st.one_of(
    st.just(b""), st.binary(max_size=9), st.sampled_from([b"ccollections\nOrderedDict\n", b"\1\0\0\0a", b"torch\nx\n"])
)


@QUICK
@given(st.lists(st.tuples(OPCODES, ARGUMENTS), max_size=20))
def test_any_program_of_pickle_operations_is_a_mapping_of_tensors_or_an_error(steps: list[tuple[bytes, bytes]]) -> None:
    try:
        tensors_in_pickle(b"\x80\x02" + b"".join(code + argument for code, argument in steps) + b".")
    except PickleError as error:
        assert len(str(error)) < 300


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@QUICK
@given(
    st.one_of(
        JSON,
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.sampled_from(sorted(TENSORS))),
            st.one_of(JSON, st.text(max_size=300), st.sampled_from([*SHARDS, "config.json", "../tiny/config.json"])),
            max_size=3,
        ),
    )
)
def test_any_index_of_shards_makes_a_model_or_a_user_error(tmp_path: Path, weight_map: Any) -> None:
    folder = write_shards(tmp_path / "tiny", random_model(HALF), 2)
    write_index(folder, weight_map)
    only_a_user_error_comes_of(read_model, folder, folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps(weight_map))
    only_a_user_error_comes_of(read_model, folder, folder)


@pytest.mark.parametrize("write", [write_torch, lambda folder, _: write_shards(folder, random_model(HALF), 2)])
def test_the_undamaged_folders_are_read(write: Any, tmp_path: Path) -> None:
    assert read_model(write(tmp_path / "tiny", ENTRIES)).config == HALF
