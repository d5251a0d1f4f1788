"""A sentencepiece model of any kind, with any normaliser, encodes as sentencepiece has it; its folder may add to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from tests.unit.tokenizer_files import train_sentencepiece
from tinyllm.codegen.tokenizers import PieceKind, Tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode, encode_section
from tinyllm.errors import UserError

MODELS: dict[str, dict[str, Any]] = {
    "unigram": {"model_type": "unigram", "vocab_size": 150, "normalization_rule_name": "identity"},
    "unigram, nmt_nfkc": {"model_type": "unigram", "vocab_size": 150},
    "unigram, bytes": {"model_type": "unigram", "vocab_size": 400, "byte_fallback": True},
    "unigram, nfkc_cf, spaces kept": {
        "model_type": "unigram",
        "vocab_size": 150,
        "normalization_rule_name": "nfkc_cf",
        "remove_extra_whitespaces": False,
    },
    "unigram, user-defined": {
        "model_type": "unigram",
        "vocab_size": 150,
        "user_defined_symbols": ["<|user|>", "the▁p", "ab"],
    },
    "bpe, nmt_nfkc": {"model_type": "bpe", "vocab_size": 150},
    **{
        f"{model_type}, symbols with spaces{'' if folds else ', spaces kept'}, {rule}": {
            "model_type": model_type,
            "vocab_size": 180,
            "normalization_rule_name": rule,
            "remove_extra_whitespaces": folds,
            "user_defined_symbols": ["<IS MAN>", "  ", "    ", "▁▁▁", "a b", " x", "the ", "<IS  MAN>"],
        }
        for model_type in ("bpe", "unigram")
        for folds in (True, False)
        for rule in ("identity", "nmt_nfkc")
    },
    "MobileLLM": {
        "model_type": "bpe",
        "vocab_size": 420,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
    },
}
FRAGMENTS = [*" ▁\t\n.axzéß猫😀ﬁ①", "  ", "the", " the park", "<|user|>", "ab", "e\u0301", "the ", "a b"]
FRAGMENTS += ["<IS MAN>", "<IS  MAN>", "    ", "▁▁▁"]
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=12).map("".join)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Tokenizer, SentencePieceProcessor]]:
    @cache
    def pair(name: str) -> tuple[Tokenizer, SentencePieceProcessor]:
        path = tmp_path_factory.mktemp("model") / "tokenizer.model"
        path.write_bytes(train_sentencepiece(**MODELS[name]))
        return read_tokenizer(path), SentencePieceProcessor(model_file=str(path))

    return pair


@settings(deadline=None, max_examples=80)
@given(text=TEXTS)
@pytest.mark.parametrize("name", MODELS)
def test_any_text_encodes_as_sentencepiece_has_it(
    pairs: Callable[[str], tuple[Tokenizer, SentencePieceProcessor]], name: str, text: str
) -> None:
    ours, theirs = pairs(name)
    assert encode(ours, text) == theirs.encode(text)


@pytest.mark.parametrize("name", MODELS)
def test_stories_encode_as_sentencepiece_has_it(
    pairs: Callable[[str], tuple[Tokenizer, SentencePieceProcessor]], name: str, stories_text: str
) -> None:
    ours, theirs = pairs(name)
    for story in stories_text.split("<|endoftext|>")[:10]:
        assert encode(ours, story) == theirs.encode(story)


@pytest.mark.parametrize("name", [name for name in MODELS if "symbols" in name])
def test_a_symbol_with_spaces_decodes_as_sentencepiece_has_it(
    pairs: Callable[[str], tuple[Tokenizer, SentencePieceProcessor]], name: str
) -> None:
    ours, theirs = pairs(name)
    word = encode(ours, "the")
    symbols = [token for token, kind in enumerate(ours.kinds) if kind is PieceKind.UNREACHABLE]
    assert len(symbols) == 7
    for token in symbols:
        assert decode(ours, [*word, token]).decode() == theirs.decode([*word, token])


def test_special_tokens_that_the_folder_adds_follow_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_sentencepiece(**MODELS["MobileLLM"]))
    size = read_tokenizer(path).vocab_size
    added = {str(size + n): {"content": f"<|{name}|>", "special": True} for n, name in enumerate(("user", "end"))}
    config = {"eos_token": "<|end|>", "add_bos_token": False, "added_tokens_decoder": added}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, size + 1]}))
    tokenizer = read_tokenizer(path)
    assert tokenizer.pieces[size:] == (b"<|user|>", b"<|end|>")
    assert (tokenizer.bos, tokenizer.eos, tokenizer.add_bos) == (1, size + 1, False)
    assert tokenizer.stop_ids == (1, size + 1, 2)
    assert encode(tokenizer, "<|user|>", special=True) == [size]


def test_what_follows_a_special_token_is_as_the_folder_says(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_sentencepiece(**MODELS["MobileLLM"]))
    plain = read_tokenizer(path)
    assert encode(plain, "</s>the", special=True) == [2, *encode(plain, "the")]
    assert encode(plain, "</s>\nthe", special=True) == [2, *encode(plain, "\nthe")]
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "added_tokens_decoder": {"2": {"content": "</s>", "special": True, "rstrip": True}},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    modern = read_tokenizer(path)
    assert encode(modern, "</s>\n the", special=True) == [2, *encode_section(modern, b"the", first=False)]
    assert encode_section(modern, b"the", first=False) != encode(modern, "the") == encode(plain, "the")


def test_an_end_beyond_the_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_sentencepiece(**MODELS["MobileLLM"]))
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 5000}))
    with pytest.raises(UserError, match=r"config\.json: eos_token_id holds 5000, expected 0 to"):
        read_tokenizer(path)
