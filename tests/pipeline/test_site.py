"""The documentation as a site: all links lead somewhere, each board has a page, and nothing loads from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinyllm.boards.description import load_boards

pytest.importorskip("material", reason="the site needs mkdocs-material: pip install 'tinyllm[site]'")

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]*\bsrc=\"([^\"]*)\"|<link[^>]*rel=\"?(?:stylesheet|preload)[^>]*href=\"([^\"]*)\""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with every warning as an error: of links and anchors that lead nowhere, and pages in no menu."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_board_has_a_page_with_what_the_bundled_models_do_there(site: Path) -> None:
    boards = [board for board in load_boards() if board.memory is not None]
    assert len(boards) > 5
    for board in boards:
        page = (site / "board" / f"{board.name}.html").read_text("utf-8")
        assert board.description in page
        assert f"tinyllm flash --board {board.name}" in page
        assert len(re.findall("longest context", page)) == 2


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loaded = [first or second for first, second in LOADED.findall(page.read_text("utf-8"))]
        assert loaded
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], page.name
    for picture in site.rglob("*.svg"):
        assert "url(http" not in picture.read_text("utf-8")
