"""tinyllm flash of weights that lie beside the program: each part is uploaded only if the board has another.

The board is a process of this computer with a custom upload of both parts; the commands for real boards are read from
their projects.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import STORY_MODEL, skip_unless_ci
from tests.pipeline.conftest import BASE, random_model
from tests.unit.checkpoint_files import legacy_bytes, rotating_neighbours
from tinyllm.boards.description import BOARDS_DIR, FOLDER, load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.memory.plan import PARTITION, memory_needs
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.errors import Failure
from tinyllm.files import WEIGHTS
from tinyllm.host.build.platformio import run_target
from tinyllm.host.cli import app as cli

HERE = Path(__file__).parent
DESK = """\
description = "A board on the desk"
chip = "host"
instruction_set = "generic"
cores = 1
ports = ["host"]

[platformio]
platform = "tinyllm"
board = "host"
upload_protocol = "custom"
upload_command = '"$PYTHONEXE" "{upload}" "{flash}" $UPLOAD_PORT $SOURCE'
custom_upload_weights = '"$PYTHONEXE" "{weights}" "{flash}" $UPLOAD_PORT "$PROJECT_DIR/weights.bin"'
"""

Flash = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Desk:
    """Where program and weights are put, and the port at which they run then."""

    flash: Path
    port: str


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        skip_unless_ci("no cc on PATH")
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def desk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    flash, folder = home / "chip", home / "boards"
    folder.mkdir(exist_ok=True)
    scripts = {"upload": HERE / "desk_upload.py", "weights": HERE / "desk_weights.py"}
    (folder / "desk.toml").write_text(DESK.format(**scripts, flash=flash))
    monkeypatch.setenv("TINYLLM_HOME", str(home))
    monkeypatch.setenv(BOARDS_DIR, str(folder))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    yield Desk(flash, f"socket://127.0.0.1:{port}")
    running = flash.with_suffix(".pid")
    if running.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(running.read_text()), signal.SIGTERM)
    for left in (running, flash, home / WEIGHTS):
        left.unlink(missing_ok=True)


@pytest.fixture
def flash(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Flash:
    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(["flash", *arguments, "--board", "desk", "--port", desk.port, "--context", "64"])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model with other weights: of the same dimensions and vocabulary."""
    folder = tmp_path_factory.mktemp("tuned")
    model = read_model(STORY_MODEL)
    model.embedding = (model.embedding * np.float32(1.25)).astype(np.float32)
    (folder / "tuned.bin").write_bytes(legacy_bytes(rotating_neighbours(model)))
    (folder / "tok512.model").write_bytes((STORY_MODEL / "tokenizer.model").read_bytes())
    return folder / "tuned.bin"


def test_each_part_is_uploaded_only_if_the_board_has_another(flash: Flash, tuned: Path) -> None:
    bundled = (str(STORY_MODEL), "--weights-in", "partition")
    code, out, err = flash(*bundled)
    assert code == 0, err
    assert "uploaded: weights and program" in out
    assert "nothing was uploaded" in flash(*bundled)[1]


def test_another_model_of_the_same_layout_is_uploaded_without_compiling(
    flash: Flash, tuned: Path, desk: Desk, home: Path
) -> None:
    assert flash(str(STORY_MODEL), "--weights-in", "partition")[0] == 0
    program = desk.flash.read_bytes()
    code, out, err = flash(str(tuned), "--model-only", "--json")
    assert code == 0, err
    assert "Compiling" not in (home / "flash/desk/.pio/desk.log").read_text()
    told = json.loads(out)
    assert (told["uploaded"], told["built"], told["hello"]["weights"]) == (["weights"], None, 0)
    assert desk.flash.read_bytes() == program
    code = cli.run(["run", "--port", desk.port, "-p", "Once", "-n", "5", "--temperature", "0"])
    assert code == 0


def test_a_program_of_another_layout_must_be_built_too(flash: Flash, desk: Desk) -> None:
    assert flash(str(STORY_MODEL), "--weights-in", "program")[0] == 0
    code, _, err = flash(str(STORY_MODEL), "--model-only")
    assert code == 2
    assert "the board's program is for weights of layout 0000000000000000" in err
    assert "`tinyllm flash --board desk` without --model-only builds and uploads both." in err


def test_a_board_that_does_not_answer_takes_no_weights_alone(flash: Flash) -> None:
    code, _, err = flash(str(STORY_MODEL), "--model-only")
    assert code == 2
    assert "no desk answers that has a program for the weights" in err


# --- The commands for real boards ---


def project_of(board: str, tokenizer: Tokenizer) -> Project:
    model, described = quantize(random_model(BASE)), load_board(board, FOLDER)
    return emit_project(model, tokenizer, described, memory_needs(model, tokenizer, described, PARTITION))


@pytest.mark.parametrize(
    ("board", "command"),
    {
        "esp32": '--chip esp32 --port "$UPLOAD_PORT" --baud $UPLOAD_SPEED --before default_reset --after hard_reset '
        'write_flash -z 0x110000 "$PROJECT_DIR/weights.bin"',
        "esp32s3": 'write_flash -z 0x190000 "$PROJECT_DIR/weights.bin"',
        "pico": '"$UPLOADER" load -u -v "$PROJECT_DIR/weights.bin" -t bin -o 0x10080000 && "$UPLOADER" reboot',
        "rp2350-16mb": "-t bin -o 0x10100000",
    }.items(),
)
def test_the_weights_go_to_their_place_by_the_tool_that_uploads_the_program(
    board: str, command: str, stories_tokenizer: Tokenizer
) -> None:
    project = project_of(board, stories_tokenizer)
    assert command in project.files["upload_weights.py"]
    assert "extra_scripts = post:upload_weights.py\n" in project.files["platformio.ini"]
    assert (
        "upload_weights.py"
        not in emit_project(quantize(random_model(BASE)), stories_tokenizer, load_board(board, FOLDER)).files
    )


PARTITIONS = {
    "esp32": "app0,     app,  ota_0,   0x10000,  0x100000\nweights,  data, 0x40,    0x110000, 0x2f0000\n",
    "esp32c3": "app0,     app,  ota_0,   0x10000,  0x100000\nweights,  data, 0x40,    0x110000, 0x2f0000\n",
    "esp32s3": "app0,     app,  ota_0,   0x10000,  0x180000\nweights,  data, 0x40,    0x190000, 0x670000\n",
    "esp32s3-n16r8": "app0,     app,  ota_0,   0x10000,  0x100000\nweights,  data, 0x40,    0x110000, 0xef0000\n",
}


@pytest.mark.parametrize("board", PARTITIONS)
def test_an_esp32_gets_a_partition_table_that_ends_with_the_flash(board: str, stories_tokenizer: Tokenizer) -> None:
    project = project_of(board, stories_tokenizer)
    table = project.files["partitions.csv"]
    assert table.endswith(PARTITIONS[board])
    rows = [line.replace(" ", "").split(",") for line in table.splitlines() if not line.startswith("#")]
    places = [(int(offset, 0), int(size, 0)) for *_, offset, size in rows]
    for (offset, size), (following, _) in pairwise(places):
        assert offset + size <= following
    described = load_board(board, FOLDER)
    assert described.memory and sum(places[-1]) == described.memory.flash
    assert all(offset % 0x10000 == 0 for offset, _ in places[-2:])
    assert "board_build.partitions = partitions.csv\n" in project.files["platformio.ini"]


@pytest.mark.parametrize(("board", "size"), {"pico": 1568768, "pico2": 3141632, "rp2350-16mb": 15724544}.items())
def test_a_pico_has_its_weights_where_the_core_has_a_file_system(
    board: str, size: int, stories_tokenizer: Tokenizer
) -> None:
    """Arduino-Pico counts from the end: 4 KB of EEPROM, the file system, and the rest is the program's."""
    described = load_board(board, FOLDER)
    ini = project_of(board, stories_tokenizer).files["platformio.ini"]
    assert f"board_build.filesystem_size = {size}B\n" in ini
    assert described.memory and described.weights
    assert described.weights.offset == described.memory.flash - 4096 - size == described.weights.program


def test_the_target_runs_the_boards_tool_with_the_port(stories_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """PlatformIO itself carries out the target, with a tool that writes down what it is called with."""
    project = project_of("esp32c3", stories_tokenizer)
    host = load_board("host")
    tool = tmp_path / "tool.py"
    tool.write_text("import json, sys; json.dump(sys.argv[1:], open(sys.argv[0] + '.seen', 'w'))")
    script = project.files["upload_weights.py"]
    extra = f'Import("env")\nenv.Replace(UPLOADER={str(tool)!r}, UPLOAD_SPEED="460800")\n'
    board = replace(host, platformio={**host.platformio, "extra_scripts": "post:tool.py, post:upload_weights.py"})
    model = quantize(random_model(BASE))
    folder = tmp_path / "project"
    write_project(
        emit_project(model, stories_tokenizer, board, memory_needs(model, stories_tokenizer, host, PARTITION)), folder
    )
    (folder / "tool.py").write_text(extra)
    (folder / "upload_weights.py").write_text(script)
    run_target(folder, "host", "upload_weights", "/dev/ttyUSB7")
    seen = json.loads(Path(f"{tool}.seen").read_text())
    assert seen[:6] == ["--chip", "esp32c3", "--port", "/dev/ttyUSB7", "--baud", "460800"]
    assert seen[-2:] == ["0x110000", str(folder / WEIGHTS)]


def test_an_upload_that_fails_is_told(stories_tokenizer: Tokenizer, tmp_path: Path) -> None:
    host = load_board("host")
    options = {"custom_upload_weights": f"{sys.executable} -c 'raise SystemExit(3)'"}
    board = replace(host, platformio={**host.platformio, **options})
    model = quantize(random_model(BASE))
    write_project(
        emit_project(model, stories_tokenizer, board, memory_needs(model, stories_tokenizer, host, PARTITION)), tmp_path
    )
    with pytest.raises(Failure, match="host: upload_weights failed"):
        run_target(tmp_path, "host", "upload_weights", "/dev/ttyUSB7")


def test_esptool_writes_the_image_at_its_offset_and_reads_it_back(stories_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A mock of the ROM loader takes it; the words of the command are those of esptool 4, which 5 takes too."""
    mock = pytest.importorskip("esp32_mock_bootloader")
    project = project_of("esp32c3", stories_tokenizer)
    assert project.weights is not None
    (tmp_path / WEIGHTS).write_bytes(project.weights)
    with mock.mock_bootloader(chip="esp32c3") as chip:
        common = [sys.executable, "-m", "esptool", "--chip", "esp32c3", "--port", chip.url()]
        for verb in (["write_flash", "-z"], ["verify_flash"]):
            done = subprocess.run(
                [*common, *verb, "0x110000", str(tmp_path / WEIGHTS)], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert "Verification successful" in done.stdout
