"""Every form of tokenizer on the board, compiled with the undefined behaviour sanitizer, against Python's."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.c_library import ENGINE, load_c
from tests.pipeline.test_engine_text import ENCODER, TEXT_MAX, TEXT_SOURCES, TOO_LONG, text_files
from tests.unit.tokenizer_forms import FORMS, TEXTS, form
from tests.unit.trained_tokenizers import HAND_PICKED, TRAINED, read_trained
from tinyllm.codegen.tokenizers.encode import encoder
from tinyllm.codegen.tokenizers.normal_forms import compositions, decompositions
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Strip, Tokenizer

CAPACITY = 1000
SECTION = """
    uint32_t tl_encode_section(const uint8_t *text, uint32_t n, bool first, tl_token_t *tokens, uint32_t capacity);
"""


@dataclass(frozen=True)
class Board:
    """A tokenizer and its compiled form."""

    tokenizer: Tokenizer
    lib: Any
    ffi: Any

    def encode(self, text: bytes, first: bool = True, section: bool = False) -> list[int] | None:
        tokens = self.ffi.new("tl_token_t[]", CAPACITY)
        encoder = self.lib.tl_encode_section if section else self.lib.tl_encode
        count = encoder(text, len(text), first, tokens, CAPACITY)
        return None if count == TOO_LONG else list(tokens[0:count])


def build(tokenizer: Tokenizer, folder: Path) -> Board:
    declarations = ENCODER % (16 if tokenizer.vocab_size <= 0xFFFF else 32) + SECTION
    library = load_c(folder, text_files(tokenizer), ["vocabulary.c", *TEXT_SOURCES], declarations)
    return Board(tokenizer, library.lib, library.ffi)


@pytest.fixture(scope="module", params=FORMS)
def board(request, tmp_path_factory):
    return build(form(request.param).ours, tmp_path_factory.mktemp("form"))


@pytest.fixture(scope="module")
def composing(tmp_path_factory):
    """A tokenizer that asks for normal form C, so that ids show the bytes."""
    return build(form("byte-level qwen2 with normal form C").ours, tmp_path_factory.mktemp("nfc"))


ANY_BYTES = st.one_of(TEXTS.map(str.encode), st.binary(max_size=60), st.text(max_size=30).map(str.encode)).filter(
    lambda text: len(text) <= 200
)


@settings(max_examples=40, deadline=None)
@given(text=ANY_BYTES, bos=st.booleans())
def test_the_board_encodes_any_bytes_with_any_form_as_the_reference_does(board, text, bos):
    assert board.encode(text, bos) == encoder.encode(board.tokenizer, text, bos)


@settings(max_examples=20, deadline=None)
@given(text=ANY_BYTES, first=st.booleans())
def test_the_board_encodes_a_section_as_the_reference_does(board, text, first):
    assert board.encode(text, first, section=True) == encoder.encode_section(board.tokenizer, text, first)


@pytest.fixture(
    scope="module",
    # Python reads all of them at each run (tests/unit/test_trained_tokenizers.py).
    params=[
        pytest.param(name, marks=[] if number % 3 == 0 else pytest.mark.sweep) for number, name in enumerate(TRAINED)
    ],
)
def trained_board(request, tmp_path_factory):
    return build(read_trained(request.param), tmp_path_factory.mktemp("trained"))


@settings(max_examples=40, deadline=None)
@given(text=ANY_BYTES, bos=st.booleans())
def test_the_board_encodes_any_bytes_with_a_trained_tokenizer_as_the_reference_does(trained_board, text, bos):
    assert trained_board.encode(text, bos) == encoder.encode(trained_board.tokenizer, text, bos)


def test_the_board_encodes_picked_texts_and_decodes_every_token_as_the_reference_does(trained_board):
    tokenizer = trained_board.tokenizer
    for text in HAND_PICKED:
        raw = text.encode()
        assert len(raw) <= TEXT_MAX
        assert trained_board.encode(raw, first=False) == encoder.encode(tokenizer, raw)
    start = trained_board.ffi.new("const uint8_t **")
    for token in range(tokenizer.vocab_size):
        length = trained_board.lib.tl_piece_text(token, start)
        assert bytes(trained_board.ffi.buffer(start[0], length)) == encoder.decode_piece(tokenizer, token)


MARKED = st.lists(
    st.one_of(
        st.sampled_from(
            ["e", "\u0301", "\u0323", "\u0307", "\u0344", "\u1100", "\u1161", "\u11a8", "각", "ẛ", "\U0001d160"]
        ),
        st.sampled_from(decompositions(False).characters),
        st.sampled_from([chr(part) for first, second, _ in compositions().pairs for part in (first, second)]),
        st.sampled_from(["\udcff", "\udcc3", "a", " "]),
    ),
    max_size=20,
).map(lambda parts: "".join(parts).encode("utf-8", "surrogateescape"))


@settings(max_examples=150, deadline=None)
@given(text=MARKED)
def test_characters_and_their_marks_come_together_as_unicode_has_it(composing, text):
    assert composing.encode(text, first=False) == encoder.encode(composing.tokenizer, text)


def test_the_board_encodes_stories_with_any_form(board, stories_text: str):
    text = stories_text[:6000].encode()
    for start in range(0, len(text), 250):
        part = text[start : start + 250]
        assert board.encode(part, first=False) == encoder.encode(board.tokenizer, part)


def test_a_token_that_strips_to_the_left_is_lost_in_white_space_that_another_swallowed(tmp_path: Path) -> None:
    whole = form("byte-level with whole words").ours
    line, wide = whole.vocab_size, whole.user_defined_ids[b"<wide>"]
    tokenizer = replace(
        whole,
        pieces=(*whole.pieces, b"\n"),
        kinds=(*whole.kinds, PieceKind.USER_DEFINED),
        strips=(*whole.strips, (line, Strip(left=True))),
    )
    board = build(tokenizer, tmp_path)
    for text, ids in {b"<wide>\n": [wide], b"<wide> \n\n\n": [wide], b" \n \n": [line, line]}.items():
        assert board.encode(text) == encoder.encode(tokenizer, text) == ids


# The arithmetic of scores


@pytest.fixture(scope="module")
def score(tmp_path_factory):
    declarations = """
        uint64_t tl_score_add(uint64_t a, uint64_t b);
        bool tl_score_above(uint64_t a, uint64_t b);
        uint64_t tl_score_widen(uint32_t single);
        uint32_t tl_score_narrow(uint64_t wide);
    """
    return load_c(tmp_path_factory.mktemp("score"), {}, [ENGINE / "score.c"], declarations).lib


def bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def single_bits(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


def near(width: int) -> Any:
    sizes = st.floats(2.0**-98, 2.0**98, width=width)
    few_bits = st.builds(lambda n, e: float(n) * 2.0**e, st.integers(1, 2**9), st.integers(-60, 20))
    return st.builds(
        lambda size, sign: sign * size, st.one_of(sizes, few_bits, st.just(0.0)), st.sampled_from([1.0, -1.0])
    )


@settings(max_examples=500, deadline=None)
@given(a=near(64), b=near(64))
def test_doubles_are_added_and_compared_as_ieee_754_has_it(score, a, b):
    for left, right in ((a, b), (a, -b), (a, float(np.nextafter(-a, b)))):
        total = score.tl_score_add(bits(left), bits(right))
        assert total in (bits(left + right), bits(abs(left + right)) if left + right == 0 else None)
        assert score.tl_score_above(bits(left), bits(right)) == (left > right)


@settings(max_examples=500, deadline=None)
@given(a=near(32), b=near(32))
def test_floats_are_added_as_numpy_adds_them(score, a, b):
    a, b = np.float32(a), np.float32(b)
    total = score.tl_score_narrow(
        score.tl_score_add(score.tl_score_widen(single_bits(a)), score.tl_score_widen(single_bits(b)))
    )
    assert total == single_bits(a + b) or (a + b == 0 and total in (0, 1 << 31))
    assert score.tl_score_widen(single_bits(a)) == bits(float(a))
