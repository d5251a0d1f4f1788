"""What the tests of real boards share: boards, compilers, and PlatformIO with stand-ins for their platforms."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from platformio.package.meta import PackageSpec

from tests.conftest import skip_unless_ci
from tinyllm.boards.description import FOLDER, OWN_PLATFORM, Board, load_board, load_boards
from tinyllm.boards.families import one_of_each_chip
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

HERE = Path(__file__).parent
STAND_INS = HERE.parent / "registry"
ARDUINO_STUB = HERE / "arduino_stub"
REAL = [board for board in load_boards(FOLDER) if board.platformio["platform"] != OWN_PLATFORM]
REAL_BOARDS = [board.name for board in REAL]
ONE_OF_EACH_TWIN = list(
    {
        (each.virtual.platformio["board"], each.virtual.ports): each.name for each in reversed(REAL) if each.virtual
    }.values()
)
ONE_OF_EACH_PLATFORM = list({board.platformio["platform"]: board.name for board in reversed(REAL)}.values())


def builds(names: Sequence[str]) -> list[Any]:
    """All boards for a test that takes a build. Those that are not named are a sweep: they differ in options alone."""
    return [pytest.param(each, marks=[] if each in names else pytest.mark.sweep, id=each) for each in REAL_BOARDS]


@dataclass(frozen=True)
class Cross:
    """A cross-compiler for one of the chips' instruction sets."""

    prefix: str
    flags: tuple[str, ...]

    def tool(self, name: str) -> list[str]:
        """The command of gcc or g++ with the flags. The test is skipped if this computer has no such compiler."""
        if shutil.which(f"{self.prefix}{name}") is None:
            skip_unless_ci(f"no {self.prefix}{name} on PATH")
        return [f"{self.prefix}{name}", *self.flags]


M33 = ("-mcpu=cortex-m33", "-march=armv8-m.main+fp+dsp", "-mfloat-abi=softfp", "-mcmse")
"""Of Arduino-Pico: with a unit for floats, whose registers a compiler plans for even if nothing uses them."""
M7 = ("-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16")
"""Of Teensy's platform."""
CROSS = {
    "rp2040": Cross("arm-none-eabi-", ("-march=armv6-m", "-mcpu=cortex-m0plus", "-mthumb")),
    "rp2350": Cross("arm-none-eabi-", (*M33, "-mthumb")),
    "esp32c3": Cross("riscv64-unknown-elf-", ("-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs")),
    "esp32": Cross("xtensa-lx106-elf-", ("-specs=../picolibc.specs", "-mtext-section-literals")),
    "esp32s3": Cross("xtensa-lx106-elf-", ("-specs=../picolibc.specs", "-mtext-section-literals")),
    "esp32s2": Cross("xtensa-lx106-elf-", ("-specs=../picolibc.specs", "-mtext-section-literals")),
    "esp32c6": Cross("riscv64-unknown-elf-", ("-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs")),
    "imxrt1062": Cross("arm-none-eabi-", (*M7, "-mthumb")),
    "esp32p4": Cross("riscv64-unknown-elf-", ("-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs")),
}
ONE_OF_EACH_PROCESSOR = list({CROSS[board.chip]: board.name for board in reversed(one_of_each_chip(REAL))}.values())
"""A board of each cross-compiler with its flags."""
PLATFORMIO_PATIENCE = 30.0
"""Seconds that PlatformIO itself waits for its registry, and more."""
PLATFORMS = {
    "platformio/espressif32": "espressif32",
    "maxgerhardt": "raspberrypi",
    "pioarduino": "pioarduino",
    "teensy": "teensy",
}
"""A word of each board's platform -> the folder of its stand-in."""


def stand_in_of(platform: str) -> Path:
    """The folder of a platform's stand-in."""
    (found,) = (STAND_INS / place for word, place in PLATFORMS.items() if word in platform)
    return found


def install_stand_ins(core: Path) -> None:
    """Lay the stand-ins into PlatformIO's core folder as it would have installed the real ones.

    A platform that boards want at two commits stands there twice, in folders of two names.
    """
    for name in ONE_OF_EACH_PLATFORM:
        platform = load_board(name, FOLDER).platformio["platform"]
        spec = PackageSpec(platform)
        stand_in = stand_in_of(platform)
        folder = core / "platforms" / stand_in.name
        if folder.exists():
            folder = folder.with_name(f"{stand_in.name}@src")
        shutil.copytree(stand_in, folder)
        shutil.copytree(STAND_INS / "builder", folder / "builder")
        shutil.copytree(ARDUINO_STUB, folder / "arduino_stub")
        about = json.loads((stand_in / "platform.json").read_text("utf-8"))
        record = {"type": "platform", "name": about["name"], "version": about["version"], "spec": spec.as_dict()}
        (folder / ".piopm").write_text(json.dumps(record), "utf-8")


def write(model: IntegerModel, tokenizer: Tokenizer, board: Board, folder: Path) -> Path:
    write_project(emit_project(model, tokenizer, board), folder)
    return folder


def include(project: Path) -> list[str]:
    """The compiler's flags for a project's headers."""
    return [f"-I{project / 'src' / part}" for part in ("", "engine", "kernels", "console", "port")]


def compile_to(command: list[str]) -> None:
    """Run a compiler in the folder of what it writes, its last word: then ccache sees relative paths."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(command[-1]).parent, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
