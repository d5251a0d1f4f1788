"""One browser, one host board with the bundled chat model and one site for every test of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import skip_unless_ci
from tests.pipeline.web.browser import served
from tinyllm.boards.description import HOST
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.connect.connection import Connection
from tinyllm.host.model.load import AS_STORED
from tinyllm.host.output import Output
from tinyllm.host.web.site import BridgedBoard, Site, make_site


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        skip_unless_ci("the tests of the page need the browser chromium")
    with sync_playwright() as playwright:
        # Its sandbox does not start for root, as in containers.
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def connection() -> Iterator[Connection]:
    with attach(BoardRequest("chat", AS_STORED, HOST, None), Output()) as found:
        yield found


@pytest.fixture(scope="session")
def site() -> Site:
    return make_site([])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site") / "site"


@pytest.fixture
def fresh(connection: Connection) -> Connection:
    """The board, started anew: with the settings that it starts with."""
    assert connection.process is not None
    connection.process.start()
    return connection


@pytest.fixture
def bridged_url(site: Site, folder: Path, fresh: Connection) -> Iterator[str]:
    """A page that knows of the board behind its server."""
    with served(site, folder, fresh, BridgedBoard("host", "chat", fresh.clock)) as url:
        yield url


@pytest.fixture
def static_url(site: Site, folder: Path, fresh: Connection) -> Iterator[str]:
    """A page that knows of none; the stand-in for Web Serial leads to it."""
    with served(site, folder, fresh, None) as url:
        yield url
