"""Small texts to train on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NAMES = ("Tom", "Lily", "Ben", "Mia")
THINGS = ("red ball", "big kite", "small boat", "blue hat", "old drum")
PLACES = ("park", "garden", "river", "wood")
STORIES = [
    f"One day {name} had a {thing}.\nThe {thing} was lost in the {place}. {name} was sad, and then {name} found it."
    for name in NAMES
    for thing in THINGS
    for place in PLACES
]


@pytest.fixture
def stories() -> list[str]:
    return STORIES


@pytest.fixture
def story_file(tmp_path: Path) -> Path:
    path = tmp_path / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(STORIES), encoding="utf-8")
    return path


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    """Conversations of one and of two turns, some with a call whose result the board puts in."""
    rows: list[object] = []
    for number, (name, thing) in enumerate((name, thing) for name in NAMES for thing in THINGS):
        rows.append({"prompt": f"Who has the {thing}?", "answer": f"{name} has it."})
        asked = [("How warm is it?", f"<call>heat({number})</call><result>{number}</result>It is {number} degrees.")]
        asked.append((f"Does {name} like it?", f"Yes, {name} likes it."))
        turns = zip(("user", "assistant") * 2, (text for turn in asked for text in turn), strict=True)
        rows.append({"messages": [{"role": role, "content": content} for role, content in turns]})
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path
