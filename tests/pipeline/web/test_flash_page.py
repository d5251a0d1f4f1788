"""The page flashes a chip: esptool-js through a stand-in for Web Serial, to a mock of the ROM loader."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from esp32_mock_bootloader import mock_bootloader
from playwright.sync_api import Browser, Page, expect

from tests.pipeline.web.browser import STAND_IN, opened, served
from tinyllm.boards.description import FOLDER, Board, load_board
from tinyllm.codegen.emit.project import Manifest
from tinyllm.host.connect.connection import Connection
from tinyllm.host.web.images import UF2, Image, Part
from tinyllm.host.web.site import Site, make_site

APP = 0x10000
RANDOM = random.Random(7)
BOOTLOADER, PROGRAM = RANDOM.randbytes(5_000), RANDOM.randbytes(20_000)


class Hand(Connection):
    """A hand that plugs in one board after another: `url` is where the one is that is plugged in now."""

    url = ""

    def address(self) -> str:
        return self.url


def board(name: str) -> Board:
    return load_board(name, FOLDER)


@pytest.fixture(scope="module")
def about(connection: Connection) -> Manifest:
    """As if the host board had been built into the image."""
    with connection.open() as link:
        hello = link.hello
    return Manifest(hello.model, hello.model_hash, hello.build_id, "esp32c3", 256, "", "", "program", hello.layout, {})


@pytest.fixture(scope="module")
def images(about: Manifest) -> Site:
    parts = (Part("bootloader.bin", BOOTLOADER, 0), Part("firmware.bin", PROGRAM, APP))
    return make_site(
        [
            Image(board("esp32c3"), about, parts),
            Image(board("esp32s3"), replace(about, build_id="0" * 16), parts),
            Image(board("pico2"), about, (Part(UF2, b"UF2\n"),)),
        ]
    )


@pytest.fixture
def hand() -> Hand:
    return Hand("socket://127.0.0.1:9")


@contextmanager
def page_to_flash(browser: Browser, images: Site, folder: Path, hand: Hand) -> Iterator[Page]:
    with served(images, folder, hand, None) as url, opened(browser, url, STAND_IN) as page:
        yield page


def test_an_image_is_written_to_the_chip_and_the_page_then_talks_with_what_runs(
    browser: Browser, images: Site, tmp_path: Path, hand: Hand, connection: Connection
) -> None:
    assert connection.process is not None
    with mock_bootloader(chip="esp32c3") as chip, page_to_flash(browser, images, tmp_path / "site", hand) as page:
        hand.url = chip.url()
        page.select_option("#flash-board", "esp32c3")
        page.click("#flash-start")
        expect(page.locator("#flash-state")).to_contain_text("waiting for the board to come back", timeout=60_000)
        hand.url = connection.process.url
        expect(page.locator("#who")).to_have_text("chat on host", timeout=60_000)
        expect(page.locator("#trouble")).to_be_hidden()
        (tmp_path / "bootloader.bin").write_bytes(BOOTLOADER)
        (tmp_path / "firmware.bin").write_bytes(PROGRAM)
        verify = ["--chip", "esp32c3", "--port", chip.url(), "verify-flash", "0", "bootloader.bin"]
        command = [sys.executable, "-m", "esptool", *verify, hex(APP), "firmware.bin"]
        told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert told.stdout.count("Verification successful") == 2, told.stdout


def test_an_image_that_did_not_arrive_whole_is_told(browser: Browser, images: Site, tmp_path: Path, hand: Hand) -> None:
    """A byte of the app differs from what was built: a bad download looks to the chip like bad flash."""
    with mock_bootloader(chip="esp32c3") as chip, page_to_flash(browser, images, tmp_path / "site", hand) as page:
        (tmp_path / "site/images/esp32c3/firmware.bin").write_bytes(PROGRAM[:-1] + bytes([PROGRAM[-1] ^ 1]))
        hand.url = chip.url()
        page.select_option("#flash-board", "esp32c3")
        page.click("#flash-start")
        expect(page.locator("#trouble")).to_contain_text(
            "The flash does not hold firmware.bin as it was built. Flash again", timeout=60_000
        )


def test_nothing_is_written_to_another_chip_than_the_image_is_for(
    browser: Browser, images: Site, tmp_path: Path, hand: Hand
) -> None:
    with mock_bootloader(chip="esp32c3") as chip, page_to_flash(browser, images, tmp_path / "site", hand) as page:
        hand.url = chip.url()
        page.select_option("#flash-board", "esp32s3")
        page.click("#flash-start")
        expect(page.locator("#trouble")).to_have_text(
            "The chip on this port is ESP32-C3, the image is for ESP32-S3. Choose the board that it is.", timeout=60_000
        )


def test_a_pico_gets_its_image_as_a_file(browser: Browser, images: Site, tmp_path: Path, hand: Hand) -> None:
    with page_to_flash(browser, images, tmp_path / "site", hand) as page:
        page.select_option("#flash-board", "pico2")
        expect(page.locator("#flash-how")).to_contain_text("the drive RP2350 appears")
        with page.expect_download() as download:
            page.click("#flash-file")
        assert Path(download.value.path()).read_bytes() == b"UF2\n"
