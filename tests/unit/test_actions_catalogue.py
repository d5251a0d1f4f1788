"""A catalogue is read with checks, and writes and parses the text of a call."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.codegen.actions.catalogue import (
    BUNDLED,
    Argument,
    Catalogue,
    FreeText,
    Integers,
    Kind,
    Switch,
    Value,
    Words,
    read_catalogue,
)
from tinyllm.errors import UserError

CATALOGUE = read_catalogue(BUNDLED)

# Calls of the bundled catalogue, as they are written.
WRITTEN = [
    ("light.set", {"room": "living room", "on": True}, 'light.set(room="living room", on=true)'),
    ("light.dim", {"room": "hall", "level": 100}, 'light.dim(room="hall", level=100)'),
    ("led.set", {"color": "pink"}, 'led.set(color="pink")'),
    ("led.blink", {"times": 20}, "led.blink(times=20)"),
    ("servo.set", {"angle": 0}, "servo.set(angle=0)"),
    ("relay.set", {"id": 8, "on": False}, "relay.set(id=8, on=false)"),
    ("timer.start", {"minutes": 90}, "timer.start(minutes=90)"),
    ("sensor.read", {"kind": "humidity"}, 'sensor.read(kind="humidity")'),
    ("display.show", {"text": "Grüße, all: (1)"}, 'display.show(text="Grüße, all: (1)")'),
    ("pin.write", {"pin": 40, "on": True}, "pin.write(pin=40, on=true)"),
]

# Texts that are no call of the bundled catalogue, and what the error says.
WRONG = [
    ("", "is no call, expected NAME"),
    ("led.set", "is no call, expected NAME"),
    ('LED.set(color="red")', "there is no call 'LED.set'"),
    ("led.set(color=red)", "color is 'red', expected one of red, green"),
    ('led.set(color="Red")', "color is '\"Red\"', expected one of red"),
    ('led.set(color="red)', "color is '\"red', expected one of"),
    ('led.set(color="red") ', "expected '\\)' and the end at '\\) '"),
    ("led.set()", "expected 'color='"),
    ("servo.set(angle=181)", "expected an integer from 0 to 180"),
    ("servo.set(angle=-1)", "expected an integer from 0 to 180"),
    ("servo.set(angle=007)", "expected an integer from 0 to 180"),
    ("servo.set(angle=+7)", "expected an integer from 0 to 180"),
    ("servo.set(angle=٧)", "expected an integer from 0 to 180"),
    ("servo.set(angle=true)", "expected an integer from 0 to 180"),
    ("servo.set(angle=99999999999999999999999)", "expected an integer from 0 to 180"),
    ("relay.set(on=true, id=1)", "expected 'id='"),
    ("relay.set(id=1,on=true)", "expected ', on='"),
    ("relay.set(id=1)", "expected ', on='"),
    ("relay.set(id=1, on=1)", "expected true or false"),
    (f'display.show(text="{"a" * 41}")', "expected text of at most 40 bytes"),
    ('display.show(text="a\\")', "expected text of at most 40 bytes"),
    ('display.show(text="a\n")', "expected text of at most 40 bytes"),
]

# Catalogues that are wrong, and what the error says.
WRONG_FILES = [
    ("", "call is missing, expected a table"),
    ("call = 1", "call is 1, expected a table"),
    ("[call]", "holds 0 calls"),
    ("[calls.a]", "calls is unknown, expected one of caution, words, call"),
    ("caution = 17\n[call.a]", "caution is 17, expected a number from 0 to 16"),
    ("caution = nan\n[call.a]", "caution is nan, expected a number from 0 to 16"),
    ("[call.A]", "'A' is no name of a call"),
    ('[call."a b"]', "'a b' is no name of a call"),
    ("[call.a]\nargument = {}", "argument is unknown"),
    ("[call.a]\narguments = { Q = [] }", "'Q' is no name of an argument"),
    ("[call.a]\narguments = { q = [] }", "expected a list of 1 to 256"),
    ('[call.a]\narguments = { q = ["x", "x"] }', "different words"),
    ("[call.a]\narguments = { q = ['a\"'] }", "without quotes"),
    ('[call.a]\narguments = { q = [""] }', "not empty"),
    ('[call.a]\narguments = { q = "rooms" }', "q is 'rooms', expected a list of words"),
    ('[call.a]\narguments = { q = "9..1" }', "the smaller one first"),
    ('[call.a]\narguments = { q = "0..2147483648" }', "int32"),
    ('[call.a]\narguments = { q = "text(0)" }', "text\\(1\\) to text\\(200\\)"),
    ("[call.a]\narguments = { q = 7 }", "q is 7, expected a list"),
    ('[call.a]\nphrasings = ["do {it}"]', "there is no argument 'it'"),
    ('[call.a]\nphrasings = ["do {"]', "expected a text with {argument} slots"),
    ("[call.a]\nphrasings = [1]", "expected a text with {argument} slots"),
    ("[words]\nrooms = 1\n[call.a]", "words.rooms is 1, expected a list"),
    ("[call.a", "not a readable TOML file"),
]


@pytest.mark.parametrize(("name", "values", "text"), WRITTEN)
def test_a_call_is_written_and_parsed(name: str, values: dict[str, Value], text: str) -> None:
    assert CATALOGUE.write(name, values) == text
    assert CATALOGUE.parse(text) == (name, values)


def test_the_bundled_catalogue_has_the_calls_that_are_written_here() -> None:
    assert list(CATALOGUE.calls) == [name for name, _, _ in WRITTEN]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_no_call_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CATALOGUE.parse(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": 1}, "on is missing, expected true or false"),
        ({"id": 9, "on": True}, "id is 9, expected an integer from 1 to 8"),
        ({"id": True, "on": True}, "id is True, expected an integer"),
        ({"id": 1, "on": 1}, "on is 1, expected true or false"),
        ({"id": 1, "on": True, "x": 1}, "has no argument 'x', expected id, on"),
    ],
)
def test_values_that_a_call_does_not_take_are_refused(values: dict[str, Value], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CATALOGUE.write("relay.set", values)


@pytest.mark.parametrize(("content", "message"), WRONG_FILES)
def test_a_wrong_catalogue_is_refused_with_its_path(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "actions.toml"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        read_catalogue(path)
    assert str(path) in str(error.value)


def test_caution_is_none_unless_the_file_has_some(tmp_path: Path) -> None:
    path = tmp_path / "actions.toml"
    for line, caution in (("", 0.0), ("caution = 2\n", 2.0), ("caution = 0.25\n", 0.25)):
        path.write_text(f"{line}[call.a]\n")
        assert read_catalogue(path).caution == caution


def test_phrasings_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "actions.toml"
    path.write_text('[call.a]\narguments = { n = "-5..5" }\nphrasings = ["go to {n}", "move"]\n')
    call = read_catalogue(path).calls["a"]
    assert call.phrasings == ("go to {n}", "move")
    assert call.arguments == (Argument("n", Integers(-5, 5)),)


def values_of(kind: Kind) -> st.SearchStrategy[Value]:
    """Any value that an argument of this kind takes."""
    if isinstance(kind, Words):
        return st.sampled_from(kind.words)
    if isinstance(kind, Switch):
        return st.booleans()
    if isinstance(kind, Integers):
        return st.integers(kind.least, kind.greatest)
    assert isinstance(kind, FreeText)
    return st.text(max_size=kind.longest).filter(kind.holds)


@st.composite
def calls(draw: st.DrawFn, catalogue: Catalogue = CATALOGUE) -> tuple[str, dict[str, Value]]:
    """A call of the catalogue with values."""
    call = draw(st.sampled_from(list(catalogue.calls.values())))
    return call.name, {argument.name: draw(values_of(argument.kind)) for argument in call.arguments}


@given(calls())
def test_every_call_comes_back_from_its_text(call: tuple[str, dict[str, Value]]) -> None:
    assert CATALOGUE.parse(CATALOGUE.write(*call)) == call


@given(st.text())
def test_any_text_is_a_call_or_a_user_error(text: str) -> None:
    try:
        name, values = CATALOGUE.parse(text)
    except UserError:
        return
    assert CATALOGUE.write(name, values) == text
