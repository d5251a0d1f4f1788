"""The commands that a page of documentation shows, and what it says they print.

In an indented block a line that begins with `$ ` is a command, and the lines up to the next command are what it prints.
`[...]` stands for any output. Of a chat, the lines that begin with `> ` are typed.

    python -m tests.pages.commands docs/cli.md     run the page's commands and write what they print into it
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import SHARED_DATA, STORY_MODEL
from tests.pipeline.pull.hub_server import Repository, hub_server
from tinyllm.models.known import known_models

REPOSITORY = Path(__file__).resolve().parents[2]
INDENT = "    "
COMMAND = f"{INDENT}$ "
TYPED = "> "
ANYTHING = "[...]"
WIDTH = 116
"""Columns of output in a page, without the indent."""
SECONDS = 300.0
STORIES = "stories260K"

OFFLINE = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}
"""Nothing is fetched from elsewhere: PlatformIO's registry cannot be reached, on any machine."""

VARYING = (
    (re.compile(r"PlatformIO's registry cannot be reached; building with the SCons from PyPI\n"), ""),
    (re.compile(r"\b[\d.,]+ (tokens/s|ms|s)\b"), r"N \1"),
    # A rate if the clock could tell one, else the time.
    (re.compile(r"N (?:tokens/s|ms) \(wall clock"), "N (wall clock"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{16}\b"), "HASH"),
    (re.compile(r"\b\d+\.\d+\.\d+[\w.+~-]*"), "VERSION"),
    (re.compile(r"\b\d+\.\d{4,5}\b|\b\d+\.\d\d%"), "FLOAT"),
    (re.compile(r'"(prefill_us|decode_us|tokens_per_second)": (\d[\d.]*|null)'), r'"\1": N'),
    (re.compile(r"(whole program|deepest stack) +[\d,]+"), r"\1 N"),
    (re.compile(r"[^\s(]*/(?=tinystories-260k\b|story\b|\.cache\b|models\b)"), ""),
    (re.compile(r"\S*/builds/\S+?-HASH"), "BUILD"),
)
"""What differs between runs and machines: times, ids, versions, a compiler's bytes, float sums, folders."""


@dataclass(frozen=True)
class Shown:
    """A command of a page, and what the page says it prints; `line` is the command's, from 1."""

    page: Path
    line: int
    command: str
    output: tuple[str, ...]

    @property
    def typed(self) -> str:
        """What a person types into it."""
        return "".join(f"{line.removeprefix(TYPED)}\n" for line in self.output if line.startswith(TYPED))

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY).as_posix()}:{self.line} {self.command}"


def commands_of(page: Path) -> Iterator[Shown]:
    """The commands of a page, in order."""
    lines = page.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        if not lines[number].startswith(COMMAND):
            number += 1
            continue
        start, output = number, []
        number += 1
        while number < len(lines) and _is_output(lines, number):
            output.append(lines[number].removeprefix(INDENT))
            number += 1
        while output and not output[-1].strip():
            output.pop()
        yield Shown(page, start + 1, lines[start].removeprefix(COMMAND), tuple(output))


def _is_output(lines: list[str], number: int) -> bool:
    """An empty line belongs to the output if an indented line follows it that is no command."""
    if lines[number].strip():
        return lines[number].startswith(INDENT) and not lines[number].startswith(COMMAND)
    following = next((line for line in lines[number:] if line.strip()), "")
    return following.startswith(INDENT) and not following.startswith(COMMAND)


@contextmanager
def desk(folder: Path, repositories: Mapping[str, Repository]) -> Iterator[tuple[Path, dict[str, str]]]:
    """Where a page's commands run: a folder with the repository's own, and the environment of a new user in it.

    The hub is on this computer, and has `repositories`; nothing else can be reached.
    """
    for name in ("models", "tests", "docs", "boards"):
        (folder / name).symlink_to(REPOSITORY / name)
    home = folder / "home/you"
    home.mkdir(parents=True)
    with hub_server() as hub:
        hub.repositories.update(repositories)
        yield (
            folder,
            {
                **{name: value for name, value in os.environ.items() if not name.startswith(("TINYLLM_", "HF_"))},
                **OFFLINE,
                "HF_ENDPOINT": hub.address,
                "HF_HOME": str(home / "huggingface"),
                "HOME": str(home),
                "XDG_CACHE_HOME": str(home / ".cache"),
                "NO_COLOR": "1",
                "PYTHONUNBUFFERED": "1",
            },
        )


def repositories() -> dict[str, Repository]:
    """What the hub has for the pages: a story model as somebody's, and one GGUF file among others.

    stories260K itself only if SHARED_DATA is there.
    """
    found = {
        "someone/tiny-model": Repository(
            {path.name: path.read_bytes() for path in STORY_MODEL.iterdir() if path.is_file()}
        ),
        "someone/many-checkpoints": Repository({"tiny.Q8_0.gguf": bytes(64), "tiny.F16.gguf": bytes(64)}),
    }
    if SHARED_DATA.is_dir():
        known = known_models()[STORIES]
        files = {file.path: (SHARED_DATA / file.path).read_bytes() for file in known.files}
        found[known.repo] = Repository(files, commit=known.revision)
    return found


def can_run(shown: Shown) -> bool:
    """Whether what the command needs is on this computer: stories260K may not be."""
    return STORIES not in shown.command or SHARED_DATA.is_dir()


def printed_by(shown: Shown, folder: Path, environment: Mapping[str, str]) -> str:
    """What the command prints, stdout and stderr as they come. AssertionError if it does not end in SECONDS."""
    tool = f"{shlex.quote(sys.executable)} -m tinyllm.host.cli.app"
    done = subprocess.run(
        re.sub(r"(^|\| )tinyllm ", rf"\1{tool} ", shown.command),
        shell=True,
        cwd=folder,
        env=dict(environment),
        input=shown.typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=SECONDS,
    )
    return done.stdout


def plain(text: str) -> str:
    """The text with VARYING masked and every run of white space one space, so that folding does not count."""
    for pattern, mask in VARYING:
        text = pattern.sub(mask, text)
    return " ".join(text.split())


def agrees(shown: Shown, printed: str) -> bool:
    """Whether the page shows what was printed."""
    output = "\n".join(line for line in shown.output if not line.startswith(TYPED))
    pattern = ".*".join(re.escape(plain(part)) for part in output.split(ANYTHING))
    return re.fullmatch(rf"\s*{pattern}\s*", plain(printed), re.DOTALL) is not None


def rewrite(page: Path) -> None:
    """Run the page's commands and write what they print in the place of what it shows, unless both agree."""
    lines = page.read_text("utf-8").splitlines()
    changes = []
    with tempfile.TemporaryDirectory() as name, desk(Path(name), repositories()) as (folder, environment):
        for shown in commands_of(page):
            printed = printed_by(shown, folder, environment)
            if not agrees(shown, printed):
                printed = printed.replace(f"{folder}/home/you", "/home/you").replace(f"{folder}/", "/home/you/")
                changes.append((shown, printed.replace(f"{REPOSITORY}/", "")))
    for shown, printed in reversed(changes):
        folded = [part for line in printed.splitlines() for part in textwrap.wrap(line, WIDTH) or [""]]
        typed = [line for line in shown.output if line.startswith(TYPED)]
        block = [f"{INDENT}{line}".rstrip() for line in [*typed, *folded]]
        lines[shown.line : shown.line + len(shown.output)] = block
        sys.stdout.write(f"{shown}\n")
    page.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        rewrite(Path(argument).resolve())
