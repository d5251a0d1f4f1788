"""Tables and texts at any width: names stay whole, lines fit, and nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.host.layout import table, width, wrap

HEADERS = ["board", "chip", "memory", "what it is"]
ROWS = [
    ["pico", "rp2040", "2,048 KB flash, 264 KB SRAM", "Raspberry Pi Pico: RP2040, two Cortex-M0+"],
    ["esp32s3-n16r8", "esp32s3", "16,384 KB flash, 512 KB SRAM, 8,192 KB PSRAM", "ESP32-S3 module with PSRAM"],
]
PROSE = ("memory", "what it is")


def test_without_a_limit_a_row_is_a_line() -> None:
    heading, lines = table(HEADERS, ROWS, None, PROSE)
    assert heading == ["board           chip      memory                                         what it is"]
    assert [line.split("   ")[0] for line in lines] == ["pico", "esp32s3-n16r8"]


def test_at_80_columns_the_prose_wraps_and_the_names_do_not() -> None:
    heading, lines = table(HEADERS, ROWS, 80, PROSE)
    assert heading == ["board           chip      memory                       what it is"]
    assert lines == [
        "pico            rp2040    2,048 KB flash, 264 KB       Raspberry Pi Pico:",
        "                          SRAM                         RP2040, two Cortex-M0+",
        "esp32s3-n16r8   esp32s3   16,384 KB flash, 512 KB      ESP32-S3 module with",
        "                          SRAM, 8,192 KB PSRAM         PSRAM",
    ]


def test_a_row_that_does_not_fit_becomes_a_paragraph() -> None:
    headers = ["board", "chip", "cores", "virtual", "memory", "what it is"]
    rows = [[name, chip, "2", "yes", *prose] for name, chip, *prose in ROWS]
    assert table(headers, rows, 40, PROSE) == (
        ["board"],
        [
            "pico",
            "  chip: rp2040   cores: 2   virtual: yes",
            "  memory: 2,048 KB flash, 264 KB SRAM",
            "  what it is: Raspberry Pi Pico: RP2040,",
            "    two Cortex-M0+",
            "esp32s3-n16r8",
            "  chip: esp32s3   cores: 2",
            "  virtual: yes",
            "  memory: 16,384 KB flash, 512 KB SRAM,",
            "    8,192 KB PSRAM",
            "  what it is: ESP32-S3 module with PSRAM",
        ],
    )


def test_a_path_is_never_broken() -> None:
    path = "/home/someone/.cache/tinyllm/models/tinystories-260k"
    assert table(["model", "folder"], [["a", path]], 40)[1] == ["a", "  folder:", f"    {path}"]
    assert table(["", ""], [["model", f"{path} here"]], 40, [""])[1] == [f"model   {path}", "        here"]


def test_empty_cells_and_no_rows_are_fine() -> None:
    assert table(["a", "b"], [], 20) == (["a   b"], [])
    assert table(["", ""], [["x", ""], ["", "y"]], None) == ([], ["x", "    y"])


def test_wide_characters_keep_the_columns_straight() -> None:
    _, lines = table(["", ""], [["日本", "x"], ["abcd", "y"]], None)
    assert lines == ["日本   x", "abcd   y"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("  one two", ["  one", "two"]),
        ("a  /very/long/path/indeed b", ["a", "/very/long/path/indeed", "b"]),
        ("one\n\ntwo", ["one", "", "two"]),
        ("", [""]),
    ],
)
def test_a_text_breaks_at_spaces_and_a_long_word_runs_over(text: str, lines: list[str]) -> None:
    assert wrap(text, 8) == lines


WORDS = st.lists(st.text("ab-/日", min_size=1, max_size=14), max_size=6).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4), st.integers(1, 90), st.sets(st.sampled_from("xyz")))
def test_no_word_of_a_table_is_broken_or_lost(rows: list[tuple[str, str, str]], columns: int, wraps: set[str]) -> None:
    heading, lines = table(["x", "y", "z"], rows, columns, wraps)
    shown = " ".join(lines).replace("y: ", " ").replace("z: ", " ").split()
    assert sorted(shown) == sorted(word for row in rows for cell in row for word in cell.split())
    if len(heading) > 0 and heading[0].endswith("z") and "z" not in wraps:
        assert all(width(line) <= columns for line in lines)
