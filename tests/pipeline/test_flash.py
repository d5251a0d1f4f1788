"""tinyllm flash from end to end: PlatformIO's upload target, a board that restarts, and proof that it runs the build.

The board is a process of this computer; the way to it is a board description of a user's own with a custom upload.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial
from serial.tools import list_ports

from tests.conftest import skip_unless_ci
from tests.pipeline.disagreeing_board import disagreeing_program
from tests.pipeline.two_processes import run_both
from tinyllm.boards.description import BOARDS_DIR, load_board
from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.api.model import load
from tinyllm.host.build import flash as flashing
from tinyllm.host.cli import app as cli
from tinyllm.host.link import messages as protocol
from tinyllm.host.link import serial_port
from tinyllm.host.link import usb as finding
from tinyllm.host.link.usb import find_board, find_board_port

HERE = Path(__file__).parent
PICO = (0x2E8A, 0x000A)
PICO2 = (0x2E8A, 0x000F)
S3 = (0x303A, 0x1001)
BRIDGE = (0x10C4, 0xEA60)
DESK = """\
description = "A board on the desk"
chip = "host"
instruction_set = "generic"
cores = 1
ports = ["host"]

[[usb]]
vid = 0x1209
pid = 0x7111

[platformio]
platform = "tinyllm"
board = "host"
build_flags = "-O0"
upload_protocol = "custom"
upload_command = '"$PYTHONEXE" "{script}" "{flash}" $UPLOAD_PORT $SOURCE'
"""
DESK_USB = (0x1209, 0x7111)

Tinyllm = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tinyllm(capsys: pytest.CaptureFixture[str]) -> Tinyllm:
    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


@dataclass(frozen=True)
class Desk:
    """Where a program is put, and the port at which it runs then."""

    flash: Path
    port: str

    def run_instead(self, *command: str) -> None:
        """From the next upload on, this is what the board runs."""
        self.flash.with_suffix(".instead").write_text(json.dumps(command))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        skip_unless_ci("no cc on PATH")
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def boards(home: Path) -> Path:
    """A folder of a user's own with the board `desk`, whose program goes to `flash` beside it."""
    folder = home / "boards of mine"
    folder.mkdir()
    (folder / "desk.toml").write_text(DESK.format(script=HERE / "desk_upload.py", flash=home / "flash of mine"))
    return folder


@pytest.fixture
def desk(home: Path, boards: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("TINYLLM_HOME", str(home))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(BOARDS_DIR, str(boards))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    desk = Desk(home / "flash of mine", f"socket://127.0.0.1:{port}")
    yield desk
    running = desk.flash.with_suffix(".pid")
    if running.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(running.read_text()), signal.SIGTERM)
    for left in home.glob("flash of mine*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def attach(monkeypatch: pytest.MonkeyPatch, *ports: tuple[str, tuple[int, int], str]) -> None:
    """These are the serial ports of this computer: name, USB numbers, serial number."""
    there = [
        SimpleNamespace(device=device, description="a board", vid=vid, pid=pid, serial_number=number)
        for device, (vid, pid), number in ports
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: there)


# --- From end to end ---


def test_flash_says_that_the_kernels_of_a_board_failed_their_check(desk: Desk, tinyllm: Tinyllm, home: Path) -> None:
    desk.run_instead(str(disagreeing_program(load_board("desk"), home / "disagreeing")))
    code, out, err = tinyllm("flash", "--board", "desk", "--port", desk.port)
    assert code == 0
    assert "as built" in out
    assert err.count("warning: the generic kernels failed their check on this desk") == 1


def test_a_model_is_built_uploaded_and_proved_to_run(desk: Desk, tinyllm: Tinyllm) -> None:
    code, out, _ = tinyllm("flash", "--board", "desk", "--port", desk.port, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["port"] == desk.port
    assert (told["hello"]["model_hash"], told["hello"]["build_id"]) == (
        told["built"]["model_hash"],
        told["built"]["build_id"],
    )
    code, out, _ = tinyllm("run", "--port", desk.port, "-p", "Once upon a time", "-n", "5", "--json")
    assert code == 0
    assert json.loads(out)["build_id"] == told["built"]["build_id"]


def test_a_script_flashes_a_board_and_talks_to_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(context=64)
    with pytest.raises(UserError, match="host is no board to flash"):
        model.flash("host")
    attach(monkeypatch, (desk.port, DESK_USB, "B"))
    steps: list[str] = []
    flashed = model.flash(progress=steps.append)
    assert (flashed.port, flashed.hello.board, flashed.built.board) == (desk.port, "desk", "desk")
    assert flashed.hello.build_id == flashed.built.build_id
    assert steps[-1] == "waiting for the board to come back"
    with Board.open(flashed.port, model) as board:
        assert board.hello.build_id == flashed.built.build_id
        assert board.ask("The dog", 5, temperature=0).read().tokens == board.expected.answers(["The dog"], 5)[0]


def test_a_board_that_runs_something_is_flashed_with_something_else(desk: Desk, tinyllm: Tinyllm) -> None:
    for context in (64, 128):
        code, out, _ = tinyllm("flash", "--board", "desk", "--port", desk.port, "--context", str(context))
        assert code == 0
        assert f"runs on desk at {desk.port}, context {context}" in out
        assert f"tinyllm chat --port {desk.port}" in out


def test_a_board_is_found_by_its_usb_numbers_or_its_serial_number(
    desk: Desk, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(monkeypatch, ("/dev/ttyACM9", PICO, "A"), (desk.port, DESK_USB, "B"))
    for port in ("auto", "id:b"):
        if port == "id:b":
            # What has this serial number now is found by it, not by its USB numbers.
            attach(monkeypatch, ("/dev/ttyACM9", PICO, "A"), (desk.port, S3, "B"))
        code, out, err = tinyllm("flash", "--board", "desk", "--context", "64", "--port", port)
        assert (code, err.count("error")) == (0, 0)
        assert f"at {desk.port}" in out


def test_the_only_board_that_is_attached_needs_no_name(
    desk: Desk, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(monkeypatch, (desk.port, DESK_USB, "B"))
    code, out, _ = tinyllm("flash", "--context", "64")
    assert code == 0
    assert "runs on desk" in out


@pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script")
def test_of_two_flashes_of_one_board_the_second_waits_and_says_so(desk: Desk, tmp_path: Path) -> None:
    """Each finds its own build on the board."""
    both = [["flash", "--board", "desk", "--port", desk.port, "--context", str(context)] for context in (40, 48)]
    first, second = run_both(*both, "another tinyllm is flashing a desk; waiting for it.", tmp_path)
    assert f"runs on desk at {desk.port}, context 40" in first
    assert f"runs on desk at {desk.port}, context 48" in second


# --- What answers is not what was built ---


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flashing, "RETURN_SECONDS", 3.0)
    monkeypatch.setattr(flashing, "HANDSHAKE_SECONDS", 1.0)


def test_another_model_on_the_port_is_a_failure_that_names_both(desk: Desk, tinyllm: Tinyllm) -> None:
    assert tinyllm("flash", "--board", "desk", "--port", desk.port, "--context", "64")[0] == 0
    other = desk.flash.with_suffix(".other")
    shutil.copy2(desk.flash, other)
    desk.run_instead(str(other))
    code, _, err = tinyllm("flash", "--board", "desk", "--port", desk.port, "--context", "128")
    assert code == 1
    assert "the upload went through, but the board runs tinystories-260k" in err
    assert "expected tinystories-260k" in err


@pytest.mark.parametrize(
    ("kind", "told"),
    [("chatter", "no tinyllm answers here"), ("version", "the board speaks protocol version")],
)
def test_other_firmware_or_another_protocol_version_is_told(
    desk: Desk, tinyllm: Tinyllm, impatient: None, kind: str, told: str
) -> None:
    desk.run_instead(sys.executable, str(HERE / "other_firmware.py"), kind)
    code, _, err = tinyllm("flash", "--board", "desk", "--port", desk.port, "--context", "64")
    assert code == 1
    assert "the upload went through, but the board did not come back in 3 s" in err
    assert told in err


def test_a_board_that_stays_away_after_the_upload_is_told(desk: Desk, tinyllm: Tinyllm, impatient: None) -> None:
    desk.run_instead(sys.executable, "-c", "pass")
    code, _, err = tinyllm("flash", "--board", "desk", "--port", desk.port, "--context", "64")
    assert code == 1
    assert "Press its reset button" in err
    assert "nothing listens at that address" in err


def test_an_upload_that_fails_is_a_failure(desk: Desk, tinyllm: Tinyllm) -> None:
    desk.flash.mkdir()
    (desk.flash / "program").mkdir()
    code, _, err = tinyllm("flash", "--board", "desk", "--port", desk.port, "--context", "64")
    assert code == 1
    assert "desk: build and upload failed" in err


# --- Ports ---


def test_two_boards_are_listed_and_the_port_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, ("/dev/ttyACM0", PICO, "E660"), ("/dev/ttyACM1", PICO, "E661"), ("/dev/ttyACM2", S3, ""))
    with pytest.raises(UserError) as error:
        find_board_port(load_board("pico"))
    assert str(error.value) == (
        "2 ports may be a pico: /dev/ttyACM0 (a board, serial E660), /dev/ttyACM1 (a board, serial E661). "
        "Say which one with --port, as in --port id:E660."
    )


def test_no_board_says_what_was_looked_for_and_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, ("/dev/ttyACM0", PICO, "E660"))
    with pytest.raises(UserError) as error:
        find_board_port(load_board("esp32"))
    first, second = str(error.value).splitlines()
    assert "no esp32 was found: no port with the USB numbers 10c4:ea60 or 1a86:7523 or 1a86:55d4." in first
    assert "Ports that are there: /dev/ttyACM0 (a board, serial E660)." in first
    assert "--port" in second


def test_a_pico_that_waits_for_its_first_program_is_a_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch)
    pico = load_board("pico")
    with pytest.raises(UserError, match=r"no drive named RPI-RP2(?s:.*)hold BOOTSEL while you plug it in"):
        find_board_port(pico)
    monkeypatch.setattr(finding, "drives", lambda: ["home", "RPI-RP2"])
    assert find_board_port(pico) is None
    with pytest.raises(UserError, match=r"may be pico or pico-w or xiao-rp2040\. Say which it is with --board"):
        find_board()


def test_the_drives_of_this_computer_can_be_listed() -> None:
    assert all(isinstance(name, str) for name in finding.drives())


def test_without_a_name_there_must_be_one_kind_of_board(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch)
    with pytest.raises(
        UserError, match=r"no board is attached: no port shows the USB numbers of a board that `tinyllm boards`"
    ):
        find_board()
    attach(monkeypatch, ("COM3", PICO2, "E660"))
    assert find_board().name == "pico2"
    attach(monkeypatch, ("COM3", BRIDGE, ""))
    with pytest.raises(UserError, match=r"may be esp32 or esp32c3 or .*esp32s2\. Say which it is with --board"):
        find_board()


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EACCES, "Join the group that owns it: `sudo usermod"), (errno.EBUSY, "the port is in use")],
)
def test_a_port_that_may_not_be_opened_is_told_before_anything_is_built(
    desk: Desk, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    def refuse(port: serial.Serial) -> None:
        raise serial.SerialException(number, "refused")

    def build(*arguments: object, **options: object) -> None:
        raise AssertionError("built before the port was looked at")

    attach(monkeypatch, ("/dev/ttyACM0", DESK_USB, "B"))
    monkeypatch.setattr(serial.Serial, "open", refuse)
    monkeypatch.setattr(flashing, "emit", build)
    code, _, err = tinyllm("flash", "--board", "desk")
    assert code == 2
    assert f"/dev/ttyACM0: {'you may not open this port. ' if number == errno.EACCES else ''}{told}" in err


def test_a_usb_board_is_waited_for_under_the_name_it_comes_back_with(monkeypatch: pytest.MonkeyPatch) -> None:
    pico = load_board("pico")
    attach(monkeypatch, ("/dev/ttyACM0", PICO, "E660"))
    device = serial_port.port_info("/dev/ttyACM0")
    attach(monkeypatch, ("/dev/ttyACM0", PICO, "E999"), ("/dev/ttyACM3", PICO, "E660"))
    assert flashing._find_port(pico, "/dev/ttyACM0", device, set()) == "/dev/ttyACM3"
    assert flashing._find_port(pico, None, None, {"/dev/ttyACM0"}) == "/dev/ttyACM3", "it was a drive before"
    attach(monkeypatch)
    assert flashing._find_port(pico, "/dev/ttyACM0", device, set()) is None


# --- Before the compiler ---


def test_a_model_that_does_not_fit_is_told_before_the_compiler(
    desk: Desk, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(monkeypatch, (desk.port, BRIDGE, ""))
    code, _, err = tinyllm("flash", "--board", "esp32", "--context", "512")
    assert code == 2
    assert "tinystories-260k with context 512 does not fit esp32" in err
    assert "It fits with --context " in err


def test_a_board_too_small_for_the_default_context_gets_the_largest_that_fits(
    desk: Desk, boards: Path, tinyllm: Tinyllm
) -> None:
    memory = "[memory]\nflash = 2_000_000\nsram = 100_000\n\n[[usb]]"
    (boards / "small.toml").write_text((boards / "desk.toml").read_text().replace("[[usb]]", memory, 1))
    code, out, err = tinyllm("flash", "--board", "small", "--port", desk.port)
    (boards / "small.toml").unlink()
    assert code == 0
    (told,) = (line for line in err.splitlines() if "context" in line)
    said = re.fullmatch(r"context (\d+) instead of 512: the largest with which .* fits small\. --context .*", told)
    assert said and f"runs on small at {desk.port}, context {said[1]}" in out


def test_without_the_registry_it_says_at_once_how_to_upload_the_project_that_was_written(
    desk: Desk, home: Path, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(monkeypatch, (desk.port, PICO, "E660"))
    code, _, err = tinyllm("flash", "--board", "pico", "--context", "64")
    assert code == 1
    project = home / "flash" / "pico"
    assert [line for line in err.splitlines() if not line.startswith("flashing")] == [
        "error: pico needs a platform that PlatformIO has not fetched yet, and its registry cannot be reached.",
        f"The project in {project} is written and whole: run `pio run -t upload` in it on a machine with internet.",
    ]
    assert (project / "platformio.ini").is_file()


def test_this_computer_is_no_board_to_flash(tinyllm: Tinyllm) -> None:
    code, _, err = tinyllm("flash", "--board", "host")
    assert code == 2
    assert "host is no board to flash: `tinyllm run --board host`" in err


def test_an_unknown_board_suggests_the_near_name(tinyllm: Tinyllm) -> None:
    code, _, err = tinyllm("flash", "--board", "esp32s33")
    assert code == 2
    assert "unknown board 'esp32s33'. Did you mean esp32s3?" in err


def test_without_a_compiler_the_user_is_told_what_to_install(
    desk: Desk, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    code, _, err = tinyllm("flash", "--board", "desk", "--port", desk.port, "--context", "72")
    assert code == 2
    assert "no C compiler on PATH" in err


def test_only_the_build_that_was_just_made_passes(desk: Desk) -> None:
    """Model hash and build id must both be the ones just built."""
    facts = protocol.HelloReply(1, 64, 512, 512, 0, 0, 0, "00" * 8, "11" * 8, "m", "desk", "0.1.0")
    built = SimpleNamespace(model="m", model_hash="00" * 8, build_id="11" * 8)
    flashing.check_built(built, desk.port, facts)  # type: ignore[arg-type]
    for wrong in (replace(facts, model_hash="22" * 8), replace(facts, build_id="22" * 8)):
        with pytest.raises(flashing.Failure, match="the upload went through, but the board runs"):
            flashing.check_built(built, desk.port, wrong)  # type: ignore[arg-type]
