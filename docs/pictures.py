"""Draws what commands print as SVG, and the page of `tinyllm web`, for the gallery: `make pictures`."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
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
SAID = ("My name is Kim", "Switch on the kitchen light", "What is my name?")
"""On the page."""
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


def page_picture() -> bytes:
    """The PNG of a conversation on the page, in the browser chromium."""
    command = [sys.executable, "-m", "tinyllm", "web", "chat", "--serve", "--http-port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        try:
            url = json.loads(server.stdout.readline())["url"]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1000, "height": 640})
            page.goto(url)
            page.click("#bridge")
            page.click("#board summary")
            for number, text in enumerate(SAID, 1):
                page.fill("#prompt", text)
                page.press("#prompt", "Enter")
                page.locator(".counts", has_text="ended:").nth(number - 1).wait_for()
            return page.screenshot()
        finally:
            server.terminate()


def main() -> None:
    """Draw all."""
    FOLDER.mkdir(exist_ok=True)
    for name, (words, typed) in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(picture(words, typed), "utf-8")
    (FOLDER / "web.png").write_bytes(page_picture())


if __name__ == "__main__":
    main()
