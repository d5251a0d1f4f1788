"""The tokenizer inside a GGUF file is the one that it was converted from, and bad ones are refused in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import STORY_MODEL
from tests.unit.gguf_files import sentencepiece_metadata, write_gguf
from tests.unit.tokenizer_files import REPLICAS, train_sentencepiece, write_tokenizer
from tinyllm.codegen.tokenizers import PieceKind, Tokenizer, find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece, encode
from tinyllm.codegen.tokenizers.tokenizer import Algorithm
from tinyllm.errors import UserError

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TOKENS = ["<unk>", "<s>", "</s>", *BYTES, "▁", "a", "▁a"]
VOCABULARY: dict[str, Any] = {
    "model": "llama",
    "tokens": TOKENS,
    "scores": [0.0] * 259 + [-2.0, -3.0, -1.0],
    "token_type": [2, 3, 3] + [6] * 256 + [1] * 3,
}


def read_vocabulary(folder: Path, **changes: Any) -> Tokenizer:
    return read_tokenizer(write_vocabulary(folder, **changes))


def write_vocabulary(folder: Path, **changes: Any) -> Path:
    metadata = {f"tokenizer.ggml.{key}": value for key, value in (VOCABULARY | changes).items()}
    return write_gguf(folder / "vocabulary.gguf", "llama", metadata, {})


def extended(text: str, kind: int, score: float = -9.0) -> dict[str, Any]:
    """The vocabulary with one more token."""
    return {
        "tokens": [*TOKENS, text],
        "scores": [*VOCABULARY["scores"], score],
        "token_type": [*VOCABULARY["token_type"], kind],
    }


def test_the_bundled_tokenizer_is_the_same_as_from_its_sentencepiece_model(tmp_path: Path) -> None:
    path = STORY_MODEL / "tokenizer.model"
    written = write_gguf(tmp_path / "tok512.gguf", "llama", sentencepiece_metadata(path), {})
    found = read_tokenizer(find_tokenizer(written, 512))
    assert found.source == "gguf"
    assert replace(found, source="sentencepiece") == read_tokenizer(path)


def test_the_flags_of_a_tokenizer_are_followed(tmp_path: Path) -> None:
    plain = read_vocabulary(tmp_path)
    assert (plain.bos, plain.eos, plain.stop_ids, plain.unknown) == (1, 2, (1, 2), 0)
    assert (plain.add_dummy_prefix, plain.remove_extra_whitespaces) == (True, True)
    assert encode(plain, "a  a") == [261, 261]
    raw = read_vocabulary(tmp_path, add_space_prefix=False, remove_extra_whitespaces=False)
    assert encode(raw, "a  a") == [260, 259, 261]
    other = read_vocabulary(tmp_path, bos_token_id=2, eos_token_id=1, eot_token_id=260, eom_token_id=1)
    assert (other.bos, other.eos, other.stop_ids) == (2, 1, (2, 1, 260))


def test_a_symbol_with_a_plain_space_matches_nothing_and_decodes_to_itself(tmp_path: Path) -> None:
    """As SentencePiece has it of <IS MAN> among its user_defined_symbols, which converters write as plain pieces."""
    tokenizer = read_vocabulary(tmp_path, **extended("a b", 1))
    assert 262 not in encode(tokenizer, "a b")
    assert decode_piece(tokenizer, 262) == b"a b"


def test_spaces_in_a_user_defined_piece_are_those_of_the_text(tmp_path: Path) -> None:
    """Converters write its marks as plain spaces."""
    assert 262 in encode(read_vocabulary(tmp_path, **extended("a b", 4)), "a b")


def test_a_vocabulary_with_a_run_of_spaces_is_one_that_keeps_them(tmp_path: Path) -> None:
    assert read_vocabulary(tmp_path, **extended("▁▁", 1)).remove_extra_whitespaces is False


def test_user_defined_tokens_are_taken_whole_and_fillers_never(tmp_path: Path) -> None:
    marked = read_vocabulary(tmp_path, **extended("aa", 4))
    assert encode(marked, "aa") == [259, 262]
    for kind in (2, 5):
        filled = read_vocabulary(tmp_path, **extended("[PAD262]", kind))
        assert filled.kinds[262] is PieceKind.CONTROL
        assert 262 not in encode(filled, "[PAD262]")


def test_a_vocabulary_with_byte_pieces_needs_no_unknown_one(tmp_path: Path) -> None:
    without = read_vocabulary(tmp_path, token_type=[3, *VOCABULARY["token_type"][1:]])
    assert without.unknown is None
    assert encode(without, "é") == [259, 3 + 0xC3, 3 + 0xA9]


def test_a_section_after_a_control_token_has_a_dummy_prefix_of_its_own(tmp_path: Path) -> None:
    plain = read_vocabulary(tmp_path)
    assert encode(plain, "a</s>a", special=True) == [261, 2, 261]
    assert encode(plain, "a</s>\na", special=True) == [261, 2, 259, 13, 260]


def test_the_tokens_of_phi3_take_away_the_white_space_that_follows(tmp_path: Path) -> None:
    metadata = {f"tokenizer.ggml.{key}": value for key, value in (VOCABULARY | extended("<|user|>", 3)).items()}
    phi3, llama = (
        read_tokenizer(write_gguf(tmp_path / f"{name}.gguf", name, metadata, {})) for name in ("phi3", "llama")
    )
    chat = "<s><|user|>\n a</s>\na"
    assert encode(phi3, chat, special=True) == [1, 262, 261, 2, 261]
    assert encode(llama, chat, special=True) == [1, 262, 259, 13, 261, 2, 259, 13, 260]


def test_a_tokenizer_that_asks_for_no_bos_gets_none(tmp_path: Path) -> None:
    assert read_vocabulary(tmp_path).add_bos
    without = read_vocabulary(tmp_path, add_bos_token=False)
    assert (without.add_bos, without.bos) == (False, 1)


# Byte-level BPE: what converters write of a tokenizer.json

PRE = {
    "GPT-2": "gpt-2",
    "GPT-2 with pieces among the added tokens": "gpt-2",
    "Llama 3": "llama-bpe",
    "Qwen2": "qwen2",
    "SmolLM": "smollm",
    "GPT-4o": "gpt-4o",
}


def byte_level_metadata(name: str) -> dict[str, Any]:
    """The tokenizer of that shape as llama.cpp's converter writes it."""
    document = json.loads(REPLICAS[name]().to_str())
    added = {token["id"]: token for token in document["added_tokens"]}
    texts = {token: text for text, token in document["model"]["vocab"].items()}
    texts |= {token: entry["content"] for token, entry in added.items()}
    return {
        "model": "gpt2",
        "pre": PRE[name],
        "tokens": [texts[token] for token in range(len(texts))],
        "token_type": [(3 if added[token]["special"] else 4) if token in added else 1 for token in range(len(texts))],
        "merges": [" ".join(merge) for merge in document["model"]["merges"]],
        "eos_token_id": max(token for token in added if added[token]["special"]),
    }


@pytest.mark.parametrize("name", PRE)
def test_byte_level_bpe_is_the_same_tokenizer_as_from_its_tokenizer_json(name: str, tmp_path: Path) -> None:
    written = byte_level_metadata(name)
    config = {"eos_token": written["tokens"][written["eos_token_id"]]}
    original = read_tokenizer(write_tokenizer(tmp_path, REPLICAS[name](), tokenizer_config=config))
    if original.bos is not None:
        written["bos_token_id"] = original.bos
    metadata = {f"tokenizer.ggml.{key}": value for key, value in written.items()}
    found = read_tokenizer(write_gguf(tmp_path / "model.gguf", "llama", metadata, {}))
    assert found == replace(original, source="gguf")


def test_unigram_is_the_same_tokenizer_as_from_its_sentencepiece_model(tmp_path: Path) -> None:
    path = tmp_path / "spiece.model"
    path.write_bytes(train_sentencepiece(model_type="unigram", vocab_size=120, bos_id=-1, pad_id=0, eos_id=1, unk_id=2))
    original = read_tokenizer(path)
    metadata = sentencepiece_metadata(path) | {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.bos_token_id": None,
        "tokenizer.ggml.precompiled_charsmap": np.frombuffer(original.character_map, np.uint8).tolist(),
        "tokenizer.ggml.remove_extra_whitespaces": True,
    }
    assert original.algorithm is Algorithm.UNIGRAM
    with pytest.raises(UserError, match=r"precompiled_charsmap is .* expected an array of bytes"):
        read_tokenizer(write_gguf(tmp_path / "wide.gguf", "llama", metadata, {}))
    metadata["tokenizer.ggml.precompiled_charsmap"] = original.character_map
    assert read_tokenizer(write_gguf(tmp_path / "t5.gguf", "llama", metadata, {})) == replace(original, source="gguf")


BYTE_LEVEL = byte_level_metadata("GPT-2")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pre": None}, "tokenizer.ggml.pre is missing, expected one of gpt-2"),
        ({"pre": "default"}, "tokenizer.ggml.pre is 'default'"),
        ({"merges": None}, "tokenizer.ggml.merges is not an array"),
        ({"merges": [1]}, "tokenizer.ggml.merges is not an array"),
        ({"merges": ["a b c"]}, "tokenizer.ggml.merges[0] is b'a b c'"),
        ({"merges": ["h e", "h q"]}, "tokenizer.ggml.merges[1] is b'h q'"),
        ({"merges": ["h e", "h e"]}, "tokenizer.ggml.merges[1] is b'h e', expected a pair that is not there before"),
        ({"merges": ["< |endoftext|>"]}, "tokenizer.ggml.merges[0]"),
        ({"token_type": [6, *BYTE_LEVEL["token_type"][1:]]}, "token 0 (b'!') has tokenizer.ggml.token_type 6"),
        ({"token_type": [3] * len(BYTE_LEVEL["token_type"])}, "no piece stands for the single byte 0x00"),
        (
            {"token_type": [3, *BYTE_LEVEL["token_type"][1:]]},
            "token 0 (b'!') is special and stands for the byte 0x21 of any text",
        ),
        ({"tokens": ["猫", *BYTE_LEVEL["tokens"][1:]]}, "holds letters that stand for no byte"),
    ],
)
def test_byte_level_bpe_that_is_not_sound_or_not_known_is_refused_by_key(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    metadata = {f"tokenizer.ggml.{key}": value for key, value in (BYTE_LEVEL | changes).items()}
    path = write_gguf(tmp_path / "vocabulary.gguf", "llama", metadata, {})
    with pytest.raises(UserError) as caught:
        read_tokenizer(path)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "bert"}, "tokenizer.ggml.model is 'bert' (word pieces), only llama, t5 and gpt2"),
        ({"model": None}, "tokenizer.ggml.model is missing"),
        ({"model": 3}, "tokenizer.ggml.model is 3"),
        ({"precompiled_charsmap": [1, 2]}, "tokenizer.ggml.precompiled_charsmap"),
        ({"tokens": None}, "tokenizer.ggml.tokens is not an array"),
        ({"tokens": [1, 2]}, "tokenizer.ggml.tokens is not an array"),
        ({"scores": None}, "tokenizer.ggml.scores is no array"),
        ({"scores": [0.0]}, "tokenizer.ggml.scores is an array of 1, expected 262"),
        ({"scores": TOKENS}, "tokenizer.ggml.scores is an array of 262, expected 262 numbers"),
        ({"token_type": [1]}, "tokenizer.ggml.token_type is an array of 1"),
        ({"scores": [float("nan")] * 262}, "the score of piece 0"),
        (extended("b", 0), "token 262 (b'b') has tokenizer.ggml.token_type 0"),
        (extended("b", 5), "token 262 (b'b') has tokenizer.ggml.token_type 5"),
        (extended("a", 1), "pieces 260 and 262 are both b'a'"),
        (extended("", 1), "piece 262 is empty"),
        (extended("b", 6), "byte piece 262 is b'b'"),
        (extended("<unk2>", 2), "2 unknown pieces"),
        ({"bos_token_id": 262}, "tokenizer.ggml.bos_token_id is 262, expected 0 to 261"),
        ({"eos_token_id": "last"}, "tokenizer.ggml.eos_token_id is b'last'"),
        ({"add_space_prefix": 3}, "tokenizer.ggml.add_space_prefix is 3, expected a bool"),
    ],
)
def test_a_tokenizer_that_is_not_sound_or_of_another_kind_is_refused_by_key(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = write_vocabulary(tmp_path, **changes)
    with pytest.raises(UserError) as caught:
        read_tokenizer(path)
    message = str(caught.value)
    assert words in message
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
