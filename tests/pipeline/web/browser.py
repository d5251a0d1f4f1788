"""The page in a headless Chromium, served by this process with a board behind its bridge."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.pipeline.serve.server import SECONDS, until
from tinyllm.host.connect.connection import Connection
from tinyllm.host.serve.guard import Access
from tinyllm.host.serve.server import Server, bind, url_of
from tinyllm.host.web.app import application
from tinyllm.host.web.bridge import Bridge
from tinyllm.host.web.site import SITE, BridgedBoard, Site, write_site

STAND_IN = (Path(__file__).parent / "serial_stand_in.js").read_text("utf-8")
LOOPBACK = "127.0.0.1"

expect.set_options(timeout=60_000)


@contextmanager
def served(site: Site, folder: Path, connection: Connection, bridged: BridgedBoard | None) -> Iterator[str]:
    """The address of the site. bridged: None for a page that knows of no board behind the server, with a stand-in."""
    if not (folder / SITE).exists():
        write_site(site, folder)
    app = application(folder, site.for_bridge(bridged), Bridge(connection), Access(LOOPBACK, verb=""))
    with bind(LOOPBACK, 0) as bound:
        server = Server(app, lambda: None, "websockets-sansio")
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        until(lambda: server.started)
        try:
            yield url_of(bound, "/")
        finally:
            server.should_exit = True
            thread.join(SECONDS)


@contextmanager
def opened(browser: Browser, url: str, script: str = "", **options: Any) -> Iterator[Page]:
    """A page of its own session. script: runs before the page's own. Fails for what the page's console complains of."""
    context = browser.new_context(**options)
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    if script:
        page.add_init_script(script)
    page.goto(url)
    try:
        yield page
        assert complaints == []
    finally:
        context.close()


def say(page: Page, text: str) -> None:
    """Type it and send it."""
    page.fill("#prompt", text)
    page.keyboard.press("Enter")


def wait_for_end(page: Page, answers: int) -> None:
    """Until so many answers have ended."""
    expect(page.locator(".counts", has_text="ended:")).to_have_count(answers)
    expect(page.locator("#stop")).to_be_hidden()
