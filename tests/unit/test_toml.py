"""TOML of strangers is read in bounded time, or refused in words that can be printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyllm.errors import UserError
from tinyllm.toml import MOST_PARTS, parse_toml

PATH = Path("some/file.toml")
KEY = ".".join(["a"] * MOST_PARTS)


def test_what_is_sound_is_read() -> None:
    text = f'{KEY} = 1\n[b]\nnumbers = [{", ".join(["1.5"] * 99)}]\ntext = "{"a." * 99}"\nlast = {2**63 - 1}\n'
    values = parse_toml(text.encode(), PATH)
    assert values["b"]["last"] == 2**63 - 1 and values["b"]["text"] == "a." * 99


@pytest.mark.parametrize(
    "line", [f"{KEY}.a = 1", f"[{KEY}.a]", f"x = {{ {KEY}.a = 1 }}", " . ".join(['"a"'] * 99) + " = 1", "'a'." * 99]
)
def test_a_key_that_would_take_long_is_refused(line: str) -> None:
    with pytest.raises(UserError, match=f"^{PATH}: not a readable TOML file: a key of more than {MOST_PARTS} parts.$"):
        parse_toml(line, PATH)


@pytest.mark.parametrize("line", [f"x = 0x{'f' * 5000}", f"x = [{{ y = [{2**63}] }}]", f"x = -0b1{'0' * 64}"])
def test_an_integer_beyond_64_bits_is_refused(line: str) -> None:
    with pytest.raises(UserError, match=r"^some/file.toml: not a readable TOML file: "):
        parse_toml(line, PATH)


@pytest.mark.parametrize("content", [b"\xff", "x = " + "[" * 20_000, "x = " + "9" * 5000, 'x = "' + '\\"' * 30_000])
def test_what_is_no_toml_is_refused_in_a_line(content: str | bytes) -> None:
    with pytest.raises(UserError) as caught:
        parse_toml(content, PATH)
    assert len(str(caught.value)) < 300 and len(str(caught.value).splitlines()) == 1
