"""A tiktoken rank file encodes as tiktoken does, whatever stands beside it, and damaged ones are refused by line."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken import Encoding

from tests.unit.tokenizer_files import gpt2, rank_file, ranks_of
from tinyllm.codegen.tokenizers import PieceKind, Tokenizer, find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode
from tinyllm.codegen.tokenizers.encode.pretokenize import PATTERNS
from tinyllm.codegen.tokenizers.formats.tiktoken import KNOWN
from tinyllm.errors import UserError

RANKS = ranks_of(gpt2())
SPECIALS = {"<|endoftext|>": 400, "<|im_end|>": 401}
CONFIG = {
    "eos_token": "<|endoftext|>",
    "added_tokens_decoder": {str(token): {"content": name, "special": True} for name, token in SPECIALS.items()},
}
FRAGMENTS = [*" \t\n\r.a1éß猫😀▁", "  ", "the", " the park", "<|endoftext|>", "<|im_end|>", "'ll", "'S", "1234", " \n "]
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=12).map("".join)


def write(folder: Path, name: str, ranks: dict[bytes, int] = RANKS, config: dict[str, Any] | None = CONFIG) -> Path:
    path = folder / f"{name}.tiktoken"
    path.write_bytes(rank_file(ranks))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Tokenizer, Encoding]]:
    @cache
    def pair(name: str) -> tuple[Tokenizer, Encoding]:
        path = write(tmp_path_factory.mktemp("ranks"), name)
        regex = PATTERNS[KNOWN[name].pattern].published[-1][-1]
        theirs = Encoding(name, pat_str=regex, mergeable_ranks=RANKS, special_tokens=SPECIALS)
        return read_tokenizer(path), theirs

    return pair


@settings(deadline=None, max_examples=80)
@given(text=TEXTS)
@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"qwen"}))
def test_any_text_encodes_as_tiktoken_has_it(
    pairs: Callable[[str], tuple[Tokenizer, Encoding]], name: str, text: str
) -> None:
    ours, theirs = pairs(name)
    assert encode(ours, text) == theirs.encode_ordinary(text)
    assert encode(ours, text, special=True) == theirs.encode(text, allowed_special="all")
    assert decode(ours, encode(ours, text)).decode() == text


def test_stories_encode_as_tiktoken_has_it(
    pairs: Callable[[str], tuple[Tokenizer, Encoding]], stories_text: str
) -> None:
    text = stories_text[:20_000]
    for name in sorted(set(KNOWN) - {"qwen"}):
        ours, theirs = pairs(name)
        assert encode(ours, text) == theirs.encode_ordinary(text)


def test_qwen_brings_text_into_normal_form_first(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(write(tmp_path, "qwen"))
    assert encode(tokenizer, "cafe\u0301") == encode(tokenizer, "café")


def distinct_ranks(n: int) -> dict[bytes, int]:
    """That many pieces, the single bytes first."""
    pieces = [bytes([byte]) for byte in range(256)] + [b"%06x" % number for number in range(n - 256)]
    return {piece: rank for rank, piece in enumerate(pieces)}


def test_llama3_is_known_by_the_number_of_its_ranks(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(rank_file(distinct_ranks(128_000)))
    assert find_tokenizer(tmp_path, 128_256) == path
    tokenizer = read_tokenizer(path)
    assert (tokenizer.vocab_size, tokenizer.pattern, tokenizer.bos, tokenizer.eos) == (
        128_256,
        "llama3",
        128_000,
        128_001,
    )
    assert tokenizer.stop_ids == (128_000, 128_001, 128_009)
    assert tokenizer.pieces[128_006:128_010] == (
        b"<|start_header_id|>",
        b"<|end_header_id|>",
        b"<|reserved_special_token_4|>",
        b"<|eot_id|>",
    )
    assert tokenizer.pieces[-1] == b"<|reserved_special_token_250|>"
    assert encode(tokenizer, "a", bos=True) == [128_000, 97]


def test_ids_without_a_rank_or_a_name_are_never_produced(tmp_path: Path) -> None:
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(rank_file(distinct_ranks(100_256)))
    tokenizer = read_tokenizer(path)
    assert tokenizer.vocab_size == 100_277
    assert tokenizer.pieces[100_256] == b"[PAD100256]"
    assert tokenizer.kinds[100_256] is PieceKind.CONTROL
    assert tokenizer.pieces[100_276] == b"<|endofprompt|>"
    assert (tokenizer.bos, tokenizer.add_bos, tokenizer.eos) == (None, False, 100_257)


def test_the_only_rank_file_of_a_folder_is_found(tmp_path: Path) -> None:
    path = write(tmp_path, "cl100k_base")
    assert find_tokenizer(tmp_path, 402) == path
    write(tmp_path, "o200k_base")
    with pytest.raises(UserError, match=r"2 \*\.tiktoken"):
        find_tokenizer(tmp_path, 402)


def line(piece: bytes, rank: object) -> bytes:
    return base64.b64encode(piece) + f" {rank}\n".encode()


SOUND = rank_file(RANKS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SOUND + b"????\n", "line 401 is b'????'"),
        (SOUND + b"YQ= 400\n", "line 401 is b'YQ= 400'"),
        (SOUND + b"YQ== 4 5\n", "line 401 is b'YQ== 4 5'"),
        (SOUND + b"YQ== x\n", "line 401 is b'YQ== x'"),
        (SOUND + line(b"zz", 5), "line 401 has the rank b'5'"),
        (SOUND + line(b"zz", -5), "line 401 has the rank b'-5'"),
        (SOUND + line(b"zz", 10**30), "line 401 has the rank b'1000"),
        (SOUND + line(b"zz", 999_999), "ids go up to 999999, but there are 401 ranks"),
        (SOUND + line(b"a", 400), "pieces 64 and 400 are both b'a'"),
        (SOUND + line(b"", 400), "piece 400 is empty"),
        (SOUND + line(b"z" * 2000, 400), "piece 400 has 2,000 bytes"),
        (line(b"a", 0), "no piece stands for the single byte 0x00"),
    ],
)
def test_a_rank_file_that_is_not_sound_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_tokenizer(path)
    message = str(caught.value)
    assert words in message
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1


def test_a_vocabulary_whose_pattern_is_nowhere_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"400 ranks .* rename it to NAME\.tiktoken, .* cl100k_base"):
        read_tokenizer(write(tmp_path, "mine"))


def test_a_special_token_on_a_rank_is_refused(tmp_path: Path) -> None:
    config = {"added_tokens_decoder": {"7": {"content": "<|x|>", "special": True}}}
    with pytest.raises(UserError, match=r"7 is a rank and a special token"):
        read_tokenizer(write(tmp_path, "cl100k_base", config=config))
