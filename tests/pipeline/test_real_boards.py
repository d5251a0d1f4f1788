"""The projects of real boards, as far as a desk without boards and without PlatformIO's registry can see.

A proof: the emitted files, the port and its behaviour, what a compiler makes of them, sizes of what we emit.
Only a check: that PlatformIO takes the environment, since the platforms it resolves to are stand-ins (tests/registry).
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from platformio.package.meta import PackageSpec
from platformio.package.version import cast_version_to_semver
from platformio.project.config import ProjectConfig

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import ENGINE, compile_call_graphs, load_c
from tests.pipeline.conftest import BASE, nearest, random_model
from tests.pipeline.console_board import SECONDS, Board, Program, Stream
from tests.pipeline.real_boards import (
    ARDUINO_STUB,
    CROSS,
    ONE_OF_EACH_PLATFORM,
    ONE_OF_EACH_PROCESSOR,
    PLATFORMIO_PATIENCE,
    REAL_BOARDS,
    builds,
    compile_to,
    include,
    install_stand_ins,
    stand_in_of,
    write,
)
from tests.unit.chat_templates import CHATML
from tests.unit.tokenizer_files import REPLICAS, write_tokenizer
from tinyllm.boards.chips import STACK
from tinyllm.boards.description import BOARDS_DIR, FOLDER, load_board
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.memory import plan as planning
from tinyllm.codegen.memory.fit import CONTEXT_STEP, check_fits, largest_context
from tinyllm.codegen.memory.plan import SMALL_VARIABLES, memory_needs, room
from tinyllm.codegen.memory.stack import PARTS, stack_depth
from tinyllm.codegen.tokenizers import Tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.errors import Failure, UserError
from tinyllm.host.build.build import compile_project, emit
from tinyllm.host.build.platformio import LONG_PATHS, OutOfReach, run
from tinyllm.host.build.program import program_size
from tinyllm.host.cli import app as cli
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.messages import token_digest
from tinyllm.host.model.load import LoadOptions, load_model

PICOS_PLATFORM = load_board("pico", FOLDER).platformio["platform"]
ONCE = "Once upon a time"
CAT = "The cat sat"
CONTEXT = 128
DIALECTS = ("-std=gnu++11", "-std=c++17")
"""Of arduino-esp32 2.0, and of Arduino-Pico."""
STRICT = ("-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fno-exceptions", "-fno-rtti")
FLAVOURS = {
    "ESP32 with one core": ("-DARDUINO_ARCH_ESP32",),
    "ESP32 with an LED": ("-DARDUINO_ARCH_ESP32", "-DTL_CORES=2", "-DTL_LED_PIN=2"),
    "ESP32 with PSRAM and an addressable LED": (
        "-DARDUINO_ARCH_ESP32",
        "-DTL_CORES=2",
        "-DBOARD_HAS_PSRAM",
        "-DTL_LED_RGB_PIN=48",
    ),
    "ESP32 with Arduino core 3 and an addressable LED": (
        "-DARDUINO_ARCH_ESP32",
        "-DESP_ARDUINO_VERSION_MAJOR=3",
        "-DTL_CORES=2",
        "-DTL_LED_RGB_PIN=8",
    ),
    "ESP32-S2 with its USB port in software": (
        "-DARDUINO_ARCH_ESP32",
        "-DARDUINO_USB_MODE=0",
        "-DARDUINO_USB_CDC_ON_BOOT=1",
    ),
    "Pico": ("-DARDUINO_ARCH_RP2040", "-DTL_CORES=2"),
    "Pico with PSRAM": ("-DARDUINO_ARCH_RP2040", "-DTL_CORES=2", "-DRP2350_PSRAM_CS=47"),
    "Teensy": ("-DTEENSYDUINO=162", "-D__IMXRT1062__"),
    "Pico with one core": ("-DARDUINO_ARCH_RP2040", "-DTL_LED_PIN=17", "-DTL_LED_ACTIVE_LOW=1"),
}
CORE_STACK = {"rp2040": 4096, "rp2350": 4096, "imxrt1062": STACK} | dict.fromkeys(
    ("esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6", "esp32p4"), 8192
)
"""Bytes of the stack under loop(): SCRATCH_Y of Arduino-Pico's linker script, loopTask of arduino-esp32, and those that
the plan of a Teensy leaves free."""
ONE_OF_EACH_COMPILER = list({compiler: chip for chip, compiler in reversed(CROSS.items())}.values())
"""A chip for each compiler with its flags."""
OWN_CORES = {"rp2040": "Pico", "rp2350": "Pico", "imxrt1062": "Teensy"}
"""By chip, how the flavours of its core begin; those of the other chips begin with ESP32."""
OWN_AND_OTHER_CORES = [
    pytest.param(chip, name, marks=[] if name.startswith(OWN_CORES.get(chip, "ESP32")) else pytest.mark.sweep)
    for chip in ONE_OF_EACH_COMPILER
    for name in FLAVOURS
]
"""The core of another chip is a sweep: it finds what one compiler alone warns of."""
SECOND_CORE_STACK = 1536
"""The smallest that any port gives the second core: firmware/ports/rp2/second_core.c."""
CORE_SHARE = 1024
"""Of that stack for the core's own frames and interrupts: setup, Serial, the USB stack. Estimated."""


@pytest.fixture(scope="module")
def model(stories: Model) -> IntegerModel:
    return quantize(stories, CONTEXT)


@pytest.fixture(scope="module")
def projects(
    model: IntegerModel, stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The emitted project of a board, by its name."""
    folder = tmp_path_factory.mktemp("projects")
    written: dict[str, Path] = {}

    def project(name: str) -> Path:
        if name not in written:
            written[name] = write(model, stories_tokenizer, load_board(name, FOLDER), folder / name)
        return written[name]

    return project


# --- The environment ---


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_platformio_finds_nothing_wrong_in_the_environment(projects: Callable[[str], Path], name: str) -> None:
    ini = projects(name) / "platformio.ini"
    assert ProjectConfig.lint(str(ini)) == {"errors": [], "warnings": []}
    config = ProjectConfig(str(ini))
    assert config.default_envs() == [name]
    assert config.get(f"env:{name}", "framework") == ["arduino"]


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_the_environment_says_what_the_description_says(projects: Callable[[str], Path], name: str) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(projects(name) / "platformio.ini")
    written = parser[f"env:{name}"]
    flags = ("build_flags", "build_src_flags")
    described = load_board(name, FOLDER).platformio
    assert {key: written[key] for key in described if key not in flags} == {
        key: value for key, value in described.items() if key not in flags
    }


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_the_platforms_version_is_one_that_platformio_can_read(name: str) -> None:
    platform = load_board(name, FOLDER).platformio["platform"]
    spec = PackageSpec(platform)
    read = json.loads((stand_in_of(platform) / "platform.json").read_text())["version"]
    assert spec.external or spec.requirements.match(cast_version_to_semver(read))


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_the_project_is_the_engine_the_console_and_the_arduino_port(projects: Callable[[str], Path], name: str) -> None:
    project = projects(name)
    assert {path.name for path in (project / "src/port").iterdir()} == {
        "arduino.cpp",
        "port.h",
        "port_led.h",
        "port_psram.h",
        "second_core.cpp",
        "second_core.h",
    }
    assert not (project / "platform").exists(), "that is for boards of our own platform"
    assert f'#define TL_BOARD_NAME "{name}"' in (project / "src/identity.h").read_text()


# --- Stand-ins for the platforms ---


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    install_stand_ins(folder)
    return folder


@pytest.mark.parametrize("name", builds(ONE_OF_EACH_PROCESSOR))
def test_platformio_builds_the_project_with_a_cross_compiler_and_it_fits_the_partition(
    projects: Callable[[str], Path],
    core: Path,
    name: str,
    model: IntegerModel,
    stories_tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = load_board(name, FOLDER)
    CROSS[board.chip].tool("g++")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(core))
    result = run(projects(name), name)
    assert result.warnings == ()
    seen = json.loads((projects(name) / "seen.json").read_text())
    assert seen["framework"] == ["arduino"]
    flags = board.platformio.get("build_flags", "").replace("-D", "").split()
    assert set(flags) <= set(seen["defines"])
    assert seen["partitions"] == board.platformio.get("board_build.partitions", "default.csv")
    space = room(board)
    size = program_size(result.program, None)  # the stand-in links for no chip
    assert size and size.flash and size.ram and space
    assert size.flash <= space.flash and size.ram <= space.ram
    needs = memory_needs(model, stories_tokenizer, board)
    assert size.flash <= needs.total.flash <= size.flash + planning.CODE_BYTES
    # The stand-in knows no RAM for code.
    variables = needs.ram_with_copies - needs.placed.hot_bytes - needs.code_in_ram
    assert size.ram <= variables <= size.ram + 2 * SMALL_VARIABLES


def test_the_octal_psram_board_asks_for_its_memory_type_and_flash(
    projects: Callable[[str], Path], core: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CROSS["esp32s3"].tool("g++")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(core))
    run(projects("esp32s3-n16r8"), "esp32s3-n16r8")
    seen = json.loads((projects("esp32s3-n16r8") / "seen.json").read_text())
    assert (seen["memory_type"], seen["flash_size"]) == ("qio_opi", "16MB")


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No registry, and a core folder that holds nothing."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    yield


@pytest.mark.parametrize("name", ONE_OF_EACH_PLATFORM)
def test_without_the_registry_it_is_told_at_once_that_nothing_can_be_compiled(
    unreachable: None, tmp_path: Path, name: str
) -> None:
    emitted = emit(load_model(None), load_board(name, FOLDER), 64)
    begin = time.monotonic()
    with pytest.raises(Failure, match="its registry cannot be reached"):
        compile_project(emitted, tmp_path / "story")
    assert time.monotonic() - begin < PLATFORMIO_PATIENCE


@pytest.fixture
def esp32s_platform(unreachable: None, tmp_path: Path) -> Path:
    """The folder of the ESP32's platform, which is installed; a test may change it."""
    install_stand_ins(tmp_path / "core")
    return tmp_path / "core/platforms/espressif32"


def test_without_the_registry_packages_that_a_platform_lacks_are_named_at_once(
    esp32s_platform: Path, projects: Callable[[str], Path]
) -> None:
    """PlatformIO itself would wait for them for a minute."""
    about = json.loads((esp32s_platform / "platform.json").read_text())
    needed = {f"toolchain-{number}": {"owner": "espressif", "version": "~1.2.0"} for number in range(5)}
    unneeded = {"tool-openocd": {"owner": "espressif", "version": "~1.2.0", "optional": True}}
    (esp32s_platform / "platform.json").write_text(json.dumps(about | {"packages": needed | unneeded}))
    begin = time.monotonic()
    with pytest.raises(OutOfReach) as error:
        run(projects("esp32"), "esp32")
    assert time.monotonic() - begin < PLATFORMIO_PATIENCE
    assert str(error.value) == (
        "esp32 needs packages that PlatformIO has not fetched yet (toolchain-0, toolchain-1, toolchain-2, 2 more), "
        "and its registry cannot be reached."
    )


CRASH = """\
from platformio.public import PlatformBase

class Espressif32Platform(PlatformBase):
    def configure_default_packages(self, variables, targets):
        {statement}
"""


def test_a_connection_that_breaks_in_platformio_is_told_in_its_last_words_with_advice(
    esp32s_platform: Path, tmp_path: Path
) -> None:
    download = 'import requests; requests.get("http://127.0.0.1:9/package.tar.gz")'
    (esp32s_platform / "platform.py").write_text(CRASH.format(statement=download))
    with pytest.raises(Failure) as error:
        compile_project(emit(load_model(None), load_board("esp32", FOLDER), 64), tmp_path / "story")
    cause, log, advice = str(error.value).splitlines()
    assert cause.startswith("requests.exceptions.ConnectionError: HTTPConnectionPool(host='127.0.0.1', port=9): ")
    assert len(cause) < 320
    assert log == f"esp32: build failed; the whole log is {tmp_path}/story/.pio/esp32.log"
    assert advice == (
        f"The project in {tmp_path}/story is written and whole: run `pio run` in it on a machine with internet."
    )


@pytest.mark.parametrize("words", ["", "no mirror answers"])
def test_what_platformio_could_not_fetch_is_out_of_reach(
    words: str, esp32s_platform: Path, projects: Callable[[str], Path]
) -> None:
    raising = f"from platformio.http import HTTPClientError; raise HTTPClientError({words!r})"
    (esp32s_platform / "platform.py").write_text(CRASH.format(statement=raising))
    with pytest.raises(OutOfReach) as error:
        run(projects("esp32"), "esp32")
    assert str(error.value).splitlines()[0] == (f"HTTPClientError: {words}" if words else "HTTPClientError")


GIT_SAYS = """
from platformio.package.exception import PackageException
print("Submodule path 'pico-sdk/lib/lwip': checked out '0a0452b2c39bdd91e252aef045c115f88f6ca773'")
print({said!r})
raise PackageException("VCS: Could not process command ['git', 'clone', '--recursive']")
"""


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "error: RPC failed; curl 18 transfer closed with read data remaining\nfatal: early EOF",
            OutOfReach,
            "error: RPC failed; curl 18 transfer closed with read data remaining\nfatal: early EOF\nesp32: build",
        ),
        (
            "error: unable to create file a/b.patch: Filename too long",
            UserError,
            f"error: unable to create file a/b.patch: Filename too long\n{LONG_PATHS}",
        ),
    ],
)
def test_what_git_says_of_a_clone_that_failed_is_told_with_advice(
    said: str, kind: type[Exception], told: str, esp32s_platform: Path, projects: Callable[[str], Path]
) -> None:
    statement = f"exec({GIT_SAYS.format(said=said)!r})"
    (esp32s_platform / "platform.py").write_text(CRASH.format(statement=statement))
    steps: list[str] = []
    with pytest.raises(kind) as error:
        run(projects("esp32"), "esp32", progress=steps.append)
    assert str(error.value).startswith(told)
    assert any(step.startswith("Submodule path 'pico-sdk/lib/lwip'") for step in steps)


def test_a_crash_of_platformio_is_told_in_its_last_words(
    esp32s_platform: Path, projects: Callable[[str], Path]
) -> None:
    (esp32s_platform / "platform.py").write_text(CRASH.format(statement='{}["mcu"]'))
    with pytest.raises(Failure) as error:
        run(projects("esp32"), "esp32")
    assert not isinstance(error.value, OutOfReach)
    assert str(error.value).splitlines()[0] == "KeyError: 'mcu'"


@pytest.fixture
def tinyllm(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Exit code and stderr of a command."""

    def command(*arguments: str) -> tuple[int, str]:
        code = cli.run(list(arguments))
        return code, capsys.readouterr().err

    return command


@pytest.mark.parametrize("name", ONE_OF_EACH_PLATFORM)
def test_without_the_registry_the_whole_project_is_written_for_another_machine(
    unreachable: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    project = tmp_path / "story"
    assert cli.run(["build", "--board", name, "--context", "64", "-o", str(project)]) == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-2:] == [
        f"error: {name} needs a platform that PlatformIO has not fetched yet, and its registry cannot be reached.",
        f"The project in {project} is written and whole: run `pio run` in it on a machine with internet.",
    ]
    space = room(load_board(name, FOLDER))
    assert space is not None
    for memory, part, size in (
        ("flash", "weights", r"[\d,]+"),
        ("flash", "the board has beside its core", f"{space.flash:,}"),
        ("RAM", "kv_cache", r"[\d,]+"),
        ("RAM", "the board has beside its core", f"{space.ram:,}"),
    ):
        assert len(re.findall(rf"^{memory} +{part} +{size}$", shown.out, re.MULTILINE)) == 1
    manifest = json.loads((project / ".tinyllm.json").read_text())
    assert all((project / file).is_file() for file in manifest["files"])
    assert not (project / ".pio").exists()


def test_without_the_registry_an_error_of_build_is_one_document(
    unreachable: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["build", "--board", "pico", "--context", "64", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "Write the project with `tinyllm build --board pico -o DIR`, and run `pio run` in it" in error["message"]


def test_a_model_that_does_not_fit_leaves_nothing(
    unreachable: None, tinyllm: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, err = tinyllm("build", "--board", "esp32", "--context", "512", "-o", str(tmp_path / "story"))
    assert code == 2
    assert "does not fit esp32" in err
    assert not (tmp_path / "story").exists()


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        (
            'ports = ["arduino"]',
            'ports = ["ardiuno"]',
            "ports names 'ardiuno', expected folders of firmware/ports: ",
        ),
        (PICOS_PLATFORM, "a/b@6.x", "platformio.platform is 'a/b@6.x', which PlatformIO cannot read: "),
    ],
)
def test_a_users_board_that_cannot_be_built_is_named_with_its_file_and_leaves_nothing(
    was: str,
    becomes: str,
    complaint: str,
    tinyllm: Callable[..., tuple[int, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(BOARDS_DIR, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    (tmp_path / "mine.toml").write_text((FOLDER / "pico.toml").read_text().replace(was, becomes))
    code, err = tinyllm("--boards-dir", str(tmp_path), "build", "--board", "mine", "-o", str(tmp_path / "story"))
    assert code == 2
    assert f"{tmp_path / 'mine.toml'}: {complaint}" in err
    assert not (tmp_path / "story").exists()


# --- Sizes ---


@pytest.mark.parametrize(
    ("chip", "context"),
    [
        ("rp2040", 64),
        ("esp32", 512),
        *(pytest.param(*case, marks=pytest.mark.sweep) for case in (("rp2350", 512), ("esp32c3", 64))),
    ],
)
def test_what_a_model_needs_is_bounded_by_what_the_compilers_make_of_it(
    chip: str, context: int, stories: Model, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    check_bounds(chip, quantize(stories, context), stories_tokenizer, tmp_path)


@pytest.mark.parametrize(
    "kind", [*(pytest.param(name, marks=pytest.mark.sweep) for name in ("Llama 2", "T5")), "Qwen2"]
)
def test_what_a_tokenizer_of_any_kind_needs_is_bounded_too(kind: str, tmp_path: Path) -> None:
    tokenizer = read_tokenizer(write_tokenizer(tmp_path / "tokenizer", REPLICAS[kind]()))
    config = replace(BASE, vocab_size=tokenizer.vocab_size, context=128, chat_template=CHATML)
    check_bounds("rp2040", quantize(random_model(config)), tokenizer, tmp_path)


def check_bounds(chip: str, model: IntegerModel, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Compile all that is not the port, and compare."""
    board = load_board("pico", FOLDER)
    project = write(model, tokenizer, board, tmp_path / "project")
    text = ram = 0
    for source in (project / "src").rglob("*.c"):
        target = tmp_path / f"{source.stem}.o"
        compile_to(
            [*CROSS[chip].tool("gcc"), "-std=c99", "-O2", *include(project), "-c", str(source), "-o", str(target)]
        )
        told = subprocess.run(["size", target], capture_output=True, text=True, check=True).stdout.splitlines()[1]
        sizes = [int(number) for number in told.split()[:3]]
        text += sizes[0] + sizes[1]
        ram += sizes[1] + sizes[2]
    needs = memory_needs(model, tokenizer, board)
    assert text <= needs.total.flash <= text + planning.CODE_BYTES
    variables = needs.ram_with_copies - needs.placed.hot_bytes
    assert ram <= variables <= ram + 2 * SMALL_VARIABLES


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_the_largest_context_that_is_offered_fits_and_the_next_does_not(
    name: str, stories: Model, stories_tokenizer: Tokenizer
) -> None:
    model, board = quantize(stories, 512), load_board(name, FOLDER)
    space = room(board)
    assert space

    def fits(context: int) -> bool:
        smaller = replace(model, config=replace(model.config, context=context))
        return memory_needs(smaller, stories_tokenizer, board).total.fits(space)

    largest = largest_context(model, stories_tokenizer, board)
    assert largest and fits(largest)
    assert largest == 512 or not fits(largest + CONTEXT_STEP)


def test_a_model_that_does_not_fit_is_told_with_a_context_and_boards_that_do(
    stories: Model, stories_tokenizer: Tokenizer
) -> None:
    model = quantize(stories, 512)
    board = load_board("esp32", FOLDER)
    with pytest.raises(UserError) as error:
        check_fits(model, stories_tokenizer, board)
    first, second = str(error.value).splitlines()
    assert first.startswith("tinystories-260k with context 512 does not fit esp32: it needs 208 KB of RAM (estimated)")
    assert f"--context {largest_context(model, stories_tokenizer, board)}" in second
    assert "pico2" in second and "esp32s3" in second
    assert "host" not in second


def test_the_largest_context_that_fits_is_taken_if_nobody_named_one() -> None:
    esp32, notes = load_board("esp32", FOLDER), list[str]()
    by_default, chosen = load_model(None), load_model(None, LoadOptions(context=512))
    project = emit(by_default, esp32, notice=notes.append)
    context = project.manifest.context
    assert context == largest_context(quantize(by_default.model), by_default.tokenizer, esp32)
    assert notes == [
        f"context {context} instead of 512: the largest with which tinystories-260k fits esp32. --context sets another."
    ]
    with pytest.raises(UserError, match=f"with context 512 does not fit esp32(?s:.*)It fits with --context {context}"):
        emit(chosen, esp32)
    with pytest.raises(UserError, match="with context 512 does not fit esp32"):
        emit(by_default, esp32, 512)


def test_a_default_context_that_fits_is_kept_without_a_word() -> None:
    notes: list[str] = []
    assert emit(load_model(None), load_board("pico", FOLDER), notice=notes.append).manifest.context == 512
    assert notes == []


def test_a_twin_is_told_with_the_twins_that_have_room(stories: Model, stories_tokenizer: Tokenizer) -> None:
    """No twin has PSRAM, and none of the Xtensa chips' more memory than another."""
    model = quantize(stories, 512)
    long = replace(model, config=replace(model.config, context=1024))
    with pytest.raises(UserError) as error:
        check_fits(long, stories_tokenizer, load_board("esp32s3-n16r8", FOLDER).twin())
    first, second = str(error.value).splitlines()
    assert first.startswith("tinystories-260k with context 1024 does not fit esp32s3-n16r8-virtual: it needs ")
    assert first.endswith(" there are 310 KB.")
    assert second.endswith(", or with --kv-cache int4, or with --board pico2.")


@pytest.fixture(scope="module")
def wide(stories_tokenizer: Tokenizer) -> IntegerModel:
    """Random weights, and a KV cache larger than any SRAM; the scores of so many positions are too."""
    config = replace(BASE, name="wide", vocab_size=stories_tokenizer.vocab_size, context=16384)
    return quantize(random_model(config))


def test_a_state_too_large_for_the_sram_goes_to_psram_if_there_is_some(
    wide: IntegerModel, stories_tokenizer: Tokenizer
) -> None:
    with_psram, without = load_board("esp32s3-n16r8", FOLDER), load_board("esp32s3", FOLDER)
    check_fits(wide, stories_tokenizer, with_psram)
    with pytest.raises(UserError) as error:
        check_fits(wide, stories_tokenizer, without)
    first, second = str(error.value).splitlines()
    assert first.startswith("wide with context 16384 does not fit esp32s3: it needs 1,")
    assert "or with --board esp32p4 or esp32s3-mini or lolin-s2-mini or pico-plus-2." in second
    assert second.endswith("`tinyllm fit` with --board esp32s3 shows what else would help.")
    project = emit_project(wide, stories_tokenizer, with_psram)
    assert "extern struct tl_cache *tl_cache_memory;" in project.files["src/model.h"]
    assert "extern struct tl_state *tl_state_memory;" in project.files["src/model.h"]
    assert '{"psram.kv_cache", ' in project.files["src/model.c"]
    assert '{"psram.logits", ' in project.files["src/model.c"]
    assert (project.manifest.cache_in, project.manifest.state_in) == ("PSRAM", "PSRAM")


@pytest.fixture(scope="module")
def long(stories: Model) -> IntegerModel:
    """Its KV cache is larger than the SRAM, the rest of its state is not."""
    return quantize(stories, 1024)


def test_a_cache_too_large_for_the_sram_goes_to_psram_alone(long: IntegerModel, stories_tokenizer: Tokenizer) -> None:
    project = emit_project(long, stories_tokenizer, load_board("esp32s3-n16r8", FOLDER))
    assert "extern struct tl_cache *tl_cache_memory;" in project.files["src/model.h"]
    assert "extern struct tl_state tl_state;" in project.files["src/model.h"]
    assert '{"psram.kv_cache", ' in project.files["src/model.c"]
    assert '{"ram.logits", ' in project.files["src/model.c"]
    assert (project.manifest.cache_in, project.manifest.state_in) == ("PSRAM", "RAM")
    needs = project.needs
    assert needs.total.psram == needs.plan.ram["kv_cache"]
    assert needs.total.ram == needs.plan.variables + needs.plan.state_bytes - needs.plan.ram["kv_cache"]
    assert needs.placed.tables, "the RAM that is left is for weights"


def test_a_state_that_fits_the_sram_stays_there(model: IntegerModel, stories_tokenizer: Tokenizer) -> None:
    files = emit_project(model, stories_tokenizer, load_board("esp32s3-n16r8", FOLDER)).files
    assert "_IN_PSRAM" not in files["src/model.h"].replace("TL_WEIGHTS_IN_PSRAM", "")


def test_a_model_too_large_for_the_psram_is_told_which_context_fits(
    wide: IntegerModel, stories_tokenizer: Tokenizer
) -> None:
    huge = replace(wide, config=replace(wide.config, context=2**20))
    with pytest.raises(
        UserError, match=r"of RAM \(estimated\).* of PSRAM \(estimated\)[^-]*\nIt fits with --context \d+"
    ):
        check_fits(huge, stories_tokenizer, load_board("esp32s3-n16r8", FOLDER))


def test_a_model_too_large_for_every_board_says_so(
    stories: Model, stories_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "CODE_BYTES", 2**31)
    with pytest.raises(UserError, match=r"of flash \(estimated\).*\nNo board that is described has room for it"):
        check_fits(quantize(stories, 64), stories_tokenizer, load_board("pico", FOLDER))


def test_this_computer_has_room_for_anything(stories: Model, stories_tokenizer: Tokenizer) -> None:
    check_fits(quantize(stories, 512), stories_tokenizer, load_board("host", FOLDER))


@pytest.fixture(scope="module")
def graphs(projects: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a chip's gcc has left who calls whom in the engine and the console."""

    @cache
    def compiled(tool: tuple[str, ...]) -> Path:
        folder = tmp_path_factory.mktemp("graphs")
        compile_call_graphs(projects("pico"), folder, [*tool, "-O2", "-DTL_CORES=2"])
        return folder

    return lambda chip: compiled(tuple(CROSS[chip].tool("gcc")))


@pytest.mark.parametrize(
    "chip",
    [pytest.param(chip, marks=pytest.mark.sweep if chip in ("rp2040", "imxrt1062") else []) for chip in CORE_STACK],
)
def test_the_deepest_chain_of_calls_leaves_room_on_the_cores_stack(chip: str, graphs: Callable[[str], Path]) -> None:
    depth = stack_depth(graphs(chip))
    assert depth.bytes <= CORE_STACK[chip] - CORE_SHARE


@pytest.mark.parametrize("chip", ONE_OF_EACH_COMPILER)
def test_the_second_cores_part_of_a_job_leaves_room_on_its_stack(chip: str, graphs: Callable[[str], Path]) -> None:
    depth = stack_depth(graphs(chip), ["tl_parallel_other"])
    assert PARTS & set(depth.chain)
    assert depth.bytes <= SECOND_CORE_STACK - CORE_SHARE // 2


# --- The flags of the cores ---


@pytest.mark.parametrize("level", ["-Os", "-O3"])
@pytest.mark.parametrize("name", ["pico2", "teensy41"])
def test_the_kernels_compile_with_the_flags_of_the_boards_core(
    name: str, level: str, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """-O2 is what the projects are built with. A loop of machine code that takes every register may find none left."""
    board, model = load_board(name, FOLDER), random_model(BASE)
    int8_and_int4 = quantize(model, int4=nearest(model, "wo", "w_down"))
    project = write(int8_and_int4, stories_tokenizer, board, tmp_path / "project")
    for source in sorted((project / "src/kernels").glob("*.c")):
        command = [*CROSS[board.chip].tool("gcc"), "-std=gnu99", level, *include(project), "-c", str(source)]
        compile_to([*command, "-o", str(tmp_path / "kernel.o")])


def test_on_a_teensy_the_tables_stay_in_flash_and_all_else_fits_the_plan_of_its_ram(
    model: IntegerModel, stories_tokenizer: Tokenizer, projects: Callable[[str], Path], tmp_path: Path
) -> None:
    needs = memory_needs(model, stories_tokenizer, load_board("teensy41", FOLDER))
    flash = ram = 0
    for source in (projects("teensy41") / "src").rglob("*.c"):
        target = tmp_path / f"{source.stem}.o"
        command = [*CROSS["imxrt1062"].tool("gcc"), "-std=gnu99", "-O2", *FLAVOURS["Teensy"]]
        compile_to([*command, *include(projects("teensy41")), "-c", str(source), "-o", str(target)])
        with target.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if section["sh_flags"] & SH_FLAGS.SHF_ALLOC:
                    in_flash = section.name == ".progmem.tinyllm"
                    flash += section["sh_size"] if in_flash else 0
                    ram += 0 if in_flash else section["sh_size"]
    tables = sum(needs.plan.flash.values()) - sum(needs.placed.tables.values())
    assert 0.95 * tables < flash < tables + 4096
    assert ram <= needs.ram_with_copies


# --- The Arduino port ---


@pytest.mark.parametrize(("chip", "flavour"), OWN_AND_OTHER_CORES)
def test_the_port_compiles_without_a_warning(
    chip: str, flavour: str, projects: Callable[[str], Path], tmp_path: Path
) -> None:
    project = projects("pico")
    sources = [str(path) for path in (project / "src/port").glob("*.cpp")]
    assert len(sources) == 2
    for dialect in DIALECTS:
        options = [dialect, *STRICT, *FLAVOURS[flavour], *include(project), f"-I{ARDUINO_STUB}"]
        for source in sources:
            compile_to([*CROSS[chip].tool("g++"), *options, "-c", source, "-o", str(tmp_path / "port.o")])


@dataclass(frozen=True)
class Desk:
    """The port on this computer: Serial is a TCP connection, the clock wraps 1.5 s after the start."""

    program: Path
    model: IntegerModel
    tokenizer: Tokenizer

    def greedy(self, prompt: str, n: int) -> list[int]:
        reference = Reference(self.model)
        unread = encode(self.tokenizer, prompt, bos=True)
        tokens: list[int] = []
        while len(tokens) < n:
            unread = [int(reference.forward(unread)[-1].argmax())]
            tokens += unread
        return tokens


def build_desk(project: Path, flavour: str, folder: Path, *options: str) -> Path:
    """The project with the Arduino port, as a program of this computer."""
    if shutil.which("g++") is None:
        skip_unless_ci("no g++ on PATH")
    flags = [*options, *FLAVOURS[flavour], *include(project), f"-I{ARDUINO_STUB}"]
    objects = []
    desk = [ARDUINO_STUB / "desk.cpp", ARDUINO_STUB / "cores.cpp"]
    for source in [*(project / "src").rglob("*.c"), *(project / "src").rglob("*.cpp"), *desk]:
        objects.append(folder / f"{source.stem}.o")
        command = ["gcc", "-std=gnu99", "-O2"] if source.suffix == ".c" else ["g++", "-std=gnu++11", *STRICT]
        compile_to([*command, *flags, "-c", str(source), "-o", str(objects[-1])])
    compile_to(["g++", *options, "-pthread", *map(str, objects), "-o", str(folder / "desk")])
    return folder / "desk"


@pytest.fixture(
    scope="module",
    params=[
        "ESP32 with an LED",
        "Pico",
        "Teensy",
        pytest.param("Pico with one core", marks=pytest.mark.sweep),
    ],
)
def desk(
    request: pytest.FixtureRequest,
    projects: Callable[[str], Path],
    model: IntegerModel,
    stories_tokenizer: Tokenizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Desk:
    program = build_desk(projects("pico"), request.param, tmp_path_factory.mktemp("desk"))
    return Desk(program, model, stories_tokenizer)


def test_the_port_talks_and_its_tokens_are_the_references(desk: Desk) -> None:
    with Board(desk.program) as board, board.connected() as stream:
        program = Program(stream)
        program.set(temperature=0)
        answer = program.prompt(ONCE, 100)
        assert answer.done.digest == token_digest(desk.greedy(ONCE, 100))


def test_a_port_in_software_answers_while_dtr_is_low(
    projects: Callable[[str], Path], model: IntegerModel, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    program = build_desk(projects("pico"), "ESP32-S2 with its USB port in software", tmp_path)
    with Board(program) as board, board.connected() as stream:
        talk = Program(stream)
        talk.set(temperature=0)
        expected = token_digest(Desk(program, model, stories_tokenizer).greedy(ONCE, 20))
        assert talk.prompt(ONCE, 20).done.digest == expected


def test_the_clock_goes_on_where_the_cores_clock_wraps(desk: Desk) -> None:
    """An answer that is under way when micros() wraps took its real time, not 71 minutes more or less."""
    with Board(desk.program) as board, board.connected() as stream:
        program = Program(stream)
        begin = time.monotonic()
        spent = 0
        while time.monotonic() - begin < 2.0:
            spent += program.prompt("One day", 500).done.decode_us
            program.reset()
        assert 0 < spent / 1e6 < time.monotonic() - begin


def test_a_long_prompt_and_a_cancel_that_arrive_while_the_board_is_busy_are_not_lost(desk: Desk) -> None:
    """They are more than the ESP32's core keeps by itself."""
    with Board(desk.program) as board, board.connected() as stream:
        program = Program(stream)
        with board.frozen():
            prompt = program.send(protocol.Prompt(100, "Lily and Tom went to the park. " * 9))
            cancel = program.send(protocol.Cancel())
        done = program.reply(prompt)
        assert isinstance(done, protocol.Done) and done.reason == protocol.Reason.CANCELLED
        assert isinstance(program.reply(cancel), protocol.Ok)


def test_a_listener_that_stops_listening_loses_replies_and_the_board_goes_on(desk: Desk) -> None:
    with Board(desk.program) as board, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listener.connect(("127.0.0.1", int(board.port.rsplit(":", 1)[1])))
        stream = Stream(listener.fileno(), listener.fileno())
        program = Program(stream)
        program.prompt(ONCE, 0)
        for _ in range(30):
            for _ in range(10):
                program.send(protocol.Logits(0, 60))
            time.sleep(0.05)
        received = 0
        while not stream.is_quiet(0.5):
            received += len(stream.read())
        assert received < 300 * 4 * 60, "some was lost, for the board did not wait"
        assert program.prompt(CAT, 5).done.tokens == 5


def test_the_led_is_lit_while_an_answer_is_under_way(desk: Desk, request: pytest.FixtureRequest) -> None:
    low = "-DTL_LED_ACTIVE_LOW=1" in FLAVOURS[request.node.callspec.params["desk"]]
    pipe = subprocess.PIPE
    with subprocess.Popen([desk.program], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr and process.stdin
        address = ("127.0.0.1", int(process.stdout.readline().rsplit(":", 1)[1]))
        with socket.create_connection(address, SECONDS) as connection:
            Program(Stream(connection.fileno(), connection.fileno())).prompt(ONCE, 3)
        process.stdin.close()
        assert process.wait(SECONDS) == 0
        told = process.stderr.read().splitlines()
        assert [line for line in told if line.startswith("LED")] == [
            f"LED {int(lit is not low)}" for lit in (False, True, False)
        ]


WITH_PSRAM = {"esp32s3-n16r8": "ESP32 with PSRAM and an addressable LED", "pico-plus-2": "Pico with PSRAM"}

NO_PSRAM = {
    "esp32s3-n16r8": "board_build.arduino.memory_type or BOARD_HAS_PSRAM is not this board's",
    "pico-plus-2": "this is not the board that platformio.ini names",
}


def build_with_psram(name: str, model: IntegerModel, tokenizer: Tokenizer, folder: Path) -> Desk:
    board, flavour = load_board(name, FOLDER), WITH_PSRAM[name]
    project = write(model, tokenizer, board, folder / "project")
    for source in (project / "src/port").glob("*.cpp"):
        command = [*CROSS[board.chip].tool("g++"), DIALECTS[0], *STRICT, *FLAVOURS[flavour], *include(project)]
        compile_to([*command, f"-I{ARDUINO_STUB}", "-c", str(source), "-o", str(folder / "port.o")])
    return Desk(build_desk(project, flavour, folder), model, tokenizer)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("esp32s3-n16r8", "wide"), marks=pytest.mark.sweep),
        ("esp32s3-n16r8", "long"),
        ("pico-plus-2", "wide"),
    ],
    ids=" ".join,
)
def desk_with_psram(
    request: pytest.FixtureRequest, stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Desk:
    """A state that needs PSRAM."""
    name, model = request.param
    return build_with_psram(name, request.getfixturevalue(model), stories_tokenizer, tmp_path_factory.mktemp("psram"))


def test_the_check_of_the_weights_reads_those_that_moved(
    model: IntegerModel, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    project = emit_project(model, stories_tokenizer, load_board("esp32s3-n16r8", FOLDER))
    files = {path.rsplit("/", 1)[1]: text for path, text in project.files.items() if path.startswith("src/")}
    declarations = "void tl_weights_move(uint8_t *memory); bool tl_weights_intact(void);"
    c = load_c(tmp_path, files, [tmp_path / "weights.c", ENGINE / "crc32.c"], declarations)
    assert c.lib.tl_weights_intact()
    size = sum(project.needs.placed.psram.values())
    memory = c.ffi.new("uint8_t[]", size + 16)
    beyond = bytes(c.ffi.buffer(memory))[size:]
    c.lib.tl_weights_move(memory)
    assert c.lib.tl_weights_intact()
    assert bytes(c.ffi.buffer(memory))[size:] == beyond
    for at in (0, size // 2, size - 1):
        memory[at] ^= 1
        assert not c.lib.tl_weights_intact()
        memory[at] ^= 1
    assert c.lib.tl_weights_intact()


@pytest.mark.parametrize(
    ("name", "psram"),
    [
        ("esp32s3-n16r8", True),
        ("esp32s3-n16r8", False),
        ("pico-plus-2", True),
        pytest.param("pico-plus-2", False, marks=pytest.mark.sweep),
    ],
)
def test_weights_that_move_to_psram_give_the_references_tokens_there_and_without_it(
    name: str,
    psram: bool,
    model: IntegerModel,
    long: IntegerModel,
    stories_tokenizer: Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "pico-plus-2":
        model = long  # the SRAM has room for all weights of the other
    assert memory_needs(model, stories_tokenizer, load_board(name, FOLDER)).placed.psram
    desk = build_with_psram(name, model, stories_tokenizer, tmp_path)
    if not psram:
        monkeypatch.setenv("TL_DESK_NO_PSRAM", "1")
    with Board(desk.program) as board, board.connected() as stream:
        program = Program(stream)
        program.set(temperature=0)
        assert program.prompt(ONCE, 20).done.digest == token_digest(desk.greedy(ONCE, 20))


def test_with_memory_in_psram_the_tokens_are_the_references(desk_with_psram: Desk) -> None:
    with Board(desk_with_psram.program) as board, board.connected() as stream:
        program = Program(stream)
        program.set(temperature=0)
        assert program.prompt(ONCE, 20).done.digest == token_digest(desk_with_psram.greedy(ONCE, 20))


def test_without_the_psram_that_it_needs_the_board_says_so_again_and_again(
    desk_with_psram: Desk, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL_DESK_NO_PSRAM", "1")
    with Board(desk_with_psram.program) as board:
        port = int(board.port.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
            connection.settimeout(SECONDS)
            told = b""
            while told.count(b"\n") < 2:
                told += connection.recv(4096)
    name, _ = request.node.callspec.params["desk_with_psram"]
    assert told.decode().startswith(f"No PSRAM answers: {NO_PSRAM[name]}.\r\n")


@pytest.mark.parametrize("flavour", [pytest.param("ESP32 with an LED", marks=pytest.mark.sweep), "Pico"])
def test_two_cores_give_the_references_tokens_without_a_data_race(
    flavour: str, projects: Callable[[str], Path], model: IntegerModel, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """The second core is a thread that starts late, so the first tokens are computed without it."""
    program = build_desk(projects("pico"), flavour, tmp_path, "-fsanitize=thread", "-g")
    pipe = subprocess.PIPE
    with subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr and process.stdin
        first = process.stdout.readline()
        assert "listening" in first, process.stderr.read()
        with socket.create_connection(("127.0.0.1", int(first.rsplit(":", 1)[1])), SECONDS) as connection:
            talk = Program(Stream(connection.fileno(), connection.fileno()))
            talk.set(temperature=0)
            done = talk.prompt(ONCE, 60).done
        process.stdin.close()
        assert process.wait(SECONDS) == 0
        told = process.stderr.read()
    assert done.digest == token_digest(Desk(program, model, stories_tokenizer).greedy(ONCE, 60))
    assert "second core" in told
    assert "ThreadSanitizer" not in told


def test_the_cross_compilers_cover_every_real_board() -> None:
    assert {load_board(name, FOLDER).chip for name in REAL_BOARDS} == set(CROSS) == set(CORE_STACK)
