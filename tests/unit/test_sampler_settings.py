"""The table of settings: what people may write, what goes over the wire, and what the docs say of both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.codegen.arithmetic.sampler import Sampler, SamplerSettings
from tinyllm.codegen.arithmetic.sampler_settings import ONE, SAMPLING, SETTINGS, Setting, SettingRange, Unit
from tinyllm.errors import UserError

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROWS = list(SETTINGS.values())
each_setting = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def table(page: str, first_cell: str) -> list[dict[str, str]]:
    """The rows of the table whose heading begins with this cell, by heading."""
    text = (DOCS / page).read_text(encoding="utf-8").replace("\\|", "¦")
    lines = text[text.index(f"| {first_cell} |") :].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def shown(row: SettingRange, value: int) -> str:
    """As the docs show a value: a choice by its number."""
    return str(int(value)) if row.unit is Unit.CHOICE else row.shown(value)


def test_the_protocols_page_has_the_ranges_of_the_table() -> None:
    assert table("protocol.md", "setting | name") == [
        {
            "setting": str(row.setting.value),
            "name": row.name,
            "unit": ", ".join(f"{n} {word}" for n, word in enumerate(row.choices)) or row.unit.value,
            "least": shown(row, row.minimum),
            "greatest": shown(row, row.maximum),
            "at the start": shown(row, row.start),
            "meaning": row.meaning,
        }
        for row in ROWS
    ]


def test_the_page_on_sampling_has_the_ranges_of_the_table() -> None:
    off = {"temperature": "1", "top_k": "0", "top_p": "1", "min_p": "0", "repetition_penalty": "1"}
    assert table("sampling.md", "setting | unit") == [
        {
            "setting": row.name,
            "unit": row.unit.value,
            "least": shown(row, row.minimum),
            "greatest": shown(row, row.maximum),
            "at a board's start": shown(row, row.start),
            "off": off[row.name],
        }
        for row in (SETTINGS[setting] for setting in SAMPLING)
    ]


@each_setting
def test_the_text_voices_commands_are_documented_with_their_meaning(row: SettingRange) -> None:
    commands = {re.match(r"`(/\w+)", cells["command"])[1]: cells["does"] for cells in table("protocol.md", "command")}  # type: ignore[index]
    assert commands[f"/{row.command}"] == row.meaning


@each_setting
def test_the_limits_are_taken_and_what_is_beyond_them_is_refused(row: SettingRange) -> None:
    unit = ONE if row.unit is Unit.Q16 else 1
    for value in (row.minimum, row.start, row.maximum):
        assert row.encode(row.decode(value)) == value
    for value in (row.minimum - 1, row.maximum + 1, -(2**70), 2**70):
        with pytest.raises(UserError, match=f"^an option .*: expected {re.escape(row.expected)}\\.$"):
            row.encode(value / unit, "an option")
    for value in (float("nan"), float("inf"), -float("inf"), 10**400):
        with pytest.raises(UserError, match=f"^{row.name} .*: expected"):
            row.encode(value)


@each_setting
@given(data=st.data())
def test_a_value_is_shown_so_that_it_is_read_back(row: SettingRange, data: st.DataObject) -> None:
    value = data.draw(st.integers(row.minimum, row.maximum))
    assert row.encode(row.parse(row.shown(value))) == value
    assert re.fullmatch("|".join(row.choices) or r"\d+(\.\d{1,6})?", row.shown(value))


@each_setting
@pytest.mark.parametrize("typed", ["hot", "", "1,5", "0x1", "true"])
def test_a_word_that_is_no_value_is_quoted(row: SettingRange, typed: str) -> None:
    with pytest.raises(UserError, match=f"^{row.name} '{typed}': expected {re.escape(row.expected)}\\.$"):
        row.encode(row.parse(typed))


@pytest.mark.parametrize("value", [0.5, -0.5, 1e-9])
def test_a_fraction_is_no_whole_number(value: float) -> None:
    with pytest.raises(UserError, match="expected a whole number from 0 to 4294967295"):
        SETTINGS[Setting.TOP_K].encode(value)


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_a_top_k_above_the_vocabulary_keeps_all_of_it(logits: list[int], seed: int) -> None:
    every = [Sampler(SamplerSettings(top_k=0), seed).sample(logits) for _ in range(3)]
    for top_k in (len(logits), len(logits) + 1, 2**32 - 1):
        assert [Sampler(SamplerSettings(top_k=top_k), seed).sample(logits) for _ in range(3)] == every
