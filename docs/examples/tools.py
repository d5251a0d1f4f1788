"""Tools for a small model: notes, the time, the weather of a file, and a search of a folder of texts.

`tinyllm chat MODEL --actions docs/examples/actions.toml --tools docs/examples/tools.py`; docs/actions.md explains it.
The search needs `pip install 'tinyllm[search]'`.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from pathlib import Path

from rank_bm25 import BM25Okapi

import tinyllm

HERE = Path(__file__).parent


@tinyllm.action("note.find")
def find_note(words: str) -> str:
    """The first line of notes.txt that holds each of the words."""
    for line in (HERE / "notes.txt").read_text().splitlines():
        if all(word in line.lower() for word in words.lower().split()):
            return line
    return "There is no such note."


@tinyllm.action("clock.read")
def read_clock() -> str:
    """The time of this computer."""
    return f"It is {datetime.now():%H:%M}."


@tinyllm.action("weather.read")
def read_weather(day: str) -> str:
    """What weather.json, which another program may write, says of a day."""
    return str(json.loads((HERE / "weather.json").read_text())[day])


@cache
def library() -> tuple[list[str], BM25Okapi]:
    """The paragraphs of every text in the folder, and their index."""
    texts = [path.read_text() for path in sorted((HERE / "library").glob("*.txt"))]
    paragraphs = [" ".join(part.split()) for text in texts for part in text.split("\n\n") if part.strip()]
    return paragraphs, BM25Okapi([part.lower().split() for part in paragraphs])


@tinyllm.action("library.search")
def search_library(words: str) -> str:
    """The paragraph that fits the words best."""
    paragraphs, index = library()
    return str(index.get_top_n(words.lower().split(), paragraphs, n=1)[0])
