"""The kernels of the ESP32-S3 in QEMU: their machine code, what they give, what they read and what they cost."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.emulated_boards import (
    CONTEXT,
    MODELS,
    PROMPT,
    answer,
    build_image,
    compile_firmware,
    need,
    run_in_qemu,
)
from tests.pipeline.remote_kernels import RemoteKernels
from tests.pipeline.test_kernel_sets import aligned, ffi, kernel_places, pointer, weights_of_width
from tinyllm.boards.description import FIRMWARE, load_board
from tinyllm.codegen.emit.project import table_files
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.kernels import kernels_warning
from tinyllm.host.link.link import Link
from tinyllm.host.model.load import load_model
from tinyllm.host.prove.expected_answers import Expected
from tinyllm.host.virtual.emulators import EMULATORS
from tinyllm.host.virtual.qemu import MACHINES

KERNELS = FIRMWARE / "engine/kernels/xtensa_s3"
PORTS = ("bare", "xtensa", "esp32s3")
COUNT = MACHINES["lx106"].count
PUBLISHED = [
    tuple(line.split(maxsplit=1))
    for line in (Path(__file__).parents[1] / "data/xtensa_words.txt").read_text().splitlines()
    if not line.startswith("#")
]
"""Word in hex, instruction."""


# --- Encodings ---


def test_the_assembler_macros_make_the_published_words(tmp_path: Path) -> None:
    defined = set(re.findall(r"\.macro (tl_(?!word)\w+)", (KERNELS / "instructions.h").read_text()))
    said = [(word, text) for word, text in PUBLISHED if macro(text).split()[0] in defined]
    assert {macro(text).split()[0] for _, text in said} == defined
    lines = "".join(f'        "{macro(text)}\\n"\n' for _, text in said)
    source = tmp_path / "words.c"
    source.write_text(f'#include "instructions.h"\n\n__asm__(".section words\\n"\n{lines});\n')
    compiler = "xtensa-lx106-elf-gcc"
    need(compiler)
    subprocess.run([compiler, f"-I{KERNELS}", "-c", source, "-o", tmp_path / "words.o"], check=True)
    copy = [compiler.replace("gcc", "objcopy"), "-O", "binary", "--only-section=words"]
    subprocess.run([*copy, "--set-section-flags", "words=alloc", tmp_path / "words.o", tmp_path / "words"], check=True)
    expected = [int(word, 16).to_bytes(len(word) // 2, "little") for word, _ in said]
    assert (tmp_path / "words").read_bytes() == b"".join(expected)


def macro(text: str) -> str:
    """How instructions.h writes an instruction."""
    name, *operands = text.split(" ", 1)
    return " ".join(["tl_" + name.replace(".", "_"), *operands])


# --- The kernel ---

# A request: count and columns, then the codes and x. They lie where the memory ends, so that what is read behind them
# is a fault. The answer: instructions, then the sums.
KERNEL = """\
#include "console.h"
#include "dot_rows.h"
#include "port.h"
#include "vector_unit.h"

#define CODES_END ((uint8_t *)0x68000000)
#define X_END ((uint8_t *)0x54000000)

bool tl_vector_unit;
static int32_t sums[4096];

static void read_bytes(uint8_t *to, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        int byte;
        do {
            byte = tl_port_read();
        } while (byte < 0);
        to[i] = (uint8_t)byte;
    }
}

void tl_console_start(void) {
    tl_vector_unit = true;
}

bool tl_console_poll(void) {
    uint32_t header[2];
    read_bytes((uint8_t *)header, sizeof header);
    const uint32_t count = header[0], columns = header[1];
    int8_t *const codes = (int8_t *)CODES_END - count * columns, *const x = (int8_t *)X_END - columns;
    read_bytes((uint8_t *)codes, count * columns);
    read_bytes((uint8_t *)x, columns);
    sums[count] = 12345;
    const uint64_t start = tl_port_micros(), before = tl_port_micros();
    tl_dot_rows(codes, count, x, columns, sums);
    const uint32_t taken = (uint32_t)(tl_port_micros() - before - (before - start));
    tl_port_write((const uint8_t *)&taken, sizeof taken);
    tl_port_write((const uint8_t *)sums, (count + 1) * sizeof *sums);
    return true;
}
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Firmware that runs the kernel on what it is sent."""
    folder = tmp_path_factory.mktemp("kernel") / "firmware"
    return compile_firmware("lx106", PORTS, KERNEL, folder, engine=["kernels/xtensa_s3/dot_rows.c"])


@dataclass
class Matrix:
    """codes (rows, columns), x (columns,), int8."""

    codes: np.ndarray
    x: np.ndarray

    @property
    def request(self) -> bytes:
        return struct.pack("<2I", *self.codes.shape) + self.codes.tobytes() + self.x.tobytes()


def dot_rows(image: Path, matrices: Sequence[Matrix]) -> Iterator[tuple[int, np.ndarray]]:
    """Instructions and sums of each."""
    said = np.frombuffer(run_in_qemu(image, b"".join(matrix.request for matrix in matrices), *COUNT), np.int32)
    for matrix in matrices:
        rows = len(matrix.codes)
        assert said[rows + 1] == 12345, "a sum too many"
        yield int(said[0]), said[1 : rows + 1]
        said = said[rows + 2 :]
    assert not len(said)


def int8_matrices() -> Iterator[Matrix]:
    """Every number of vectors a row that has code of its own, with random and extreme codes."""
    numbers = np.random.default_rng(4)
    for columns in (16, 32, 48, 64, 80, 96, 112, 128, 144, 176, 192, 288, 768):
        for rows in (1, 2, 3, 4, 5, 32):
            codes, x = numbers.integers(-128, 128, (rows, columns)), numbers.integers(-128, 128, columns)
            yield Matrix(codes.astype(np.int8), x.astype(np.int8))
        for low, high in ((-128, -128), (-128, 127), (127, 127), (0, -1)):
            codes = numbers.choice([low, high], (3, columns))
            yield Matrix(codes.astype(np.int8), numbers.choice([-128, 127], columns).astype(np.int8))


def test_the_sums_of_rows_are_numpys_and_nothing_else_is_read(kernel: Path) -> None:
    matrices = list(int8_matrices())
    for matrix, (_, sums) in zip(matrices, dot_rows(kernel, matrices), strict=True):
        assert sums.tolist() == (matrix.codes.astype(np.int64) @ matrix.x).tolist()


@pytest.mark.parametrize(("rows", "columns", "most"), [(64, 64, 0.145), (172, 64, 0.14), (64, 176, 0.205)])
def test_a_multiplication_costs_a_fraction_of_an_instruction(
    kernel: Path, rows: int, columns: int, most: float
) -> None:
    """The shapes of stories260K, whose hidden vectors have 172 numbers."""
    matrix = Matrix(np.zeros((rows, columns), np.int8), np.zeros(columns, np.int8))
    ((instructions, _),) = dot_rows(kernel, [matrix])
    print(f"\n{rows} x {columns}: {instructions / rows / columns:.3f} instructions per multiplication (counted)")
    assert instructions / rows / columns <= most


# --- A chip whose vector unit computes something else ---


@pytest.fixture(scope="module", params=["sum += ", "accx >>= ", "vector[i] = "])
def broken_port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The port of a chip whose unit adds, shifts or loads wrongly."""
    port = tmp_path_factory.mktemp("port")
    unit = (FIRMWARE / "ports/esp32s3/vector_unit.c").read_text()
    assert request.param in unit
    (port / "vector_unit.c").write_text(unit.replace(request.param, f"{request.param} 1 + "))
    return port


def test_a_unit_that_computes_otherwise_is_not_used(broken_port: Path) -> None:
    """HELLO and the greeting say so, and the tokens are the reference's."""
    board = replace(load_board("esp32s3").twin(), ports=("bare", "xtensa", str(broken_port)))
    image = build_image(board, MODELS[0])
    (expected,) = Expected(load_model(MODELS[0]), CONTEXT).answers([PROMPT], 20, through_stops=True)
    with BoardProcess(EMULATORS["qemu"].command(image, "lx106")) as process:
        assert answer(process, 20).tokens == list(expected)
        with Link(process.url) as link:
            assert (link.hello.kernels, link.hello.kernels_agree) == ("xtensa_s3", 0)
            assert "the xtensa_s3 kernels failed their check on this esp32s3-virtual" in str(
                kernels_warning(link.hello)
            )
    assert b"The kernels xtensa_s3 failed their check on this chip" in run_in_qemu(image, b"")


@pytest.mark.parametrize("right, wrong", [("x[i] & y[i]", "x[i] | y[i]"), ("lower = from[0]", "lower = from[0] + 1u")])
def test_a_unit_that_computes_int4_rows_otherwise_is_not_used(right: str, wrong: str, tmp_path: Path) -> None:
    """Its int8 rows are right; the check of int4 rows finds what they alone need, and portable C does the work."""
    unit = (FIRMWARE / "ports/esp32s3/vector_unit.c").read_text()
    assert right in unit
    (tmp_path / "port").mkdir()
    (tmp_path / "port/vector_unit.c").write_text(unit.replace(right, wrong))
    for name, text in table_files().items():
        (tmp_path / "port" / name).write_text(text)
    kernels = KERNEL_SETS["xtensa_s3"]
    ports = (*PORTS[:2], str(tmp_path / "port"))
    remote = RemoteKernels(kernels, ports, kernel_places(kernels), tmp_path / "firmware", ffi)
    try:
        assert not remote.tl_kernels_start()
        w, x = weights_of_width(kernels, 4, (16, 64)), np.arange(64, dtype=np.int8)
        expanded, sums = aligned(kernels.int4.input_bytes(64)), np.zeros(16, np.int32)
        remote.tl_expand_int4(pointer("int8_t", x), 64, pointer("uint8_t", expanded))
        remote.tl_dot_groups_int4(w.matrix, pointer("uint8_t", expanded), 0, 2, pointer("int32_t", sums))
        assert sums.tolist() == (w.integers @ x).tolist()
    finally:
        remote.close()


def test_the_vector_unit_passes_its_check() -> None:
    image = build_image(load_board("esp32s3").twin(), MODELS[0])
    with BoardProcess(EMULATORS["qemu"].command(image, "lx106")) as process, Link(process.url) as link:
        assert (link.hello.kernels, link.hello.kernels_agree) == ("xtensa_s3", 1)
    assert b"failed" not in run_in_qemu(image, b"")
