"""Text is cut into words as the published regular expressions cut it, by the same classes of characters."""

from __future__ import annotations

import functools
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from tests.unit.tokenizer_forms import TEXTS
from tinyllm.codegen.tokenizers.encode.pretokenize import PATTERNS, find_pattern, words
from tinyllm.codegen.tokenizers.encode.unicode_classes import WHITE_SPACE, CharClass, char_class

EVERY = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
MOST_SCRIPTS = EVERY[:0x3100] + EVERY[0x3100::97]
"""The scripts of most languages, and a sample of what lies behind them."""
CLASSES = {
    CharClass.SPACE: r"\s",
    CharClass.NUMBER: r"\p{N}",
    CharClass.LETTER: r"[\p{Lm}\p{Lo}]",
    CharClass.UPPER: r"[\p{Lu}\p{Lt}]",
    CharClass.LOWER: r"\p{Ll}",
    CharClass.MARK: r"\p{M}",
}
# cl100k is written for tiktoken, whose words test_encoder.py compares.
PUBLISHED = [(name, regexes) for name, pattern in PATTERNS.items() for regexes in pattern.published if name != "cl100k"]


@functools.cache
def classes(characters: str) -> dict[str, CharClass]:
    return {character: char_class(character) for character in characters}


domains = pytest.mark.parametrize(
    "characters", [MOST_SCRIPTS, pytest.param(EVERY, marks=pytest.mark.sweep)], ids=["most scripts", "all of Unicode"]
)


@domains
@pytest.mark.parametrize("kind", CLASSES)
def test_a_character_is_of_the_class_that_tokenizers_has_it_in(kind: CharClass, characters: str) -> None:
    others = pre_tokenizers.Split(Regex(CLASSES[kind] + "+"), "removed").pre_tokenize_str(characters)
    members = set(characters) - {character for part, _ in others for character in part}
    assert {character for character, its_kind in classes(characters).items() if its_kind is kind} == members


@domains
def test_the_classes_agree_with_the_categories_that_python_knows(characters: str) -> None:
    letters = {CharClass.LETTER, CharClass.UPPER, CharClass.LOWER}
    for character, kind in classes(characters).items():
        category = unicodedata.category(character)
        if category != "Cn":
            assert (kind in letters) is (category[0] == "L")
            assert (kind is CharClass.NUMBER) is (category[0] == "N")
    assert len(WHITE_SPACE) == 25


@pytest.mark.parametrize(("name", "regexes"), PUBLISHED)
@settings(deadline=None, max_examples=200)
@example(text="'ſ 'S'LL'd  12345 \n\n x")
@example(text="ABC字DEF éÉ \u0301\u0301A \u0903b")
@given(text=TEXTS)
def test_any_text_is_cut_as_its_regular_expressions_cut_it(name: str, regexes: tuple[str, ...], text: str) -> None:
    theirs = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated") for regex in regexes])
    assert [word.decode() for word in words(name, text.encode())] == [word for word, _ in theirs.pre_tokenize_str(text)]


@pytest.mark.parametrize("name", PATTERNS)
@given(text=st.binary(max_size=60))
def test_the_words_of_any_bytes_are_those_bytes_in_order(name: str, text: bytes) -> None:
    parts = list(words(name, text))
    assert b"".join(parts) == text
    assert all(parts)


def test_a_pattern_is_found_by_its_regular_expressions_and_no_other() -> None:
    for name, regexes in PUBLISHED:
        assert find_pattern(regexes) == name
    assert find_pattern((r"\w+",)) is None
