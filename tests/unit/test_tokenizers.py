"""Tokenizers of both formats encode exactly as SentencePiece does, and bad ones are refused in words."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from tests.conftest import STORY_MODEL
from tinyllm.codegen.tokenizers import PieceKind, Tokenizer, find_tokenizer, fit_vocabulary, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, decode_piece, encode, utf8_stream
from tinyllm.errors import UserError

CORPUS = [
    "Once upon a time there was a small dog who liked the park.",
    "The dog said: I want to play, and the cat said: so do I!",
    "they found the ball under a tree; that was a good day.",
    "Zoë wäre müde, naïve café, Ελλάδα, мир, 猫と犬, 😀😀",
    "in   the   park    there are   spaces\tand tabs",
] * 20

# One model for each way of treating text; "bytes" and "raw" differ in every flag.
TRAINED: dict[str, dict[str, Any]] = {
    "bytes": {"byte_fallback": True, "vocab_size": 400},
    "raw": {
        "byte_fallback": True,
        "vocab_size": 420,
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "split_by_whitespace": False,
        "split_by_unicode_script": False,
        "user_defined_symbols": ["<|user|>", "<|use", "ab", "▁▁", "z"],
        "control_symbols": ["<|end|>"],
    },
    "unknowns": {"byte_fallback": False, "vocab_size": 150, "character_coverage": 0.98},
}


def train(**options: Any) -> bytes:
    """A SentencePiece model file trained on the corpus."""
    model = io.BytesIO()
    defaults = {"model_type": "bpe", "normalization_rule_name": "identity", "hard_vocab_limit": False}
    SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, minloglevel=2, **(defaults | options)
    )
    return model.getvalue()


@dataclass(repr=False)
class Pair:
    """Our tokenizer and SentencePiece's own, of the same file."""

    ours: Tokenizer
    theirs: SentencePieceProcessor

    @classmethod
    def read(cls, path: Path) -> Pair:
        return cls(read_tokenizer(path), SentencePieceProcessor(model_file=str(path)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """Each of the models above."""
    pairs = {}
    for name, options in TRAINED.items():
        path = tmp_path_factory.mktemp("tokenizers") / f"{name}.model"
        path.write_bytes(train(**options))
        pairs[name] = Pair.read(path)
    return pairs


@pytest.fixture(scope="module")
def bundled_pair() -> Pair:
    return Pair.read(STORY_MODEL / "tokenizer.model")


# Words that merge, the marks that have a meaning, and whatever else Unicode has.
FRAGMENTS = [
    *" ▁\t\n\0.azéß猫😀�",
    "  ",
    "▁▁",
    "<s>",
    "<unk>",
    "<0x41>",
    "<|user|>",
    "<|end|>",
    "ab",
    "the",
    " the park",
]
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=12).map("".join)


def awkward(test: Callable[..., None]) -> Callable[..., None]:
    """The texts that a tokenizer is likeliest to get wrong, each as an example."""
    for text in ("", " ", "  ", "▁", " ▁", "▁ ", "a ▁ b", "\0", "a\0b", "猫猫", "<|user|>ab", "<|use<|user|>", "aabb"):
        test = example(text=text)(test)
    return test


# Encoding


@awkward
@settings(deadline=None, max_examples=150)
@given(text=TEXTS)
@pytest.mark.parametrize("name", TRAINED)
def test_any_text_encodes_and_decodes_as_sentencepiece_has_it(trained: dict[str, Pair], name: str, text: str) -> None:
    ours, theirs = trained[name].ours, trained[name].theirs
    ids = theirs.encode(text)
    assert encode(ours, text) == ids
    assert encode(ours, text.encode(), bos=True) == [ours.bos, *ids]
    if name != "unknowns":
        assert decode(ours, ids).decode() == theirs.normalize(text).replace("▁", " ")[ours.add_dummy_prefix :]


@awkward
@settings(deadline=None, max_examples=150)
@given(text=TEXTS)
def test_any_text_encodes_with_the_bundled_tokenizer_as_sentencepiece_has_it(bundled_pair: Pair, text: str) -> None:
    ours, theirs = bundled_pair.ours, bundled_pair.theirs
    assert encode(ours, text) == theirs.encode(text)


def test_every_story_encodes_and_decodes_as_sentencepiece_has_it(bundled_pair: Pair, stories_text: str) -> None:
    ours, theirs = bundled_pair.ours, bundled_pair.theirs
    assert encode(ours, stories_text) == theirs.encode(stories_text)
    for story in stories_text.split("<|endoftext|>"):
        ids = theirs.encode(story)
        assert encode(ours, story) == ids
        assert decode(ours, ids).decode() == theirs.decode(ids)


def test_a_tokenizer_is_the_same_in_both_formats(stories_llama2c: Path) -> None:
    folder = stories_llama2c.parent
    from_bin, from_model = read_tokenizer(folder / "tok512.bin"), read_tokenizer(folder / "tok512.model")
    assert (from_bin.source, from_model.source) == ("llama2.c tok.bin", "sentencepiece")
    assert replace(from_bin, source="") == replace(from_model, source="")


@given(st.binary(max_size=40))
@settings(deadline=None)
def test_bytes_that_are_no_text_come_back_as_they_went_in(trained: dict[str, Pair], data: bytes) -> None:
    ours = trained["raw"].ours
    assert decode(ours, encode(ours, data)) == data.replace("▁".encode(), b" ")


@given(st.text(st.characters(codec=None), max_size=8))
@settings(deadline=None)
def test_a_lone_surrogate_is_encoded_as_its_three_bytes(trained: dict[str, Pair], text: str) -> None:
    ours = trained["raw"].ours
    assert encode(ours, text) == encode(ours, text.encode("utf-8", "surrogatepass"))


def test_control_pieces_are_never_produced_from_text_and_decode_to_nothing(trained: dict[str, Pair]) -> None:
    ours = trained["raw"].ours
    controls = [token for token, kind in enumerate(ours.kinds) if kind is PieceKind.CONTROL]
    assert [ours.pieces[token] for token in controls] == [b"<s>", b"</s>", b"<|end|>"]
    assert not set(controls) & set(encode(ours, "<s></s><|end|>"))
    assert decode(ours, controls) == b""


def test_an_unknown_piece_decodes_to_the_replacement_character(trained: dict[str, Pair]) -> None:
    ours = trained["unknowns"].ours
    assert decode_piece(ours, ours.unknown).decode() == "\ufffd"
    assert encode(ours, "\x01\x02\x03").count(ours.unknown) == 1


def test_the_space_of_the_dummy_prefix_is_dropped_after_bos_and_only_there(bundled_pair: Pair) -> None:
    ours = bundled_pair.ours
    assert decode(ours, encode(ours, "the the", bos=True)) == b"the the"
    assert decode_piece(ours, encode(ours, "the")[0]) == b" the"


@given(st.one_of(st.binary(max_size=30), st.text(max_size=12).map(str.encode)), st.data())
def test_a_stream_gives_whole_characters_however_the_bytes_arrive(data: bytes, draws: st.DataObject) -> None:
    stream, given_out, offset = utf8_stream(), "", 0
    while offset < len(data):
        length = draws.draw(st.integers(1, 5))
        given_out += stream.decode(data[offset : offset + length])
        offset += length
        assert data[:offset].decode(errors="replace").startswith(given_out)
    assert given_out + stream.decode(b"", final=True) == data.decode(errors="replace")


# Reading


def refusal(path: Path) -> str:
    """What a person is told of the tokenizer at `path`: short, and naming it."""
    with pytest.raises(UserError) as caught:
        read_tokenizer(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) <= 2
    return message


Piece = tuple[bytes, float]
RESERVED: list[Piece] = [(b"<unk>", 0.0), (b"\n<s>\n", 0.0), (b"\n</s>\n", 0.0)]
BYTES: list[Piece] = [(b"<0x%02X>" % byte, 0.0) for byte in range(256)]
WORDS: list[Piece] = [(b" ", -2.0), (b"a", -3.0), (b" a", -1.0), ("é".encode(), -3.0)]


def tok_bin(pieces: list[Piece], longest: int | None = None) -> bytes:
    """A llama2.c tokenizer file."""
    data = struct.pack("<I", max(len(text) for text, _ in pieces) if longest is None else longest)
    for text, score in pieces:
        data += struct.pack("<fi", score, len(text)) + text
    return data


def test_a_llama2c_tokenizer_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "tok.bin"
    path.write_bytes(tok_bin(RESERVED + BYTES + WORDS))
    tokenizer = read_tokenizer(path)
    assert tokenizer.pieces == (
        b"<unk>",
        b"<s>",
        b"</s>",
        *(bytes([n]) for n in range(256)),
        b" ",
        b"a",
        b" a",
        b"\xc3\xa9",
    )
    assert tokenizer.kinds[:4] == (PieceKind.UNKNOWN, PieceKind.CONTROL, PieceKind.CONTROL, PieceKind.BYTE)
    assert set(tokenizer.kinds[259:]) == {PieceKind.NORMAL}
    assert tokenizer.ranks == (0,) * 259 + (2, 3, 1, 3)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.stop_ids) == (1, 2, (1, 2))


CHARACTERS: list[Piece] = [(chr(byte).encode(), 0.0) for byte in range(256)]
"""The bytes as files wrote them before August 2023."""


def as_of_july_2023(pieces: list[Piece]) -> bytes:
    """llama2.c's first tokenizer file: lengths and texts alone."""
    return b"".join(struct.pack("<i", len(text)) + text for text, _ in pieces)


def test_every_form_that_llama2c_has_written_is_the_same_tokenizer(tmp_path: Path) -> None:
    """With the scores of Llama 2: they fall from id to id, but for pieces of spaces, which come last."""
    words = [b"  ", b" t", b"er", b"in", b"    ", b" a", b"en", b" ", b"e", b"t", b"a", b"n", b"r", b"i"]
    scored = [(word, -float(rank) if word.strip() else -1e9) for rank, word in enumerate(words)]
    files = (
        tok_bin(RESERVED + BYTES + scored),
        tok_bin(RESERVED + CHARACTERS + scored),
        as_of_july_2023(RESERVED + CHARACTERS + scored),
    )
    tokenizers = []
    for data in files:
        (tmp_path / "tokenizer.bin").write_bytes(data)
        tokenizers.append(read_tokenizer(tmp_path / "tokenizer.bin"))
    assert [tokenizer.source for tokenizer in tokenizers] == [
        "llama2.c tok.bin",
        "llama2.c tok.bin",
        "llama2.c tokenizer.bin of July 2023",
    ]
    for tokenizer in tokenizers:
        assert replace(tokenizer, source="") == replace(tokenizers[0], source="")
    assert tokenizers[2].kinds[3:259] == (PieceKind.BYTE,) * 256


def test_a_tokenizer_of_july_2023_cut_anywhere_is_refused_or_ends_with_a_piece(tmp_path: Path) -> None:
    data = as_of_july_2023(RESERVED + CHARACTERS + WORDS)
    for size in (9, 12, 40, len(data) - 1, len(data) - 5):
        (tmp_path / "tokenizer.bin").write_bytes(data[:size])
        assert "truncated" in refusal(tmp_path / "tokenizer.bin") or size == 9


@pytest.mark.parametrize(("extra", "folds"), [([], True), ([(b"  ", -4.0)], False)])
def test_a_vocabulary_with_a_run_of_spaces_is_one_that_keeps_them(
    extra: list[Piece], folds: bool, tmp_path: Path
) -> None:
    path = tmp_path / "tok.bin"
    path.write_bytes(tok_bin(RESERVED + BYTES + WORDS + extra))
    assert read_tokenizer(path).remove_extra_whitespaces is folds


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a tokenizer"),
        (b"#version: 0.2", "not a tokenizer"),
        (tok_bin(RESERVED + BYTES + WORDS)[:-1], "truncated in piece 262"),
        (tok_bin(RESERVED + BYTES + WORDS) + b"\0", "truncated in the header of piece 263"),
        (tok_bin([*RESERVED, (b"a", math.nan)]), "score of piece 3"),
        (tok_bin([*RESERVED, (b"a", math.inf)]), "score of piece 3"),
        (tok_bin([*RESERVED, (b"a", 0.0), (b"a", -1.0)]), "pieces 3 and 4 are both b'a'"),
        (tok_bin([*RESERVED, (b"\xff", 0.0)]), "not valid UTF-8"),
        (tok_bin([*RESERVED, (b"", 0.0)]), "piece 3 has length 0"),
        (tok_bin(RESERVED + WORDS, longest=6)[:-10] + struct.pack("<fi", 0, -5), "has length -5"),
        (tok_bin([*RESERVED, (b"seven b", 0.0)], longest=6), "piece 3 has length 7, expected 1 to 6"),
        (tok_bin(RESERVED + BYTES[:255]), "255 byte pieces"),
        (tok_bin(RESERVED[:2]), "piece 2 is b''"),
        (tok_bin(WORDS), "piece 0 is b' '"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_llama2c_tokenizer_that_is_not_sound_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "tok.bin"
    path.write_bytes(data)
    assert words in refusal(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model_type": "char", "vocab_size": 60}, "type char"),
        ({"model_type": "word", "vocab_size": 30}, "type word"),
        ({"treat_whitespace_as_suffix": True, "vocab_size": 120}, "treat_whitespace_as_suffix"),
    ],
)
def test_a_sentencepiece_model_that_cannot_be_followed_exactly_is_refused_by_name(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train(**options))
    assert words in refusal(path)


def test_other_names_and_ids_of_the_control_pieces_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train(vocab_size=120, pad_id=0, eos_id=1, unk_id=2, bos_id=3, bos_piece="[B]", eos_piece="[E]"))
    tokenizer = read_tokenizer(path)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.unknown) == (3, 1, 2)
    assert tokenizer.kinds[0] is PieceKind.CONTROL


def test_a_sentencepiece_model_without_bos_begins_no_text_with_one(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train(vocab_size=120, bos_id=-1, eos_id=1))
    tokenizer = read_tokenizer(path)
    assert (tokenizer.bos, tokenizer.add_bos, tokenizer.eos, tokenizer.stop_ids) == (None, False, 1, (1,))


def test_a_sentencepiece_model_cut_anywhere_is_refused_or_lacks_a_part(tmp_path: Path) -> None:
    data = train(vocab_size=120)
    path = tmp_path / "tokenizer.model"
    for size in range(0, len(data) - 60, 7):
        path.write_bytes(data[:size])
        refusal(path)


def test_a_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.bin")
    assert "is a folder" in refusal(tmp_path)


# Finding


@pytest.mark.parametrize(
    ("present", "found"),
    [
        (["tokenizer.model", "tok263.bin"], "tok263.bin"),
        (["tok263.model", "tok263.bin"], "tok263.model"),
        (["tokenizer.bin"], "tokenizer.bin"),
        (["other.bin", "strange.bin"], "other.bin"),
    ],
)
def test_the_tokenizer_beside_a_model_is_found_by_name_or_by_size(
    present: list[str], found: str, tmp_path: Path
) -> None:
    for name in present:
        # tokenizer.model and strange.bin are of another size: they belong to another model.
        wrong = name in ("tokenizer.model", "strange.bin")
        (tmp_path / name).write_bytes(tok_bin(RESERVED + BYTES + (WORDS[:2] if wrong else WORDS)))
    assert find_tokenizer(tmp_path / "model.bin", 263) == tmp_path / found


def test_a_model_with_no_tokenizer_beside_it_is_told_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(100))
    with pytest.raises(UserError, match=r"tokenizer\.model, tok263\.model, tok263\.bin, tokenizer\.bin"):
        find_tokenizer(tmp_path / "model.bin", 263)
    with pytest.raises(UserError, match=r"no tokenizer\.json, no tokenizer\.model, no spiece\.model in it"):
        find_tokenizer(tmp_path, 263)


def test_a_reason_that_is_cut_ends_as_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.bin").write_bytes(b"junkjunkjunk")
    with pytest.raises(UserError) as caught:
        find_tokenizer(tmp_path / "model.bin", 512)
    reason = str(caught.value).splitlines()[1]
    assert reason.startswith("Passed over: tokenizer.bin is not a tokenizer: it starts with b'junkjunkjunk'")
    assert reason[-2].isalnum() and reason.endswith(".")


def test_a_tokenizer_that_was_passed_over_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.bin").write_bytes(tok_bin(RESERVED + BYTES + WORDS))
    (tmp_path / "tokenizer.model").write_bytes(tok_bin(RESERVED + BYTES + WORDS)[:-1])
    (tmp_path / "other.bin").write_bytes(bytes(100))
    with pytest.raises(UserError) as caught:
        find_tokenizer(tmp_path / "model.bin", 512)
    first, second = str(caught.value).splitlines()
    assert "no tokenizer of 512 pieces beside it" in first and first.endswith("or give it with --tokenizer")
    assert second == (
        "Passed over: tokenizer.model is truncated in piece 262; download or export it again; "
        "tokenizer.bin has 263 pieces."
    )
    for number in range(3):
        (tmp_path / f"tok{number}.bin").write_bytes(tok_bin(RESERVED + BYTES + WORDS[:number]))
    with pytest.raises(UserError, match=r"tokenizer\.bin has 263 pieces; tok0\.bin has 259 pieces; 2 more\."):
        find_tokenizer(tmp_path / "model.bin", 512)


def test_a_tokenizer_that_git_lfs_has_not_fetched_is_passed_over_by_that_reason(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(UserError, match=r"Passed over: tokenizer\.bin is a Git LFS pointer .* `git lfs pull`"):
        find_tokenizer(tmp_path / "model.bin", 512)


def test_two_tokenizers_that_would_do_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("one.bin", "two.bin"):
        (tmp_path / name).write_bytes(tok_bin(RESERVED + BYTES + WORDS))
    with pytest.raises(UserError, match=r"2 tokenizers of 263 pieces beside it \(one\.bin, two\.bin\)"):
        find_tokenizer(tmp_path / "model.bin", 263)


def test_a_vocabulary_that_disagrees_is_refused_with_both_numbers_and_files(tmp_path: Path) -> None:
    path = tmp_path / "tok.bin"
    path.write_bytes(tok_bin(RESERVED + BYTES + WORDS))
    tokenizer = read_tokenizer(path)
    assert fit_vocabulary(tmp_path / "model.bin", 263, path, tokenizer) is tokenizer
    for size in (262, 512):
        with pytest.raises(UserError) as caught:
            fit_vocabulary(tmp_path / "model.bin", size, path, tokenizer)
        for part in (str(tmp_path / "model.bin"), str(size), str(path), "263"):
            assert part in str(caught.value)


def test_rows_that_round_the_embedding_up_become_control_pieces(tmp_path: Path) -> None:
    path = tmp_path / "tok.bin"
    path.write_bytes(tok_bin(RESERVED + BYTES + WORDS))
    padded = fit_vocabulary(tmp_path / "model.bin", 320, path, read_tokenizer(path))
    assert padded.vocab_size == len(padded.kinds) == len(padded.ranks) == 320
    assert padded.pieces[263] == b"[PAD263]"
    assert set(padded.kinds[263:]) == {PieceKind.CONTROL}
    assert encode(padded, "a [PAD263]") == encode(read_tokenizer(path), "a [PAD263]")
