"""`tinyllm boards --new`: a description of a board that is missing, from one that is there and PlatformIO's file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinyllm.boards.board import UsbId
from tinyllm.boards.description import BOARDS_DIR, FOLDER, load_board
from tinyllm.host.cli import app as cli

STAND_INS = Path(__file__).parents[1] / "registry"

New = Callable[..., tuple[int, str, str]]


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PlatformIO's core folder, with both platforms installed; the current folder is empty."""
    for platform in ("espressif32", "raspberrypi"):
        shutil.copytree(STAND_INS / platform, tmp_path / "core/platforms" / platform)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    monkeypatch.delenv(BOARDS_DIR, raising=False)
    return tmp_path / "core"


@pytest.fixture
def new(core: Path, capsys: pytest.CaptureFixture[str]) -> New:
    """Exit code, stdout and stderr of the verb with these options."""

    def command(*options: str, folder: str | None = None) -> tuple[int, str, str]:
        before = ["--boards-dir", folder] if folder else []
        code = cli.run([*before, "boards", *options])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


def test_a_board_is_written_with_what_its_platform_says_of_it(new: New) -> None:
    code, out, err = new("--new", "mine", "--like", "esp32s3-n8r8", "--from-platformio", "seeed_xiao_esp32s3")
    assert (code, err) == (0, "")
    assert (
        out == f"{Path('boards/mine.toml')}: written, like esp32s3-n8r8. `tinyllm build --board mine` builds for it.\n"
    )
    board, ours = load_board("mine"), load_board("xiao-esp32s3", FOLDER)
    assert board.description == "Seeed Studio XIAO ESP32S3"
    assert (board.memory, board.weights, board.usb) == (ours.memory, ours.weights, ours.usb)
    assert (board.platformio["board"], board.virtual) == ("seeed_xiao_esp32s3", ours.virtual)


def test_a_pico_with_more_flash_gets_all_of_it_and_keeps_its_twin(new: New) -> None:
    assert new("--new", "large", "--like", "pico2", "--from-platformio", "generic_rp2350")[0] == 0
    board, ours = load_board("large"), load_board("rp2350-16mb", FOLDER)
    assert (board.memory, board.weights, board.usb) == (ours.memory, ours.weights, ours.usb)
    assert board.twin().memory == load_board("rp2350-16mb", FOLDER).twin().memory


def test_without_the_platform_it_says_what_to_compare(new: New, core: Path) -> None:
    shutil.rmtree(core / "platforms")
    code, _, err = new("--new", "feather", "--like", "pico", "--from-platformio", "adafruit_feather")
    assert code == 0
    assert "so its flash, USB numbers and clock are taken from pico. Compare them with the board's" in err
    assert load_board("feather").platformio["board"] == "adafruit_feather"


def test_it_may_be_like_a_users_own_and_lie_in_a_folder_that_is_named(new: New) -> None:
    assert new("--new", "first", "--like", "pico", folder="mine")[0] == 0
    assert new("--new", "second", "--like", "first", folder="mine")[0] == 0
    assert {path.name for path in Path("mine").iterdir()} == {"first.toml", "second.toml"}


def test_a_program_gets_one_document(new: New) -> None:
    _, out, _ = new("--new", "mine", "--like", "esp32s3", "--from-platformio", "seeed_xiao_esp32s3", "--json")
    told = json.loads(out)
    assert (told["board"], told["path"]) == ("mine", str(Path("boards/mine.toml")))
    assert "It has PSRAM, which esp32s3 has not" in told["notes"][0]


S3 = ("--like", "esp32s3", "--from-platformio")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--new", "../x", "--like", "pico"), "--new '../x': no name for a board; expected letters, digits"),
        (("--new", "x-virtual", "--like", "pico"), "--new 'x-virtual': no name for a board"),
        (("--new", "host", "--like", "pico"), "--new 'host': no name for a board"),
        (("--new", "pico", "--like", "pico2"), "--new pico: there is a board of that name, "),
        (("--new", "x", "--like", "pic0"), "unknown board 'pic0'. Did you mean pico?"),
        (("--new", "x", "--like", "host"), "--like host: it has no memory of its own"),
        (("--new", "x"), "--new x needs --like BOARD"),
        (("--like", "pico"), "give its name with --new NAME"),
        (("--new", "x", *S3, "../../etc/passwd"), "no board id of PlatformIO, which are like esp32dev"),
        (
            ("--new", "x", *S3, "lolin_c3_mini"),
            "its chip is esp32c3, that of esp32s3 is esp32s3.\nTake --like esp32c3.",
        ),
        (
            ("--new", "x", *S3, "lolin_s3_mini"),
            "it has 4 MB of flash, esp32s3 has 8 MB and its partitions.\nTake --like esp32s3-mini.",
        ),
    ],
)
def test_what_cannot_be_described_is_refused_and_leaves_nothing(new: New, options: tuple[str, ...], told: str) -> None:
    code, out, err = new(*options)
    assert (code, out) == (2, "")
    assert told in err and len(err.splitlines()) <= 2
    assert not Path("boards").exists()


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ([], "holds a JSON list, expected an object"),
        ({"build": 7}, "no board file of PlatformIO: expected a name"),
        ({"name": "x", "build": {"extra_flags": 3}}, "no board file of PlatformIO"),
    ],
)
def test_a_board_file_that_is_none_is_named(new: New, core: Path, facts: Any, told: str) -> None:
    path = core / "platforms/espressif32/boards/odd.json"
    path.write_text(json.dumps(facts))
    code, _, err = new("--new", "x", "--like", "pico", "--from-platformio", "odd")
    assert code == 2
    assert str(path) in err and told in err


def test_facts_that_make_no_sense_are_left_out(new: New, core: Path) -> None:
    build = {"f_cpu": "fast", "mcu": ["rp2040"], "hwids": [["0x2E8A"], ["0xFFFFF", "1"], 5, ["0x1234", "0x0001"]]}
    facts = {"name": 'A "board"\n\x1b[31m of many words', "build": build, "upload": {"maximum_size": "large"}}
    (core / "platforms/raspberrypi/boards/odd.json").write_text(json.dumps(facts))
    assert new("--new", "odd", "--like", "pico", "--from-platformio", "odd")[0] == 0
    board, pico = load_board("odd"), load_board("pico", FOLDER)
    assert (board.usb, board.clock_mhz, board.memory) == ((UsbId(0x1234, 1),), pico.clock_mhz, pico.memory)
    assert board.description.startswith('A "board"') and board.description.isprintable()


def test_a_file_of_another_tool_among_the_boards_is_told_in_two_lines(new: New) -> None:
    Path("boards").mkdir()
    Path("boards/pyproject.toml").write_text('[project]\nname = "x"\n[tool.ruff]\nline-length = 120\n')
    code, _, err = new()
    assert code == 2
    first, second = err.splitlines()
    told = "no board description: it has 'project', 'tool', and none of like, description, chip, platformio."
    assert first.endswith(f"pyproject.toml: {told}")
    assert second.startswith("If it is another tool's, move it out of the folder")
