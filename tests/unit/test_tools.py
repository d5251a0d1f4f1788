"""Tools answer calls; whatever a tool does, the model gets a text."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_actions_catalogue import CATALOGUE, calls
from tinyllm.codegen.actions.catalogue import Value, parse_call, read_catalogue
from tinyllm.errors import UserError
from tinyllm.host.tools.registry import TOOLS, Tools, load_tools

EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"


@given(calls())
def test_a_call_is_read_without_its_catalogue(call: tuple[str, dict[str, Value]]) -> None:
    assert parse_call(CATALOGUE.write(*call)) == call


@given(st.text() | st.text(alphabet='ab.(=",)1 true').map(lambda text: f"a.b({text}"))
def test_any_text_from_a_port_has_a_result(text: str) -> None:
    assert Tools().answer(text).startswith("error: ")


def test_a_tool_gets_the_arguments_by_name_and_its_result_is_text() -> None:
    tools = Tools()

    @tools.action("fan.set")
    def set_fan(room: str, speed: int, on: bool) -> object:
        return [room, speed, on]

    assert tools.answer('fan.set(room="a, on=true", speed=-3, on=false)') == "['a, on=true', -3, False]"
    assert set_fan("x", 1, True) == ["x", 1, True]


def test_a_tool_that_says_nothing_is_done() -> None:
    tools = Tools()
    tools.action("a")(lambda: None)
    assert tools.answer("a()") == "ok"


@pytest.mark.parametrize("raised", [ValueError("no\nsuch"), SystemExit(3), KeyboardInterrupt()])
def test_a_tool_that_raises_gives_an_error_of_one_line(raised: BaseException) -> None:
    tools = Tools()

    @tools.action("a")
    def fail() -> None:
        raise raised

    result = tools.answer("a()")
    assert result.startswith(f"error: {type(raised).__name__}") and "\n" not in result


def test_a_tool_that_hangs_gives_an_error_in_time() -> None:
    tools, never = Tools(seconds=0.05), threading.Event()
    tools.action("a")(lambda: never.wait(30))
    assert tools.answer("a()") == "error: a took longer than 0.05 s"
    never.set()


def test_wrong_arguments_and_what_utf8_cannot_write_are_results_too() -> None:
    tools = Tools()
    tools.action("a")(lambda x: "\ud800")
    assert tools.answer("a(y=1)").startswith("error: TypeError")
    assert tools.answer("a(x=1)") == "?"
    assert tools.answer("b()") == "error: no handler"


def test_a_name_that_no_call_has_is_refused() -> None:
    with pytest.raises(UserError, match="'Fan Set' is no name of a call"):
        Tools().action("Fan Set")


@pytest.mark.parametrize(("content", "message"), [("1/0", "ZeroDivisionError"), ("def", "SyntaxError")])
def test_a_file_of_tools_that_does_not_run_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "tools.py"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        load_tools(path)
    with pytest.raises(UserError, match="no such file"):
        load_tools(tmp_path / "none.py")


def test_the_examples_answer_the_calls_of_their_catalogue() -> None:
    pytest.importorskip("rank_bm25")
    load_tools(EXAMPLES / "tools.py")
    catalogue = read_catalogue(EXAMPLES / "actions.toml")
    assert TOOLS.answer('note.find(words="blue paint")') == "The blue paint is in the garage, on the second shelf."
    assert TOOLS.answer('note.find(words="green paint")') == "There is no such note."
    assert datetime.strptime(TOOLS.answer("clock.read()"), "It is %H:%M.")
    assert TOOLS.answer('weather.read(day="tomorrow")') == "Rain in the morning, 15 degrees."
    assert TOOLS.answer('library.search(words="when to plant garlic")').startswith("Plant garlic in October")
    assert all(TOOLS.answer(f"{name}()") != "error: no handler" for name in catalogue.calls)
