"""Adds boards to pytest's reports: name and transcript beside a failure, and a table of all boards at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tinyllm.host.api.board import Board

TESTED = pytest.StashKey["Board"]()
"""The board of a test."""

PROPERTY = "tinyllm"
"""The property of a test's report that holds its board, as JSON; junitxml writes it too."""

FIGURE = "tinyllm "
"""The prefix of properties that a test records for the table: `record_property("tinyllm per token", "...")`."""

COLUMNS = ("board", "model", "context", "build", "tests", "greedy tokens", "per token")
FIGURES = COLUMNS[-2:]


def tell(report: pytest.TestReport, board: Board) -> None:
    """Name the board in the report of a test, and if the test failed show what went over the wire."""
    if report.failed:
        report.sections.append(("board", describe(board)))
        report.sections.append(("serial transcript, > to the board, < from it", "\n".join(board.wire.lines())))
        if last := board.connection.process and "\n".join(board.connection.process.report()):
            report.sections.append(("what the board's process said last", last))
    if report.when == "call" or report.failed:
        hello = board.hello
        row = {"board": board.name, "model": hello.model, "context": str(hello.context), "build": hello.build_id}
        row["warning"] = board.warning or ""
        report.user_properties.append((PROPERTY, json.dumps(row)))


def describe(board: Board) -> str:
    """The board, its firmware and its model, for the report of a failure."""
    hello = board.hello
    place = "this computer" if board.can_restart else board.link.name
    return (
        f"{board.name} on {place}, firmware {hello.firmware}, build {hello.build_id}\n"
        f"{hello.model} ({hello.model_hash}), context {hello.context}"
    )


def summary(stats: Mapping[str, Sequence[Any]]) -> list[str]:
    """The table, from pytest's reports by outcome, and the boards' warnings; no lines if no test used a board."""
    boards: dict[tuple[str, ...], dict[str, Any]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in stats.get(outcome, ()):
            properties = dict(getattr(report, "user_properties", ()))
            if PROPERTY in properties:
                figures = {name: properties[FIGURE + name] for name in FIGURES if FIGURE + name in properties}
                count(boards, json.loads(properties[PROPERTY]) | figures, outcome)
    rows = list(boards.values())
    return (
        [*table(rows), *dict.fromkeys(f"warning: {row['warning']}" for row in rows if row["warning"])] if rows else []
    )


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
        named = (board[name] for name in COLUMNS[:4])
        rows.append((*named, f"{board['passed']} passed{failed}", *(board.get(name, "-") for name in FIGURES)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
