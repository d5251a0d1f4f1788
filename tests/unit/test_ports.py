"""Ports: how they are named and found, opened without a reset, and what is told of one that cannot be used."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st
from serial.tools import list_ports

from tinyllm.boards.description import load_board, load_boards
from tinyllm.errors import UserError
from tinyllm.host.cli import app as cli
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.link import port_names, serial_port, usb
from tinyllm.host.link.link import Link
from tinyllm.host.link.port_names import give_name, given_names, resolve_port
from tinyllm.host.link.port_url import check_url
from tinyllm.host.link.serial_port import natural_key, open_port, watch_ports
from tinyllm.host.model.load import AS_STORED
from tinyllm.host.output import Output

PICO = (0x2E8A, 0x000A)
S3 = (0x303A, 0x1001)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tinyllm(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of a command."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


Tinyllm = Callable[..., tuple[int, str, str]]


def plug(monkeypatch: pytest.MonkeyPatch, *ports: tuple[str, tuple[int, int] | None, str | None]) -> None:
    """These are the serial ports of this computer: name, USB numbers, serial number."""
    there = [
        SimpleNamespace(
            device=device,
            description="a board",
            vid=numbers and numbers[0],
            pid=numbers and numbers[1],
            serial_number=serial_number,
        )
        for device, numbers, serial_number in ports
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: there)


# --- Names ------------------------------------------------------------------------------------------------------------

BENCH = (("/dev/ttyACM10", PICO, "E6617"), ("/dev/ttyACM9", PICO, "E6618"), ("/dev/ttyS0", None, None))


def test_ports_are_sorted_as_people_count_and_show_their_serial_numbers(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(monkeypatch, *BENCH)
    _, out, _ = tinyllm("ports")
    header, *rows = out.splitlines()
    assert [row.split()[0] for row in rows] == ["/dev/ttyACM9", "/dev/ttyACM10", "/dev/ttyS0"]
    place = header.index("serial number")
    assert [row[place:].split()[0] for row in rows] == ["E6618", "E6617", "-"]


@given(st.sampled_from(["", "tty", "COM"]), st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(["", "a"]))
def test_names_that_differ_in_a_number_are_sorted_by_it(before: str, one: int, other: int, after: str) -> None:
    assert (natural_key(f"{before}{one}{after}") < natural_key(f"{before}{other}{after}")) == (one < other)


@given(st.lists(st.text(max_size=6)))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    assert len(sorted(names, key=natural_key)) == len(names)


def test_a_board_is_named_by_its_serial_number_wherever_it_is_plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, *BENCH)
    assert resolve_port("id:e6617") == "/dev/ttyACM10"
    plug(monkeypatch, ("COM4", PICO, "E6617"))
    assert resolve_port("id:E6617") == "COM4"


def test_a_serial_number_that_is_not_there_is_told_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, *BENCH)
    with pytest.raises(UserError) as error:
        resolve_port("id:E66")
    assert str(error.value) == (
        "id:E66: no port has this serial number. Those that are there: E6618 (/dev/ttyACM9), E6617 (/dev/ttyACM10)."
    )
    plug(monkeypatch, ("/dev/ttyUSB0", S3, "1"), ("/dev/ttyUSB1", S3, "1"))
    with pytest.raises(
        UserError, match=r"id:1: 2 ports have this serial number: /dev/ttyUSB0, /dev/ttyUSB1\. Name one"
    ):
        resolve_port("id:1")


def test_a_name_that_a_person_gave_stands_for_a_port(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    plug(monkeypatch, *BENCH)
    code, out, _ = tinyllm("ports", "--name", "desk1=id:E6617", "--name", "far=socket://127.0.0.1:9")
    assert code == 0
    assert resolve_port("desk1") == "/dev/ttyACM10"
    assert resolve_port("far") == "socket://127.0.0.1:9"
    assert [line.split()[:2] for line in out.splitlines() if "desk1" in line] == [["/dev/ttyACM10", "desk1"]]
    assert "far = socket://127.0.0.1:9" in out
    names = {port["device"]: port["names"] for port in json.loads(tinyllm("ports", "--json")[1])["ports"]}
    assert names == {"/dev/ttyACM9": [], "/dev/ttyACM10": ["desk1"], "/dev/ttyS0": []}
    tinyllm("ports", "--name", "also=desk1", "--name", "desk1=")
    assert given_names() == {"also": "id:E6617", "far": "socket://127.0.0.1:9"}
    assert tinyllm("run", "-p", "x", "--port", "far")[2].startswith("error: socket://127.0.0.1:9: nothing listens")


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("desk1", "expected NAME=PORT"),
        ("=COM3", "a name has letters"),
        ("auto=COM3", "is not auto or like COM3"),
        ("com7=COM3", "is not auto or like COM3"),
        ("a/b=COM3", "a name has letters"),
        ("desk1=", "no such name. Given: none"),
        ("desk1=tcp://127.0.0.1:9", "tcp:// is no way to a board"),
    ],
)
def test_what_is_no_name_is_told(tinyllm: Tinyllm, assignment: str, complaint: str) -> None:
    code, out, err = tinyllm("ports", "--name", assignment)
    assert (code, out) == (2, "")
    assert complaint in err
    assert given_names() == {}


def test_a_damaged_file_of_names_is_named(own_home: Path) -> None:
    give_name("a=COM3")
    (own_home / "ports.json").write_text('{"a": 3}')
    with pytest.raises(UserError, match=r"ports\.json: 'a' does not name a port"):
        resolve_port("b")


def test_where_names_cannot_be_kept_another_folder_is_advised(own_home: Path) -> None:
    own_home.write_text("a file, where the folder should be")
    with pytest.raises(UserError, match=r"ports\.json: cannot be written \(.+\)\. TINYLLM_HOME sets another folder\."):
        give_name("a=COM3")


def test_a_lock_of_the_names_that_is_never_free_is_told(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home.mkdir()
    hold = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    command = [sys.executable, "-c", hold, str(own_home / "ports.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline()
        monkeypatch.setattr(port_names, "PATIENCE", 0.1)
        with pytest.raises(UserError, match=r"ports\.json: its lock, ports\.lock, cannot be had\. End the process"):
            give_name("a=COM3")
        other.communicate(b"\n", timeout=30)
    assert give_name("a=COM3") == {"a": "COM3"}


def test_a_port_that_comes_and_one_that_goes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, *BENCH[:2])
    events = watch_ports(seconds=0)
    assert [(port.device, here) for port, here in (next(events), next(events))] == [
        ("/dev/ttyACM9", True),
        ("/dev/ttyACM10", True),
    ]
    plug(monkeypatch, BENCH[0], BENCH[2])
    assert [(port.device, here) for port, here in (next(events), next(events))] == [
        ("/dev/ttyACM9", False),
        ("/dev/ttyS0", True),
    ]


def test_watching_the_ports_ends_well_with_ctrl_c(tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch) -> None:
    plugged = iter([BENCH[:1], BENCH[:2], BENCH[1:2]])

    def next_ports(seconds: float) -> None:
        now = next(plugged, None)
        if now is None:
            raise KeyboardInterrupt
        plug(monkeypatch, *now)

    plug(monkeypatch)
    monkeypatch.setattr(serial_port.time, "sleep", next_ports)
    code, out, _ = tinyllm("ports", "--watch")
    assert code == 0
    assert [line.split()[1:3] for line in out.splitlines()] == [
        ["+", "/dev/ttyACM10"],
        ["+", "/dev/ttyACM9"],
        ["-", "/dev/ttyACM10"],
    ]


def test_a_name_that_is_given_while_the_ports_are_watched_is_shown(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name_and_plug(seconds: float) -> None:
        if given_names():
            raise KeyboardInterrupt
        give_name("desk1=id:E6617")
        plug(monkeypatch, *BENCH[:1])

    plug(monkeypatch)
    monkeypatch.setattr(serial_port.time, "sleep", name_and_plug)
    _, out, err = tinyllm("ports", "--watch")
    assert err == "Watching the serial ports; Ctrl-C ends it.\n"
    assert out.split()[1:4] == ["+", "/dev/ttyACM10", "desk1"]


# --- Which board ------------------------------------------------------------------------------------------------------


def test_one_board_of_two_possible_kinds_is_opened_and_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, ("/dev/ttyACM0", S3, "7C:DF"))
    assert [board.name for board in usb.attached([load_board("esp32s3"), load_board("esp32s3-n16r8")])[0][1]] == [
        "esp32s3",
        "esp32s3-n16r8",
    ]
    with attach(BoardRequest(None, AS_STORED, "host", "auto"), Output()) as connection:
        assert connection._name == "/dev/ttyACM0"
    with pytest.raises(UserError, match=r"may be esp32c3-mini or esp32s3 or .* or xiao-esp32s3\. Say which it is with"):
        usb.find_board()


@pytest.mark.parametrize("numbers", [PICO, S3])
def test_a_port_whose_numbers_many_boards_share_is_one_port_for_each_of_them(
    monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, int]
) -> None:
    """So whoever talks to it needs no --port, and is told by the board itself if it is another."""
    plug(monkeypatch, ("/dev/ttyACM0", numbers, "7C:DF"))
    ((port, boards),) = usb.attached(load_boards())
    assert len(boards) > 1
    assert usb.find_any_port() == port
    assert [usb.find_running(board) for board in boards] == [port.device] * len(boards)


def test_a_board_whose_numbers_no_other_has_is_known_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, ("/dev/ttyACM0", (0x2E8A, 0xF00A), "E66"))
    assert usb.find_board().name == "pico-w"


def test_of_several_boards_one_is_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, ("/dev/ttyACM0", S3, "7C:DF"), ("/dev/ttyACM1", PICO, "E66"))
    with pytest.raises(
        UserError, match=r"2 ports may be a board's: .*Say which one with --port, as in --port id:7C:DF"
    ):
        usb.find_any_port()


def test_a_board_that_waits_for_a_program_is_to_be_flashed(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch)
    monkeypatch.setattr(usb, "drives", lambda: ["RPI-RP2"])
    with pytest.raises(
        UserError, match="pico or pico-w or xiao-rp2040 waits for a program: `tinyllm flash --board pico`"
    ):
        usb.find_any_port()
    monkeypatch.setattr(usb, "drives", list)
    with pytest.raises(UserError, match="no board is attached: "):
        usb.find_any_port()


# --- Addresses --------------------------------------------------------------------------------------------------------

ADDRESSES = {
    "socket://127.0.0.1": "the port's number is missing",
    "socket://127.0.0.1:": "the port's number is missing",
    "socket://127.0.0.1:99999": "the port must be a number from 1 to 65535",
    "socket://127.0.0.1:0": "the port must be a number from 1 to 65535",
    "socket://127.0.0.1:http": "the port must be a number from 1 to 65535",
    "socket://:4000": "the host is missing",
    "socket://": "the host is missing",
    "socket://::1:4000": r"an IPv6 address stands in brackets, as in socket://\[::1\]:4000",
    "socket://[::1:4000": "not an address",
    "socket://me@127.0.0.1:4000": "a user name has no place in it",
    "socket://127.0.0.1:4000/board": "nothing may follow the port",
    "socket://127.0.0.1:4000?speed=9600": "the option speed is unknown; socket takes logging",
    "socket://127.0.0.1:4000?logging=loud": "the option logging cannot be 'loud'",
    "rfc2217://127.0.0.1": "the port's number is missing",
    "rfc2217://127.0.0.1:4000?timeout=soon": "the option timeout cannot be 'soon'",
    "tcp://127.0.0.1:4000": "tcp:// is no way to a board",
    "://127.0.0.1:4000": ":// is no way to a board",
    "127.0.0.1:4000": "A board at an address is written socket://127.0.0.1:4000",
    "localhost:4000": "A board at an address is written socket://localhost:4000",
    "[::1]:4000": r"A board at an address is written socket://\[::1\]:4000",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_no_address_is_told_with_what_one_looks_like(address: str) -> None:
    with pytest.raises(UserError, match=ADDRESSES[address]) as error:
        open_port(address, 115200)
    assert str(error.value).startswith(f"{address}: ")
    assert "socket://" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "socket://127.0.0.1:4000/",
        "SOCKET://[::1]:1",
        "rfc2217://pi:2217?logging=debug&timeout=5&ign_set_control",
        "COM3",
        r"\\.\COM10",
        "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0",
        "/dev/cu.usbmodem1101",
    ],
)
def test_addresses_and_devices_pass(name: str) -> None:
    check_url(name)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_told_as_none(text: str) -> None:
    for address in (f"socket://{text}", f"rfc2217://h:1?{text}", text):
        try:
            check_url(address)
        except UserError as error:
            assert "socket://" in str(error)


def test_a_port_where_nothing_listens_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
    for scheme in ("socket", "rfc2217"):
        with pytest.raises(UserError, match=f"{scheme}://127.0.0.1:{number}: nothing listens at that address"):
            Link(f"{scheme}://127.0.0.1:{number}")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "a..b"])
def test_a_host_that_has_no_address_is_told(host: str) -> None:
    with pytest.raises(UserError, match=f"socket://{re.escape(host)}:1: no computer of that name was found"):
        open_port(f"socket://{host}:1", 115200)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_a_board_at_an_ipv6_address_is_reached() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this computer has no ::1")
    with listener, open_port(f"socket://[::1]:{listener.getsockname()[1]}", 115200) as port:
        port.write(b"here")
        with listener.accept()[0] as connection:
            assert connection.recv(4) == b"here"


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals are a thing of POSIX")
def test_a_port_that_another_program_has_open_is_busy() -> None:
    import pty

    _, other_end = pty.openpty()
    name = os.ttyname(other_end)
    with (
        serial.Serial(name, exclusive=True),
        pytest.raises(UserError, match=f"{name}: the port is in use. Close the serial monitor"),
    ):
        Link(name)


def test_a_file_is_not_a_serial_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="this is not a serial port"):
            Link(str(path))


def test_a_port_without_permission_names_the_group() -> None:
    denied = serial.SerialException(errno.EACCES, "could not open port")
    assert "sudo usermod -aG dialout $USER" in serial_port._explain("/dev/ttyNONE", denied)


@pytest.mark.skipif(os.name == "nt", reason="a port has no group there")
@pytest.mark.parametrize(
    ("mode", "of_root", "told"),
    [
        (0o660, False, r"Join the group that owns it: `sudo usermod -aG {group} \$USER`, then log out and in\."),
        (0o620, False, r"PlatformIO's udev rules .*: `sudo cp /.*/99-platformio-udev\.rules /etc/udev/rules\.d/`"),
        (0o600, True, r"PlatformIO's udev rules .*: `sudo cp /.*/99-platformio-udev\.rules /etc/udev/rules\.d/`"),
        (0o660, True, r"PlatformIO's udev rules .*: `sudo cp /.*/99-platformio-udev\.rules /etc/udev/rules\.d/`"),
    ],
)
def test_doctor_and_who_opens_a_port_say_what_gives_the_permission(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int, of_root: bool, told: str
) -> None:
    import grp

    port = tmp_path / "ttyACM0"
    port.touch()
    port.chmod(mode)
    if os.getuid() == 0:
        os.chown(port, 0, 0 if of_root else max(group.gr_gid for group in grp.getgrall()))
    elif of_root:
        pytest.skip("only root can give a file to root's group")
    denied = serial.SerialException(errno.EACCES, "could not open port")
    explained = serial_port._explain(str(port), denied)
    assert re.search(told.format(group=re.escape(port.group())), explained)
    if rules := re.search(r"`sudo cp (\S+)", explained):
        assert "2e8a" in Path(rules[1]).read_text(), "a Pico's USB numbers are among the rules"
    there = SimpleNamespace(device=str(port), description="", vid=None, pid=None, serial_number=None)
    monkeypatch.setattr(list_ports, "comports", lambda: [there])
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    assert explained == f"you may not open this port. {doctors_advice(tinyllm, str(port))}"


def doctors_advice(tinyllm: Tinyllm, port: str) -> str:
    checks = json.loads(tinyllm("doctor", "--json")[1])["checks"]
    (check,) = (check for check in checks if check["name"] == f"port {port}")
    assert not check["ok"]
    return str(check["advice"])
