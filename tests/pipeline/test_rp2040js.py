"""The Pico's image in rp2040js: what stops it and what it costs to wait; tests/boards has it talk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import skip_unless_ci
from tests.pipeline.emulated_boards import (
    MISDEEDS,
    MODELS,
    SECONDS,
    assert_idle,
    build_image,
    compile_firmware,
    need,
    send,
    what_stopped,
)
from tinyllm.boards.description import load_board
from tinyllm.errors import UserError
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.link import Link
from tinyllm.host.virtual.emulators import EMULATORS
from tinyllm.host.virtual.rp2040js import install

NOBODY_LISTENS = "http://127.0.0.1:9"

# What the firmware does, and what is said of it.
SEEN = [
    ("l", "rp2040js, RP2040: Read from invalid memory address: 30000000"),
    ("s", "rp2040js, RP2040: Write to undefined address: 30000000"),
    ("m", "which is not 32 bit aligned"),
    ("u", "is not implemented yet!"),
]


@pytest.fixture(scope="module", autouse=True)
def rp2040js() -> None:
    """The emulator, installed."""
    need("node", "npm")
    try:
        install()
    except UserError as error:
        skip_unless_ci(str(error))


@pytest.mark.parametrize(("deed", "trouble"), SEEN)
def test_what_rp2040js_complains_about_stops_the_board(deed: str, trouble: str, tmp_path: Path) -> None:
    defines = ("NOWHERE=0x30000000", "FLASH=0x10000000", 'UNDEFINED=".inst.w 0xFBB0F0F1"')
    image = compile_firmware("rp2040", ("bare", "rp2", "rp2040"), MISDEEDS, tmp_path / "misdeeds", defines)
    with BoardProcess(EMULATORS["rp2040js"].command(image, "rp2040")) as process:
        send(process, deed.encode())
        *lines, gist = what_stopped(process)
    assert gist.startswith("the Pico in rp2040js stopped: ")
    assert trouble in gist and "(tl_console_poll+0x" in gist
    assert [line.split()[0] for line in lines if line.startswith(("r0", "sp", "lr", "pc"))] == ["r0", "sp", "lr", "pc"]


def test_an_idle_board_does_not_spin_and_still_answers() -> None:
    image = build_image(load_board("pico").twin(), MODELS[0])
    with BoardProcess(EMULATORS["rp2040js"].command(image, "rp2040")) as process:
        with Link(process.url) as link:
            list(link.prompt("Once", 3))
        assert_idle(process)
        with Link(process.url) as link:
            assert link.hello.context_used > 3


def refusal(image: Path, **environment: str) -> str:
    """What the process says that ends with the user's mistake."""
    done = subprocess.run(
        [sys.executable, "-m", "tinyllm.host.virtual.rp2040js", image],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    defines = ("NOWHERE=0x30000000", "FLASH=0x10000000", 'UNDEFINED=".inst.w 0xFBB0F0F1"')
    image = compile_firmware("rp2040", ("bare", "rp2", "rp2040"), MISDEEDS, tmp_path / "misdeeds", defines)
    assert refusal(image, PATH="") == (
        "tinyllm: node is not on PATH; install Node.js 18 or later: "
        "sudo apt-get install nodejs npm, or https://nodejs.org.\n"
    )
    offline = {"npm_config_registry": NOBODY_LISTENS, "npm_config_cache": str(tmp_path / "cache")}
    said = refusal(image, TINYLLM_HOME=str(tmp_path / "home"), npm_config_fetch_retries="0", **offline)
    assert said.startswith("tinyllm: npm cannot fetch rp2040js 1.4.1 (npm error ")
    assert said.endswith("It is needed once, from registry.npmjs.org: connect to a network.\n")
    assert list((tmp_path / "home").iterdir()) == [], "nothing half-made is left"
    pico2 = compile_firmware("rp2350", ("bare", "rp2", "rp2350"), MISDEEDS, tmp_path / "pico2", defines)
    assert f"{pico2}: no image for the rp2040, no vectors of its own at 0x10000100; " in refusal(pico2)
    xtensa = tmp_path / "other.elf"
    xtensa.write_bytes(b"\x7fELF")
    assert refusal(xtensa) == f"tinyllm: {xtensa}: not a whole ELF image; build it again.\n"
