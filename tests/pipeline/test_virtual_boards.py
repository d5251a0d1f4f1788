"""The virtual Pico, Pico 2 and ESP32-C3: the image that PlatformIO builds, in the emulator, spoken to over TCP."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import skip_unless_ci
from tinyllm.boards.description import BOARDS_DIR, FOLDER, Board, load_board
from tinyllm.errors import UserError
from tinyllm.host.build import build as building
from tinyllm.host.build import platformio
from tinyllm.host.build.program import Program
from tinyllm.host.cli import app as cli
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.errors import BoardGone
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Done, Setting, Token, token_digest
from tinyllm.host.model.load import LoadedModel, load_model
from tinyllm.host.prove.expected_answers import Expected
from tinyllm.host.virtual.emulators import EMULATORS
from tinyllm.host.virtual.unicorn.chips import CHIPS
from tinyllm.host.virtual.unicorn.image import read_image

BOARDS = ("pico", "pico2", "esp32c3")
CONTEXT = 256
PROMPT = "Once upon a time"
ARM = ("arm-none-eabi-", "-mcpu=cortex-m33", "-mthumb")
RISCV = ("riscv64-unknown-elf-", "-march=rv32imac", "-mabi=ilp32")
TOOLS = {"pico": ARM, "pico2": ARM, "esp32c3": RISCV}


def twin(name: str) -> Board:
    return load_board(name).twin()


def chip(name: str) -> str:
    return twin(name).platformio["board"]


@pytest.fixture(scope="module", autouse=True)
def without_a_registry() -> Iterator[None]:
    """A proxy that refuses at once, so that no build waits for PlatformIO's registry."""
    if importlib.util.find_spec("unicorn") is None:
        skip_unless_ci("the Unicorn emulator is not installed: pip install 'tinyllm[virtual]'")
    for name in BOARDS:
        if shutil.which(f"{TOOLS[name][0]}gcc") is None:
            skip_unless_ci(f"no {TOOLS[name][0]}gcc on PATH")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTPS_PROXY", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="module")
def bundled() -> LoadedModel:
    return load_model(None)


@pytest.fixture(scope="module", params=BOARDS)
def board(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def images(bundled: LoadedModel) -> dict[str, Program]:
    """The bundled model, built for every one of the boards."""
    return {name: building.build(bundled, twin(name), CONTEXT) for name in BOARDS}


@pytest.fixture(scope="module")
def built(board: str, images: dict[str, Program]) -> Program:
    return images[board]


@contextmanager
def running(board: str, image: Path, count: bool = False) -> Iterator[BoardProcess]:
    with BoardProcess.of(twin(board), image, count) as process:
        yield process


def answer(link: Link, n: int = 128) -> tuple[list[int], Done]:
    """A greedy answer in a new conversation."""
    link.set(Setting.TEMPERATURE, 0)
    link.reset()
    events = list(link.prompt(PROMPT, n))
    done = events[-1]
    assert isinstance(done, Done)
    return [event.token for event in events if isinstance(event, Token)], done


# --- What it says ---


def test_it_says_who_it_is_and_its_greedy_answer_is_the_references(
    board: str, built: Program, bundled: LoadedModel
) -> None:
    (expected,) = Expected(bundled, CONTEXT).answers([PROMPT], 128)
    with running(board, built.program) as process, Link(process.url) as link:
        assert (link.hello.model_hash, link.hello.build_id) == (built.model_hash, built.build_id)
        assert link.hello.board == f"{board}-virtual"
        tokens, done = answer(link)
    assert tokens == list(expected)
    assert (len(tokens), done.digest) == (128, token_digest(expected))


def test_the_stack_is_painted_and_its_high_water_mark_reported(board: str, built: Program) -> None:
    with running(board, built.program) as process, Link(process.url) as link:
        before = link.memory()
        answer(link, 20)
        after = link.memory()
    assert before["stack.size"] == after["stack.size"] == 8192
    assert 0 < before["stack.used"] <= after["stack.used"] < 2048


def test_a_connection_may_break_in_mid_answer_and_another_one_come(board: str, built: Program) -> None:
    with running(board, built.program) as process:
        with Link(process.url) as link:
            tokens, _ = answer(link, 40)
        with socket.create_connection(("127.0.0.1", int(process.url.rsplit(":")[-1]))) as rude:
            rude.sendall(f"/max 200\r{PROMPT}\r".encode())
            assert rude.recv(1)
        with Link(process.url) as link:
            assert answer(link, 40)[0] == tokens


def test_a_pseudo_terminal_is_as_good_as_a_port(board: str, built: Program) -> None:
    if not hasattr(os, "openpty"):
        pytest.skip("pseudo-terminals are POSIX's")
    command = EMULATORS["unicorn"].command(built.program, chip(board), "--pty", "--parent-pipe")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = process.stdout.readline().split()[-1]
        for _ in range(2):
            with Link(port) as link:
                assert link.hello.build_id == built.build_id
        process.stdin.close()
        assert process.wait(60) == 0


# --- Time ---


def test_the_boards_clock_is_its_instructions_over_its_clock_rate(board: str, built: Program) -> None:
    with running(board, built.program, count=True) as process, Link(process.url) as link:
        instructions = answer(link, 16)[1].decode_us
    with running(board, built.program) as process, Link(process.url) as link:
        times = [answer(link, 16)[1].decode_us for _ in range(2)]
    mhz = CHIPS[chip(board)].clock_mhz
    assert mhz == load_board(board).clock_mhz
    assert instructions / 16 > 100_000
    for micros in times:  # 16 passes, each rounded to a microsecond
        assert abs(micros - instructions / mhz) < 17


def test_a_board_that_waits_takes_no_processor_time(board: str, built: Program) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system has no /proc to read processor times from")
    command = EMULATORS["unicorn"].command(built.program, chip(board), "--tcp", "0", "--parent-pipe")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]

        def busy_ticks(seconds: float) -> int:
            def ticks() -> int:
                fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                return int(fields[11]) + int(fields[12])

            start = ticks()
            time.sleep(seconds)
            return ticks() - start

        with Link(url) as link:
            answer(link, 4)
            assert busy_ticks(0.5) <= 5
        assert busy_ticks(0.5) <= 5
        process.stdin.close()
        assert process.wait(60) == 0


# --- Faults: the image that was built, a few instructions of it exchanged ---


def assemble(board: str, assembly: str, folder: Path) -> bytes:
    prefix, *flags = TOOLS[board]
    syntax = ".syntax unified\n.thumb\n" if TOOLS[board] is ARM else ""
    (folder / "patch.s").write_text(f"{syntax}{assembly}\n")
    subprocess.run([f"{prefix}gcc", *flags, "-c", "patch.s", "-o", "patch.o"], cwd=folder, check=True)
    subprocess.run([f"{prefix}objcopy", "-O", "binary", "-j", ".text", "patch.o", "patch.bin"], cwd=folder, check=True)
    return (folder / "patch.bin").read_bytes()


def patched(board: str, image: Path, assembly: str, folder: Path, function: str = "tl_session_start") -> Path:
    """The image with `assembly` in the place of a function's first instructions."""
    with image.open("rb") as file:
        elf = ELFFile(file)
        address = elf.get_section_by_name(".symtab").get_symbol_by_name(function)[0]["st_value"] & ~1
        (segment,) = (
            segment
            for segment in elf.iter_segments("PT_LOAD")
            if segment["p_vaddr"] <= address < segment["p_vaddr"] + segment["p_filesz"]
        )
        offset = segment["p_offset"] + address - segment["p_vaddr"]
    code = assemble(board, assembly, folder)
    data = bytearray(image.read_bytes())
    data[offset : offset + len(code)] = code
    result = folder / "patched.elf"
    result.write_bytes(data)
    return result


def stopped(board: str, image: Path, variables: dict[str, str] | None = None) -> str:
    """What a board whose firmware does something wrong as it starts says when it stops."""
    command = EMULATORS["unicorn"].command(image, chip(board), "--tcp", "0")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **(variables or {})})
    assert done.returncode == 1, done.stderr
    return done.stderr


def arm_access(instruction: str, address: int) -> str:
    return f"ldr r0, address\n{instruction}\n.align 2\naddress: .4byte {address:#x}"


STACK_OVERFLOW = {ARM: "1: push {r0-r7}\nb 1b", RISCV: "1: addi sp, sp, -64\nsw a0, (sp)\nj 1b"}

ARM_FAULTS = {
    "an undefined instruction": "udf #0",
    "a system call": "svc #0",
    "a breakpoint": "bkpt #0",
    "a load from 0x00000000, where there is no memory": "movs r0, #0\nldr r1, [r0]",
    "a store to 0x30000000, where there is no memory": arm_access("str r0, [r0]", 0x30000000),
    "a store to 0x10000100, which is flash": arm_access("strb r0, [r0]", 0x10000100),
    "a jump to 0x20000100, which holds no code": arm_access("bx r0", 0x20000101),
    "a jump to 0x30000000, where there is no memory": arm_access("bx r0", 0x30000001),
}
RISCV_FAULTS = {
    "an undefined instruction": "unimp",
    "a system call": "ecall",
    "a load from 0x00000000, where there is no memory": "lw a0, (zero)",
    "a store to 0x30000000, where there is no memory": "li a0, 0x30000000\nsw a0, (a0)",
    "a store to 0x42000100, which is flash": "li a0, 0x42000100\nsw a0, (a0)",
    "a store to 0x3c000100, which is flash": "li a0, 0x3c000100\nsb a0, (a0)",
    "a jump to 0x3fc80100, which holds no code": "li a0, 0x3fc80100\njr a0",
    "a jump to 0x3c000100, which holds no code": "li a0, 0x3c000100\njr a0",
    "a jump to 0x30000000, where there is no memory": "li a0, 0x30000000\njr a0",
}
# The Cortex-M0+ has no 32-bit Thumb instructions but a few, and no misaligned access (Armv6-M, A3.2.1 and A5.3).
M0_FAULTS = {
    "an undefined instruction": "udiv r0, r0, r0",
    "a misaligned access": "mov r0, sp\nadds r0, #2\nldr r0, [r0]",
}
FAULTS = [
    *(("pico", code, what) for what, code in ARM_FAULTS.items()),
    *(("pico", code, what) for what, code in M0_FAULTS.items()),
    *(("pico", f"mov r0, sp\nadds r0, #1\n{access}", "a misaligned access") for access in ("ldrh r0, [r0]",)),
    *(
        ("pico", f"mov r0, sp\nadds r0, #2\n{access}", "a misaligned access")
        for access in ("str r0, [r0]", "ldm r0!, {r1}")
    ),
    *(("pico2", code, what) for what, code in ARM_FAULTS.items()),
    *(("esp32c3", code, what) for what, code in RISCV_FAULTS.items()),
    ("esp32c3", ".option arch, +f\nfadd.s f0, f1, f2", "an undefined instruction"),
]


@pytest.mark.parametrize(("name", "assembly", "what"), FAULTS)
def test_a_fault_stops_the_board_with_its_registers_and_the_function(
    name: str, assembly: str, what: str, images: dict[str, Program], tmp_path: Path
) -> None:
    image = patched(name, images[name].program, assembly, tmp_path)
    *registers, last = stopped(name, image).splitlines()
    assert re.fullmatch(
        rf"the virtual {chip(name)} stopped after \d+ instructions: {what}, at 0x[0-9a-f]{{8}}( \(\S+\))?", last
    )
    if "jump" not in what:
        assert "(tl_session_start+0x" in last
    values = dict(line.split(maxsplit=1) for line in registers)
    assert {"pc", "sp"} <= set(values)
    back = values["lr" if TOOLS[name] is ARM else "ra"]
    assert re.fullmatch(r"[0-9a-f]{8} tl_console_start\+0x[0-9a-f]+", back)


def test_a_stack_overflow_is_called_by_its_name(board: str, built: Program, tmp_path: Path) -> None:
    said = stopped(board, patched(board, built.program, STACK_OVERFLOW[TOOLS[board]], tmp_path)).splitlines()[-1]
    assert re.search(
        r": a store to 0x\w+, where there is no memory: stack overflow, \d+ bytes below the stack, at", said
    )
    assert "(tl_session_start+0x" in said


def test_a_register_that_is_not_emulated_stops_the_board(board: str, built: Program, tmp_path: Path) -> None:
    base = next(device.start for device in CHIPS[chip(board)].devices if device.name == "UART0")
    for load in (True, False):
        if TOOLS[board] is ARM:
            code = arm_access(f"{'ldr' if load else 'str'} r1, [r0, #0x44]\nb .", base)
        else:
            code = f"li a0, {base:#x}\n{'lw' if load else 'sw'} a1, 0x44(a0)\nj ."
        said = stopped(board, patched(board, built.program, code, tmp_path)).splitlines()[-1]
        kind = "a load from" if load else "a store to"
        assert f": {kind} register 0x44 of UART0, which is not emulated, in the basic block, at" in said
        assert "(tl_session_start+0x0)" in said


def instructions_of_loop(board: str, image: Path, turns: int, folder: Path, variables: dict[str, str]) -> int:
    if TOOLS[board] is ARM:
        loop = f"movs r0, #{turns}\n1: nop\nsubs r0, #1\nbne 1b\nudf #0"
    else:  # of both lengths
        loop = f"li a0, {turns}\n1: addi a0, a0, -1\n.option norvc\nnop\n.option rvc\nbnez a0, 1b\nunimp"
    found = re.search(
        r"stopped after (\d+) instructions", stopped(board, patched(board, image, loop, folder), variables)
    )
    assert found
    return int(found[1])


def test_instructions_are_counted_exactly_in_c_and_in_python(board: str, built: Program, tmp_path: Path) -> None:
    without_compiler = {"CC": "no-such-compiler", "TINYLLM_HOME": str(tmp_path / "home")}
    counts = []
    for variables in ({}, without_compiler):
        short, long = (instructions_of_loop(board, built.program, n, tmp_path, variables) for n in (50, 200))
        assert long - short == 150 * 3
        counts.append(long)
    assert counts[0] == counts[1]


def test_without_a_c_compiler_it_says_that_counting_is_slow(images: dict[str, Program], tmp_path: Path) -> None:
    image = patched("pico", images["pico"].program, "udf #0", tmp_path)
    said = stopped("pico", image, {"CC": "no-such-compiler", "TINYLLM_HOME": str(tmp_path / "home")})
    assert said.startswith("tinyllm: counting instructions in Python, which is slow: no C compiler on PATH")


@pytest.mark.skipif(sys.platform != "linux", reason="a folder of the system that nobody may write")
def test_where_the_counter_cannot_be_kept_it_counts_in_python_and_says_why(
    images: dict[str, Program], tmp_path: Path
) -> None:
    image = patched("pico", images["pico"].program, "udf #0", tmp_path)
    said = stopped("pico", image, {"TINYLLM_HOME": "/proc/sys"})
    assert said.startswith(
        "tinyllm: counting instructions in Python, which is slow: /proc/sys: cannot be written (No such"
    )


def test_a_fault_in_mid_conversation_reaches_the_one_who_talks(images: dict[str, Program], tmp_path: Path) -> None:
    image = images["pico"].program
    with running("pico", patched("pico", image, "udf #0", tmp_path, "tl_session_prompt_text")) as process:
        with pytest.raises(BoardGone), Link(process.url) as link:
            answer(link)
        assert "an undefined instruction" in process.report()[-1]
        assert "(tl_session_prompt_text+0x0)" in process.report()[-1]


# --- The image ---


def test_what_the_chip_boots_from_is_in_its_place(images: dict[str, Program]) -> None:
    flat = {name: images[name].program.with_suffix(".bin") for name in BOARDS[:2]}

    def word(name: str, offset: int) -> int:
        return int.from_bytes(flat[name].read_bytes()[offset : offset + 4], "little")

    for name, vectors in (("pico", 0x100), ("pico2", 0)):
        assert word(name, vectors) == 0x20002000  # the stack at the bottom of SRAM
        assert 0x10000000 < word(name, vectors + 4) < 0x10000000 + flat[name].stat().st_size
    # RP2350 datasheet, 5.9.5.1: an image definition in the first 4 KB
    block = b"".join(value.to_bytes(4, "little") for value in (0xFFFFDED3, 0x10210142, 0x1FF, 0, 0xAB123579))
    assert block in flat["pico2"].read_bytes()[:4096]


# --- What cannot start ---


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pico", "sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        ("pico2", "sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        ("esp32c3", "sudo apt-get install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"),
    ],
)
def test_without_the_cross_compiler_the_package_is_named(
    name: str, told: str, images: dict[str, Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = images[name]
    project = shutil.copytree(built.project, tmp_path / "project", ignore=shutil.ignore_patterns(".pio"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError) as error:
        platformio.run(project, built.board)
    if sys.platform == "linux":
        assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_cross_compiler_without_a_c_library_is_the_users_to_mend(
    built: Program, board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bin" / f"{TOOLS[board][0]}gcc"
    bare.parent.mkdir()
    bare.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[-1].split('=')[-1])\n")
    bare.chmod(0o755)
    project = shutil.copytree(built.project, tmp_path / "project", ignore=shutil.ignore_patterns(".pio"))
    monkeypatch.setenv("PATH", str(bare.parent))
    with pytest.raises(UserError, match=r"gcc has no C library for this chip; to get one: "):
        platformio.run(project, built.board)


def test_without_the_emulator_the_extra_is_named(built: Program, board: str) -> None:
    hidden = "import runpy, sys; sys.modules['unicorn'] = None; sys.argv[0] = 'virtual'; "
    run = "runpy.run_module('tinyllm.host.virtual.unicorn', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", hidden + run, str(built.program), "--chip", chip(board), "--tcp", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert (
        done.stderr == "tinyllm: virtual boards need the Unicorn emulator; to get it: pip install 'tinyllm[virtual]'\n"
    )


def refused(arguments: Sequence[str | Path]) -> str:
    command = [sys.executable, "-m", "tinyllm.host.virtual.unicorn", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    return done.stderr


@pytest.mark.parametrize(
    "name", ["esp32", *(pytest.param(name, marks=pytest.mark.sweep) for name in ("pico", "esp32c3"))]
)
def test_a_model_as_long_as_the_check_allows_fits_the_linkers_regions_too(
    name: str, bundled: LoadedModel, tmp_path: Path
) -> None:
    if name == "esp32" and shutil.which("xtensa-lx106-elf-gcc") is None:
        skip_unless_ci("no xtensa-lx106-elf-gcc on PATH")
    long = replace(bundled, model=replace(bundled.model, config=replace(bundled.model.config, context=4096)))
    with pytest.raises(UserError) as error:
        building.build(long, twin(name), 4096, tmp_path / "project")
    context = int(re.findall(r"It fits with --context (\d+)", str(error.value))[0])
    built = building.build(long, twin(name), context, tmp_path / "project")
    memory = twin(name).memory
    assert memory and built.ram is not None
    elsewhere = code_in_its_own_ram(built.program) if name == "esp32" else 0
    assert 0.97 * memory.static < built.ram - elsewhere <= memory.static


def code_in_its_own_ram(program: Path) -> int:
    """Bytes of vectors and hot functions in the ESP32's SRAM0, which is not for variables."""
    with program.open("rb") as file:
        sections = ELFFile(file).iter_sections()
        return sum(section["sh_size"] for section in sections if 0x40070000 <= section["sh_addr"] < 0x400C0000)


def test_a_model_too_long_for_a_virtual_board_runs_with_the_largest_context_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = (FOLDER / "pico.toml").read_text().replace("static = 260_608", "static = 100_000")
    (tmp_path / "small.toml").write_text(small)
    monkeypatch.setenv(BOARDS_DIR, str(tmp_path))
    command = ["run", "--board", "small", "--virtual", "-p", "Once upon a time", "-n", "5", "--temperature", "0"]
    assert cli.run([*command, "--json"]) == 0
    shown = capsys.readouterr()
    context = json.loads(shown.out)["context"]
    assert context % 8 == 0 and 200 < context < 256
    assert [line for line in shown.err.splitlines() if "context" in line] == [
        f"context {context} instead of 512: the largest with which tinystories-260k fits small-virtual. "
        "--context sets another."
    ]
    assert cli.run([*command, "--context", "512"]) == 2
    assert f"It fits with --context {context}, or with --board " in capsys.readouterr().err


def test_an_image_of_another_chip_or_none_is_refused(images: dict[str, Program], tmp_path: Path) -> None:
    pico2 = images["pico2"].program
    assert "an image for EM_ARM, not for EM_RISCV" in refused([pico2, "--chip", "esp32c3", "--tcp", "0"])
    riscv = images["esp32c3"].program
    assert "an image for EM_RISCV, not for EM_ARM" in refused([riscv, "--chip", "rp2040", "--tcp", "0"])
    pico = images["pico"].program
    assert refused([pico, "--chip", "rp2350", "--tcp", "0"]) == (
        f"tinyllm: {pico}: no image for the rp2350, no vectors of its own at 0x10000000; "
        "build it for this chip, or run it on its own.\n"
    )
    # Its copies of weights do not fit the smaller chip.
    assert "are outside the rp2040's memory.\n" in refused([pico2, "--chip", "rp2040", "--tcp", "0"])
    lost = tmp_path / "lost.elf"
    lost.write_bytes(riscv.read_bytes()[:24] + (0x42300000).to_bytes(4, "little") + riscv.read_bytes()[28:])
    assert "no image for the esp32c3, no code at 0x42300000" in refused([lost, "--chip", "esp32c3", "--tcp", "0"])
    text = tmp_path / "text.elf"
    text.write_text("no image")
    assert (
        refused([text, "--chip", "rp2040", "--tcp", "0"])
        == f"tinyllm: {text}: not a whole ELF image; build it again.\n"
    )
    absent = tmp_path / "absent.elf"
    assert "absent.elf: cannot be read (No such file" in refused([absent, "--chip", "rp2040", "--tcp", "0"])
    said = refused([pico2, "--chip", "z80", "--tcp", "0"])
    assert "argument --chip: invalid choice: 'z80' (choose from 'rp2040', 'rp2350', 'esp32c3')" in said


def test_a_port_that_is_taken_is_named(images: dict[str, Program]) -> None:
    pico = images["pico"].program
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}: " in refused([pico, "--chip", "rp2040", "--tcp", str(port)])
    assert "cannot listen on 127.0.0.1:99999: " in refused([pico, "--chip", "rp2040", "--tcp", "99999"])


@given(data=st.data())
@settings(max_examples=25)
def test_a_damaged_image_is_refused_or_read_never_more(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, images: dict[str, Program]
) -> None:
    image = images["pico"].program.read_bytes()
    headers = int.from_bytes(image[32:36], "little")  # where the section headers begin
    size = data.draw(st.sampled_from([0, 20, 52, 100, len(image) // 2, len(image) - 1, len(image)]))
    places = st.one_of(st.integers(0, 200), st.integers(headers, len(image) - 1))
    damaged = bytearray(image)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        damaged[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.elf"
    path.write_bytes(damaged[:size])
    try:
        read_image(path, CHIPS["rp2040"])
    except UserError as error:
        assert len(str(error).splitlines()) == 1
