"""Instructions of the ESP32-S3 that QEMU's LX106 lacks: registers, counts and faults."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.emulated_boards import compile_firmware, need, run_in_qemu, what_stopped
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.virtual.emulators import EMULATORS
from tinyllm.host.virtual.qemu import MACHINES

PORTS = ("bare", "xtensa", "esp32s3")
MACHINE = MACHINES["lx106"]
PUBLISHED = [
    tuple(line.split(maxsplit=1))
    for line in (Path(__file__).parents[1] / "data/xtensa_words.txt").read_text().splitlines()
    if not line.startswith("#")
]
"""Word in hex, instruction."""

MEMORY = random.Random(1).randbytes(4096)
"""What the loads of the tests read: every byte value."""


def code_of(word: str) -> bytes:
    """An instruction as it lies in memory."""
    return int(word, 16).to_bytes(len(word) // 2, "little")


# --- Registers ---

# A thunk for each published word: it loads a0 to a15 from `state`, executes the word, and stores them.
REGISTERS = """\
#include "console.h"
#include "port.h"

uint32_t state[16], kept[6];
const int8_t memory[] __attribute__((aligned(16))) = {MEMORY};
static uint8_t request[4 + sizeof state];
static uint32_t n;

__asm__(".text\\n"
        ".align 4\\n"
        "state_at: .word state\\n"
        "kept_at: .word kept\\n"
        ".macro thunk name, bytes:vararg\\n"
        ".align 4\\n"
        "\\\\name:\\n"
        "l32r a3, kept_at\\n"
        "s32i a0, a3, 0\\n"
        "s32i a1, a3, 4\\n"
        "s32i a12, a3, 8\\n"
        "s32i a13, a3, 12\\n"
        "s32i a14, a3, 16\\n"
        "s32i a15, a3, 20\\n"
        "l32r a0, state_at\\n"
        ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,0\\n"
        "l32i a\\\\n, a0, 4 * \\\\n\\n"
        ".endr\\n"
        ".byte \\\\bytes\\n"
        "wsr.excsave1 a0\\n"
        "l32r a0, state_at\\n"
        ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\\n"
        "s32i a\\\\n, a0, 4 * \\\\n\\n"
        ".endr\\n"
        "rsr.excsave1 a2\\n"
        "s32i a2, a0, 0\\n"
        "l32r a3, kept_at\\n"
        "l32i a0, a3, 0\\n"
        "l32i a1, a3, 4\\n"
        "l32i a12, a3, 8\\n"
        "l32i a13, a3, 12\\n"
        "l32i a14, a3, 16\\n"
        "l32i a15, a3, 20\\n"
        "ret\\n"
        ".endm\\n"
        THUNKS);

DECLARATIONS
static void (*const thunks[])(void) = {NAMES};

void tl_console_start(void) {
    const uint32_t address = (uint32_t)memory;
    tl_port_write((const uint8_t *)&address, sizeof address);
}

bool tl_console_poll(void) {
    const int byte = tl_port_read();
    if (byte >= 0) {
        request[n++] = (uint8_t)byte;
    }
    if (n == sizeof request) {
        uint32_t thunk;
        __builtin_memcpy(&thunk, request, sizeof thunk);
        __builtin_memcpy(state, request + 4, sizeof state);
        thunks[thunk]();
        tl_port_write((const uint8_t *)state, sizeof state);
        n = 0;
    }
    return byte >= 0;
}
"""


def registers_firmware(words: Sequence[str], folder: Path, ports: Sequence[str] = PORTS) -> Path:
    """Firmware that first sends the address of MEMORY, then executes the word that a request names."""
    names = [f"thunk_{number}" for number in range(len(words))]
    thunks = (
        f'"thunk {name}, {", ".join(map(str, code_of(word)))}\\n"' for name, word in zip(names, words, strict=True)
    )
    source = REGISTERS.replace("THUNKS", "\n        ".join(thunks)).replace("NAMES", ", ".join(names))
    source = source.replace("DECLARATIONS", "\n".join(f"void {name}(void);" for name in names))
    source = source.replace("{MEMORY}", "{" + ", ".join(str(value) for value in struct.unpack("4096b", MEMORY)) + "}")
    return compile_firmware("lx106", ports, source, folder)


@dataclass
class Processor:
    """The processor as the manuals have it; `address`: where MEMORY lies."""

    address: int
    a: list[int] = field(default_factory=lambda: [0] * 16)
    q: list[bytes] = field(default_factory=lambda: [bytes(16)] * 8)
    accx: int = 0

    def execute(self, text: str) -> None:
        """One instruction, from its name and operands."""
        name, *operands = re.split(r",? ", text)
        number = [int(operand.lstrip("aq")) for operand in operands]
        match name:
            case "ee.zero.accx":
                self.accx = 0
            case "ee.vld.128.ip":
                self.load(*number)
            case "ee.vmulas.s8.accx":
                self.multiply(*number)
            case "ee.vmulas.s8.accx.ld.ip":
                self.multiply(*number[3:])
                self.load(*number[:3])
            case "ee.ld.accx.ip":
                start = (self.a[number[0]] - self.address) // 8 * 8
                self.accx = (int.from_bytes(MEMORY[start : start + 8], "little") ^ 2**39) % 2**40 - 2**39
                self.a[number[0]] = (self.a[number[0]] + number[1]) % 2**32
            case "ee.andq":
                x, y = self.q[number[1]], self.q[number[2]]
                self.q[number[0]] = bytes(a & b for a, b in zip(x, y, strict=True))
            case "ee.srs.accx":
                self.accx >>= self.a[number[1]] & 63
                self.a[number[0]] = clamp(self.accx, 32) % 2**32
            case "muluh" | "quou" | "remu":
                self.a[number[0]] = unsigned(name, self.a[number[1]], self.a[number[2]])
            case "mulsh" | "quos" | "rems":
                s, t = (signed(self.a[register]) for register in number[1:])
                self.a[number[0]] = (s * t >> 32 if name == "mulsh" else towards_zero(name, s, t)) % 2**32
            case _:
                raise AssertionError(text)

    def load(self, u: int, s: int, step: int) -> None:
        start = (self.a[s] - self.address) // 16 * 16
        self.q[u] = MEMORY[start : start + 16]
        self.a[s] = (self.a[s] + step) % 2**32

    def multiply(self, x: int, y: int) -> None:
        products = zip(struct.unpack("16b", self.q[x]), struct.unpack("16b", self.q[y]), strict=True)
        self.accx = clamp(self.accx + sum(a * b for a, b in products), 40)


def unsigned(name: str, s: int, t: int) -> int:
    return {"muluh": s * t >> 32, "quou": s // t, "remu": s % t}[name]


def towards_zero(name: str, s: int, t: int) -> int:
    quotient = abs(s) // abs(t) * (1 if (s < 0) == (t < 0) else -1)
    return quotient if name == "quos" else s - quotient * t


def signed(word: int) -> int:
    return (word ^ 2**31) - 2**31


def clamp(value: int, bits: int) -> int:
    return min(max(value, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)


def edges_or(value: int, numbers: random.Random) -> int:
    """Now and then a number at an end of the range; never 0, by which nobody divides."""
    return numbers.choice([1, 2**31 - 1, 2**31, 2**32 - 1]) if numbers.random() < 0.1 else value | 1


def test_every_published_word_does_what_the_manual_says(tmp_path: Path) -> None:
    """Random words one after the other, with addresses of any alignment; vectors show in what is read of ACCX."""
    words, texts = zip(*PUBLISHED, strict=True)
    image = registers_firmware(words, tmp_path / "registers")
    address = struct.unpack("<I", run_in_qemu(image, b""))[0]
    assert address % 16 == 0
    numbers = random.Random(2)
    processor = Processor(address)
    requests, expected = [], [struct.pack("<I", address)]
    for number in [*range(len(words)), *numbers.choices(range(len(words)), k=20000)]:
        processor.a = [edges_or(numbers.getrandbits(32) >> numbers.choice([0, 0, 7, 20]), numbers) for _ in range(16)]
        if ".ip" in texts[number]:
            processor.a[int(texts[number].split("a")[-1].split(",")[0])] = address + numbers.randrange(len(MEMORY))
        elif "srs" in texts[number] and numbers.random() < 0.8:
            processor.a[int(texts[number].split("a")[-1].split(",")[0])] &= 3
        requests.append(struct.pack("<17I", number, *processor.a))
        processor.execute(texts[number])
        expected.append(struct.pack("<16I", *processor.a))
    assert run_in_qemu(image, b"".join(requests)) == b"".join(expected)


# --- Counts ---

# How long the clock says that 1, 100 and 1000 of an instruction take, for each instruction.
COUNTS = """\
#include "console.h"
#include "port.h"

static const int8_t vectors[16000] __attribute__((aligned(16)));

#define COUNT(instructions)                                           \\
    {                                                                 \\
        const uint64_t before = tl_port_micros();                     \\
        register const int8_t *address __asm__("a8") = vectors;       \\
        register int divisor __asm__("a10") = 3;                      \\
        __asm__ volatile(instructions : "+r"(address) : "r"(divisor) : "a4", "a5", "a6"); \\
        const uint32_t taken = (uint32_t)(tl_port_micros() - before); \\
        tl_port_write((const uint8_t *)&taken, sizeof taken);         \\
    }

void tl_console_start(void) {
    for (uint32_t turn = 0; turn < 40; turn++) {
        COUNTED
    }
}

bool tl_console_poll(void) {
    return tl_port_read() >= 0;
}
"""


def test_an_instruction_of_the_unit_counts_as_one(tmp_path: Path) -> None:
    """So many of them take as long as so many of the processor's own, exactly, wherever the clock's ticks fall."""
    texts = (
        "ee.zero.accx",
        "ee.andq",
        "ee.ld.accx.ip a8, 0",
        "ee.vld.128.ip q3, a8, 16",
        "ee.vmulas.s8.accx q1, q4",
        "ee.vmulas.s8.accx.ld.ip q3, a8, 16",
        "ee.srs.accx a6, a15, 0",
        "muluh a5, a3, a11",
        "rems a4, a3, a10",
    )
    chosen = [next(word for word, text in PUBLISHED if text.startswith(name)) for name in texts]
    own = ".byte 0xf0, 0x20, 0x00"  # nop
    bodies = [own, *(".byte " + ", ".join(map(str, code_of(word))) for word in chosen)]
    counted = (f'COUNT(".rept {repeats}\\n{body}\\n.endr")' for repeats in (1, 100, 1000) for body in bodies)
    image = compile_firmware("lx106", PORTS, COUNTS.replace("COUNTED", "\n        ".join(counted)), tmp_path / "counts")
    taken = np.frombuffer(run_in_qemu(image, b"", *MACHINE.count), np.uint32).reshape(40, 3, len(bodies))
    assert (taken == taken[:, :, :1]).all(), taken[0]
    assert (np.diff(taken[:, :, 0]) == [99, 900]).all()


# What the clock says that a loop takes, again and again in the course of more than 2^32 instructions.
LONG_RUN = """\
#include "console.h"
#include "lx6.h"
#include "port.h"

void tl_console_start(void) {
    for (uint32_t turn = 0; turn < 72; turn++) {
        const uint64_t before = tl_port_micros();
        for (uint32_t i = 0; i < 100; i++) {
            __asm__ volatile("");
        }
        const uint32_t taken = (uint32_t)(tl_port_micros() - before);
        tl_port_write((const uint8_t *)&taken, sizeof taken);
        for (uint32_t i = 0; i < 1u << 22; i++) {
            __asm__ volatile(".rept 14\\n.byte 0xf0, 0x20, 0x00\\n.endr");
            if ((i & 127u) == 0) {
                (void)tl_muluh(i, turn);
            }
        }
    }
}

bool tl_console_poll(void) {
    return tl_port_read() >= 0;
}
"""


def test_the_clock_counts_the_same_however_much_was_executed_before(tmp_path: Path) -> None:
    """Beyond 2^32 instructions its sums have carries and borrows, which an answer must not take longer for."""
    image = compile_firmware("lx106", PORTS, LONG_RUN, tmp_path / "long_run")
    taken = np.frombuffer(run_in_qemu(image, b"", *MACHINE.count), np.uint32)
    assert len(taken) == 72
    assert (taken == taken[0]).all(), taken


# --- Faults ---

FAULTS = """\
#include "console.h"
#include "port.h"

bool tl_console_poll(void) {
    register const int8_t *address __asm__("a8") = (const int8_t *)0x30000005;
    register int zero __asm__("a9") = 0;
    __asm__ volatile(".byte BYTES" : "+r"(address) : "r"(zero) : "a5");
    return true;
}

void tl_console_start(void) {
}
"""


@pytest.mark.parametrize(
    ("word", "ports", "trouble"),
    [
        ("938184", PORTS, "a read at 0x30000000, where there is no memory"),  # ee.vld.128.ip q3, a8, 16
        ("f10af18f", PORTS, "a read at 0x30000000, where there is no memory"),  # ee.vmulas.s8.accx.ld.ip q3, a8, ...
        ("c25890", PORTS[:2], "a division by zero"),  # quou a5, a8, a9
        ("cd7fa4", PORTS, "an undefined instruction"),  # ee.zero.q q0, which no kernel uses
        ("f002000d", PORTS, "an undefined instruction"),
        ("250804", PORTS[:2], "an undefined instruction"),  # ee.zero.accx on an ESP32
        ("f10af18f", PORTS[:2], "an undefined instruction"),
    ],
)
def test_a_fault_is_reported_where_the_program_made_it(
    word: str, ports: Sequence[str], trouble: str, tmp_path: Path
) -> None:
    need(MACHINE.program)
    source = FAULTS.replace("BYTES", ", ".join(map(str, code_of(word))))
    image = compile_firmware("lx106", ports, source, tmp_path / "faults")
    with BoardProcess(EMULATORS["qemu"].command(image, "lx106")) as process:
        *_, gist = what_stopped(process)
    assert gist.startswith(f"the virtual lx106 stopped: {trouble}")
    assert "(tl_console_poll+0x" in gist
