"""The plugin that every run of pytest loads if tinyllm is installed: options, fixtures, and a hint for wrong options.

Of ours it imports only report.py, and nothing large. boards.py does the work; it is imported when a test first asks for
a board. lab.py is imported if there is an environment file of labgrid.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm.host.pytest_plugin import report

if TYPE_CHECKING:
    from tinyllm.host.api.board import Board
    from tinyllm.host.connect.attach import BoardRequest

BOARDS = "tinyllm.host.pytest_plugin.boards"
LAB = "tinyllm.host.pytest_plugin.lab"
REQUEST = "tinyllm_board_request"
OPTIONS = ("board", "virtual", "port", "model", "context", "weights", "calibrate")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options, with a prefix because this is one of many plugins."""
    group = parser.getgroup("tinyllm", "a board that runs a language model (tinyllm)")
    add = group.addoption
    add("--tinyllm-board", metavar="NAME", help="a board of `tinyllm boards`; default: host")
    add("--tinyllm-virtual", action="store_true", help="the board's twin on this computer, in an emulator")
    add("--tinyllm-port", metavar="PORT", help="a running board: /dev/ttyACM0, COM3, socket://host:port")
    add("--tinyllm-model", metavar="MODEL", help="a bundled model's name or a checkpoint; default: a bundled one")
    add("--tinyllm-context", metavar="N", type=int, help="tokens that a model that is built here sees")
    add("--tinyllm-weights", metavar="FORMAT", help="of a model that is built here: int8, int4, mixed, mixed:SIZE")
    add("--tinyllm-calibrate", metavar="FILE", help="a text that decides how int4 weights are rounded")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> Generator[None, None, None]:
    """Raise UsageError with the right option if its prefix was left out, unless a conftest.py has the short one."""
    yield
    unknown = [argument.partition("=")[0] for argument in parser.parse_known_and_unknown_args(args)[1]]
    if wrong := [option for option in OPTIONS if f"--{option}" in unknown]:
        right = ", ".join(f"--tinyllm-{option}" for option in wrong)
        raise pytest.UsageError(f"{', '.join(f'--{option}' for option in wrong)}: tinyllm's options are called {right}")


def pytest_configure(config: pytest.Config) -> None:
    """Raise UsageError for an environment file that labgrid cannot read. Its own plugin, after this, would crash."""
    if path := environment_file(config):
        lab(config).check(path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With an environment file of labgrid, run the tests on each of its targets that has a TinyllmDriver."""
    if REQUEST in metafunc.fixturenames and has_lab(metafunc.config):
        targets = lab(metafunc.config).targets(metafunc.config)
        if targets:
            metafunc.parametrize(REQUEST, targets, indirect=True, scope="session", ids=lambda target: target.name)


@pytest.fixture(scope="session")
def tinyllm_board_request(request: pytest.FixtureRequest) -> Iterator[BoardRequest]:
    """Which board the tests talk to: as the options or labgrid's file say. May be overridden or parametrised."""
    if has_lab(request.config):
        yield from lab(request.config).flashed(request)
    else:
        yield boards(request.config).wanted(request)


@pytest.fixture(scope="session")
def tinyllm_board(tinyllm_board_request: BoardRequest, request: pytest.FixtureRequest) -> Iterator[Board]:
    """The connection that all tests share; the host board and virtual boards are built and started."""
    yield from boards(request.config).connected(tinyllm_board_request)


@pytest.fixture
def board(tinyllm_board: Board, request: pytest.FixtureRequest) -> Board:
    """A board that has forgotten every conversation: greedy, its other settings as they are at a board's start."""
    request.node.stash[report.TESTED] = tinyllm_board
    boards(request.config).refresh(tinyllm_board)
    return tinyllm_board


def boards(config: pytest.Config) -> Any:
    """The module boards.py, imported on first use."""
    return _module(config, BOARDS)


def lab(config: pytest.Config) -> Any:
    """The module lab.py, imported on first use."""
    boards(config)  # lab.py imports boards.py, but pytest wants to be the first to import a plugin
    return _module(config, LAB)


def has_lab(config: pytest.Config) -> bool:
    """Whether an environment file of labgrid names the boards: no option does, and labgrid is installed."""
    option = config.getoption
    if option("tinyllm_board") or option("tinyllm_virtual") or option("tinyllm_port"):
        return False
    return environment_file(config) is not None


def environment_file(config: pytest.Config) -> str | None:
    """Labgrid's, as it finds it itself; None without one or without labgrid."""
    if not config.pluginmanager.hasplugin("labgrid"):
        return None
    return config.getoption("lg_env") or os.environ.get("LG_ENV")


def _module(config: pytest.Config, name: str) -> Any:
    config.pluginmanager.import_plugin(name)
    return config.pluginmanager.get_plugin(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the board in the report of a test that has one."""
    made = yield
    tested = item.stash.get(report.TESTED, None)
    if tested is not None:
        report.tell(made, tested)
    return made


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One table: what each board was and how its tests went. Nothing if no test used a board."""
    if lines := report.summary(terminalreporter.stats):
        terminalreporter.section("boards", sep="-")
        for line in lines:
            terminalreporter.write_line(line)
