"""Every command of the pages for makers is run, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.commands import REPOSITORY, Shown, agrees, can_run, commands_of, desk, printed_by, repositories

PAGES = ("README.md", "docs/cli.md", "docs/first-evening.md", "docs/fit.md", "docs/library.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_print_what_it_shows(page: str, tmp_path: Path) -> None:
    """One after the other in one folder, as a reader would."""
    shown = [command for command in commands_of(REPOSITORY / page) if can_run(command)]
    assert shown
    with desk(tmp_path, repositories()) as (folder, environment):
        printed = [(command, printed_by(command, folder, environment)) for command in shown]
    wrong = [f"{command}\n{text}" for command, text in printed if not agrees(command, text)]
    assert not wrong, "write what is printed into the page: python -m tests.pages.commands PAGE\n" + "\n".join(wrong)


def test_a_page_that_shows_something_else_is_found() -> None:
    shown = Shown(REPOSITORY / "README.md", 1, "tinyllm --version", ("tinyllm 0.1.0 [...] 12 ms", "> /quit"))
    assert agrees(shown, "tinyllm 0.2.0\nanything\n  7 ms\n")
    assert not agrees(shown, "tinyllm 0.2.0\nanything\n  7 ms more\n")
    assert shown.typed == "/quit\n"
