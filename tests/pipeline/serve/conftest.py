"""One host board with the bundled chat model for every test of the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tinyllm
from tests.pipeline.serve.server import Served, served


@pytest.fixture(scope="session")
def chat_board() -> Iterator[tinyllm.Board]:
    with tinyllm.Board.host("chat") as board:
        yield board


@pytest.fixture
def server(chat_board: tinyllm.Board) -> Iterator[Served]:
    with served(chat_board) as running:
        yield running
