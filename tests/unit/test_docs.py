"""The pages of documentation: links lead somewhere, named files exist, lines fit; and the sources name real pages."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("boards", "codegen", "docs", "firmware", "host", "models", "tests", "tinyllm")
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".c", ".h", ".cpp", ".j2", ".toml", ".json", ".ld"} and "corpus" not in path.parts
)
COLUMNS = 120
WIDE_ROWS = {"docs/protocol.md": "| 8 | overflow |", "CONTRIBUTING.md": "| a "}
"""How rows begin that cannot be narrower: one has the words of the settings' table, the others name several files."""

FENCE = "```"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
OF_THE_TREE = re.compile(rf"(?<![\w./~{{}}-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w")
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")
"""A part of a path that stands for any name: NAME, VERB."""
ELSEWHERE = re.compile(r"\s+of\s+(?:github\.com|transformers|tokenizers|the package)")
"""What follows the path of a file in somebody else's repository."""
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def prose_of(page: Path) -> Iterator[tuple[int, str]]:
    """The lines outside code blocks, numbered from 1."""
    fenced = False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.startswith(FENCE):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            yield number, line


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = (line.lstrip("#").strip().lower() for _, line in prose_of(page) if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def said_in(source: Path) -> str:
    """The comments and docstrings of a Python file, the comments of C and TOML; all of a template or JSON file."""
    text = source.read_text("utf-8")
    if source.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
        strings = [
            node.value.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        ]
        return "\n".join(comments + strings)
    if source.suffix in {".c", ".h", ".cpp", ".ld"}:
        return "\n".join(C_COMMENT.findall(text))
    if source.suffix == ".toml":
        return "\n".join(line for line in text.splitlines() if line.startswith("#"))
    return text


def missing(text: str) -> list[str]:
    """The paths of this repository that the text names and that do not exist."""
    paths = (match.group() for match in OF_THE_TREE.finditer(text) if not ELSEWHERE.match(text, match.end()))
    return [path for path in paths if not PLACEHOLDER.search(path) and not (ROOT / path).exists()]


@each_page
def test_every_link_leads_to_a_page_and_to_a_heading_of_it(page: Path) -> None:
    links = [(number, link) for number, line in prose_of(page) for link in LINK.findall(line)]
    broken = []
    for number, link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(f"{number}: {link}")
    assert not broken


@each_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    said = ((number, code) for number, line in prose_of(page) for code in CODE.findall(line))
    assert [f"{number}: {path}" for number, code in said for path in missing(code)] == []


def test_every_file_of_the_table_where_it_is_decided_exists() -> None:
    """A name without a folder stands for a file beside the one before it."""
    table = (
        (ROOT / "docs/architecture.md").read_text("utf-8").partition("## Where is it decided?")[2].partition("\n## ")[0]
    )
    rows = [CODE.findall(line.split("|")[2]) for line in table.splitlines() if line.startswith("| ")][1:]
    beside = {row[0]: [name for name in row[1:] if "/" not in name] for row in rows if "/" in row[0]}
    assert "families.py" in beside["codegen/checkpoints/huggingface/config.py"]
    lost = [name for first, names in beside.items() for name in names if not (ROOT / first).with_name(name).exists()]
    assert lost == []


@each_page
def test_the_lines_of_a_page_fit_120_columns(page: Path) -> None:
    """Code blocks may be wider: output is shown as it is."""
    name = page.relative_to(ROOT).as_posix()
    wide = [
        (number, len(line))
        for number, line in prose_of(page)
        if len(line) > COLUMNS and not line.startswith(WIDE_ROWS.get(name, "\n"))
    ]
    assert not wide


def test_every_file_that_a_comment_or_docstring_names_exists() -> None:
    dangling = {source.relative_to(ROOT).as_posix(): missing(said_in(source)) for source in SOURCES}
    assert {source: paths for source, paths in dangling.items() if paths} == {}


def test_a_page_in_the_text_of_a_message_exists() -> None:
    """Messages and generated files send people to a page: in strings too, not in comments alone."""
    page = re.compile(r"(?<![\w./-])docs/[\w/-]+\.md")
    named = {
        (source.relative_to(ROOT).as_posix(), match.group())
        for source in SOURCES
        for text in [source.read_text("utf-8")]
        for match in page.finditer(text)
        if not ELSEWHERE.match(text, match.end())
    }
    assert {(source, name) for source, name in named if not (ROOT / name).exists()} == set()
    assert ("host/build/platformio.py", "docs/boards.md") in named
