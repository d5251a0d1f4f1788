"""A tokenizer.json that is not sound, or that cannot be followed to the letter, is refused by the name of its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tokenizer_files import LLAMA_JSON as LLAMA
from tests.unit.tokenizer_files import gpt2, marked, prepend_and_replace, write_tokenizer
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.codegen.tokenizers.formats.tokenizer_json import read_tokenizer_json
from tinyllm.errors import UserError

GPT2: dict[str, Any] = json.loads(gpt2().to_str())


def added(token: int, content: str, **flags: Any) -> dict[str, Any]:
    return {"id": token, "content": content, "special": False, "normalized": False} | flags


def model(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return document | {"model": document["model"] | changes}


def regex_split(regex: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, GPT2["pre_tokenizer"] | {"use_regex": False}]}


def words_of(*words: str, **fields: Any) -> dict[str, Any]:
    vocabulary = {word: token for token, word in enumerate(words)}
    return {"model": {"type": "WordLevel", "vocab": vocabulary} | fields, "pre_tokenizer": {"type": "Whitespace"}}


def word_pieces(*pieces: str, pre_tokenizer: Any = "Whitespace", **fields: Any) -> dict[str, Any]:
    vocabulary = {piece: token for token, piece in enumerate(pieces)}
    defaults = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    steps = pre_tokenizer and {"type": pre_tokenizer}
    return {"model": defaults | {"vocab": vocabulary} | fields, "pre_tokenizer": steps}


VOCABULARY = GPT2["model"]["vocab"]
SIZE, NEXT = len(VOCABULARY) + 1, len(LLAMA["model"]["vocab"])
UNIGRAM = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["▁", -1.0], ["a", -2.0]]}

REFUSED: dict[str, tuple[Any, str]] = {
    "word pieces of bytes": (GPT2 | {"model": {"type": "WordPiece", "vocab": {}}}, "model.type is 'WordPiece'"),
    "words of bytes": (GPT2 | {"model": {"type": "WordLevel", "vocab": {}}}, "model.type is 'WordLevel'"),
    "words without an unknown one": (words_of("a", unk_token="[UNK]"), "model.unk_token is '[UNK]'"),
    "words and an unknown one without a name": (words_of("a", unk_token=None), "model.unk_token is null"),
    "word pieces in words with spaces": (word_pieces("[UNK]", pre_tokenizer=None), "model.type is 'WordPiece'"),
    "word pieces that go on otherwise": (
        word_pieces("[UNK]", continuing_subword_prefix="@@"),
        "model.continuing_subword_prefix is '@@'",
    ),
    "word pieces of words without end": (
        word_pieces("[UNK]", max_input_chars_per_word=1 << 40),
        "model.max_input_chars_per_word is 1099511627776",
    ),
    "no model": ({"version": "1.0", "pre_tokenizer": GPT2["pre_tokenizer"]}, "model.type is missing"),
    **{
        f"a regex with {name}": (
            GPT2 | {"pre_tokenizer": regex_split(regex)},
            f"pre_tokenizer.pretokenizers[0].pattern is {regex!r}: {words}",
        )
        for name, regex, words in [
            ("hindsight", r"(?<=a)b", "'(?<' at character 2 cannot be followed"),
            ("the edge of a word", r"\bword", r"'\\b' at character 2"),
            ("the start of a line", r"^a", "'^' at character 0"),
            ("much foresight", r"a(?=bc)", "'a look at more than one character'"),
            ("a back reference", r"(a)\1", r"'\\1' at character 5"),
            ("a possessive group", r"(?:ab)++", "'a possessive repetition of more than one character'"),
            ("a script", r"\p{Greek}+", r"'\\p{Greek}' at character 9"),
            ("nothing to find", r"a*", "it matches the empty text"),
            ("too many states", r"(a|b)*a(a|b){9}", "more than 127 states"),
            ("an open group", r"(a", "')' is missing"),
            ("ligatures of any case", r"(?i:first)", "'(?i) before fi' at character 5"),
        ]
    },
    "a regex too long": (GPT2 | {"pre_tokenizer": regex_split("a" * 2001)}, "2,001 characters, expected at most 2,000"),
    "a normalizer": (
        GPT2 | {"normalizer": {"type": "ByteLevel"}},
        "normalizer.type is 'ByteLevel', expected one of NFC",
    ),
    "a normalizer behind marks": (
        LLAMA
        | {
            "normalizer": {
                "type": "Sequence",
                "normalizers": [*LLAMA["normalizer"]["normalizers"], {"type": "NFKC"}],
            }
        },
        "normalizer.normalizers[2].type is 'NFKC', expected no more than a Prepend",
    ),
    "a pre-tokenizer": (
        GPT2 | {"pre_tokenizer": {"type": "UnicodeScripts"}},
        "pre_tokenizer.type is 'UnicodeScripts', expected one of ByteLevel, Metaspace",
    ),
    "a behavior": (
        GPT2 | {"pre_tokenizer": {"type": "Punctuation", "behavior": "Sometimes"}},
        "pre_tokenizer.behavior is 'Sometimes'",
    ),
    "no bytes": (GPT2 | {"pre_tokenizer": None}, "expected no ByteLevel, as the pre_tokenizer has it"),
    "a decoder that cannot be": (
        words_of("[UNK]", unk_token="[UNK]") | {"decoder": {"type": "CTC"}},
        "decoder.type is 'CTC', expected WordPiece",
    ),
    "a decoder of another kind": (GPT2 | {"decoder": {"type": "Metaspace"}}, "expected ByteLevel"),
    "a post-processor": (GPT2 | {"post_processor": {"type": "Another"}}, "post_processor.type is 'Another'"),
    "a post-processor without a token": (GPT2 | {"post_processor": {"type": "BertProcessing"}}, "cls is missing"),
    "dropout": (model(GPT2, dropout=0.1), "model.dropout is 0.1"),
    "a suffix": (model(GPT2, end_of_word_suffix="</w>"), "model.end_of_word_suffix is '</w>'"),
    "a prefix of pieces": (model(GPT2, continuing_subword_prefix="##"), "model.continuing_subword_prefix is '##'"),
    "bytes that do not count": (model(LLAMA, byte_fallback=False), "256 byte pieces"),
    "a missing byte": (model(GPT2, vocab={k: v for k, v in VOCABULARY.items() if v}), "no piece has the id 0"),
    "a byte without a piece": (
        model(GPT2, vocab={k if v else "zzz": v for k, v in VOCABULARY.items()}, byte_fallback=True),
        "model.byte_fallback is True, expected false",
    ),
    "a vocabulary of another type": (model(GPT2, vocab=[1]), "model.vocab is [1]"),
    "an id of another type": (model(GPT2, vocab=VOCABULARY | {"zz": "1"}), "model.vocab['zz'] is '1'"),
    "an id too large": (model(GPT2, vocab=VOCABULARY | {"zz": 1 << 40}), "model.vocab['zz'] is 1099511627776"),
    "an id below zero": (model(GPT2, vocab=VOCABULARY | {"zz": -1}), "model.vocab['zz'] is -1"),
    "an id twice": (model(GPT2, vocab=VOCABULARY | {"zz": 5}), "model.vocab['zz'] is 5, expected not that of '&'"),
    "a hole": (model(GPT2, vocab=VOCABULARY | {"zz": SIZE + 1}), f"no piece has the id {SIZE}"),
    "letters for no byte": (model(GPT2, vocab=VOCABULARY | {"猫": SIZE}), "model.vocab['猫'] is no added token"),
    "half a character": (model(LLAMA, vocab=LLAMA["model"]["vocab"] | {"\ud83d": 999}), "holds half a character"),
    "an empty piece": (model(LLAMA, vocab=LLAMA["model"]["vocab"] | {"": NEXT}), "is empty"),
    "merges of another type": (model(GPT2, merges={"a": "b"}), "model.merges is {'a': 'b'}"),
    "a merge of three": (model(GPT2, merges=["a b c"]), "model.merges[0] is 'a b c'"),
    "a merge of numbers": (model(GPT2, merges=[[1, 2]]), "model.merges[0] is [1, 2]"),
    "a merge without a part": (model(GPT2, merges=["a 猫"]), "which has no '猫'"),
    "a merge without a whole": (model(GPT2, merges=[["q", "x"]]), "which has no 'qx'"),
    "a merge with nothing": (model(GPT2, vocab=VOCABULARY | {"": SIZE}, merges=[["a", ""]]), "make a longer one"),
    "a merge twice": (model(GPT2, merges=["h e", "h e"]), "merges[1] is 'h e', expected a pair that is not there"),
    "a merge into a special token": (
        GPT2 | {"added_tokens": [added(SIZE - 1, "<|e|>"), added(VOCABULARY["he"], "he", special=True)]},
        "holds a special or byte token",
    ),
    **{
        f"a special token that is {name}": (
            GPT2 | {"added_tokens": [added(SIZE - 1, "<|e|>"), added(VOCABULARY[letter], letter, special=True)]},
            f"added token {VOCABULARY[letter]} ({letter!r}) is special and stands for the byte 0x{byte} of any text",
        )
        for name, letter, byte in [("a letter", "Q", "51"), ("the letter of another byte", "é", "E9")]
    },
    "an unknown piece outside": (model(LLAMA, unk_token="[UNK]"), "model.unk_token is '[UNK]'"),
    "a token that is a word": (
        GPT2 | {"added_tokens": [added(SIZE - 1, "x", single_word=True)]},
        "single_word is True",
    ),
    "a token in normalized text": (
        LLAMA | {"added_tokens": [*LLAMA["added_tokens"], added(NEXT, "x", normalized=True)]},
        "('x') is looked for in normalized text",
    ),
    "a token twice": (GPT2 | {"added_tokens": [added(SIZE - 1, "x")] * 2}, f"added_tokens[1].id is {SIZE - 1} again"),
    "a token of two ids": (GPT2 | {"added_tokens": [added(SIZE - 1, "a")]}, "'a' has the ids 64 and"),
    "a token without text": (GPT2 | {"added_tokens": [added(SIZE - 1, "")]}, "added_tokens[0].content is ''"),
    "a token of half a character": (GPT2 | {"added_tokens": [added(SIZE - 1, "\ud83d")]}, "added_tokens[0].content"),
    "a token that is no object": (GPT2 | {"added_tokens": ["x"]}, "added_tokens[0] is 'x'"),
    "a score that is no number": (LLAMA | {"model": UNIGRAM | {"vocab": [["a", "b"]]}}, "model.vocab[0] is ['a', 'b']"),
    "a score without end": (
        LLAMA | {"model": UNIGRAM | {"vocab": [["a", float("nan")]]}},
        "model.vocab[0] is ['a', nan]",
    ),
    "a text twice": (
        LLAMA | {"model": UNIGRAM | {"vocab": [["a", 0], ["b", 0], ["a", 0]]}},
        "model.vocab[2] is ['a', 0], expected another text than that of 0",
    ),
    "no unknown": (LLAMA | {"model": UNIGRAM | {"unk_id": None}}, "model.unk_id is null"),
    "an unknown beyond": (LLAMA | {"model": UNIGRAM | {"unk_id": 3}}, "model.unk_id is 3"),
    "a character map that is no base64": (
        LLAMA | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "?"}},
        "normalizer.precompiled_charsmap is not sound",
    ),
    "a character map that is cut off": (
        LLAMA | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAQAAA=="}},
        "has 1,024 bytes, expected a multiple of 1,024 within 4",
    ),
    "a list": ([], "holds a JSON list"),
}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_tokenizer(path)
    message = str(caught.value)
    assert str(path.parent) in message
    assert len(message.splitlines()) == 1
    message.encode()
    return message


@pytest.mark.parametrize(("document", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_tokenizer_that_is_not_sound_or_cannot_be_followed_is_refused_by_field(
    document: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError) as caught:
        read_tokenizer_json(path)
    message = str(caught.value)
    assert words in message
    assert len(message.splitlines()) == 1
    message.encode()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"tokenizer_config": {"bos_token": 3}}, "tokenizer_config.json: bos_token is 3"),
        ({"tokenizer_config": {"add_bos_token": "yes"}}, "tokenizer_config.json: add_bos_token is 'yes'"),
        ({"tokenizer_config": {"added_tokens_decoder": {"x": {}}}}, "added_tokens_decoder holds 'x': {}"),
        ({"tokenizer_config": {"added_tokens_decoder": {"1": {"content": "x"}}}}, "added_tokens_decoder.1 is 'x'"),
        ({"tokenizer_config": {"additional_special_tokens": 1}}, "additional_special_tokens is 1"),
        ({"generation_config": {"eos_token_id": "2"}}, "generation_config.json: eos_token_id is '2'"),
        ({"generation_config": {"eos_token_id": [2, 99999]}}, "generation_config.json: eos_token_id holds 99999"),
        ({"config": {"eos_token_id": -1}}, "config.json: eos_token_id is -1"),
        ({"config": {"eos_token_id": list(range(99))}}, "config.json: eos_token_id is [0, 1"),
    ],
)
def test_settings_that_cannot_be_so_are_refused_by_file_and_field(
    files: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in refusal(write_tokenizer(tmp_path, marked(prepend_and_replace(), None), **files))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"model": {"vocab": {"a": 1, "a": 2}}}', "'a' is there twice in an object"),
        (b'{"model": ' + b"[" * 100_000, "not a sound tokenizer.json"),
        (b'{"model": 1' + b"0" * 5000 + b"}", "not a sound tokenizer.json"),
        (b'{"model": "\xff"}', "not a sound tokenizer.json"),
        (b'{"model', "not a sound tokenizer.json"),
    ],
)
def test_text_that_is_no_sound_json_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    assert words in refusal(path)
