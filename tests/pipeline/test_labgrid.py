"""Boards of a labgrid: a coordinator, an exporter, and two boards on this computer, as if they stood in other rooms.

One board is flashed through its place: a process, as in test_flash.py. The other, a virtual Pico 2, runs already.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import TESTS, skip_unless_ci
from tests.pipeline.test_flash import DESK, HERE
from tinyllm.boards.description import BOARDS_DIR, load_board
from tinyllm.errors import UserError
from tinyllm.host.build.build import build
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.model.load import LoadOptions, load_model

try:
    from labgrid import Environment
    from labgrid.pytestplugin.hooks import LABGRID_ENV_KEY
    from labgrid.remote.client import start_session
    from labgrid.resource.common import ResourceManager
    from labgrid.resource.remote import RemotePlaceManager
    from labgrid.strategy import StrategyError

    from tinyllm.host.labgrid.places import held_target
    from tinyllm.host.pytest_plugin.lab import check, flashed, targets
except ImportError:
    pytestmark = pytest.mark.skip("no labgrid: pip install 'tinyllm[labgrid]'")

SECONDS = 60.0
EXPORTED = """\
desk:
  NetworkSerialPort: {{host: 127.0.0.1, port: {desk}, protocol: raw}}
pico:
  NetworkSerialPort: {{host: 127.0.0.1, port: {pico}, protocol: raw}}
"""
BOTH = """\
targets:
  desk:
    resources:
      RemotePlace: {name: desk-1}
    drivers:
      TinyllmDriver: {board: desk, context: 64}
      TinyllmStrategy: {}
  pico2:
    resources:
      RemotePlace: {name: pico2-1}
    drivers:
      TinyllmDriver: {board: pico2}
  lamp:
    resources: {}
imports: [tinyllm.host.labgrid.drivers]
"""


@dataclass(frozen=True)
class Lab:
    """A coordinator's address, our session with it, and a folder of board descriptions."""

    address: str
    session: Any
    folder: Path

    def ask(self, request: str, **arguments: object) -> None:
        """As `labgrid-client`, without another process."""
        self.session.args = argparse.Namespace(**arguments)
        self.session.loop.run_until_complete(getattr(self.session, request)())

    def holder(self, place: str) -> str | None:
        """Who has acquired a place."""
        self.session.loop.run_until_complete(self.session.sync_with_coordinator())
        acquired: str | None = self.session.places[place].acquired
        return acquired

    def env(self, text: str) -> Any:
        path = self.folder / "env.yaml"
        path.write_text(f"options: {{coordinator_address: '{self.address}'}}\n{text}")
        return Environment(str(path))


def started(module: str, *arguments: str, folder: Path, ready: str) -> tuple[subprocess.Popen[str], str]:
    """A process of labgrid, and its first line that matches."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"labgrid.remote.{module}", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(ready, line):
            return process, found[0]
    raise AssertionError(f"{module} ended with code {process.wait()}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if shutil.which("cc") is None or shutil.which("arm-none-eabi-gcc") is None:
        skip_unless_ci("no cc or no arm-none-eabi-gcc on PATH")
    folder = tmp_path_factory.mktemp("lab")
    (folder / "boards").mkdir()
    (folder / "boards/desk.toml").write_text(DESK.format(script=HERE / "desk_upload.py", flash=folder / "flash"))
    loaded = load_model(None, LoadOptions(context=64))
    twin = load_board("pico2").twin()
    with contextlib.ExitStack() as stack:
        pico = stack.enter_context(BoardProcess.of(twin, build(loaded, twin).program))
        with socket.create_server(("127.0.0.1", 0)) as free:
            desk = free.getsockname()[1]
        (folder / "exported.yaml").write_text(EXPORTED.format(desk=desk, pico=pico.url.rsplit(":", 1)[1]))
        listen = ("-l", "127.0.0.1:0")
        coordinator, address = started("coordinator", *listen, folder=folder, ready=r"127\.0\.0\.1:\d+")
        stack.callback(end, coordinator)
        room = ("-c", address, "-n", "room", "exported.yaml")
        exporter, _ = started("exporter", *room, folder=folder, ready="Exporter ready")
        stack.callback(end, exporter)
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(BOARDS_DIR, str(folder / "boards"))
        made = Lab(address, start_session(address), folder)
        deadline = time.monotonic() + SECONDS
        while len(made.session.resources.get("room", ())) < 2:
            assert time.monotonic() < deadline
            made.session.loop.run_until_complete(asyncio.sleep(0.05))
        for place, group in (("desk-1", "desk"), ("pico2-1", "pico")):
            made.ask("add_place", place=place)
            made.ask("add_match", place=place, patterns=[f"room/{group}/NetworkSerialPort"])
            made.ask("set_tags", place=place, tags=[f"board={group}"])
        yield made
        with contextlib.suppress(OSError):
            os.kill(int((folder / "flash.pid").read_text()), signal.SIGTERM)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


@pytest.fixture
def resources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labgrid keeps resources, and the connection to the coordinator, for a whole process."""
    monkeypatch.setattr(ResourceManager, "instances", {})


@pytest.fixture
def connected(lab: Lab, resources: None) -> None:
    """The coordinator takes one connection of a process: ours."""
    manager = RemotePlaceManager.get()
    manager.session, manager.loop = lab.session, lab.session.loop


def hold(lab: Lab, target: str, text: str = BOTH) -> None:
    with held_target(lab.env(text), target):
        pass


def test_the_suite_runs_on_each_board_of_the_lab_the_first_flashed_through_its_place(lab: Lab) -> None:
    lab.env(BOTH)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--lg-env", str(lab.folder / "env.yaml")]
    command += ["--basetemp", str(lab.folder / "temp")]
    tests = ["tests/boards/test_core.py", "-k", "greedy or turns"]
    done = subprocess.run([*command, *tests], cwd=TESTS.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.partition("- boards -")[2]
    for board in ("desk", "pico2-virtual"):
        assert re.search(rf"^{board} +tinystories-260k +64 +[0-9a-f]{{16}} +2 passed", table, re.MULTILINE), done.stdout
    assert (lab.folder / "flash").is_file()
    assert (lab.holder("desk-1"), lab.holder("pico2-1")) == (None, None), "released again"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "could not be found"),
        (b"", "Configuration file is empty"),
        (b"targets: [a", "Error in configuration file: .* expected ',' or ']'"),
        (b"- a", "expected tables like `targets:`"),
        (b"targets: {}\noptions: 3", "expected tables like `targets:`"),
        (b"\xff\xfe", "can't decode byte 0xff"),
    ],
)
def test_a_file_that_labgrid_cannot_read_is_told_in_a_line(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "env.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(pytest.UsageError, match=rf"^--lg-env .*env\.yaml: .*{told}.*docs/labgrid\.md") as error:
        check(str(path))
    assert "\n" not in str(error.value)


def test_pytest_ends_with_that_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--lg-env", "missing.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "missing.yaml" in done.stderr and "Traceback" not in done.stdout + done.stderr


def test_a_file_without_our_driver_is_told(lab: Lab) -> None:
    """pytest_plugin.plugin hands the fixture's request on."""
    config = SimpleNamespace(stash={LABGRID_ENV_KEY: lab.env("targets: {main: {resources: {}}}\n")})
    assert targets(config) == []
    told = r"env\.yaml: no target of it has a TinyllmDriver, so it has no board to test\."
    with pytest.raises(pytest.fail.Exception, match=told):
        next(flashed(SimpleNamespace(config=config)))
    config.stash[LABGRID_ENV_KEY] = lab.env("targets: 7\n")
    with pytest.raises(pytest.fail.Exception, match=r"env\.yaml: targets: expected a target's name"):
        targets(config)


@pytest.mark.usefixtures("connected")
def test_a_place_that_is_taken_is_told_with_who_has_it(lab: Lab) -> None:
    client = [sys.executable, "-m", "labgrid.remote.client", "-x", lab.address, "-p", "pico2-1"]
    hers = os.environ | {"LG_USERNAME": "ada", "LG_HOSTNAME": "attic"}
    subprocess.run([*client, "acquire"], env=hers, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)
    with pytest.raises(UserError, match=r"^place pico2-1: taken by attic/ada\. Wait for its release, or"):
        hold(lab, "pico2")
    assert lab.holder("pico2-1") == "attic/ada"
    lab.ask("release", place="pico2-1", kick=True)


@pytest.mark.usefixtures("connected")
def test_a_place_that_was_acquired_before_stays_acquired(lab: Lab) -> None:
    lab.ask("acquire", place="pico2-1", allow_unmatched=False)
    with held_target(lab.env(BOTH), "pico2") as target, target.get_driver("TinyllmDriver").open() as board:
        assert board.ask("Once", 3).read().tokens == board.expect("Once", max_tokens=3)[0]
    assert lab.holder("pico2-1") is not None
    lab.ask("release", place="pico2-1", kick=False)


@pytest.mark.usefixtures("connected")
def test_a_place_may_be_named_by_a_reservation(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.ask("create_reservation", filters=["board=pico"], prio=0.0, shell=True, wait=True)
    token = capsys.readouterr().out.split("LG_TOKEN=")[1].split()[0]
    monkeypatch.setenv("LG_TOKEN", token)
    with held_target(lab.env(BOTH.replace("name: pico2-1", 'name: "+"')), "pico2") as target:
        assert target.get_driver("TinyllmDriver").request().board == "pico2"
        assert lab.holder("pico2-1") is not None
    assert lab.holder("pico2-1") is None
    lab.ask("cancel_reservation", token=token)


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOTH.replace("name: pico2-1", "name: attic"), r"place attic: .* Places of this coordinator: desk-1, pico2-1."),
        (BOTH.replace("{board: pico2}", "{boart: pico2}"), r"env\.yaml: target pico2: .* missing .*'board'"),
        (BOTH.replace("{board: pico2}", "{board: 2}"), r"env\.yaml: target pico2: 'board' must be"),
        (BOTH.replace("{board: pico2}", "7"), r"env\.yaml: target pico2: cannot be read"),
        (BOTH.replace("RemotePlace: {name: pico2-1}", "ManualPower: {}"), r"env\.yaml: target pico2: "),
    ],
    ids=["no such place", "no board", "no name", "no mapping", "no port"],
)
def test_a_file_that_cannot_be_is_told_in_a_line(lab: Lab, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labgrid warns of an argument that it does not know
        hold(lab, "pico2", text)
    assert len(str(error.value).splitlines()) == 1
    assert lab.holder("pico2-1") is None


@pytest.mark.usefixtures("resources")
def test_a_coordinator_that_is_not_there_is_told_with_its_address(lab: Lab) -> None:
    env = lab.env(BOTH)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env.config.set_option("coordinator_address", address)
    with pytest.raises(UserError, match=rf"^{address}: no labgrid coordinator answers"), held_target(env, "pico2"):
        pass


PORTS = """\
targets:
  main:
    resources:
      NetworkSerialPort: {resource}
    drivers:
      TinyllmDriver: {{board: pico2}}
      TinyllmStrategy: {{}}
imports: [tinyllm.host.labgrid.drivers]
"""


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("{host: lab, port: 4000, protocol: raw}", "socket://lab:4000"),
        ("{host: lab, port: 4000}", "rfc2217://lab:4000?ign_set_control"),
        ("{host: '[::1]', port: 4000, protocol: raw}", "socket://[::1]:4000"),
    ],
)
def test_a_port_of_the_network_is_a_port_of_ours(lab: Lab, resource: str, url: str) -> None:
    with held_target(lab.env(PORTS.format(resource=resource)), "main") as target:
        assert target.get_driver("TinyllmDriver").request().port == url


@pytest.mark.usefixtures("resources")
def test_a_state_without_a_way_to_it_is_told_and_a_forced_one_flashes_nothing(lab: Lab) -> None:
    with held_target(lab.env(PORTS.format(resource="{host: lab, port: 4000, protocol: telnet}")), "main") as target:
        strategy = target.get_strategy()
        with pytest.raises(StrategyError, match="no state on; expected off or flashed"):
            strategy.transition("on")
        with pytest.raises(StrategyError, match="nothing switches its power"):
            strategy.transition("off")
        with pytest.raises(UserError, match="main: its port speaks 'telnet', expected raw or rfc2217"):
            strategy.transition("flashed")
        strategy.force("flashed")
        strategy.transition("flashed")


@pytest.mark.usefixtures("resources")
def test_a_power_driver_of_the_target_switches_the_board(lab: Lab) -> None:
    on = lab.folder / "power is on"
    power = f"ExternalPowerDriver: {{cmd_on: 'touch \"{on}\"', cmd_off: 'rm \"{on}\"'}}"
    file = PORTS.format(resource="{host: lab, port: 4000, protocol: telnet}").replace(
        "drivers:", f"drivers:\n      {power}"
    )
    on.touch()
    with held_target(lab.env(file), "main") as target:
        strategy = target.get_strategy()
        strategy.transition("off")
        assert not on.exists()
        with pytest.raises(UserError, match="its port speaks 'telnet'"):
            strategy.transition("flashed")
        assert on.exists(), "before it is flashed"
