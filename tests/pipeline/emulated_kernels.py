"""A kernel set's machine code, run in the emulator on the arrays of this process, as if it were a cffi library."""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import STRUCTURES_BY_ADDRESS, compile_c
from tinyllm.codegen.emit.project import kernel_files, table_files
from tinyllm.codegen.kernels.kernel_set import KernelSet
from tinyllm.host.virtual.elf import read_elf

CODE, STACK, HOST = 0x10000000, 0x20000000, 0x40000000
CODE_BYTES, STACK_BYTES = 1 << 20, 1 << 16
STOP = CODE + CODE_BYTES - 16
CHUNK = 1 << 22
"""Memory of this process is mapped from multiples of this on, two chunks at a time: no array of a test is longer."""


@dataclass(frozen=True)
class Target:
    """How a kernel set is compiled, and for which core of the emulator."""

    compiler: str
    flags: tuple[str, ...]
    core: str


TARGETS = {
    "armv8m": Target(
        "arm-none-eabi-gcc", ("-mcpu=cortex-m33+nofp", "-mfloat-abi=soft", "-mthumb", "-nostartfiles"), "cortex-m33"
    ),
}
"""By the name of the kernel set: Arm cores, whose C passes four arguments in registers and the others on the stack."""


class EmulatedKernels:
    """A kernel set's functions, called in the emulator; it sees the memory of this process that a call points to."""

    def __init__(self, ffi: cffi.FFI, kernels: KernelSet, optimize: str, folder: Path) -> None:
        """Compile the set into `folder`. Skips the test if this computer lacks the compiler or the emulator."""
        target = TARGETS[kernels.name]
        if shutil.which(target.compiler) is None:
            skip_unless_ci(f"no {target.compiler} on PATH")
        try:
            import unicorn  # an extra

            from tinyllm.host.virtual.unicorn.core_kinds import CORES
        except ImportError:
            skip_unless_ci("the Unicorn emulator is not installed: pip install 'tinyllm[virtual]'")
        files, image = kernel_files(kernels) | table_files(), folder / "kernels.elf"
        sources: list[str | Path] = [folder / name for name in files if name.endswith(".c")]
        sources.append(STRUCTURES_BY_ADDRESS)
        flags = ["-std=c99", optimize, *target.flags, f"-Wl,-Ttext={CODE:#x},--entry={CODE:#x}", "-o", str(image)]
        compile_c(folder, files, sources, *flags, compiler=target.compiler)
        elf, core = read_elf(image, "EM_ARM"), CORES[target.core]  # type: ignore[index]
        self._ffi, self._symbols, self._registers = ffi, elf.symbols, core.registers
        self._engine = unicorn.Uc(core.arch, core.mode, cpu=core.model)
        self._engine.mem_map(CODE, CODE_BYTES)
        self._engine.mem_map(STACK, STACK_BYTES)
        for segment in elf.segments:
            self._engine.mem_write(segment.address, segment.data)
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
        self._top = STACK + STACK_BYTES
        words = [self._word(value) for value in values]
        self._push(words[4:])
        in_registers = {f"r{i}": word for i, word in enumerate(words[:4])}
        for register, word in {**in_registers, "sp": self._top, "lr": STOP | 1}.items():
            self._engine.reg_write(self._registers[register], word)
        self._engine.emu_start(self._symbols[name] | 1, STOP)
        result = int(self._engine.reg_read(self._registers["r0"]))
        return result - (result >> 31 << 32)

    def _word(self, value: Any) -> int:
        """An argument, or a field of a structure, as a 32-bit core has it. A structure is copied to the stack."""
        if isinstance(value, int):
            return value & 0xFFFFFFFF
        kind = self._ffi.typeof(value)
        if kind.item.kind != "struct":
            return self._address(int(self._ffi.cast("uintptr_t", value)))
        words: list[int] = []
        for name, field in kind.item.fields:
            found = getattr(value[0], name)
            words += [self._word(item) for item in (found if field.type.kind == "array" else [found])]
        self._push(words)
        return self._top

    def _push(self, words: list[int]) -> None:
        self._top = (self._top - 4 * len(words)) & ~7
        self._engine.mem_write(self._top, struct.pack(f"<{len(words)}I", *words))

    def _address(self, host: int) -> int:
        start = host - host % CHUNK
        if start not in self._mapped:
            self._mapped[start] = HOST + 2 * CHUNK * len(self._mapped)
            self._engine.mem_map_ptr(self._mapped[start], 2 * CHUNK, 3, start)  # to read and to write
        return self._mapped[start] + host % CHUNK
