"""The emitted C in QEMU: on Xtensa at ESP32's addresses, and on the strictest Armv6-M there is."""

from __future__ import annotations

import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.emulated_boards import (
    MISDEEDS,
    MODELS,
    SECONDS,
    answer,
    assert_idle,
    build_image,
    compile_firmware,
    expected_digest,
    need,
    run_in_qemu,
    send,
    what_stopped,
)
from tinyllm.boards.description import Board, load_board, read_board
from tinyllm.errors import UserError
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Setting, token_digest
from tinyllm.host.virtual.emulators import EMULATORS
from tinyllm.host.virtual.qemu import MACHINES, serve

MICROBIT = """\
description = "QEMU's micro:bit with a Pico's memory"
chip = "nrf51"
instruction_set = "armv6m"
cores = 1
ports = ["bare", "microbit"]

[platformio]
platform = "tinyllm"
board = "microbit"
"""
command = EMULATORS["qemu"].command
PORTS = {"lx106": ("bare", "xtensa"), "microbit": ("bare", "microbit")}
DEFINES = {
    "lx106": ("FLASH=0x400D0000", 'UNDEFINED="ill"'),
    "microbit": ("FLASH=0x10000", 'UNDEFINED=".inst.w 0xFBB0F0F1"'),  # udiv, which Armv7-M has
}
CHIPS = sorted(PORTS)
EITHER = "an undefined instruction or a misaligned access"
NOWHERE = "0x30000000, where there is no memory"

# Chip, what the firmware does, what is said of it, and whether the function is known.
FORBIDDEN = [
    ("lx106", "m", "a misaligned access to 0x3ffb", True),
    ("lx106", "u", "an undefined instruction", True),
    ("lx106", "t", "a break instruction", True),
    ("lx106", "l", f"a read at {NOWHERE}", True),
    ("lx106", "s", f"a write at {NOWHERE}", True),
    ("lx106", "j", f"a read at {NOWHERE}", False),
    ("lx106", "o", "stack overflow", True),
    ("microbit", "m", EITHER, True),
    ("microbit", "u", EITHER, True),
    ("microbit", "t", EITHER, True),
    ("microbit", "l", f"a read at {NOWHERE}", True),
    ("microbit", "s", f"a write at {NOWHERE}", True),
    ("microbit", "f", "Flash write 0x10000 while flash not writable", False),
    ("microbit", "j", f"a read at {NOWHERE}", False),
    ("microbit", "o", "stack overflow", False),
]

DIVISION = """\
#include "console.h"
#include "port.h"

#include <string.h>

static uint8_t bytes[16];
static uint32_t n;

void tl_console_start(void) {
}

static void answer(uint64_t a, uint64_t b) {
    const uint32_t a32 = (uint32_t)a, b32 = (uint32_t)b;
    const uint64_t values[9] = {a * b,
                                a / b,
                                a % b,
                                (uint64_t)((int64_t)a / (int64_t)b),
                                (uint64_t)((int64_t)a % (int64_t)b),
                                a32 / b32,
                                a32 % b32,
                                (uint64_t)((int32_t)a32 / (int32_t)b32),
                                (uint64_t)((int32_t)a32 % (int32_t)b32)};
    tl_port_write((const uint8_t *)values, sizeof values);
}

bool tl_console_poll(void) {
    const int byte = tl_port_read();
    if (byte >= 0) {
        bytes[n++] = (uint8_t)byte;
    }
    if (n == sizeof bytes) {
        uint64_t a, b;
        memcpy(&a, bytes, sizeof a);
        memcpy(&b, bytes + 8, sizeof b);
        answer(a, b);
        n = 0;
    }
    return byte >= 0;
}
"""


def board_of(chip: str, folder: Path) -> Board:
    """ESP32's twin, or the micro:bit, which is no board of ours and so has its file here."""
    if chip == "lx106":
        return load_board("esp32").twin()
    path = folder / "microbit.toml"
    path.write_text(MICROBIT)
    return read_board(path)


@pytest.fixture(scope="module", params=CHIPS)
def chip(request: pytest.FixtureRequest) -> str:
    """Each chip whose QEMU is installed."""
    need(MACHINES[request.param].program)
    return str(request.param)


@pytest.fixture(scope="module")
def image(chip: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of a bundled model."""
    folder = tmp_path_factory.mktemp(chip)
    return build_image(board_of(chip, folder), MODELS[0])


def misdeeds(chip: str, folder: Path) -> Path:
    """Firmware that does what it must not."""
    need(MACHINES[chip].program)
    return compile_firmware(chip, PORTS[chip], MISDEEDS, folder / chip, ("NOWHERE=0x30000000", *DEFINES[chip]))


# --- What is proved ---


@pytest.mark.parametrize("chip", ["microbit"], indirect=True)
@pytest.mark.parametrize(
    "model",
    [MODELS[0], *(pytest.param(model, marks=pytest.mark.sweep) for model in MODELS[1:])],
    ids=lambda model: Path(model).stem,
)
def test_128_greedy_tokens_have_the_digest_of_the_reference(chip: str, model: str, tmp_path: Path) -> None:
    """On the strict ARMv6-M; tests/boards has the boards that ship."""
    image = build_image(board_of(chip, tmp_path), model)
    with BoardProcess(command(image, chip, count=True)) as process:
        said = answer(process)
    assert token_digest(said.tokens) == expected_digest(model)
    print(f"\n{chip}, {Path(model).stem}: {said.microseconds * 1000:,.0f} instructions per token (counted)")


def test_instructions_are_counted_the_same_each_time(chip: str, image: Path) -> None:
    with BoardProcess(command(image, chip, count=True)) as process:
        first, second = answer(process, 16), answer(process, 16)
    assert first.tokens == second.tokens
    # Only the microsecond in which a step begins differs.
    assert second.microseconds == pytest.approx(first.microseconds, abs=2)
    assert first.microseconds > 100


@pytest.mark.parametrize(("chip", "deed", "trouble", "known"), FORBIDDEN)
def test_a_fault_stops_the_board_with_its_registers_and_the_function(
    chip: str, deed: str, trouble: str, known: bool, tmp_path: Path
) -> None:
    with BoardProcess(command(misdeeds(chip, tmp_path), chip)) as process:
        send(process, deed.encode())
        *lines, gist = what_stopped(process)
    assert gist.startswith(f"the virtual {chip} stopped: ")
    assert trouble in gist
    function = "descend" if deed == "o" else "tl_console_poll"
    assert (f"({function}+0x" in gist) is known
    if place := re.search(r", at 0x([0-9a-f]{8})", gist):
        assert any(line.startswith(f"pc {place[1]}") for line in lines)
    assert place or not known


def test_xtensa_divides_and_multiplies_as_python_does(tmp_path: Path) -> None:
    image = compile_firmware("lx106", PORTS["lx106"], DIVISION, tmp_path / "division")
    edges = [1, 2, 3, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1, 2**32 + 1, 2**63 - 1, 2**63 + 1, 2**64 - 1]
    numbers = random.Random(1)
    pairs = [(a, b) for a in (0, 2**63, *edges) for b in edges]
    pairs += [
        (numbers.getrandbits(numbers.randint(1, 64)), numbers.getrandbits(numbers.randint(1, 64)) | 1)
        for _ in range(3000)
    ]
    pairs = [(a, b) for a, b in pairs if not overflows(a, b, 64) and not overflows(a, b, 32)]
    requests = b"".join(struct.pack("<QQ", *pair) for pair in pairs)
    answers = list(struct.iter_unpack("<9Q", run_in_qemu(image, requests)))
    assert len(answers) == len(pairs) > 3000
    for (a, b), said in zip(pairs, answers, strict=True):
        a32, b32 = a & 0xFFFFFFFF, b & 0xFFFFFFFF
        whole = (a * b, a // b, a % b, *signed(a, b, 64))
        assert said == tuple(value % 2**64 for value in (*whole, a32 // b32, a32 % b32, *signed(a32, b32, 32)))


def overflows(a: int, b: int, bits: int) -> bool:
    """Whether C leaves the signed quotient of the lowest bits undefined."""
    return a % 2**bits == 2 ** (bits - 1) and b % 2**bits == 2**bits - 1


def signed(a: int, b: int, bits: int) -> tuple[int, int]:
    """Quotient towards zero and remainder of two's complement numbers."""
    a, b = ((value ^ 1 << bits - 1) - (1 << bits - 1) for value in (a, b))
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient, a - quotient * b


# --- The board as a process ---


def test_the_board_keeps_the_conversation_while_nobody_listens(chip: str, image: Path) -> None:
    with BoardProcess(command(image, chip)) as process:
        with Link(process.url) as link:
            list(link.prompt("Once", 5))
            digest = link.update_hello().conversation_digest
        for _ in range(3):
            with Link(process.url) as link:
                assert link.hello.conversation_digest == digest


def test_the_stack_is_measured_and_far_from_full(chip: str, image: Path) -> None:
    with BoardProcess(command(image, chip)) as process, Link(process.url) as link:
        link.set(Setting.TEMPERATURE, 0)
        list(link.prompt("Once", 5))
        memory = link.memory()
    assert 256 < memory["stack.used"] < memory["stack.size"] / 2


def test_an_idle_board_does_not_spin(chip: str, image: Path) -> None:
    with BoardProcess(command(image, chip)) as process:
        with Link(process.url) as link:
            link.update_hello()
        assert_idle(process)


@pytest.mark.parametrize("end", ["stop", "pipe", "kill"])
def test_the_emulator_ends_with_the_process_that_runs_it(chip: str, image: Path, end: str) -> None:
    with BoardProcess(command(image, chip)) as process:
        top = process._process
        assert top is not None and top.stdin is not None
        children = Path(f"/proc/{top.pid}/task/{top.pid}/children").read_text().split()
        assert len(children) == 1
        if end == "stop":
            top.send_signal(signal.SIGTERM)
        elif end == "pipe":
            top.stdin.close()
        else:
            top.kill()
        assert top.wait(SECONDS) == (-signal.SIGKILL if end == "kill" else 0)
        deadline = time.monotonic() + SECONDS
        while is_running(int(children[0])):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- What is refused ---


def refusal(*arguments: str | Path, **environment: str) -> str:
    """What the process says that ends with the user's mistake."""
    done = subprocess.run(
        [sys.executable, "-m", "tinyllm.host.virtual.qemu", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_a_missing_qemu_is_named_with_its_package(chip: str, image: Path) -> None:
    said = refusal(image, "--chip", chip, PATH="")
    machine = MACHINES[chip]
    assert said.startswith(
        f"tinyllm: {machine.program} is not on PATH; to get it: sudo apt-get install {machine.package}"
    )


def test_an_image_for_another_chip_is_refused(chip: str, image: Path) -> None:
    other = next(name for name in CHIPS if name != chip)
    assert "not for EM_" in refusal(image, "--chip", other)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not an image" * 100])
def test_a_file_that_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "firmware.elf"
    path.write_bytes(content)
    assert refusal(path, "--chip", "lx106") == f"tinyllm: {path}: not a whole ELF image; build it again.\n"
    with pytest.raises(UserError, match="cannot be read"):
        serve(tmp_path / "none.elf", "lx106")
    with pytest.raises(UserError, match="no machine for 'z80'"):
        serve(path, "z80")


def test_a_port_in_use_is_named(chip: str, image: Path) -> None:
    with BoardProcess(command(image, chip)) as process:
        port = process.url.split(":")[-1]
        assert f"cannot listen on 127.0.0.1:{port}" in refusal(image, "--chip", chip, "--tcp", port)
    assert "cannot listen on 127.0.0.1:70000" in refusal(image, "--chip", chip, "--tcp", "70000")
