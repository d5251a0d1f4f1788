"""Texts from elsewhere become fit for a message, a terminal and a name."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.text import LONGEST_NAME, UNNAMED, harmless_name, holds_surrogates, one_line, printable, shown

ANYTHING = st.text(st.characters(codec=None, categories=None), max_size=200) | st.binary(max_size=80).map(os.fsdecode)


@given(ANYTHING)
def test_any_name_becomes_harmless_short_and_stays_as_it_is_then(text: str) -> None:
    name = harmless_name(text)
    assert name.isprintable() and name == name.strip()
    assert 1 <= len(name.encode()) <= LONGEST_NAME
    assert not set(name) & set('"\\?*/$%;{}<>`|\n\r\t')
    assert harmless_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["stories260K", "TinyLlama-1.1B-Chat-v1.0", "qwen2.5 (copy) [q8]", "модель", "モデル", "किताब", "café", "it's"],
)
def test_a_name_that_people_give_stays_readable(name: str) -> None:
    assert harmless_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a\nbuild_flags = -DX", "a_build_flags = -DX"),
        (os.fsdecode(b"mod\xffel"), "mod_el"),
        ('q"\\$%;*/', "q_______"),
        ("\x1b[2J\u202e", "_[2J_"),
        ("cafe\u0301", "café"),
        ("", UNNAMED),
        ("   ", UNNAMED),
        ("é" * 100, "é" * (LONGEST_NAME // 2)),
    ],
)
def test_what_cannot_stand_in_a_name_is_replaced(text: str, name: str) -> None:
    if sys.platform == "win32" and holds_surrogates(text):
        pytest.skip("names are Unicode on Windows")
    assert harmless_name(text) == name


@given(ANYTHING)
def test_nothing_that_is_shown_steers_a_terminal_or_breaks_a_line(text: str) -> None:
    assert all(character.isprintable() or character in "\n\t" for character in printable(text))
    assert one_line(text, 40).isprintable() and len(one_line(text, 40)) <= 40
    assert shown(text).isprintable() and len(shown(text)) <= 80
    assert not holds_surrogates(printable(text))


def test_a_byte_of_a_name_that_is_not_utf8_shows_as_the_replacement_character() -> None:
    assert printable("mod\udcffel\x07\n") == "mod\ufffdel\n"


def test_a_run_of_white_space_is_one_space_on_one_line() -> None:
    assert one_line(" a\r\n b\xa0\tc\x1b d ", 5) == "a b c"


def test_a_number_that_python_does_not_write_is_shown_all_the_same() -> None:
    assert shown([10**5000]).startswith("[0x31e20801036510f3c5...0000") and shown(-(2**40)) == "-1099511627776"
