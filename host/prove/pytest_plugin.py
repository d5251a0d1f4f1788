"""The pytest plugin: a fixture `board` for tests that talk to a language model on a board.

docs/testing-boards.md shows how to use it. It is loaded in every run of pytest if tinyllm is installed, so it
imports nothing else of ours, or large, before a test asks for a board.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tinyllm.host.connect.attach import BoardRequest
    from tinyllm.host.prove.board_under_test import BoardUnderTest

PROPERTY = "tinyllm"
"""The property of a test's report that holds its board, as JSON; junitxml writes it too."""

COLUMNS = ("board", "model", "context", "build", "tests", "greedy tokens", "per token")

TESTED = pytest.StashKey["BoardUnderTest"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options with a prefix, for this is one of many plugins."""
    group = parser.getgroup("tinyllm", "a board that runs a language model (tinyllm)")
    add = group.addoption
    add("--tinyllm-board", metavar="NAME", help="a board of `tinyllm boards`; default: host")
    add("--tinyllm-virtual", action="store_true", help="the board's twin on this computer, in an emulator")
    add("--tinyllm-port", metavar="PORT", help="a running board: /dev/ttyACM0, COM3, socket://host:port")
    add("--tinyllm-model", metavar="MODEL", help="a bundled model's name or a checkpoint; default: a bundled one")
    add("--tinyllm-context", metavar="N", type=int, help="tokens that a model that is built here sees")


@pytest.fixture(scope="session")
def tinyllm_board_request(request: pytest.FixtureRequest) -> BoardRequest:
    """Which board the tests talk to: as the options say. May be overridden or parametrised."""
    from tinyllm.boards.description import HOST
    from tinyllm.host.connect.attach import BoardRequest
    from tinyllm.host.model.load import LoadOptions

    if isinstance(chosen := getattr(request, "param", None), BoardRequest):
        return chosen
    option = request.config.getoption
    return BoardRequest(
        model=option("tinyllm_model"),
        options=LoadOptions(context=option("tinyllm_context")),
        board=option("tinyllm_board") or HOST,
        port=option("tinyllm_port"),
        virtual=option("tinyllm_virtual"),
        count=option("tinyllm_virtual"),
    )


@pytest.fixture(scope="session")
def tinyllm_board(tinyllm_board_request: BoardRequest) -> Iterator[BoardUnderTest]:
    """The connection that all tests share; the host board and virtual boards are built and started."""
    from tinyllm.host.connect.attach import attach
    from tinyllm.host.output import Output
    from tinyllm.host.prove.board_under_test import BoardUnderTest

    with ExitStack() as running:
        with plainly():
            connection = running.enter_context(attach(tinyllm_board_request, Output()))
            board = BoardUnderTest(tinyllm_board_request, connection)
        yield board
        board.close()


@pytest.fixture
def board(tinyllm_board: BoardUnderTest, request: pytest.FixtureRequest) -> BoardUnderTest:
    """A board that has forgotten every conversation: greedy, its other settings as they are at a board's start."""
    request.node.stash[TESTED] = tinyllm_board
    with plainly():
        tinyllm_board.reset()
    return tinyllm_board


@contextmanager
def plainly() -> Iterator[None]:
    """An error of ours is a line for a person, not a traceback."""
    from tinyllm.errors import TinyllmError

    try:
        yield
    except TinyllmError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the board in the report, and if the test failed show what went over the wire."""
    report = yield
    tested = item.stash.get(TESTED, None)
    if tested is None:
        return report
    if report.failed:
        report.sections.append(("board", describe(tested)))
        report.sections.append(("serial transcript, > to the board, < from it", "\n".join(tested.wire.lines())))
        if last := tested.connection.process and "\n".join(tested.connection.process.report()):
            report.sections.append(("what the board's process said last", last))
    if call.when == "call" or report.failed:
        hello = tested.hello
        row = {"board": tested.name, "model": hello.model, "context": str(hello.context), "build": hello.build_id}
        report.user_properties.append((PROPERTY, json.dumps(row | tested.figures)))
    return report


def describe(tested: BoardUnderTest) -> str:
    """The board, its firmware and its model, for the report of a failure."""
    hello = tested.hello
    where = "this computer" if tested.can_restart else tested.link.name
    return (
        f"{tested.name} on {where}, firmware {hello.firmware}, build {hello.build_id}\n"
        f"{hello.model} ({hello.model_hash}), context {hello.context}"
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One table: what each board was and how its tests went. Nothing if no test used a board."""
    boards: dict[tuple[str, ...], dict[str, Any]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == PROPERTY:
                    count(boards, json.loads(value), outcome)
    if not boards:
        return
    terminalreporter.section("boards", sep="-")
    for line in table(list(boards.values())):
        terminalreporter.write_line(line)


def count(boards: dict[tuple[str, ...], dict[str, Any]], row: dict[str, str], outcome: str) -> None:
    """Add one test's report to the row of its board."""
    key = (row["board"], row["model"], row["context"], row["build"])
    known = boards.setdefault(key, {"passed": 0, "failed": 0})
    known.update(row)
    known["passed" if outcome == "passed" else "failed"] += 1


def table(boards: list[dict[str, Any]]) -> list[str]:
    """Aligned lines, sorted by model and board."""
    rows = [COLUMNS]
    for board in sorted(boards, key=lambda row: (row["model"], int(row["context"]), row["board"])):
        failed = f", {board['failed']} FAILED" if board["failed"] else ""
        rows.append(
            (
                *(board[name] for name in ("board", "model", "context", "build")),
                f"{board['passed']} passed{failed}",
                board.get("tokens", "-"),
                board.get("per_token", "-"),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
