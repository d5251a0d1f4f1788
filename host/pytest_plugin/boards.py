"""The board that tests talk to: the one that the options name, connected once, and reset before each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tinyllm.boards.description import HOST
from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS
from tinyllm.errors import TinyllmError
from tinyllm.host.api.board import Board
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.link.errors import BoardGone
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output

AT_THE_START: dict[str, Any] = {row.name: row.decode(row.start) for row in SETTINGS.values()} | {"temperature": 0}
"""The settings of a board before each test: as at its start, but greedy."""


def wanted(request: pytest.FixtureRequest) -> BoardRequest:
    """The request in the fixture's parameter, or else one made of the options."""
    if isinstance(chosen := getattr(request, "param", None), BoardRequest):
        return chosen
    option = request.config.getoption
    return BoardRequest(
        model=option("tinyllm_model"),
        options=load_options(request.config),
        board=option("tinyllm_board") or HOST,
        port=option("tinyllm_port"),
        virtual=option("tinyllm_virtual"),
        count=option("tinyllm_virtual"),
    )


def load_options(config: pytest.Config, context: int | None = None) -> LoadOptions:
    """How the options want a model loaded. context: used if no option gives it."""
    option = config.getoption
    text = option("tinyllm_calibrate")
    return LoadOptions(
        context=option("tinyllm_context") or context,
        weights=option("tinyllm_weights"),
        calibrate=None if text is None else Path(text),
    )


def connected(request: BoardRequest) -> Iterator[Board]:
    """The board, for as long as the fixture lives."""
    with plainly():
        board = Board(request, Output())
    with board:
        yield board


def refresh(board: Board) -> None:
    """Begin a new conversation with the settings of AT_THE_START; a board that has ended is started again.

    The test fails if the board does not come back in time.
    """
    with plainly():
        try:
            board.settings.update(**AT_THE_START)
            board.reset()
        except BoardGone:
            board.reconnect()
            board.settings.update(**AT_THE_START)
            board.reset()


@contextmanager
def plainly() -> Iterator[None]:
    """Fail the test with the text of a TinyllmError, without a traceback."""
    try:
        yield
    except TinyllmError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
