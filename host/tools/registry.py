"""Registers the function that answers each call, and runs it. An error in a tool becomes the call's result."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tinyllm.codegen.actions.catalogue import CALL_NAME, parse_call
from tinyllm.errors import UserError
from tinyllm.host.link.link import NO_HANDLER
from tinyllm.text import one_line, shown

SECONDS = 10.0
"""How long a tool may take; the board waits meanwhile."""

Tool = Callable[..., Any]
_T = TypeVar("_T", bound=Tool)


class Tools:
    """Functions by the names of the calls that they answer."""

    def __init__(self, seconds: float = SECONDS) -> None:
        """seconds: how long a tool may take."""
        self.seconds = seconds
        self._tools: dict[str, Tool] = {}

    def action(self, name: str) -> Callable[[_T], _T]:
        """A decorator: the function answers the calls of this name. It replaces an earlier function for the name.

            @tinyllm.action("note.find")
            def find_note(words: str) -> str: ...

        The function takes the call's arguments by their names, as str, bool or int. The model reads what it returns, as
        text; None becomes "ok". Raises UserError if `name` is no name of a call.
        """
        if not CALL_NAME.fullmatch(name):
            raise UserError(f"{shown(name)} is no name of a call, expected one as note.find.")

        def register(tool: _T) -> _T:
            self._tools[name] = tool
            return tool

        return register

    def answer(self, call: str) -> str:
        """The result of a call, which is given as text. If the tool raises or takes too long, an error in words."""
        try:
            name, values = parse_call(call)
        except UserError as error:
            return f"error: {one_line(str(error))}"
        tool = self._tools.get(name)
        if tool is None:
            return NO_HANDLER
        results: list[str] = []
        # A function cannot be stopped from outside. One that hangs keeps its thread; the conversation goes on.
        worker = threading.Thread(target=lambda: results.append(_run(tool, values)), name=name, daemon=True)
        worker.start()
        worker.join(self.seconds)
        return (
            results[0].encode("utf-8", "replace").decode()
            if results
            else f"error: {name} took longer than {self.seconds:g} s"
        )


def _run(tool: Tool, values: dict[str, Any]) -> str:
    try:
        result = tool(**values)
        return "ok" if result is None else str(result)
    except BaseException as error:  # sys.exit in a tool must not end the conversation either
        return one_line(f"error: {type(error).__name__}: {error}")


TOOLS = Tools()
"""The tools that `tinyllm.action` registers."""
action = TOOLS.action


def load_tools(path: Path) -> None:
    """Run a maker's Python file, which registers its tools. Raises UserError if it is missing or raises an error."""
    if not path.is_file():
        raise UserError(f"--tools {path}: no such file; expected Python with functions under @tinyllm.action.")
    try:
        runpy.run_path(str(path), run_name="tinyllm_tools")
    except Exception as error:
        raise UserError(f"--tools {path}: {one_line(f'{type(error).__name__}: {error}')}; mend the file.") from None
