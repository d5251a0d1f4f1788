"""A tokenizer.json of any published shape encodes as Hugging Face tokenizers does, and others are refused by name."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers import Tokenizer as Theirs

from tests.unit.tokenizer_files import (
    LLAMA_JSON,
    REPLICAS,
    gpt2,
    marked,
    prepend_and_replace,
    template,
    write_document,
    write_tokenizer,
)
from tests.unit.trained_tokenizers import read_trained
from tinyllm.codegen.tokenizers import PieceKind, Tokenizer, find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode
from tinyllm.codegen.tokenizers.formats.tokenizer_json import as_serde_reads
from tinyllm.codegen.tokenizers.tokenizer import Algorithm
from tinyllm.errors import CheckpointWarning


@dataclass(repr=False)
class Pair:
    """Our tokenizer and tokenizers' own, of the same file."""

    ours: Tokenizer
    theirs: Theirs

    def agree_on(self, text: str) -> None:
        """The same ids of a person's text, in which no special token is one, and of text that may hold them."""
        if self.ours.character_map and has_clusters(text):
            return
        for special in (True, False):
            if not self.takes_tokens_for_text(text, special):
                self.theirs.encode_special_tokens = not special
                ids = self.theirs.encode(text, add_special_tokens=False).ids
                assert encode(self.ours, text, special=special) == ids

    def takes_tokens_for_text(self, text: str, special: bool) -> bool:
        """Whether it names special or byte pieces, which tokenizers' Unigram takes for such and nothing here does."""
        if self.ours.algorithm is not Algorithm.UNIGRAM:
            return False
        kinds = () if special else (PieceKind.CONTROL, PieceKind.UNKNOWN)
        names = [piece for piece, kind in zip(self.ours.pieces, self.ours.kinds, strict=True) if kind in kinds]
        return any(name in text.encode() for name in [*names, b"<0x"])


def has_clusters(text: str) -> bool:
    """Characters that make one with a neighbour: of two such, tokenizers' Precompiled may lose one, SentencePiece none.

    And U+0085, white space that its Strip finds though the character map leaves it.
    """
    return any(
        unicodedata.category(character)[0] in "MC" and character not in "\t\n\r"
        for character in unicodedata.normalize("NFKD", text)
    ) or any("\u1100" <= character <= "\u11ff" or character >= "\uff00" for character in text)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    @cache
    def pair(name: str) -> Pair:
        path = write_tokenizer(tmp_path_factory.mktemp("replica"), REPLICAS[name]())
        return Pair(read_tokenizer(path), Theirs.from_file(str(path)))

    return pair


FRAGMENTS = [
    *" \t\n\r.a1éß猫😀▁\u9000",
    "  ",
    "    ",
    "the",
    " the park",
    "<s>",
    "</s>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|end|>",
    "<|eot_id|>",
    "<|the|>",
    "Ã©",
    "THE",
    "PARK",
    "<mask>",
    "<tool>",
    "<tool_call>",
    "'ll",
    "'S",
    "1234",
    "<0x41>",
    "<IS MAN>",
]
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=12).map("".join)


@settings(deadline=None, max_examples=60)
@given(text=TEXTS)
@pytest.mark.parametrize("name", REPLICAS)
def test_any_text_encodes_as_tokenizers_has_it(pairs: Callable[[str], Pair], name: str, text: str) -> None:
    pairs(name).agree_on(text)


@pytest.mark.parametrize("name", REPLICAS)
def test_stories_encode_as_tokenizers_has_it_and_come_back(
    pairs: Callable[[str], Pair], name: str, stories_text: str
) -> None:
    pair = pairs(name)
    for story in stories_text.split("<|endoftext|>")[:10]:
        pair.agree_on(story)
        if not pair.ours.strips and (pair.ours.unknown is None or pair.ours.byte_ids):
            assert decode(pair.ours, encode(pair.ours, story)).decode() == story


def test_a_run_of_20000_letters_is_encoded_as_well(pairs: Callable[[str], Pair]) -> None:
    for text in ("é" * 20_000, "ab" * 10_000, " " * 20_000):
        pairs("GPT-2").agree_on(text)


def test_a_token_whose_letters_stand_for_other_bytes_is_found_both_as_text_and_as_bytes(
    pairs: Callable[[str], Pair],
) -> None:
    """As tokenizers has it: U+9000 begins with the byte 0xE9, whose letter is "é"."""
    pair = pairs("GPT-2 with pieces among the added tokens")
    shared = dict(pair.ours.shared)
    token = shared["é".encode()]
    for text, ids in {"\u9000": [token, 222, 222], "é": [token], "Ã©": [shared["Ã©".encode()]]}.items():
        assert encode(pair.ours, text) == pair.theirs.encode(text).ids == ids
    assert decode(pair.ours, [token, 222, 222]).decode() == pair.theirs.decode([token, 222, 222]) == "\u9000"
    assert decode(pair.ours, [token]) == b"\xe9"
    assert decode(pair.ours, [shared["Ã©".encode()]]).decode() == pair.theirs.decode([shared["Ã©".encode()]]) == "é"


def test_the_model_finds_a_piece_though_its_text_is_an_added_token(pairs: Callable[[str], Pair]) -> None:
    """What a normalizer makes of a text, and the name of a special token in it, are not searched for added tokens."""
    ours = pairs("GPT-2 with pieces among the added tokens").ours
    assert dict(ours.shared)[b"the"] in encode(ours, "<|the|>")
    small = read_trained("bytes, Lowercase, pieces among the added tokens")
    assert encode(small, "the") == encode(small, "THE") == [dict(small.shared)[b"the"]]


def test_an_unknown_piece_that_is_a_plain_added_token_is_found_in_text(tmp_path: Path) -> None:
    tokens = [token | {"special": token["content"] != "<unk>"} for token in LLAMA_JSON["added_tokens"]]
    path = write_document(tmp_path, LLAMA_JSON | {"added_tokens": tokens})
    Pair(read_tokenizer(path), Theirs.from_file(str(path))).agree_on("the<unk> \u9000park<unk>")


@settings(deadline=None)
@given(
    number=st.one_of(
        st.floats(-1e25, 1e25).map(repr),
        st.from_regex(r"-?(0|[1-9][0-9]{0,24})\.[0-9]{1,25}(e-?[0-9]{1,2})?", fullmatch=True),
    )
)
def test_scores_are_read_as_tokenizers_reads_them(number: str) -> None:
    model = f'{{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", {number}]]}}'
    theirs = Theirs.from_str(f'{{"version": "1.0", "added_tokens": [], "model": {model}}}')
    assert as_serde_reads(number) == json.loads(theirs.to_str())["model"]["vocab"][1][1]


@pytest.mark.parametrize("name", REPLICAS)
def test_the_first_token_of_a_conversation_is_what_the_post_processor_says(
    pairs: Callable[[str], Pair], name: str
) -> None:
    pair = pairs(name)
    theirs = pair.theirs.encode("the dog").ids
    ours = encode(pair.ours, "the dog", bos=True)
    assert ours == theirs[: len(ours)]
    assert pair.ours.add_bos is (pair.ours.bos is not None and theirs[0] == pair.ours.bos)


# What stands beside the file


def read_with(folder: Path, tokenizer: Theirs, **files: dict[str, Any]) -> Tokenizer:
    return read_tokenizer(write_tokenizer(folder, tokenizer, **files))


def read_document(folder: Path, document: dict[str, Any], **files: dict[str, Any]) -> Tokenizer:
    return read_tokenizer(write_document(folder, document, **files))


def test_bos_and_eos_are_those_that_tokenizer_config_names(tmp_path: Path) -> None:
    config = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = read_with(tmp_path, marked(prepend_and_replace(), None), tokenizer_config=config)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.unknown) == (1, 2, 0)
    assert tokenizer.stop_ids == (1, 2)
    assert tokenizer.add_bos


@pytest.mark.parametrize("processor_adds", [True, False])
@pytest.mark.parametrize("add_bos_token", [None, True, False])
@pytest.mark.parametrize(
    "tokenizer_class",
    [None, "PreTrainedTokenizerFast", "TokenizersBackend", "GPT2Tokenizer", "Qwen2TokenizerFast", "GemmaTokenizer"],
)
def test_the_post_processor_decides_whether_a_conversation_begins_with_bos(
    tokenizer_class: str | None, add_bos_token: bool | None, processor_adds: bool, tmp_path: Path
) -> None:
    """Transformers 4.57, 5.23 and 5.24 agree on that, except for GemmaTokenizer: there 4.57 follows add_bos_token."""
    config = {"bos_token": "<s>", "add_bos_token": add_bos_token, "tokenizer_class": tokenizer_class}
    tokenizer = read_document(tmp_path, template(LLAMA_JSON, processor_adds), tokenizer_config=config)
    assert (tokenizer.bos, tokenizer.add_bos) == (1, processor_adds)


@pytest.mark.parametrize("processor_adds", [True, False])
@pytest.mark.parametrize("add_bos_token", [None, True, False])
@pytest.mark.parametrize("tokenizer_class", ["LlamaTokenizer", "LlamaTokenizerFast"])
def test_with_llamas_own_class_add_bos_token_comes_first(
    tokenizer_class: str, add_bos_token: bool | None, processor_adds: bool, tmp_path: Path
) -> None:
    config = {"bos_token": "<s>", "add_bos_token": add_bos_token, "tokenizer_class": tokenizer_class}
    tokenizer = read_document(tmp_path, template(LLAMA_JSON, processor_adds), tokenizer_config=config)
    assert tokenizer.add_bos is (processor_adds if add_bos_token is None else add_bos_token)


def test_an_answer_ends_at_every_token_that_the_generation_config_lists(tmp_path: Path) -> None:
    ids = {name: REPLICAS["Qwen2"]().token_to_id(name) for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")}
    tokenizer = read_with(
        tmp_path,
        REPLICAS["Qwen2"](),
        tokenizer_config={"bos_token": None, "eos_token": "<|im_end|>"},
        generation_config={"eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]]},
        config={"eos_token_id": ids["<|endoftext|>"]},
    )
    assert (tokenizer.bos, tokenizer.add_bos, tokenizer.eos) == (None, False, ids["<|im_end|>"])
    assert tokenizer.stop_ids == (ids["<|im_end|>"], ids["<|endoftext|>"])


def test_tokens_that_tokenizer_config_adds_or_changes_count(tmp_path: Path) -> None:
    tokenizer = gpt2()
    end, new = tokenizer.token_to_id("<|endoftext|>"), tokenizer.get_vocab_size()
    added = {
        str(end): {"content": "<|endoftext|>", "special": True, "normalized": False, "rstrip": True},
        str(new): {"content": "<|im_end|>", "special": True, "normalized": False},
    }
    read = read_with(tmp_path, tokenizer, tokenizer_config={"added_tokens_decoder": added})
    assert read.pieces[new] == b"<|im_end|>"
    assert encode(read, "a<|endoftext|>  a<|im_end|>", special=True) == [64, end, 64, new]
    assert not {end, new} & set(encode(read, "<|endoftext|><|im_end|>"))


def test_special_tokens_swallow_the_white_space_they_are_marked_to(pairs: Callable[[str], Pair]) -> None:
    phi3 = pairs("Phi-3").ours
    ends = encode(phi3, "the<|end|>\n \tthe", special=True)
    assert ends == encode(phi3, "the<|end|>the", special=True)
    assert len(phi3.strips) == 4


def test_a_token_that_strips_to_the_left_is_lost_in_white_space_that_another_swallowed(tmp_path: Path) -> None:
    """Where tokenizers does not panic (more than one line), it loses it too."""
    theirs = gpt2()
    theirs.add_tokens(
        [AddedToken("<wide>", normalized=False, rstrip=True), AddedToken("\n", normalized=False, lstrip=True)]
    )
    wide, line = theirs.token_to_id("<wide>"), theirs.token_to_id("\n")
    ours = read_with(tmp_path, theirs)
    for text, ids in {"<wide>\n": [wide], "<wide> \n<wide>": [wide, wide], "\n \n": [line, line]}.items():
        assert encode(ours, text) == theirs.encode(text).ids == ids
    assert encode(ours, "<wide>\n\n\n") == [wide]


def test_special_tokens_marked_as_normalized_are_reported(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path, marked(prepend_and_replace(), None))
    document = json.loads(path.read_text())
    document["added_tokens"][1]["normalized"] = True
    path.write_text(json.dumps(document))
    with pytest.warns(CheckpointWarning, match="'<s>' first, are marked as normalized"):
        assert encode(read_tokenizer(path), "a<s>", special=True)[-1] == 1


def test_a_folder_gives_its_tokenizer_json_first(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer.model", "cl100k_base.tiktoken"):
        (tmp_path / name).touch()
    for name in ("tokenizer.json", "tokenizer.model", "cl100k_base.tiktoken"):
        assert find_tokenizer(tmp_path, 300).name == name
        (tmp_path / name).unlink()
