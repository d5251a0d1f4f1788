"""A tokenizer.json as people train it gives the ids, and decodes to the text, that Hugging Face tokenizers gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Theirs

from tests.unit.tokenizer_forms import FRAGMENTS, TEXTS
from tests.unit.trained_tokenizers import CORPUS, HAND_PICKED, TRAINED, document
from tinyllm.codegen.tokenizers import PieceKind, Tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode

Pair = tuple[Tokenizer, Theirs]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    @cache
    def pair(name: str) -> Pair:
        path = tmp_path_factory.mktemp("trained") / "tokenizer.json"
        path.write_text(json.dumps(document(name)))
        theirs = Theirs.from_file(str(path))
        theirs.encode_special_tokens = True
        return read_tokenizer(path), theirs

    return pair


def names_a_special(ours: Tokenizer, text: str) -> bool:
    """Whether it holds the name of a special token, which tokenizers' models may find in a person's text."""
    names = (piece for piece, kind in zip(ours.pieces, ours.kinds, strict=True) if kind is PieceKind.CONTROL)
    return any(name in text.encode() for name in names)


def typed_mark(ours: Tokenizer, text: str) -> bool:
    """Whether it holds a U+2581, which is a space to words that get one in front."""
    return "▁" in text and ours.word_prefix and not ours.plain_spaces


def agree(pair: Pair, text: str) -> None:
    ours, theirs = pair
    if not names_a_special(ours, text) and not typed_mark(ours, text):
        assert encode(ours, text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("name", TRAINED)
def test_picked_texts_encode_as_tokenizers_has_it(pairs: Callable[[str], Pair], name: str) -> None:
    for text in HAND_PICKED + CORPUS[:5] + FRAGMENTS:
        agree(pairs(name), text)


@settings(deadline=None, max_examples=40)
@given(text=st.one_of(TEXTS, st.text(max_size=20)))
@pytest.mark.parametrize("name", TRAINED)
def test_any_text_encodes_as_tokenizers_has_it(pairs: Callable[[str], Pair], name: str, text: str) -> None:
    agree(pairs(name), text)


@pytest.mark.parametrize("name", TRAINED)
def test_ids_decode_as_tokenizers_has_it(pairs: Callable[[str], Pair], name: str) -> None:
    ours, theirs = pairs(name)
    for text in CORPUS[:5]:
        ids = [token for token in encode(ours, text) if token != ours.unknown]
        assert decode(ours, ids).decode("utf-8", "replace") == theirs.decode(ids, skip_special_tokens=False)
