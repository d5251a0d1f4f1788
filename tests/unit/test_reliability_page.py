"""docs/reliability.md is what its records say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.reliability.page import PAGE, page, read
from tests.reliability.record import FOLDER
from tinyllm.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_of_the_records() -> None:
    """`make reliability` writes it."""
    assert (ROOT / PAGE).read_text("utf-8") == page(read(ROOT / FOLDER))


def test_nothing_that_was_saved_was_wrong() -> None:
    wrong = {record["name"]: record["counts"].get("wrong", 0) for record in read(ROOT / FOLDER)}
    assert not any(wrong.values()), wrong


def test_a_record_that_lacks_something_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"name": "x", "command": "x", "seed": "one"}))
    with pytest.raises(UserError, match=r"x\.json: no sound seed"):
        read(tmp_path)
