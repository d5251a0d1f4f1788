"""A drawer full of boards: flash and bench of all that are attached, each by itself, several at once.

The boards are processes of this computer, flashed as those of test_flash.py.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from serial.tools import list_ports

from tests.conftest import STORY_MODEL, skip_unless_ci
from tests.pipeline.test_flash import DESK, DESK_USB, HERE, PICO, Tinyllm, tinyllm
from tinyllm.boards.description import BOARDS_DIR, load_board
from tinyllm.errors import UserError
from tinyllm.host.cli import app as cli
from tinyllm.host.cli.all_attached import work_on_all
from tinyllm.host.link.serial_port import PortInfo
from tinyllm.host.link.usb import every_attached
from tinyllm.host.output import Output

__all__ = ["tinyllm"]

SHELF_USB = (0x1209, 0x7112)
BOTH = (0x1209, 0x7113)
"""Numbers that desk and shelf share, as boards with the same bridge do."""
SHARED = f"\n[[usb]]\nvid = {BOTH[0]:#x}\npid = {BOTH[1]:#x}\n"


@dataclass(frozen=True)
class Drawer:
    """Boards that can be attached, by free ports, and where their programs are put."""

    flash: Path
    ports: list[str]
    monkeypatch: pytest.MonkeyPatch

    def attach(self, *there: tuple[str, tuple[int, int]]) -> None:
        """These are the serial ports of this computer: name and USB numbers."""
        infos = [
            SimpleNamespace(device=device, description="a board", vid=vid, pid=pid, serial_number=f"S{device[-5:]}")
            for device, (vid, pid) in there
        ]
        self.monkeypatch.setattr(list_ports, "comports", lambda: infos)

    def flash_of(self, port: str) -> Path:
        return self.flash.with_name(self.flash.name.replace("PORT", port.rsplit(":", 1)[1]))


@pytest.fixture(scope="module")
def drawer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawer]:
    """Board descriptions `desk` and `shelf`, and three ports."""
    if shutil.which("cc") is None:
        skip_unless_ci("no cc on PATH")
    home = tmp_path_factory.mktemp("drawer")
    (home / "boards").mkdir()
    desk = DESK.format(script=HERE / "desk_upload.py", flash=home / "flash at PORT")
    for name, own in (("desk", "0x7111"), ("shelf", "0x7112")):
        (home / f"boards/{name}.toml").write_text(desk.replace("0x7111", own) + SHARED)
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [f"socket://127.0.0.1:{each.getsockname()[1]}" for each in free]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TINYLLM_HOME", str(home))
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv(BOARDS_DIR, str(home / "boards"))
        yield Drawer(home / "flash at PORT", ports, monkeypatch)
    for running in home.glob("flash at *.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(running.read_text()), signal.SIGTERM)


FLASH = ("flash", str(STORY_MODEL), "--all-attached", "--context", "64")


@pytest.fixture(scope="module")
def flashed(drawer: Drawer) -> tuple[int, dict[str, Any]]:
    """A desk and a shelf are flashed, and a desk on which no program can be put: exit code and document."""
    one, broken, other = drawer.ports
    drawer.attach((one, DESK_USB), (broken, DESK_USB), (other, SHELF_USB), ("/dev/ttyS9", (1, 2)))
    (drawer.flash_of(broken) / "program").mkdir(parents=True)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = cli.run([*FLASH, "--json"])
    return code, json.loads(out.getvalue())


def test_every_board_is_flashed_and_one_that_fails_harms_no_other(
    drawer: Drawer, flashed: tuple[int, dict[str, Any]]
) -> None:
    one, broken, other = drawer.ports
    code, told = flashed
    assert code == 1
    assert [(each["port"], each["hello"]["board"]) for each in told["boards"]] == [(one, "desk"), (other, "shelf")]
    assert all(each["hello"]["build_id"] == each["built"]["build_id"] for each in told["boards"])
    assert [each["port"] for each in told["failed"]] == [broken]
    assert "desk: build and upload failed" in told["failed"][0]["error"]


@pytest.mark.usefixtures("flashed")
def test_every_board_is_measured_and_saved_and_one_that_fails_harms_no_other(
    drawer: Drawer, tinyllm: Tinyllm, tmp_path: Path
) -> None:
    one, broken, other = drawer.ports
    drawer.attach((one, DESK_USB), (broken, DESK_USB), (other, SHELF_USB))
    file = tmp_path / "records.toml"
    code, out, err = tinyllm("bench", "--all-attached", "-n", "4", "--prefill", "0", "--save", str(file))
    assert code == 1
    header, first, second, failure, summary = out.splitlines()
    assert header.split()[:3] == ["port", "board", "model"]
    assert first.split()[:3] == [one, "desk", "tinystories-260k"]
    assert second.split()[:3] == [other, "shelf", "tinystories-260k"]
    assert first.split()[6] == second.split()[6], "the digest of the same tokens"
    assert failure.startswith(f"{broken}: nothing listens")
    assert summary == "3 boards: 2 measured, 1 failed"
    assert file.read_text().count("[[record]]") == 2
    assert "Traceback" not in err


@pytest.mark.usefixtures("flashed")
def test_of_boards_that_share_their_numbers_the_program_on_it_says_which_it_is(
    drawer: Drawer, tinyllm: Tinyllm
) -> None:
    _, unknown, known = drawer.ports
    drawer.attach((known, BOTH), (unknown, BOTH))
    code, out, _ = tinyllm(*FLASH)
    assert code == 1
    header, only, *failure, summary = out.splitlines()
    assert header.split()[:4] == ["port", "board", "model", "context"]
    assert only.split()[:2] == [known, "shelf"]
    assert f"{unknown} may be desk or shelf, and nobody says which: nothing listens" in failure[0]
    assert failure[1] == f"Say which it is: tinyllm flash --board NAME --port {unknown}"
    assert summary == "2 boards: 1 flashed, 1 failed"
    assert [boards for _, boards in every_attached(load_board("desk"))] == [[load_board("desk")]] * 2, "as is said"


@pytest.mark.parametrize("verb", ["flash", "bench"])
def test_what_all_attached_cannot_mean_is_refused(drawer: Drawer, tinyllm: Tinyllm, verb: str) -> None:
    drawer.attach(("/dev/ttyACM0", PICO))
    for options, said in (
        (("--port", "/dev/ttyACM0"), "--all-attached: --port names one board"),
        (("--board", "esp32"), "no esp32 was found: no port with the USB numbers"),
        (("--board", "pic0"), "unknown board 'pic0'"),
    ):
        code, out, err = tinyllm(verb, "--all-attached", *options)
        assert (code, out) == (2, "")
        assert said in err and "Traceback" not in err
    drawer.attach()
    code, _, err = tinyllm(verb, "--all-attached")
    assert code == 2
    assert "no board is attached" in err


def test_a_board_that_waits_as_a_drive_is_told_apart(
    drawer: Drawer, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawer.attach(("socket://127.0.0.1:9", BOTH))
    monkeypatch.setattr("tinyllm.host.cli.all_attached.drives", lambda: ["RPI-RP2"])
    code, out, err = tinyllm(*FLASH)
    assert code == 1
    assert "1 board: 0 flashed, 1 failed" in out
    assert "RPI-RP2: a pico or pico-w or xiao-rp2040 waits for its first program" in err


# --- Several at once ---


def port(device: str) -> PortInfo:
    return PortInfo(device, "", None, None, None)


def test_lanes_run_at_once_and_the_ports_of_a_lane_in_turn() -> None:
    meeting = threading.Barrier(3)
    begun: list[str] = []

    def work(on: PortInfo, step: Callable[[str], None]) -> str:
        begun.append(on.device)
        if on.device[-1] == "1":
            meeting.wait(timeout=20)
        if on.device == "b1":
            raise UserError("b1: is broken")
        return on.device.upper()

    outcomes = work_on_all(Output(), "work", [[port("a1"), port("a2")], [port("b1"), port("b2")], [port("c1")]], work)
    assert [outcome.result for outcome in outcomes] == ["A1", "A2", None, "B2", "C1"]
    assert [outcome.error for outcome in outcomes if outcome.error] == ["b1: is broken"]
    assert set(begun[:3]) == {"a1", "b1", "c1"}


def test_a_terminal_shows_a_row_for_each_board_and_its_step() -> None:
    output, shown = Output(), io.StringIO()
    output.stderr = Console(file=shown, force_terminal=True, width=60)
    with output.working_on("flashing", ["/dev/ttyACM0", "/dev/ttyACM11"]) as step:
        step("/dev/ttyACM11", "pico: Uploading\nfirmware.bin and more of a line that is too long for it")
        output.note("a note meanwhile")
    assert "/dev/ttyACM0    waiting" in shown.getvalue()
    assert "/dev/ttyACM11   pico: Uploading firmware.bin" in shown.getvalue()
    assert "a note meanwhile" in shown.getvalue()
