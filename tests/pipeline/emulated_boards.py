"""What the tests of emulated boards share: their images, and small firmware that does what it must not."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import SHARED_DATA, STORY_MODEL, skip_unless_ci
from tests.pipeline.c_library import compile_and_link
from tinyllm.boards.description import FIRMWARE, Board
from tinyllm.host.build.build import build
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Setting, Token, token_digest
from tinyllm.host.model.load import load_model
from tinyllm.host.prove.expected_answers import Expected
from tinyllm.host.virtual.qemu import MACHINES, STRICT

CONTEXT = 256
COUNT = 128
PROMPT = "Once upon a time"
SECONDS = 30.0
MODELS = [str(STORY_MODEL), str(SHARED_DATA / "stories260K/stories260K.bin")]

# A console in which each byte is an order to do something that stops a board.
MISDEEDS = """\
#include "console.h"
#include "port.h"

static uint32_t words[2];
static volatile uint32_t *volatile misaligned;
static void (*volatile nowhere)(void);

__attribute__((noinline)) static uint32_t descend(volatile uint32_t *above) {
    volatile uint32_t here[4] = {*above + 1u};
    return here[0] == 0 ? 0 : descend(here) + here[0];
}

void tl_console_start(void) {
    misaligned = (volatile uint32_t *)(void *)((uint8_t *)words + 1);
    nowhere = (void (*)(void))NOWHERE;
}

bool tl_console_poll(void) {
    const int byte = tl_port_read();
    switch (byte) {
    case 'm': (void)*misaligned; break;
    case 'u': __asm__ volatile(UNDEFINED); break;
    case 't': __builtin_trap(); break;
    case 'l': (void)*(volatile uint32_t *)NOWHERE; break;
    case 's': *(volatile uint32_t *)NOWHERE = 1; break;
    case 'f': *(volatile uint32_t *)FLASH = 1; break;
    case 'j': nowhere(); break;
    case 'o': words[0] = descend(words); break;
    default: tl_port_write((const uint8_t *)"?", byte >= 0); break;
    }
    return byte >= 0;
}
"""


def need(*tools: str) -> None:
    """Skip the test if this computer lacks a tool; in CI, fail it."""
    for tool in tools:
        if shutil.which(tool) is None:
            skip_unless_ci(f"no {tool} on PATH")


def build_image(board: Board, model: str) -> Path:
    """The image of a model, built by PlatformIO, or taken from the builds that the tests share."""
    if not Path(model).exists():
        skip_unless_ci(f"no test data at {model}")
    return build(load_model(model), board, CONTEXT).program


def compile_firmware(
    board: str, ports: Sequence[str], source: str, folder: Path, defines: Sequence[str] = (), engine: Sequence[str] = ()
) -> Path:
    """An image of the ports' C, files of the engine and a console of its own, with our PlatformIO platform's flags."""
    options = json.loads((FIRMWARE / f"platform/boards/{board}.json").read_text())["build"]
    compiler = options["compilers"][0]
    need(compiler)
    (folder / "port").mkdir(parents=True)
    for path in [
        FIRMWARE / "ports/port.h",
        *(path for port in ports for path in (FIRMWARE / "ports" / port).iterdir()),
    ]:
        shutil.copy(path, folder / "port")
    (folder / "console.c").write_text(source)
    (folder / "port/model.h").write_text("/* no model: no weights beside the program */\n")
    image = folder / "firmware.elf"
    flags = f"{options['cpu_flags']} {options['extra_flags']} {options['link_flags']}".split()
    flags += [f"--specs={options['specs']}"] if "specs" in options else []
    command = [compiler, *flags, *(f"-D{define}" for define in defines), "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    command += ["-Iport", f"-I{FIRMWARE / 'console'}", f"-I{FIRMWARE / 'engine'}", "-Lport", "-Tport/link.ld"]
    units = [FIRMWARE / "engine" / name for name in engine]
    places = dict.fromkeys([*(Path(name).parent for name in engine), Path("kernels/generic")])
    command += [f"-I{FIRMWARE / 'engine' / place}" for place in places]
    ports_c = [path.relative_to(folder) for path in sorted((folder / "port").glob("*.c"))]
    compile_and_link(command, ["console.c", *ports_c, *units], folder, image)
    return image


@dataclass(frozen=True)
class Answer:
    """Greedy tokens, and how many microseconds of the board's clock each took."""

    tokens: list[int]
    microseconds: float


def answer(process: BoardProcess, count: int = COUNT) -> Answer:
    """Ask for greedy tokens; a token that ends an answer does not end this."""
    tokens: list[int] = []
    microseconds = 0
    with Link(process.url) as link:
        link.set(Setting.TEMPERATURE, 0)
        link.reset()
        while len(tokens) < count:
            for event in link.prompt(() if tokens else PROMPT, count - len(tokens)):
                if isinstance(event, Token):
                    tokens.append(event.token)
            microseconds += event.decode_us  # type: ignore[union-attr]  # the last event is Done
    return Answer(tokens, microseconds / count)


def expected_digest(model: str) -> int:
    """The digest of the reference's 128 tokens."""
    (tokens,) = Expected(load_model(model), CONTEXT).answers([PROMPT], COUNT, through_stops=True)
    return token_digest(tokens)


def send(process: BoardProcess, data: bytes) -> None:
    """Send bytes as a terminal does, and read what the board says until it stops."""
    with socket.create_connection(("127.0.0.1", int(process.url.split(":")[-1])), SECONDS) as connection:
        connection.sendall(data)
        connection.settimeout(SECONDS)
        while process.running and connection.recv(4096):
            pass


def run_in_qemu(image: Path, requests: bytes, *options: str) -> bytes:
    """What an Xtensa image answers to these bytes; it must not complain."""
    machine = MACHINES["lx106"]
    need(machine.program)
    command = [machine.program, *machine.arguments, *STRICT, *options, "-kernel", str(image)]
    done = subprocess.run(command, input=requests, capture_output=True, timeout=SECONDS)
    said = [line for line in done.stderr.decode().splitlines() if line and not machine.ignore.match(line)]
    assert (done.returncode, said) == (0, []), done.stdout[-400:]
    return done.stdout


def what_stopped(process: BoardProcess) -> list[str]:
    """The last lines of a board that stopped. Its process must end with code 1."""
    deadline = time.monotonic() + SECONDS
    while process.running:
        assert time.monotonic() < deadline, "the board goes on"
        time.sleep(0.02)
    assert "(it ended with code 1" in process.last_words()
    return process.report()


def assert_idle(process: BoardProcess) -> None:
    """In one second of ten at least it takes less than a tenth of a core; a board that spins takes what it gets."""
    used = []
    for _ in range(10):
        before = seconds_used(process)
        time.sleep(1.0)
        used.append(seconds_used(process) - before)
        if used[-1] < 0.1:
            return
    raise AssertionError(f"the board takes {used} seconds of each second")


def seconds_used(process: BoardProcess) -> float:
    """Processor time of a board's process and of its emulator so far; needs Linux."""
    if sys.platform != "linux":
        skip_unless_ci("no /proc")
    assert process._process is not None
    top = process._process.pid
    children = Path(f"/proc/{top}/task/{top}/children").read_text().split()
    assert children, "the emulator does not run"
    ticks = 0
    for pid in [str(top), *children]:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
