"""tinyllm: language models on microcontrollers.

    import tinyllm

    with tinyllm.Board.host() as board:
        for piece in board.ask("Once upon a time"):
            print(piece, end="")

docs/python.md shows the rest. Each name is loaded when it is first used, so importing the package takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyllm.errors import Failure, TinyllmError, UserError
    from tinyllm.host.api.answer_stream import AnswerStream
    from tinyllm.host.api.board import Board
    from tinyllm.host.api.chat import BoardChat
    from tinyllm.host.api.model import LanguageModel, load
    from tinyllm.host.api.settings import UnknownSetting
    from tinyllm.host.link.answer import Answer
    from tinyllm.host.link.errors import BoardGone, LostFrame, Refused
    from tinyllm.host.tools.registry import action

_MODULES = {
    "Answer": "tinyllm.host.link.answer",
    "AnswerStream": "tinyllm.host.api.answer_stream",
    "Board": "tinyllm.host.api.board",
    "BoardChat": "tinyllm.host.api.chat",
    "BoardGone": "tinyllm.host.link.errors",
    "Failure": "tinyllm.errors",
    "LanguageModel": "tinyllm.host.api.model",
    "LostFrame": "tinyllm.host.link.errors",
    "Refused": "tinyllm.host.link.errors",
    "TinyllmError": "tinyllm.errors",
    "UnknownSetting": "tinyllm.host.api.settings",
    "UserError": "tinyllm.errors",
    "action": "tinyllm.host.tools.registry",
    "load": "tinyllm.host.api.model",
}
"""Public name -> the module that defines it."""

__all__ = [
    "Answer",
    "AnswerStream",
    "Board",
    "BoardChat",
    "BoardGone",
    "Failure",
    "LanguageModel",
    "LostFrame",
    "Refused",
    "TinyllmError",
    "UnknownSetting",
    "UserError",
    "action",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
