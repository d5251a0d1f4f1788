"""What the page says if something else than tinyllm answers on the port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.pipeline.other_firmware import NEXT_VERSION, version
from tests.pipeline.web.browser import STAND_IN, opened, served
from tinyllm.host.connect.connection import Connection
from tinyllm.host.web.site import Site


def micropython(connection: socket.socket) -> None:
    while connection.recv(4096):
        connection.sendall(b"\r\nMicroPython v1.24 on Raspberry Pi Pico\r\n>>> ")


def echo(connection: socket.socket) -> None:
    while data := connection.recv(4096):
        connection.sendall(data)


@pytest.mark.parametrize(
    ("firmware", "said"),
    [
        (micropython, "MicroPython runs on this board, not tinyllm."),
        (version, f"The board speaks protocol version {NEXT_VERSION}, this page speaks {NEXT_VERSION - 1}."),
        (echo, "the port sends back what it is sent, and nothing else"),
    ],
)
def test_other_firmware_is_told(
    firmware: Callable[[socket.socket], None], said: str, browser: Browser, site: Site, folder: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                firmware(connection)

        threading.Thread(target=answer, daemon=True).start()
        port = Connection(f"socket://127.0.0.1:{listener.getsockname()[1]}")
        with served(site, folder, port, None) as url, opened(browser, url, STAND_IN) as page:
            page.click("#connect")
            expect(page.locator("#trouble")).to_contain_text(said)
            expect(page.locator("#who")).to_have_text("no board connected")
