"""The kinds of processor cores: registers, hints and exceptions, by Unicorn's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from unicorn import arm_const as arm
from unicorn import riscv_const as riscv
from unicorn import unicorn_const as uc

from tinyllm.host.virtual.unicorn.chips import CoreName


class Hint(Enum):
    """Instructions that wait for an interrupt (WFI) or an event (WFE), or send the other core an event (SEV)."""

    SLEEP = "WFI"
    WAIT = "WFE"
    SIGNAL = "SEV"


@dataclass(frozen=True)
class Core:
    """A kind of core.

    mode: for a Cortex-M, Thumb without Unicorn's M class, which would replace every model by an M33.
    registers: name -> Unicorn's number, in the order of a dump; pc is among them.
    code_bit: the bit that is added to the address of code.
    hints: the bytes of each hint in memory.
    overshoot: how many bytes behind the instruction Unicorn reports its exception, as if for a system call.
    thumb: whether the instructions are Thumb's; else they are RISC-V's.
    exceptions: the meanings of the numbers that Unicorn's interrupt hook gets.
    """

    arch: int
    mode: int
    model: int
    registers: dict[str, int]
    code_bit: int
    hints: dict[bytes, Hint]
    overshoot: int
    thumb: bool
    exceptions: dict[int, str]

    @property
    def pc(self) -> int:
        return self.registers["pc"]

    @property
    def sp(self) -> int:
        return self.registers["sp"]


ARM_REGISTERS = {f"r{i}": getattr(arm, f"UC_ARM_REG_R{i}") for i in range(13)} | {
    "sp": arm.UC_ARM_REG_SP,
    "lr": arm.UC_ARM_REG_LR,
    "pc": arm.UC_ARM_REG_PC,
    "xpsr": arm.UC_ARM_REG_XPSR,
}
RISCV_NAMES = (
    *("ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"),
    *(f"a{i}" for i in range(8)),
    *(f"s{i}" for i in range(2, 12)),
    *("t3", "t4", "t5", "t6", "pc"),
)
RISCV_REGISTERS = {name: getattr(riscv, f"UC_RISCV_REG_{name.upper()}") for name in RISCV_NAMES}

ARM_EXCEPTIONS = {2: "a system call", 4: "a misaligned access", 7: "a breakpoint"}
"""From QEMU's target/arm/cpu.h. Unicorn reports accesses outside memory in another way."""
RISCV_EXCEPTIONS = {
    0: "a misaligned jump",
    2: "an undefined instruction",
    3: "a breakpoint",
    4: "a misaligned load",
    6: "a misaligned store",
    8: "a system call",
    11: "a system call",
}
"""From the table of mcause in RISC-V Privileged Architecture."""


def _cortex_m(model: int) -> Core:
    return Core(
        arch=uc.UC_ARCH_ARM,
        mode=uc.UC_MODE_THUMB,
        model=model,
        registers=ARM_REGISTERS,
        code_bit=1,
        hints={b"\x30\xbf": Hint.SLEEP, b"\x20\xbf": Hint.WAIT, b"\x40\xbf": Hint.SIGNAL},
        overshoot=0,
        thumb=True,
        exceptions=ARM_EXCEPTIONS,
    )


CORES: dict[CoreName, Core] = {
    "cortex-m0": _cortex_m(arm.UC_CPU_ARM_CORTEX_M0),
    "cortex-m33": _cortex_m(arm.UC_CPU_ARM_CORTEX_M33),
    "rv32imc": Core(
        arch=uc.UC_ARCH_RISCV,
        mode=uc.UC_MODE_RISCV32,
        model=riscv.UC_CPU_RISCV32_SIFIVE_E31,
        registers=RISCV_REGISTERS,
        code_bit=0,
        hints={b"\x73\x00\x50\x10": Hint.SLEEP},
        overshoot=4,
        thumb=False,
        exceptions=RISCV_EXCEPTIONS,
    ),
}
