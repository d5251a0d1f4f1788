"""Whatever a tokenizer file holds, its reader gives a tokenizer that encodes, or a UserError, and nothing else."""

from __future__ import annotations

import json
import struct
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.test_fuzz_readers import JSON, QUICK, damaged, only_a_user_error_comes_of
from tests.unit.gguf_files import write_gguf
from tests.unit.tokenizer_files import REPLICAS, gpt2, rank_file, ranks_of, train_sentencepiece
from tests.unit.trained_tokenizers import document
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.codegen.tokenizers.formats.gguf_bpe import PRE_TOKENIZERS
from tinyllm.codegen.tokenizers.formats.tokenizer_json import read_tokenizer_json

pytestmark = pytest.mark.filterwarnings("ignore::tinyllm.errors.CheckpointWarning")
FAST = settings(QUICK, max_examples=60)
TEXT = "the dog's 1234 <s>\n  猫e\u0301 <|endoftext|>\xff"


def tok_bin_file() -> bytes:
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256)), b" ", b"a", b" a"]
    return struct.pack("<I", 6) + b"".join(struct.pack("<fi", -1.0, len(piece)) + piece for piece in pieces)


def tokenizer_of_july_2023() -> bytes:
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(chr(byte).encode() for byte in range(256)), b" ", b"a", b" a"]
    return b"".join(struct.pack("<i", len(piece)) + piece for piece in pieces)


def gguf_file(**metadata: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        named = {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}
        return write_gguf(Path(folder) / "tiny.gguf", "llama", named, {}).read_bytes()


DOCUMENTS: dict[str, dict[str, Any]] = {
    name: json.loads(REPLICAS[name]().to_str())
    for name in ("Llama 2", "Qwen2", "SmolLM", "T5", "Phi-3", "GPT-2 with pieces among the added tokens")
} | {
    name: document(name)
    for name in (
        "bpe, own regex 1",
        "bpe, Replace by a regex",
        "bpe, an end of word, unknown",
        "bpe, Metaspace then Punctuation",
        "words, CharDelimiterSplit",
        "word pieces, BERT uncased",
    )
}
LETTERS = sorted(json.loads(gpt2().to_str())["model"]["vocab"].items(), key=lambda entry: entry[1])
BINARY = {
    "tok.bin": tok_bin_file(),
    "tokenizer.bin": tokenizer_of_july_2023(),
    "bpe.model": train_sentencepiece(model_type="bpe", vocab_size=120),
    "unigram.model": train_sentencepiece(model_type="unigram", vocab_size=120, normalization_rule_name="identity"),
    "mapped.model": train_sentencepiece(model_type="unigram", vocab_size=120),
    "cl100k_base.tiktoken": rank_file(ranks_of(gpt2())),
    "tokenizer.json": json.dumps(DOCUMENTS["Llama 2"]).encode(),
    "model.gguf": gguf_file(
        model="gpt2",
        pre="gpt-2",
        merges=["h e", "Ġ t"],
        tokens=[letter for letter, _ in LETTERS],
        token_type=[1] * len(LETTERS),
        eos_token_id=3,
    ),
}


def read_and_encode(path: Path) -> None:
    encode(read_tokenizer(path), TEXT, bos=True, special=True)


@pytest.mark.parametrize("name", BINARY)
def test_the_undamaged_files_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BINARY[name])
    read_and_encode(path)


@pytest.mark.parametrize("name", BINARY)
@FAST
@given(data=st.data())
def test_any_damaged_file_is_a_tokenizer_or_a_user_error(name: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / name
    path.write_bytes(data.draw(damaged([BINARY[name]])))
    only_a_user_error_comes_of(read_and_encode, path, path)


@st.composite
def changed(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """The document with some of its values replaced, removed or put elsewhere, at any depth."""
    document = deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        inner: Any = document
        for _ in range(draw(st.integers(0, 5))):
            keys = [key for key, value in children(inner) if isinstance(value, (dict, list)) and value]
            if not keys:
                break
            inner = inner[draw(st.sampled_from(keys))]
        key = draw(st.sampled_from([key for key, _ in children(inner)]))
        others = [value for _, value in children(inner)]
        match draw(st.sampled_from(["replace", "remove", "repeat"])):
            case "replace":
                inner[key] = draw(st.one_of(JSON, st.sampled_from([-1, 10**400, 1e400, "\ud83d", "▁", "a b"])))
            case "remove":
                del inner[key]
            case "repeat":
                inner[key] = draw(st.sampled_from(others))
        if not document:
            break
    return document


def children(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))[:400]


@pytest.mark.parametrize("name", DOCUMENTS)
@FAST
@given(data=st.data())
def test_any_change_of_a_tokenizer_json_is_a_tokenizer_or_a_user_error(
    name: str, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data.draw(changed(DOCUMENTS[name]))))
    only_a_user_error_comes_of(lambda path: encode(read_tokenizer_json(path), TEXT, special=True), path, path)


SETTINGS = st.dictionaries(
    st.sampled_from(
        ["bos_token", "eos_token", "add_bos_token", "added_tokens_decoder", "eos_token_id", "bos_token_id"]
    ),
    st.one_of(
        JSON,
        st.sampled_from(["<s>", "</s>", "\ud83d", 7, [2, 3]]),
        st.dictionaries(
            st.sampled_from(["0", "1", "700", "١", "-1", "x"]),
            st.one_of(
                JSON, st.fixed_dictionaries({"content": st.sampled_from(["<s>", "a", "é"]), "special": st.booleans()})
            ),
            max_size=2,
        ),
    ),
    max_size=3,
)


@pytest.mark.parametrize("name", ["tokenizer.json", "bpe.model", "cl100k_base.tiktoken"])
@FAST
@given(SETTINGS, st.sampled_from(["tokenizer_config.json", "generation_config.json", "config.json"]))
def test_any_settings_beside_a_tokenizer_are_followed_or_a_user_error(
    name: str, tmp_path: Path, content: dict[str, Any], beside: str
) -> None:
    for old in tmp_path.glob("*_config.json"):
        old.unlink()
    (tmp_path / "config.json").unlink(missing_ok=True)
    (tmp_path / name).write_bytes(BINARY[name])
    (tmp_path / beside).write_text(json.dumps(content))
    only_a_user_error_comes_of(read_and_encode, tmp_path / name, tmp_path)


@FAST
@given(
    st.sampled_from([*PRE_TOKENIZERS, "default"]),
    st.lists(st.one_of(st.text(max_size=4), st.sampled_from(["h e", "Ġ t", "Ġt h", " "])), max_size=4),
    st.lists(st.integers(0, 7), min_size=1, max_size=400),
    st.integers(0, 500),
)
def test_any_byte_level_metadata_is_a_tokenizer_or_a_user_error(
    tmp_path: Path, pre: str, merges: list[str], types: list[int], eos: int
) -> None:
    path = tmp_path / "model.gguf"
    kinds = (types + [1] * len(LETTERS))[: len(LETTERS)]
    tokens = [letter for letter, _ in LETTERS]
    merges = [merge.encode("utf-8", "replace").decode() for merge in merges]
    metadata = {"model": "gpt2", "pre": pre, "merges": merges or ["h e"], "tokens": tokens, "token_type": kinds}
    path.write_bytes(gguf_file(**metadata, eos_token_id=eos))
    only_a_user_error_comes_of(read_and_encode, path, path)
