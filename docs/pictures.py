"""Draws what commands print as SVG, for the gallery: `make pictures`."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent / "pictures"
COLUMNS = 120
CHAT = "My name is Kim\nSwitch on the kitchen light\ndim it to 30 percent\nWhat is my name?\n"
PICTURES: dict[str, tuple[list[str], str]] = {
    "chat": (["chat"], CHAT),
    "fit": (["fit", "stories"], ""),
    "fit-pico": (["fit", "stories", "--board", "pico"], ""),
    "verify": (["verify", "--build", "O2"], ""),
}
"""By name: the words of a command, and what a person types."""
FONT_FACE = re.compile(r"@font-face\s*{.*?}", re.DOTALL)


def picture(words: list[str], typed: str) -> str:
    """The SVG of a command's output, in the fonts of who looks at it; each line that was typed before its answer."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [sys.executable, "-m", "tinyllm", *words],
            input=typed,
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
            env=environment,
        )
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ tinyllm {' '.join(words)}", style="bold"))
    answers = ran.stdout.splitlines()
    for said, answer in zip([f"> {line}" for line in typed.splitlines()] + [""] * len(answers), answers, strict=False):
        if said:
            console.print(Text(said, style="cyan"))
        console.print(Text.from_ansi(answer))
    return FONT_FACE.sub("", console.export_svg(title="tinyllm", unique_id="tinyllm"))


def main() -> None:
    """Draw all."""
    FOLDER.mkdir(exist_ok=True)
    for name, (words, typed) in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(picture(words, typed), "utf-8")


if __name__ == "__main__":
    main()
