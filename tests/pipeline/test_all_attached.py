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
from tinyllm.host.link.attached import board_on
from tinyllm.host.link.serial_port import PortInfo
from tinyllm.host.link.usb import every_attached
from tinyllm.host.output import Output

__all__ = ["tinyllm"]

SHELF_USB = (0x1209, 0x7112)
TWIN_USB = (0x1209, 0x7114)
BOTH = (0x1209, 0x7113)
"""Numbers that desk and shelf share, as boards with the same bridge do."""
SHARED = f"\n[[usb]]\nvid = {BOTH[0]:#x}\npid = {BOTH[1]:#x}\n"


@dataclass(frozen=True)
class Drawer:
    """Ports for a desk, a shelf and two twins, and one where nobody listens."""

    desk: str
    shelf: str
    free: str
    twins: tuple[str, str]
    monkeypatch: pytest.MonkeyPatch

    def attach(self, *there: tuple[str, tuple[int, int]]) -> None:
        """These are the serial ports of this computer: name and USB numbers."""
        infos = [
            SimpleNamespace(device=device, description="a board", vid=vid, pid=pid, serial_number=f"S{device[-5:]}")
            for device, (vid, pid) in there
        ]
        self.monkeypatch.setattr(list_ports, "comports", lambda: infos)


@pytest.fixture(scope="module")
def drawer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawer]:
    if shutil.which("cc") is None:
        skip_unless_ci("no cc on PATH")
    home = tmp_path_factory.mktemp("drawer")
    (home / "boards").mkdir()
    for name, own in (("desk", "0x7111"), ("shelf", "0x7112")):
        text = DESK.format(script=HERE / "desk_upload.py", flash=home / f"flash of {name}") + SHARED
        (home / f"boards/{name}.toml").write_text(text.replace("0x7111", own))
    twin = DESK.format(script=HERE / "meeting_upload.py", flash=home / "flash of twin")
    (home / "boards/twin.toml").write_text(twin.replace("0x7111", "0x7114"))
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(5)]
        numbers = sorted(each.getsockname()[1] for each in free)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TINYLLM_HOME", str(home))
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv(BOARDS_DIR, str(home / "boards"))
        desk, shelf, free, *twins = (f"socket://127.0.0.1:{number}" for number in numbers)
        yield Drawer(desk, shelf, free, (twins[0], twins[1]), monkeypatch)
    for running in home.glob("flash of *.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(running.read_text()), signal.SIGTERM)


FLASH = ("flash", str(STORY_MODEL), "--all-attached", "--context", "64")


@pytest.fixture(scope="module")
def flashed(drawer: Drawer) -> tuple[int, dict[str, Any]]:
    """A desk and a shelf are flashed, and a desk whose port cannot be opened is not: exit code and document."""
    drawer.attach(
        (drawer.desk, DESK_USB), ("/dev/ttyGONE", DESK_USB), (drawer.shelf, SHELF_USB), ("/dev/ttyS9", (1, 2))
    )
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = cli.run([*FLASH, "--json"])
    return code, json.loads(out.getvalue())


def test_every_board_is_flashed_and_one_that_fails_harms_no_other(
    drawer: Drawer, flashed: tuple[int, dict[str, Any]]
) -> None:
    code, told = flashed
    assert code == 1
    boards = [(each["port"], each["hello"]["board"]) for each in told["boards"]]
    assert boards == [(drawer.desk, "desk"), (drawer.shelf, "shelf")]
    assert all(each["hello"]["build_id"] == each["built"]["build_id"] for each in told["boards"])
    assert [each["port"] for each in told["failed"]] == ["/dev/ttyGONE"]
    assert "no such port" in told["failed"][0]["error"]


def test_boards_of_one_kind_are_uploaded_at_once_if_each_upload_goes_to_its_port(
    drawer: Drawer, tinyllm: Tinyllm
) -> None:
    """An upload of such a board ends only when the other one has begun."""
    drawer.attach(*((port, TWIN_USB) for port in drawer.twins))
    code, out, err = tinyllm(*FLASH, "--json")
    assert code == 0, err
    told = json.loads(out)["boards"]
    assert [(each["port"], each["hello"]["board"]) for each in told] == [(port, "twin") for port in drawer.twins]
    assert len({each["hello"]["build_id"] for each in told}) == 1


@pytest.mark.usefixtures("flashed")
def test_every_board_is_measured_and_saved_and_one_that_fails_harms_no_other(
    drawer: Drawer, tinyllm: Tinyllm, tmp_path: Path
) -> None:
    drawer.attach((drawer.desk, DESK_USB), (drawer.shelf, SHELF_USB), (drawer.free, DESK_USB))
    file = tmp_path / "records.toml"
    code, out, err = tinyllm("bench", "--all-attached", "-n", "4", "--prefill", "0", "--save", str(file))
    assert code == 1
    header, first, second, failure, summary = out.splitlines()
    assert header.split()[:3] == ["port", "board", "model"]
    assert first.split()[:3] == [drawer.desk, "desk", "tinystories-260k"]
    assert second.split()[:3] == [drawer.shelf, "shelf", "tinystories-260k"]
    assert first.split()[6] == second.split()[6], "the digest of the same tokens"
    assert failure.startswith(f"{drawer.free}: nothing listens")
    assert summary == "3 boards: 2 measured, 1 failed"
    assert file.read_text().count("[[record]]") == 2
    assert "Traceback" not in err


@pytest.mark.usefixtures("flashed")
def test_of_boards_that_share_their_numbers_the_program_on_it_says_which_it_is(drawer: Drawer) -> None:
    drawer.attach((drawer.shelf, BOTH), (drawer.free, BOTH))
    (known, fitting), (unknown, _) = every_attached()
    assert [board.name for board in fitting] == ["desk", "shelf"]
    assert board_on(known, fitting).name == "shelf"
    with pytest.raises(UserError) as error:
        board_on(unknown, fitting)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{drawer.free} may be desk or shelf, and nobody says which: nothing listens")
    assert second == f"Say which it is: tinyllm flash --board NAME --port {drawer.free}"
    with pytest.raises(UserError, match="may be desk or pico, and it says shelf"):
        board_on(known, [load_board("desk"), load_board("pico")])
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
