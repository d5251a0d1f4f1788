"""The weight files of a Hugging Face folder: whole or in shards, safetensors or torch.save; none of it is trusted."""

from __future__ import annotations

import json
import os
import pickle
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.checkpoint_files import (
    assert_same_model,
    configs,
    half_paired,
    huggingface_tensors,
    random_model,
    write_huggingface,
)
from tests.unit.huggingface_files import (
    EMPTY_ORDERED_DICT,
    HALF,
    archive,
    numbers,
    pickled_mapping,
    pickled_tensor,
    refusal,
    safetensors_bytes,
    text,
    torch_entries,
    write_index,
    write_shards,
    write_torch,
)
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.checkpoints import read_model

# safetensors


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}junk"])
def test_a_damaged_safetensors_file_is_refused(data: bytes, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    (folder / "model.safetensors").write_bytes(data)
    assert "model.safetensors" in refusal(folder)


def entry(begin: int, end: int, shape: Any = (2,), dtype: Any = "F32", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]} | more


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, "tensor 'b' overlaps the one before it"),
        ({"a": entry(0, 8), "b": entry(0, 8)}, "tensor 'b' overlaps the one before it"),
        ({"a": entry(0, 8), "b": entry(12, 20)}, "tensor 'b' leaves a hole before it"),
        ({"a": entry(8, 16)}, "tensor 'a' leaves a hole before it"),
        ({"a": entry(0, 8)}, "its tensors end at 8, expected all 24 bytes"),
        ({}, "its tensors end at 0, expected all 24 bytes"),
        ({"a": entry(0, 32, (8,))}, "data_offsets [0, 32], expected two in order up to 24"),
        ({"a": entry(8, 0)}, "data_offsets [8, 0]"),
        ({"a": entry(-8, 0)}, "data_offsets [-8, 0]"),
        ({"a": entry(0, 8, data_offsets=[0, 8, 16])}, "data_offsets [0, 8, 16]"),
        ({"a": entry(0, 8, data_offsets=8)}, "data_offsets 8"),
        ({"a": entry(0, 8, (3,))}, "has 8 bytes of F32, its shape [3] asks for 12"),
        ({"a": entry(0, 8, (1 << 62, 1 << 62))}, "asks for 85,070,591,73"),
        ({"a": entry(0, 8, (1 << 63,))}, "tensor 'a' has shape [9223372036854775808]"),
        ({"a": entry(0, 8, (-2,))}, "tensor 'a' has shape [-2]"),
        ({"a": entry(0, 8, (2.0,))}, "tensor 'a' has shape [2.0]"),
        ({"a": entry(0, 8, (True, 2))}, "tensor 'a' has shape [True, 2]"),
        ({"a": entry(0, 8, (2,) + (1,) * 8)}, "expected up to 8 sizes"),
        ({"a": entry(0, 8, "2")}, "tensor 'a' has shape '2'"),
        ({"a": entry(0, 8, dtype="F4")}, "tensor 'a' has dtype 'F4', which is unknown"),
        ({"a": entry(0, 8, dtype=["F32"])}, "tensor 'a' has dtype ['F32']"),
        ({"a": entry(0, 8, more=1)}, "tensor 'a' is not described by dtype, shape and data_offsets"),
        ({"a": [1]}, "tensor 'a' is not described"),
        (b'{"a": {}, "a": {}}', "its header is not JSON (a key stands in it twice)"),
        (b"[1, 2]", "its header is a JSON list, expected an object"),
        (b'"text"', "its header is a JSON str"),
        (b"\xff\xfe", "its header is not JSON"),
        (b"[" * 100_000, "its header is not JSON"),
        (b"9" * 10_000, "its header is not JSON"),
        (b" " * ((4 << 20) + 1), "expected at most 4,194,304"),
    ],
)
def test_a_header_that_does_not_account_for_every_byte_is_refused(header: Any, words: str, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    (folder / "model.safetensors").write_bytes(safetensors_bytes(header, bytes(24)))
    assert words in refusal(folder)


# Shards


@settings(deadline=None, max_examples=10)
@given(configs(), st.integers(1, 4))
def test_shards_read_back_as_one_model(config: ModelConfig, n_shards: int) -> None:
    model = random_model(half_paired(config))
    with tempfile.TemporaryDirectory() as name:
        assert_same_model(read_model(write_shards(Path(name) / "tiny", model, n_shards)), model)


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({NORM: "../tiny/model-00001-of-00002.safetensors"}, "is not the name of a file beside it"),
        ({NORM: "/etc/passwd"}, "'/etc/passwd' is not the name of a file beside it"),
        ({NORM: "C:model.safetensors"}, "is not the name of a file beside it"),
        ({NORM: "a\\b"}, "is not the name of a file beside it"),
        ({NORM: ".."}, "'..' is not the name of a file beside it"),
        ({NORM: ""}, "'' is not the name of a file beside it"),
        ({NORM: "a\0b"}, "is not the name of a file beside it"),
        ({NORM: 3}, "3 is not the name of a file beside it"),
        ({NORM: "model-00009-of-00002.safetensors"}, "no such file"),
        (
            {NORM: "model-00001-of-00002.safetensors"},
            "tensor 'model.norm.weight' is in model-00002-of-00002.safetensors",
        ),
        ({"more": "model-00001-of-00002.safetensors"}, "tensor 'more' is missing from model-00001"),
        ({f"t{n}": f"f{n}" for n in range(1001)}, "names 1,003 files, expected at most 1,000"),
    ],
)
def test_an_index_that_leads_astray_is_refused(index: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "tiny", random_model(HALF), 2, index)
    message = refusal(folder)
    assert words in message


@pytest.mark.parametrize("weight_map", [None, {}, [], "model.safetensors"])
def test_an_index_without_a_map_is_refused(weight_map: Any, tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "tiny", random_model(HALF), 2)
    write_index(folder, weight_map)
    assert "weight_map is" in refusal(folder)


def test_a_tensor_that_stands_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "tiny", random_model(HALF), 2)
    first, second = sorted(folder.glob("model-*"))
    second.write_bytes(first.read_bytes())
    assert "model-00002-of-00002.safetensors, expected in model-00001-of-00002.safetensors" in refusal(folder)


# torch.save


@settings(deadline=None, max_examples=10)
@given(configs(), st.sampled_from([np.float32, np.float16]))
def test_a_torch_archive_reads_back_equal(config: ModelConfig, dtype: type) -> None:
    model = random_model(half_paired(config))
    with tempfile.TemporaryDirectory() as name:
        folder = write_huggingface(Path(name) / "tiny", model, dtype)
        expected = read_model(folder)
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(archive(torch_entries(huggingface_tensors(model, dtype))))
        assert_same_model(read_model(folder), expected)


def test_torch_shards_read_back_as_one_model(tmp_path: Path) -> None:
    model = random_model(HALF)
    tensors = huggingface_tensors(model)
    folder = write_huggingface(tmp_path / "tiny", model)
    (folder / "model.safetensors").unlink()
    weight_map = {name: f"pytorch_model-{number % 2}.bin" for number, name in enumerate(tensors)}
    for shard in set(weight_map.values()):
        part = {name: tensor for name, tensor in tensors.items() if weight_map[name] == shard}
        (folder / shard).write_bytes(archive(torch_entries(part)))
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_same_model(read_model(folder), model)


ENTRIES = torch_entries(huggingface_tensors(random_model(HALF)))
FIRST = "model.embed_tokens.weight"


TRACE = Path("unpickled")
"""In the working folder, which each test that could leave it makes its own; a fixed name keeps the ids of the tests."""


class Malice:
    """Leaves a folder behind when it is unpickled in earnest."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(TRACE),))


def opcodes(program: bytes) -> bytes:
    return b"\x80\x02" + program + b"."


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (pickle.dumps(Malice(), 2), "mkdir', which no plain tensor needs"),
        (pickle.dumps(Malice(), 4), "protocol 4, expected 2"),
        (opcodes(b"cos\nsystem\n" + text("true") + b"\x85R"), "asks for 'os system', which no plain tensor needs"),
        (opcodes(b"cbuiltins\neval\n"), "asks for 'builtins eval'"),
        (opcodes(b"ctorch\nload\n"), "asks for 'torch load'"),
        (opcodes(b"ctorch._utils\n_rebuild_tensor_v2\n)R"), "a tensor is not described as torch.save does"),
        (opcodes(b"ctorch\nFloatStorage\n)R"), "a tensor is not described as torch.save does"),
        (opcodes(b"ccollections\nOrderedDict\n)\x81"), "operation NEWOBJ"),
        (opcodes(b"(ios\nsystem\n"), "operation INST"),
        (opcodes(b"\x82\x01"), "operation EXT1"),
        (opcodes(EMPTY_ORDERED_DICT + b"Q"), "a storage is not described"),
        (opcodes(text("key") + b"Q"), "a storage is not described"),
        (
            opcodes(b"(" + text("storage") + text("x") + text("0") + text("cpu") + b"K\x01tQ"),
            "a storage is not described",
        ),
        (opcodes(numbers(1, 2)), "it holds a tuple, expected a mapping"),
        (opcodes(b"}K\x01K\x02s"), "a key of type int"),
        (opcodes(b"})K\x02s"), "a key of type tuple"),
        (opcodes(b"}" + text("a") + b"K\x02s"), "its entry 'a' is a int, expected nothing but tensors"),
        (opcodes(b"}(" + text("a") + b"u"), "it sets items of no mapping"),
        (opcodes(b"]K\x01K\x02s"), "it sets items of no mapping"),
        (opcodes(b"}K\x01a"), "it appends to no list"),
        (opcodes(b"h\x07"), "it recalls what it never stored"),
        (opcodes(b")}b"), "sets attributes of something else"),
        (opcodes(b"R"), "its pickle is damaged"),
        (opcodes(b"t"), "its pickle is damaged"),
        (opcodes(b"q\x00"), "its pickle is damaged"),
        (opcodes(b""), "its pickle is damaged"),
        (b"\x80\x02}", "its pickle is damaged"),
        (b"", "its pickle is damaged"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "its pickle is damaged"),
        (b"\x80\x02\x8a\xffabc.", "its pickle is damaged"),
        (b"\x80\x02\x8b\xff\xff\xff\x7fabc.", "its pickle is damaged"),
        (b"\x80\x02r\xff\xff\xff\xff.", "its pickle is damaged"),
        (bytes((2 << 20) + 1), "2,097,153 bytes, expected at most 2,097,152"),
    ],
)
def test_a_pickle_that_is_more_than_tensors_is_refused_and_never_run(
    program: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(write_torch(tmp_path / "tiny", ENTRIES | {"data.pkl": program}))
    assert words in message
    assert not TRACE.exists()


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (pickled_tensor("0", 80, (10, 8), (8, 1), offset=1), "reaches beyond its storage of 80 values"),
        (pickled_tensor("0", 80, (10, 8), (9, 1)), "reaches beyond its storage"),
        (pickled_tensor("0", 80, (100, 80), (0, 0)), "reaches beyond its storage"),
        (pickled_tensor("0", 81, (10, 8), (8, 1)), "has no storage of 81 values"),
        (pickled_tensor("x", 80, (10, 8), (8, 1)), "has no storage of 80 values"),
        (pickled_tensor("../data.pkl", 80, (10, 8), (8, 1)), "has no storage of 80 values"),
        (pickled_tensor("0", 80, (10, 8), (8,)), "a tensor is not described"),
        (pickled_tensor("0", 80, (10, -8), (8, 1)), "a tensor is not described"),
        (pickled_tensor("0", 80, (10, 8), (8, -1)), "a tensor is not described"),
        (pickled_tensor("0", 80, (10, 8), (8, 1), offset=-1), "a tensor is not described"),
        (pickled_tensor("0", -1, (10, 8), (8, 1)), "a storage is not described"),
        (pickled_tensor("0", 80, (10, 8) + (1,) * 7, (8,) + (1,) * 8), "a tensor is not described"),
        (pickled_tensor("0", 40, (10, 4), (4, 1), kind="Long"), "model.embed_tokens.weight has dtype I64"),
        (pickled_tensor("0", 80, (8, 10), (10, 1)), "model.embed_tokens.weight has shape (8, 10)"),
        (pickled_tensor("0", 80, (80,), (1,), kind="Quantized"), "asks for 'torch QuantizedStorage'"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tensor: bytes, words: str, tmp_path: Path) -> None:
    entries = ENTRIES | {"data.pkl": pickled_mapping({FIRST: tensor})}
    assert words in refusal(write_torch(tmp_path / "tiny", entries))


def test_tensors_that_share_a_storage_beyond_reason_are_refused(tmp_path: Path) -> None:
    """A small file cannot ask for much memory."""
    storage = pickled_tensor("0", 100_000, (100_000,), (1,))
    entries = {
        "data.pkl": pickled_mapping({f"t{number}": storage for number in range(1000)}),
        "data/0": bytes(400_000),
    }
    assert "its tensors take 400,000,000 bytes" in refusal(write_torch(tmp_path / "tiny", entries))


def corrupted(offset: int, raw: bytes) -> bytes:
    data = bytearray(archive(ENTRIES))
    start = offset if offset >= 0 else len(data) + offset
    data[start : start + len(raw)] = raw
    return bytes(data)


FIRST_ENTRY = -22 - 46 - len("archive/version")
"""Where the last entry of the directory begins, before the record that ends the file."""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not a zip archive of torch.save"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "is not a zip archive of torch.save"),
        (archive(ENTRIES)[:-30], "is not a zip archive of torch.save"),
        (archive({}), "it has 0 entries data.pkl, expected one"),
        (archive({"deep/data.pkl": b""}), "it has 0 entries data.pkl"),
        (archive(ENTRIES, zipfile.ZIP_DEFLATED), "is compressed or encrypted"),
        (archive(ENTRIES | {"byteorder": b"big"}), "its byte order is b'big', expected little"),
        (corrupted(FIRST_ENTRY + 8, b"\x01"), "is compressed or encrypted"),
        (corrupted(FIRST_ENTRY + 20, struct.pack("<II", 1 << 30, 1 << 30)), "reaches beyond the end of the file"),
        (corrupted(FIRST_ENTRY + 42, struct.pack("<I", 7)), "is not where the directory says"),
        (corrupted(FIRST_ENTRY + 42, struct.pack("<I", 1 << 30)), "is not where the directory says"),
        (corrupted(-6, struct.pack("<I", 1 << 31)), "is not where the directory says"),
    ],
)
def test_an_archive_that_is_damaged_or_of_another_kind_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    assert words in refusal(write_torch(tmp_path / "tiny", data))


def test_an_entry_that_stands_in_an_archive_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice", "w") as written:
        for _ in range(2):
            written.writestr("archive/data.pkl", ENTRIES["data.pkl"])
    assert "stands there twice" in refusal(write_torch(tmp_path / "tiny", (tmp_path / "twice").read_bytes()))


def test_a_directory_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    """The record at the end of a zip file may claim a directory of any size; here the file is large enough for it."""
    folder = write_torch(tmp_path / "tiny", b"")
    claimed = 1 << 30
    with (folder / "pytorch_model.bin").open("wb") as file:
        file.truncate(claimed)
        file.seek(0, 2)
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, claimed, 0, 0))
    tracemalloc.start()
    try:
        assert "its directory is larger than 4,194,304 bytes" in refusal(folder)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
