"""clang-tidy's groups bugprone and cert have nothing to say about the firmware, as it is emitted for any board.

Which checks are left out, and why, is in .clang-tidy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import skip_unless_ci
from tests.pipeline.conftest import BASE, random_model
from tests.unit import call_models
from tests.unit.chat_templates import FAMILIES, small_tokenizer
from tests.unit.tokenizer_forms import FORMS, form
from tests.unit.trained_tokenizers import read_trained
from tinyllm.boards.action_pins import ActionPins
from tinyllm.boards.description import Board, load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.library import ANY_BOARD, emit_library
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.memory.plan import PARTITION, memory_needs
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = [f"-Isrc{folder}" for folder in ("", "/engine", "/kernels", "/console", "/port")]
C99 = ["-std=c99", *INCLUDE]
PORTABLE = ("src", "src/engine", "src/kernels", "src/console")
AT_ONCE = 4
"""Files that one process of clang-tidy gets."""


# Each twin's port is read as a compiler for its chip would. clang knows no Xtensa: an i386 is as wide.
TARGETS = {
    "pico": "thumbv6m-none-eabi",
    "pico2": "thumbv8m.main-none-eabi",
    "esp32c3": "riscv32-unknown-elf",
    "esp32s3": "i386-none-elf",
}


def tidy(folder: Path, sources: list[str], flags: list[str]) -> None:
    """Fail with what clang-tidy says about these sources of an emitted project."""
    program = shutil.which("clang-tidy")
    if program is None:
        skip_unless_ci("clang-tidy is not installed")

    assert sources

    def run(some: list[str]) -> str:
        command = [program, "--quiet", f"--config-file={ROOT / '.clang-tidy'}", *some, "--", *flags]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = "".join(pool.map(run, (sources[i : i + AT_ONCE] for i in range(0, len(sources), AT_ONCE))))
    assert said == ""


def emit(
    folder: Path,
    board: Board,
    tokenizer: Tokenizer,
    chat_template: str | None = None,
    biases: bool = False,
    weights_in: str | None = None,
) -> Path:
    config = replace(BASE, vocab_size=tokenizer.vocab_size, context=96, chat_template=chat_template)
    model = quantize(random_model(config, biases=biases))
    write_project(emit_project(model, tokenizer, board, memory_needs(model, tokenizer, board, weights_in)), folder)
    return folder


def files(project: Path, *folders: str, ending: str = ".c") -> list[str]:
    paths = (path for folder in folders for path in sorted((project / folder).glob(f"*{ending}")))
    return [path.relative_to(project).as_posix() for path in paths if "windows" not in path.name]


@pytest.fixture(scope="module")
def tokenizer(stories_tokenizer: Tokenizer) -> Tokenizer:
    return stories_tokenizer


def test_the_host_boards_program_is_clean(tokenizer: Tokenizer, tmp_path: Path) -> None:
    project = emit(tmp_path, load_board("host"), tokenizer, biases=True)
    tidy(project, files(project, *PORTABLE, "src/port"), C99)


OTHERS = ["unigram", "byte-level qwen2 with normal form C", "word pieces, BERT uncased", "bpe, an end of word, unknown"]


@pytest.mark.parametrize("name", [OTHERS[0], *(pytest.param(name, marks=pytest.mark.sweep) for name in OTHERS[1:])])
def test_other_tokenizers_and_two_cores_are_clean(name: str, tmp_path: Path) -> None:
    project = emit(tmp_path, load_board("pico2"), form(name).ours if name in FORMS else read_trained(name))
    tidy(project, files(project, "src", "src/engine"), [*C99, "-DTL_CORES=2"])


def test_a_library_is_clean(tmp_path: Path) -> None:
    model = quantize(call_models.call_model())
    needs = memory_needs(model, call_models.tokenizer(), ANY_BOARD)
    write_project(emit_library(model, call_models.tokenizer(), ANY_BOARD, needs), tmp_path)
    tidy(tmp_path, ["src/TinyLLM/library.c", "src/TinyLLM/actions.c"], ["-std=c99", "-Isrc"])


def test_a_chat_is_clean(tmp_path: Path) -> None:
    family = FAMILIES["chatml"]
    project = emit(tmp_path, load_board("host"), small_tokenizer(family), family.template)
    tidy(
        project,
        ["src/chat_template.c", "src/engine/chat.c", "src/engine/session.c", *files(project, "src/console")],
        C99,
    )


@pytest.mark.parametrize("name", TARGETS)
def test_the_bare_metal_ports_are_clean(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    project = emit(tmp_path, load_board(name).twin(), tokenizer)
    # Its assembly names registers of the Xtensa.
    sources = [file for file in files(project, "src/port") if not file.endswith("simcall.c")]
    tidy(project, sources, [*C99, f"--target={TARGETS[name]}", "-ffreestanding", "-DTL_CORES=2"])


@pytest.mark.parametrize("core", ["ARDUINO_ARCH_ESP32", "ARDUINO_ARCH_RP2040"])
def test_the_arduino_port_is_clean(core: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    project = emit(tmp_path, load_board("pico"), tokenizer)
    stub = ["-isystem", str(ROOT / "tests/pipeline/arduino_stub")]
    flags = ["-std=c++17", f"-D{core}", "-DTL_CORES=2", "-DTL_LED_PIN=8", *stub, *INCLUDE]
    tidy(project, files(project, "src/port", ending=".cpp"), flags)


def test_a_model_that_makes_calls_is_clean(tmp_path: Path) -> None:
    model, tokenizer = quantize(call_models.call_model()), call_models.tokenizer()
    host, pico = tmp_path / "host", tmp_path / "pico"
    write_project(emit_project(model, tokenizer, load_board("host")), host)
    engine = ["src/call_tables.c", "src/engine/calls.c", "src/engine/session.c", "src/port/port_actions.c"]
    tidy(host, [*engine, *files(host, "src/console")], C99)
    write_project(emit_project(model, tokenizer, load_board("pico")), pico)
    pins = ActionPins(led_pin=25, servo_pin=22, relay_pins=(2, 3), pins=(0, 40), temperature=True)
    stub = ["-isystem", str(ROOT / "tests/pipeline/arduino_stub")]
    for core in ("ARDUINO_ARCH_ESP32", "ARDUINO_ARCH_RP2040"):
        tidy(
            pico,
            ["src/port/port_actions.cpp"],
            ["-std=c++17", f"-D{core}", *pins.led_flags, *pins.call_flags, *stub, *INCLUDE],
        )


def test_what_finds_weights_beside_the_program_is_clean(tokenizer: Tokenizer, tmp_path: Path) -> None:
    host = emit(tmp_path / "host", load_board("host"), tokenizer, biases=True, weights_in=PARTITION)
    tidy(host, ["src/weights.c", "src/model.c", "src/engine/session.c", "src/port/main.c"], C99)
    pico = emit(tmp_path / "pico2", load_board("pico2").twin(), tokenizer, weights_in=PARTITION)
    tidy(pico, ["src/port/start.c"], [*C99, f"--target={TARGETS['pico2']}", "-ffreestanding"])
    esp32 = emit(tmp_path / "esp32", load_board("esp32"), tokenizer, weights_in=PARTITION)
    flags = ["-std=c++17", "-DARDUINO_ARCH_ESP32", "-isystem", str(ROOT / "tests/pipeline/arduino_stub"), *INCLUDE]
    tidy(esp32, ["src/port/arduino.cpp"], flags)


def test_a_fault_is_found(tmp_path: Path) -> None:
    (tmp_path / "fault.c").write_text("#include <stdlib.h>\nint f(const char *text) { return atoi(text); }\n")
    with pytest.raises(AssertionError, match="cert-err34-c"):
        tidy(tmp_path, ["fault.c"], C99)
