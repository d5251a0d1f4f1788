"""Word wrap of streamed text: what stands on a terminal's screen afterwards."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcwidth

from tinyllm.host.terminal.word_wrap import WordWrap

LETTERS = [*"abcdefgh日é😀 \n\t", "e\u0301", "日\u0301"]


def screen(written: str) -> list[str]:
    """The lines of a terminal that is wide enough for what was written; a wide character takes two cells."""
    lines: list[list[str]] = [[]]
    column = 0
    for character in written:
        cells = lines[-1]
        if character == "\n":
            lines.append([])
            column = 0
        elif character == "\b":
            column -= 1
            assert column >= 0
        elif wcwidth(character) == 0:
            cells[column - 1] += character
        else:
            width = wcwidth(character)
            cells[column : column + width] = [character, *[""] * (width - 1)]
            column += width
    return ["".join(cells).rstrip(" ") for cells in lines]


def wrapped(pieces: list[str], columns: int) -> list[str]:
    wrap = WordWrap()
    return screen("".join(wrap.feed(piece, columns) for piece in pieces))


def test_a_word_that_does_not_fit_moves_to_the_next_line_with_the_letters_shown_already() -> None:
    assert wrapped(["Once upon a ti", "me ", "there"], 15) == ["Once upon a", "time there"]


def test_a_word_that_fits_exactly_stays_and_the_space_after_it_is_dropped() -> None:
    assert wrapped(["Once upon time ", "there"], 15) == ["Once upon time", "there"]


def test_newlines_and_indentation_stay() -> None:
    assert wrapped(["a list:\n  - one\n\n  - two"], 40) == ["a list:", "  - one", "", "  - two"]


def test_a_word_longer_than_a_line_is_broken() -> None:
    assert wrapped(["see abcdefghijklmnop"], 9) == ["see", "abcdefgh", "ijklmnop"]


def test_wide_characters_take_two_columns_and_break_anywhere() -> None:
    assert wrapped(["むかしむかし、あるところに"], 12) == ["むかしむか", "し、あると", "ころに"]


def test_combining_characters_take_no_column_and_stay_with_their_letter() -> None:
    accented = "e\u0301" * 8
    assert wrapped([f"ab {accented}"], 12) == [f"ab {accented}"]
    assert wrapped([f"abc {accented}"], 12) == ["abc", accented]


def test_a_terminal_that_becomes_narrower_is_noticed() -> None:
    wrap = WordWrap()
    assert screen(wrap.feed("one two three ", 40) + wrap.feed("four five", 10)) == ["one two three", "four five"]


@given(st.lists(st.sampled_from(LETTERS), max_size=60).map("".join), st.integers(5, 20), st.data())
def test_lines_fit_and_the_words_are_those_of_the_text(text: str, columns: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    lines = wrapped([text[:cut], text[cut:]], columns)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(sum(max(wcwidth(character), 0) for character in line) < columns for line in lines)


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1), st.integers(11, 30))
def test_no_word_is_broken_if_it_fits_a_line(words: list[str], columns: int) -> None:
    text = " ".join(words)
    lines = wrapped(list(text), columns)
    assert " ".join(lines).split() == words
    # Greedy: the first word of a line had no room on the line before.
    assert all(len(line) + 1 + len(after.split()[0]) >= columns for line, after in pairwise(lines))
