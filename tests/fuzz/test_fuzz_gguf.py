"""Whatever a GGUF file holds, a reader gives a model or a tokenizer, or a UserError; nothing else ever comes out."""

from __future__ import annotations

import struct
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.test_fuzz_readers import damaged, only_a_user_error_comes_of
from tests.unit.checkpoint_files import random_model
from tests.unit.gguf_files import entry, header, metadata_of, string, table_entry, tensors_of, write_gguf
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.codegen.checkpoints.gguf.file import HEADER_LIMIT, NUMBERS
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.errors import CheckpointWarning, UserError

QUICK = settings(deadline=20_000, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def reports_are_expected() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        yield


# --- A corpus of hostile containers -----------------------------------------------------------------------------------

ARCHITECTURE = entry(b"general.architecture", 8, string(b"llama"))
MANY = 2**63 - 1


def array(kind: int, count: int, values: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + values


HOSTILE = {
    "nothing": (b"", "truncated"),
    "half a header": (header()[:20], "truncated"),
    "foreign": (b"PK\3\4".ljust(64, b"\0"), "starts with b'PK\\x03\\x04', expected b'GGUF'"),
    "version 1": (header(ARCHITECTURE, version=1), "version 1, expected 2 or 3"),
    "big-endian": (header(ARCHITECTURE, version=3 << 24), "is big-endian"),
    "countless entries": (header(ARCHITECTURE, count=MANY), "number of metadata entries is 9,223"),
    "countless tensors": (header(ARCHITECTURE, tensors=MANY), "number of tensors is 9,223"),
    "entries that are not there": (header(ARCHITECTURE, count=2), "key 1 of the metadata"),
    "tensors that are not there": (header(ARCHITECTURE, tensors=2), "the name of tensor 0"),
    "a key longer than the file": (header(struct.pack("<Q", MANY)), "key 0 of the metadata needs 9,223"),
    "a key too long": (header(entry(b"k" * 70000, 4, bytes(4))), "has 70,000 bytes, expected at most 65,535"),
    "a key that is no text": (header(entry(b"\xff\n", 4, bytes(4))), "key 0 of the metadata is b'\\xff\\n'"),
    "a key of two lines": (header(entry(b"a\nb", 4, bytes(4))), "expected printable text"),
    "a key twice": (header(ARCHITECTURE, ARCHITECTURE), "general.architecture' is there twice"),
    "an unknown type": (header(entry(b"k", 13, bytes(8))), "k has type 13"),
    "a string longer than the file": (header(entry(b"k", 8, struct.pack("<Q", MANY))), "k needs 9,223"),
    "an array longer than the file": (header(entry(b"k", 9, array(4, MANY))), "k needs 36,893"),
    "strings beyond the file": (header(entry(b"k", 9, array(8, MANY))), "k has 9,223,372,036,854,775,807 strings"),
    "a string of an array cut off": (
        header(entry(b"k", 9, array(8, 1, struct.pack("<Q", 5)))),
        "string 0 of k needs 5 bytes",
    ),
    "strings that the last leaves no room for": (
        header(entry(b"k", 9, array(8, 2, struct.pack("<QQ", 8, 0)))),
        "string 1 of k is cut off",
    ),
    "an array of arrays": (header(entry(b"k", 9, array(9, 1, array(9, 1) * 99))), "k is an array of arrays"),
    "an array of an unknown type": (header(entry(b"k", 9, array(77, 0))), "k has type 77"),
    "a name too long": (
        header(ARCHITECTURE, tensors=1) + table_entry(b"n" * 65, (4,)),
        "65 bytes, expected at most 64",
    ),
    "a name that is no text": (header(ARCHITECTURE, tensors=1) + table_entry(b"\x1b[2J", (4,)), "the name of tensor 0"),
    "no dimensions": (header(ARCHITECTURE, tensors=1) + table_entry(b"t", ()), "t has 0 dimensions"),
    "many dimensions": (header(ARCHITECTURE, tensors=1) + table_entry(b"t", (1,) * 5), "t has 5 dimensions"),
    "an empty dimension": (header(ARCHITECTURE, tensors=1) + table_entry(b"t", (4, 0)), "t has shape (0, 4)"),
    "dimensions that wrap around": (
        header(ARCHITECTURE, tensors=1) + table_entry(b"t", (2**32, 2**32, 2**32)),
        "tensor t ends at byte 316,912,650",
    ),
    "an unknown tensor type": (header(ARCHITECTURE, tensors=1) + table_entry(b"t", (4,), 999), "stored as type 999"),
    "half a block": (
        header(ARCHITECTURE, tensors=1) + table_entry(b"t", (40,), 8),
        "rows of 40, expected a multiple of Q8",
    ),
    "an offset beyond the file": (
        header(ARCHITECTURE, tensors=1) + table_entry(b"t", (4,), 0, 2**63),
        "tensor t ends at byte 9,223",
    ),
    "an offset between": (
        header(ARCHITECTURE, tensors=1) + table_entry(b"t", (4,), 0, 8) + bytes(99),
        "t has offset 8, expected a multiple of 32",
    ),
    "a tensor twice": (
        header(ARCHITECTURE, tensors=2) + 2 * table_entry(b"t", (4,)) + bytes(99),
        "tensor t is there twice",
    ),
    "tensors on one another": (
        header(ARCHITECTURE, tensors=2) + table_entry(b"t", (16,)) + table_entry(b"u", (4,), 0, 32) + bytes(999),
        "tensors t and u overlap",
    ),
}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_model(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(("data", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_container_that_is_not_sound_is_refused_at_once_and_in_little_memory(
    data: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert words in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_metadata_without_end_are_refused_though_the_file_has_them(tmp_path: Path) -> None:
    path = tmp_path / "hostile.gguf"
    with path.open("wb") as file:
        file.write(header(ARCHITECTURE, entry(b"k", 8, struct.pack("<Q", HEADER_LIMIT))))
        file.truncate(2 * HEADER_LIMIT)
    assert f"lies beyond the first {HEADER_LIMIT:,} bytes" in refusal(path)


# --- Files that were sound --------------------------------------------------------------------------------------------

PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "▁a"]
METADATA = metadata_of(random_model()) | {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": PIECES,
    "tokenizer.ggml.scores": [-float(score) for score in range(len(PIECES))],
    "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 3,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.add_space_prefix": True,
}


def sound_file(metadata: dict[str, Any], tensors: dict[str, Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_gguf(Path(folder) / "tiny.gguf", "llama", metadata, tensors).read_bytes()


NAMED_FIRST = sound_file(METADATA, tensors_of(random_model()))
BARE = sound_file(metadata_of(random_model()), tensors_of(random_model()))
READERS: tuple[Callable[[Path], object], ...] = (read_model, inspect_checkpoint, read_tokenizer)


def test_the_undamaged_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(NAMED_FIRST)
    for reader in READERS:
        reader(path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    for size in range(0, len(BARE) - 32, 97):
        path.write_bytes(BARE[:size])
        refusal(path)


@QUICK
@given(st.one_of(damaged([NAMED_FIRST, BARE]), st.binary(max_size=100).map(lambda data: header() + data)))
def test_any_damaged_file_is_what_it_was_or_a_user_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(data)
    for reader in READERS:
        only_a_user_error_comes_of(reader, path, path)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """A type and a value of it, both as the file has them."""
    kind = draw(st.sampled_from(sorted(NUMBERS)))
    size = np.dtype(NUMBERS[kind]).itemsize
    scalar = st.binary(min_size=size, max_size=size).map(lambda raw: struct.pack("<I", kind) + raw)
    text = st.one_of(st.sampled_from([b"none", b"linear", b"longrope", b"gpt2"]), st.binary(max_size=5))
    texts = st.lists(text, max_size=4)
    numbers = st.integers(0, 4).flatmap(
        lambda n: st.binary(min_size=n * size, max_size=n * size).map(lambda raw: struct.pack("<IIQ", 9, kind, n) + raw)
    )
    small = st.integers(0, 70).map(lambda number: struct.pack("<II", 4, number))
    return draw(
        st.one_of(
            small,
            scalar,
            numbers,
            text.map(lambda raw: struct.pack("<I", 8) + string(raw)),
            texts.map(lambda raws: struct.pack("<IIQ", 9, 8, len(raws)) + b"".join(map(string, raws))),
        )
    )


KEYS = st.sampled_from(
    [
        *METADATA,
        "general.alignment",
        "general.type",
        "llama.attention.sliding_window",
        "llama.expert_count",
        "llama.rope.scaling.type",
        "llama.rope.scaling.factor",
        "llama.rope.scaling.attn_factor",
        "tokenizer.chat_template",
        "tokenizer.ggml.precompiled_charsmap",
    ]
)


def with_entries(replaced: dict[str, bytes]) -> bytes:
    """The sound file with other values (type and bytes) of some keys, its tensors as they were."""
    left = {key: value for key, value in METADATA.items() if key not in replaced}
    data = sound_file(left, tensors_of(random_model()))
    magic, version, tensors, entries = struct.unpack_from("<4sIQQ", data)
    added = b"".join(string(key.encode()) + value for key, value in replaced.items())
    # What is put in front moves the data by a multiple of their alignment only if it is one itself.
    filler = entry(b"filler", 8, string(bytes(-(len(added) + len(entry(b"filler", 8, string(b"")))) % 32)))
    start = struct.pack("<4sIQQ", magic, version, tensors, entries + len(replaced) + 1)
    return start + added + filler + data[24:]


def test_a_file_with_other_entries_is_read_like_one_without(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(with_entries({"llama.context_length": struct.pack("<II", 4, 99)}))
    assert read_model(path).config.context == 99


@QUICK
@given(st.dictionaries(KEYS, values(), min_size=1, max_size=3))
def test_any_metadata_make_a_model_or_a_user_error(tmp_path: Path, replaced: dict[str, bytes]) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(with_entries(replaced))
    for reader in READERS:
        only_a_user_error_comes_of(reader, path, path)


@QUICK
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"token_embd.weight", b"output_norm.weight", b"blk.0.attn_q.weight", b"x"]),
            st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)), max_size=5),
            st.one_of(st.sampled_from([kind.value for kind in GGMLQuantizationType]), st.integers(0, 2**32 - 1)),
            st.one_of(st.integers(0, 9).map(lambda n: 32 * n), st.integers(0, 2**64 - 1)),
        ),
        max_size=4,
    ),
    st.integers(0, 600),
)
def test_any_table_of_tensors_makes_a_model_or_a_user_error(
    tmp_path: Path, table: list[tuple[bytes, list[int], int, int]], size: int
) -> None:
    entries = b"".join(table_entry(name, tuple(shape), kind, offset) for name, shape, kind, offset in table)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(header(ARCHITECTURE, tensors=len(table)) + entries + bytes(size))
    only_a_user_error_comes_of(read_model, path, path)
