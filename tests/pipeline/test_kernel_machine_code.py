"""The machine code of a kernel set, which no C of this computer stands for: in an emulator, against numpy."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import ENGINE
from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.emit.project import kernel_files, table_files
from tinyllm.codegen.kernels.armv6m import ARMV6M

FLASH, RAM, RAM_BYTES = 0x10000000, 0x20000000, 1 << 20
STACK = 4096
COMPILER = "arm-none-eabi-gcc"
FLAGS = ["-mcpu=cortex-m0plus", "-mthumb", "-std=c99", "-nostartfiles", "-Wl,--emit-relocs", f"-Wl,-Ttext={FLASH:#x}"]
KEPT = range(4, 12)
"""Registers that a function gives back as they were (Procedure Call Standard for the Arm Architecture, 6.1.1)."""


class CortexM0:
    """Functions of a linked image, called with numpy arrays and integers. The arrays are copied in, and back."""

    def __init__(self, image: Path) -> None:
        import unicorn  # may be missing
        from unicorn import arm_const

        self._registers = [arm_const.UC_ARM_REG_R0 + i for i in range(12)]
        self._sp, self._lr = arm_const.UC_ARM_REG_SP, arm_const.UC_ARM_REG_LR
        self._engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._engine.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M0)
        self._engine.mem_map(FLASH, 1 << 20)
        self._engine.mem_map(RAM, RAM_BYTES)
        flat = image.with_suffix(".bin")
        subprocess.run(
            ["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text*", "-j", ".rodata*", image, flat], check=True
        )
        self._engine.mem_write(FLASH, flat.read_bytes())
        names = subprocess.run(["arm-none-eabi-nm", image], capture_output=True, text=True, check=True).stdout
        self._symbols = {line.split()[-1]: int(line.split()[0], 16) for line in names.splitlines()}

    def call(self, function: str, *arguments: int | np.ndarray | list[int | np.ndarray]) -> None:
        """A list is a struct of words, passed by its address."""
        self._arrays: list[tuple[int, np.ndarray]] = []
        self._free = RAM + STACK
        words = [self._word(argument) for argument in arguments]
        stack = RAM + STACK - 64
        for i, word in enumerate(words[:4]):
            self._engine.reg_write(self._registers[i], word)
        self._engine.mem_write(stack, np.array(words[4:], np.uint32).tobytes())
        kept = [0x5A5A0000 + i for i in KEPT]
        for i, value in zip(KEPT, kept, strict=True):
            self._engine.reg_write(self._registers[i], value)
        self._engine.reg_write(self._sp, stack)
        end = FLASH + (1 << 20) - 16
        self._engine.reg_write(self._lr, end | 1)
        self._engine.emu_start(self._symbols[function] | 1, end)
        assert [self._engine.reg_read(self._registers[i]) for i in KEPT] == kept
        assert self._engine.reg_read(self._sp) == stack
        for address, array in self._arrays:
            array[...] = np.frombuffer(self._engine.mem_read(address, array.nbytes), array.dtype).reshape(array.shape)

    def _word(self, argument: int | np.ndarray | list[int | np.ndarray]) -> int:
        if isinstance(argument, list):
            argument = np.array([self._word(part) for part in argument], np.uint32)
        if not isinstance(argument, np.ndarray):
            return int(argument) & 0xFFFFFFFF
        address, self._free = self._free, self._free + argument.nbytes + 31 & ~15  # 16 bytes behind it are readable
        self._engine.mem_write(address, np.ascontiguousarray(argument).tobytes())
        self._arrays.append((address, argument))
        return address


@pytest.fixture(scope="module", params=["-O0", "-Os", "-O2", "-O3"])
def core(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CortexM0:
    """The set's C and assembly, as gcc makes them for the chip."""
    if importlib.util.find_spec("unicorn") is None:
        skip_unless_ci("the Unicorn emulator is not installed: pip install 'tinyllm[virtual]'")
    if shutil.which(COMPILER) is None:
        skip_unless_ci(f"no {COMPILER} on PATH")
    folder = tmp_path_factory.mktemp("machine_code")
    for name, text in (kernel_files(ARMV6M) | table_files()).items():
        (folder / name).write_text(text)
    (folder / "start.c").write_text("void _start(void);\nvoid _start(void) {\n}\n")
    command = [COMPILER, *FLAGS, request.param, f"-I{folder}", f"-I{ENGINE}", *sorted(map(str, folder.glob("*.c")))]
    done = subprocess.run([*command, "-o", str(folder / "kernels.elf")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return CortexM0(folder / "kernels.elf")


def codes_of(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.integers(-127, 128, shape).astype(np.int8)


@pytest.mark.parametrize("extreme", [None, (127, 127), (127, -127), (-127, -127)])
@pytest.mark.parametrize("shape", [(1, 1), (5, 33), (13, 172), (8, 64), (2, 700)])
def test_sums_of_rows_are_exact(core: CortexM0, shape: tuple[int, int], extreme: tuple[int, int] | None) -> None:
    random = np.random.default_rng(1)
    codes, x = codes_of(random, *shape), codes_of(random, shape[1])
    if extreme is not None:
        codes[:], x[:] = extreme
    packed, expanded = ARMV6M.pack(codes), np.full(ARMV6M.input_bytes(shape[1]), 77, np.uint8)
    core.call("tl_expand", x, shape[1], expanded)
    sums = np.full(4 * len(packed), 99, np.int32)
    matrix = [packed, np.ones(shape[0], np.uint16), *shape, packed.shape[1], 0]
    core.call("tl_dot_groups", matrix, expanded, 0, len(packed), sums)
    assert sums[: shape[0]].tolist() == (codes.astype(np.int64) @ x.astype(np.int64)).tolist()


@pytest.mark.parametrize("right", [-3, 1, 20, 23, 27, 40, 60])
def test_values_are_requantised_as_the_specification_says(core: CortexM0, right: int) -> None:
    random = np.random.default_rng(right + 3)
    for bits in (15, 20, 21, 31):
        edges = [2**bits - 1, 1 - 2**bits, 2 ** (bits - 1), -(2 ** (bits - 1)), 0, -1]
        values = np.array([*edges, *random.integers(1 - 2**bits, 2**bits, 20)], np.int32)
        mantissa, multiplier = random.integers(1, 65536, values.size).astype(np.uint16), 32767
        expected = fp.requantize(values, mantissa.astype(np.int64) * multiplier, right)
        alone = fp.requantize(values, 2**31 - 1, right)
        vector = np.zeros_like(values)
        core.call("tl_requantize_vector", values, values.size, 2**31 - 1, right, vector)
        core.call("tl_requantize_rows", values, mantissa, values.size, multiplier, right)
        assert values.tolist() == expected.tolist()
        assert vector.tolist() == alone.tolist()


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("head_dim", [4, 8, 10, 16, 64, 72])
def test_scores_and_mixes_are_the_specifications(core: CortexM0, heads: int, head_dim: int) -> None:
    random = np.random.default_rng(head_dim)
    slots, stride = 70, 80
    for extreme in (False, True):
        queries, codes = codes_of(random, heads, head_dim), codes_of(random, slots, head_dim)
        mantissa, exponent = random.integers(516, 1034, slots), random.integers(-16, 16, slots)
        weights = np.zeros((heads, stride), np.int32)
        weights[:, :slots] = random.integers(0, 32767 << 3, (heads, slots)) * (random.random((heads, slots)) < 0.7)
        if extreme:
            queries[:], codes[::2], codes[1::2], mantissa[:] = 127, 127, -127, 1033
            weights[:, :slots] = 32767 << 3
        top, shift = int(exponent.max()), max(0, (head_dim - 1).bit_length() - 7)
        scales = fp.pack_scale(mantissa, exponent).astype(np.uint16)
        scores, sums = np.full((heads, stride), 7, np.int32), np.full((heads, head_dim), 9, np.int32)
        job = [queries, codes, scales, scores, heads, head_dim, stride, top, shift]
        core.call("tl_score_rows", job, 3, slots)
        core.call("tl_mix_rows", [weights, codes, heads, head_dim, stride, slots, 3, 3], sums)
        dots = queries.astype(np.int64) @ codes.T.astype(np.int64)
        expected = ((dots >> shift) * mantissa) >> (top - exponent)
        assert np.all(scores[:, :3] == 7) and np.all(scores[:, slots:] == 7)
        assert scores[:, 3:slots].tolist() == expected[:, 3:].tolist()
        assert sums.tolist() == (fp.rounding_shift(weights[:, :slots], 3) @ codes.astype(np.int64)).tolist()
