"""How long the first piece of an answer takes to stand in the page, beside what tinyllm's own link takes.

    python -m tests.pipeline.web.first_token [--board NAME] [--rounds N]

The board is a process of this computer, the page runs in a headless Chromium and talks with the board through the
bridge of `tinyllm web --serve`. Both ask the same question with the same settings, each time with no conversation
before. Their times begin when the question is sent: with the key Enter in the page, with `ask` of a chat in Python.
In the page it ends when the answer's first letter is in the document. Both are wall clock times of this computer,
of which the board's is a part.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.pipeline.web.browser import opened, say, served, wait_for_end
from tinyllm.boards.description import HOST
from tinyllm.host.api.board import Board
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.model.load import AS_STORED
from tinyllm.host.output import Output
from tinyllm.host.web.site import BridgedBoard, make_site

MODEL, QUESTION = "chat", "Hello! Who are you?"
WATCH = """() => {
  const first = (window.firstToken = { sent: null, seen: null });
  addEventListener("keydown", (event) => {
    if (event.key === "Enter") Object.assign(first, { sent: performance.now(), seen: null });
  }, true);
  new MutationObserver(() => {
    const answers = document.querySelectorAll(".answer");
    const said = answers.length ? answers[answers.length - 1].textContent.trim() : "";
    if (said && first.sent !== null && first.seen === null) first.seen = performance.now();
  }).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--board", default=HOST, help="the host board, or one that has a virtual twin")
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    page, link = measure(options.board, options.rounds)
    for name, times in (("page", page), ("link", link)):
        low, middle, high = statistics.quantiles(times, n=4)
        sys.stdout.write(f"{name}  {middle:.1f} ms until the first piece  (quartiles {low:.1f} to {high:.1f})\n")
    later = statistics.median(page) - statistics.median(link)
    sys.stdout.write(f"{options.board}, {options.rounds} answers each: the page shows it {later:.1f} ms later\n")


def measure(board: str, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds until the first piece: in the page, and by the link."""
    request = BoardRequest(MODEL, AS_STORED, board, None, virtual=board != HOST)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with (
        attach(request, Output()) as connection,
        tempfile.TemporaryDirectory() as name,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        bridged = BridgedBoard(board, MODEL, connection.clock)
        with served(make_site([]), Path(name) / "site", connection, bridged) as url, opened(browser, url) as page:
            page.click("#bridge")
            in_page = [ask_in_page(page, answer) for answer in range(rounds)]
        browser.close()
    with Board.host(MODEL) if board == HOST else Board.virtual(board, MODEL) as opened_board:
        by_link = [ask_by_link(opened_board) for _ in range(rounds)]
    return in_page, by_link


def ask_in_page(page: Page, answer: int) -> float:
    if answer == 0:
        page.evaluate(WATCH)
    page.click("#anew")
    say(page, QUESTION)
    wait_for_end(page, 1)
    expect(page.locator(".answer")).to_have_count(1)
    return float(page.evaluate("firstToken.seen - firstToken.sent"))


def ask_by_link(board: Board) -> float:
    chat = board.chat()
    begin = time.perf_counter()
    answer = chat.ask(QUESTION)
    next(iter(answer))
    seconds = time.perf_counter() - begin
    answer.read()
    return 1000 * seconds


if __name__ == "__main__":
    main()
