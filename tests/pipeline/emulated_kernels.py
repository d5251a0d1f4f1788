"""A kernel set's machine code, run in the emulator on the arrays of this process, as if it were a cffi library."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cffi
from elftools.elf.elffile import ELFFile

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import STRUCTURES_BY_ADDRESS, compile_c
from tinyllm.codegen.emit.project import kernel_files, table_files
from tinyllm.codegen.kernels.kernel_set import KernelSet
from tinyllm.host.virtual.unicorn.chips import CoreName

CODE, STACK, HOST = 0x10000000, 0x20000000, 0x40000000
CODE_BYTES, STACK_BYTES = 1 << 20, 1 << 16
STOP = CODE + CODE_BYTES - 16
CHUNK = 1 << 22
"""Memory of this process is mapped from multiples of this on, two chunks at a time: no array of a test is longer."""
MEMORY_FUNCTIONS = Path(__file__).with_name("memory_functions.c")


@dataclass(frozen=True)
class Processor:
    """An emulator of a core.

    arguments: its registers for them; others go to the stack. kept: those that a function gives back as they were.
    link: where it returns to. code_bit: of a function's address. word: the format of a register and of a pointer, as
    struct has it.
    """

    engine: Any
    arguments: list[int]
    kept: list[int]
    result: int
    sp: int
    link: int
    code_bit: int
    word: str

    @property
    def word_bytes(self) -> int:
        return struct.calcsize(self.word)


def _processor(name: CoreName, arguments: list[str], kept: list[str], link: str) -> Processor:
    """One that a virtual board has."""
    import unicorn  # an extra

    from tinyllm.host.virtual.unicorn.core_kinds import CORES

    core = CORES[name]
    engine = unicorn.Uc(core.arch, core.mode, cpu=core.model)
    given, saved = ([core.registers[register] for register in registers] for registers in (arguments, kept))
    return Processor(engine, given, saved, given[0], core.sp, core.registers[link], core.code_bit, "I")


def _cortex_m(name: CoreName) -> Processor:
    """Registers: Procedure Call Standard for the Arm Architecture, 6.1.1."""
    return _processor(name, [f"r{i}" for i in range(4)], [f"r{i}" for i in range(4, 12)], "lr")


def cortex_m0() -> Processor:
    return _cortex_m("cortex-m0")


def cortex_m33() -> Processor:
    return _cortex_m("cortex-m33")


def cortex_m7() -> Processor:
    """The Teensy's, which no virtual board has."""
    import unicorn  # an extra
    from unicorn import arm_const as arm

    engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB, cpu=arm.UC_CPU_ARM_CORTEX_M7)
    return replace(cortex_m33(), engine=engine)


def rv32imc() -> Processor:
    """Registers: RISC-V Calling Conventions, 1.1."""
    return _processor("rv32imc", [f"a{i}" for i in range(8)], [f"s{i}" for i in range(12)], "ra")


def aarch64() -> Processor:
    import unicorn  # an extra
    from unicorn import arm64_const as arm64

    registers = [getattr(arm64, f"UC_ARM64_REG_X{i}") for i in range(29)]
    engine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM, cpu=arm64.UC_CPU_ARM64_MAX)
    result = arm64.UC_ARM64_REG_W0
    sp, link = arm64.UC_ARM64_REG_SP, arm64.UC_ARM64_REG_LR
    return Processor(engine, registers[:8], registers[19:], result, sp, link, 0, "Q")


@dataclass(frozen=True)
class Target:
    """How a kernel set is compiled, and for which processor. sources: that the image needs too. often: not a sweep."""

    compiler: str
    flags: tuple[str, ...]
    processor: Callable[[], Processor]
    sources: tuple[Path, ...] = ()
    often: bool = True


def _aarch64(*flags: str) -> Target:
    image = ("-static", "-nostdlib", "-Wl,-N,--build-id=none")
    return Target("aarch64-linux-gnu-gcc", (*flags, *image), aarch64, (MEMORY_FUNCTIONS,))


TARGETS: dict[str, dict[str, Target]] = {
    "armv6m": {
        "Cortex-M0+": Target("arm-none-eabi-gcc", ("-mcpu=cortex-m0plus", "-mthumb", "-nostartfiles"), cortex_m0),
    },
    "armv8m": {
        "Cortex-M33": Target(
            "arm-none-eabi-gcc",
            ("-mcpu=cortex-m33+nofp", "-mfloat-abi=soft", "-mthumb", "-nostartfiles"),
            cortex_m33,
        ),
        "Cortex-M7": Target(
            "arm-none-eabi-gcc",
            ("-mcpu=cortex-m7+nofp", "-mfloat-abi=soft", "-mthumb", "-nostartfiles"),
            cortex_m7,
            often=False,
        ),
    },
    "rv32": {
        "RV32IMC": Target(
            "riscv64-unknown-elf-gcc",
            (
                *("-march=rv32imc", "-mabi=ilp32", "-mstrict-align", "--specs=picolibc.specs", "-nostartfiles"),
                "-Wl,--no-gc-sections",
            ),
            rv32imc,
        )
    },
    "host": {"NEON": _aarch64("-march=armv8-a"), "SDOT": _aarch64("-march=armv8.2-a+dotprod")},
}
"""By the name of the kernel set, and by what a test calls them."""


class EmulatedKernels:
    """A kernel set's functions, called in the emulator; it sees the memory of this process that a call points to."""

    def __init__(self, ffi: cffi.FFI, kernels: KernelSet, target: Target, optimize: str, folder: Path) -> None:
        """Compile the set into `folder`. Skips the test if this computer lacks the compiler or the emulator."""
        if shutil.which(target.compiler) is None:
            skip_unless_ci(f"no {target.compiler} on PATH")
        try:
            self._processor = target.processor()
        except ImportError:
            skip_unless_ci("the Unicorn emulator is not installed: pip install 'tinyllm[virtual]'")
        files, image = kernel_files(kernels) | table_files(), folder / "kernels.elf"
        sources: list[str | Path] = [folder / name for name in files if name.endswith(".c")]
        sources += [STRUCTURES_BY_ADDRESS, *target.sources]
        flags = ["-std=c99", optimize, *target.flags, f"-Wl,-Ttext={CODE:#x},--entry={CODE:#x}"]
        compile_c(folder, files, sources, *flags, compiler=target.compiler, output=image)
        self._ffi, self._engine = ffi, self._processor.engine
        self._engine.mem_map(CODE, CODE_BYTES)
        self._engine.mem_map(STACK, STACK_BYTES)
        with image.open("rb") as stream:
            elf = ELFFile(stream)
            for segment in elf.iter_segments("PT_LOAD"):
                self._engine.mem_write(segment["p_vaddr"], segment.data())
            self._symbols = {each.name: each["st_value"] for each in elf.get_section_by_name(".symtab").iter_symbols()}
        self._mapped: dict[int, int] = {}
        self._top = 0

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("tl_"):
            raise AttributeError(name)
        return lambda *values: self._call(name, values)

    def tl_softmax_weights(self, scores: Any, scale: dict[str, int], *rest: Any) -> Any:
        how, result = self._ffi.new("struct tl_scale *", scale), self._ffi.new("struct tl_softmax *")
        self._call("softmax_weights", (scores, how, *rest, self._ffi.cast("void *", result)))
        return result[0]

    def _call(self, name: str, values: tuple[Any, ...]) -> int:
        """Call a function; an int8 or int32 that it returns."""
        processor = self._processor
        self._top = STACK + STACK_BYTES
        words = [self._word(value) for value in values]
        count = len(processor.arguments)
        if words[count:]:
            self._push(struct.pack(f"<{len(words) - count}{processor.word}", *words[count:]))
        kept = {register: 0x5A5A0000 + i for i, register in enumerate(processor.kept)} | {processor.sp: self._top}
        given = dict(zip(processor.arguments, words, strict=False)) | kept | {processor.link: STOP | processor.code_bit}
        for register, word in given.items():
            self._engine.reg_write(register, word)
        self._engine.emu_start(self._symbols[name] | processor.code_bit, STOP)
        assert {register: self._engine.reg_read(register) for register in kept} == kept
        result = int(self._engine.reg_read(processor.result))
        return result - (result >> 31 << 32)

    def _word(self, value: Any) -> int:
        """An argument as the processor has it. A structure is copied to the stack."""
        if isinstance(value, int):
            return value & 0xFFFFFFFF
        kind = self._ffi.typeof(value)
        if kind.item.kind != "struct":
            return self._address(int(self._ffi.cast("uintptr_t", value)))
        self._push(self._structure(value, kind.item))
        return self._top

    def _structure(self, value: Any, kind: Any) -> bytes:
        """A structure's bytes: each member is at a multiple of its size."""
        data = b""
        for name, field in kind.fields:
            found = getattr(value[0], name)
            if field.type.kind == "pointer":
                data += bytes(-len(data) % self._processor.word_bytes)
                data += struct.pack(f"<{self._processor.word}", self._word(found))
            else:
                members = found if field.type.kind == "array" else [found]
                data += b"".join(struct.pack("<I", member & 0xFFFFFFFF) for member in members)
        return data

    def _push(self, data: bytes) -> None:
        self._top = (self._top - len(data)) & ~15
        self._engine.mem_write(self._top, data)

    def _address(self, host: int) -> int:
        start = host - host % CHUNK
        if start not in self._mapped:
            self._mapped[start] = HOST + 2 * CHUNK * len(self._mapped)
            self._engine.mem_map_ptr(self._mapped[start], 2 * CHUNK, 3, start)  # to read and to write
        return self._mapped[start] + host % CHUNK
