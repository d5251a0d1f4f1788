"""Each kernel set gives what numpy gives: packed matrices, requantisation, scores and mixes, at random and extremes."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cffi
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.pipeline.c_library import ENGINE, compile_c
from tests.pipeline.emulated_kernels import TARGETS, EmulatedKernels
from tests.pipeline.remote_kernels import RemoteKernels
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.arithmetic.integer_forward import softmax_q15, weights_of
from tinyllm.codegen.arithmetic.integer_model import IntegerMatrix, scale_groups
from tinyllm.codegen.arithmetic.quantize import MAX_COLUMNS, MAX_INT4_COLUMNS
from tinyllm.codegen.arithmetic.sampler import LN2_Q27, LOG2E_Q58, exponents
from tinyllm.codegen.arithmetic.vectors import silu_mul
from tinyllm.codegen.emit.project import kernel_files, table_files
from tinyllm.codegen.kernels.choose import KERNEL_SETS, kernel_set_of
from tinyllm.codegen.kernels.kernel_set import KernelSet, Layout, padded

DECLARATIONS = """
struct tl_matrix {
    const uint8_t *groups;
    const uint16_t *mantissa;
    uint32_t rows, columns, group_bytes;
    int32_t exponent, most;
    uint32_t bits;
};
bool tl_kernels_start(void);
void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input);
void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums);
void tl_expand_tokens(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs);
void tl_dot_tokens(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first, uint32_t last,
                   int32_t *sums, uint32_t stride);
int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column);
void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input);
void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums);
void tl_expand_tokens_int4(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs);
void tl_dot_tokens_int4(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first,
                        uint32_t last, int32_t *sums, uint32_t stride);
int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column);
void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right);
void tl_requantize_tokens(int32_t *values, uint32_t stride, uint32_t tokens, const uint16_t *mantissa, uint32_t n,
                          const void *scales, int32_t exponent, int32_t most);
void tl_requantize_vector(const int32_t *values, uint32_t n, int32_t multiplier, int32_t right, int32_t *results);
void tl_quantize_codes(const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes);
uint32_t tl_gain_products(const int32_t *x, const int16_t *gain, uint32_t n, int32_t down, int32_t *products,
                          uint64_t *squares);
uint32_t tl_silu_elements(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down, int32_t up_down);
uint32_t tl_first_above(const int32_t *values, uint32_t n, int32_t bound);
uint32_t tl_copy_above(const int32_t *values, uint32_t n, int32_t bound, int32_t *copies, uint32_t room,
                       uint32_t *marks);
void tl_count_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts);
void tl_count_least_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts);
struct tl_exponents {
    uint32_t largest, left, multiplier;
    int32_t farthest;
};
void tl_sum_probabilities(const int32_t *logits, uint32_t n, const struct tl_exponents *exponents, uint64_t *sum);
struct tl_score_job {
    const int8_t *queries, *keys;
    const uint16_t *key_scales;
    int32_t *scores;
    uint32_t heads, head_dim, stride;
    int32_t top, dot_shift;
};
void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last);
struct tl_scale { int32_t mantissa, exponent; };
struct tl_softmax { uint32_t total; int32_t down, exponent; };
struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales, int32_t top,
                                     uint32_t slots, int32_t bits);
struct tl_mix_job {
    const int32_t *weights;
    const int8_t *values;
    uint32_t heads, head_dim, stride, slots;
    int32_t down[2];
};
void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums);
extern int tl_vector_level;
"""

ffi = cffi.FFI()
ffi.cdef(DECLARATIONS)

XTENSA_PORTS = {"generic": ("bare", "xtensa"), "xtensa_s3": ("bare", "xtensa", "esp32s3")}
"""The ports of the virtual boards that these sets run on."""

SHAPES = [(1, 1), (3, 5), (4, 16), (5, 64), (13, 172), (8, 176), (2, 700), (1, 4099)]


def aligned(size: int, dtype: type[np.generic] = np.uint8, offset: int = 0) -> np.ndarray:
    """A zeroed vector that begins `offset` elements after a multiple of 64 bytes."""
    itemsize = np.dtype(dtype).itemsize
    memory = np.zeros(size * itemsize + 64 + offset * itemsize, np.uint8)
    start = -memory.ctypes.data % 64 + offset * itemsize
    return memory[start : start + size * itemsize].view(dtype)


def pointer(kind: str, array: np.ndarray) -> Any:
    return ffi.from_buffer(f"{kind}[]", array)


VECTOR_LEVELS = ["portable", "sse4.1", "avx2"]
"""Of the set "host", by number."""

LEVELS = ["-O0", "-O2", "-O3"]


def ways(name: str) -> Iterator[Any]:
    """How a kernel set is run, as a parameter: its C on this computer, and its machine code in an emulator."""
    variants = [f" {level}" for level in VECTOR_LEVELS] if name == "host" else [""]
    # The host board is built at -O3, the others at -O2.
    usual = "-O3" if name == "host" else "-O2"
    for level in LEVELS:
        marks = [] if level == usual else [pytest.mark.sweep]
        yield from (pytest.param((name, f"{level}{variant}"), marks=marks) for variant in variants)
    if name in XTENSA_PORTS:
        yield pytest.param((name, "QEMU"))
    for target, about in TARGETS.get(name, {}).items():
        for level in ["-O2", "-Os", "-O0", "-O3"]:
            marks = [] if level == usual and about.often else [pytest.mark.sweep]
            yield pytest.param((name, f"machine code {level} {target}"), marks=marks)


def every(name: str, values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The test with each of the values of an argument, within one test: the ways to run it are many already."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def with_each(**arguments: Any) -> None:
            for value in values:
                test(**arguments, **{name: value})

        signature = inspect.signature(test)
        others = [parameter for parameter in signature.parameters.values() if parameter.name != name]
        with_each.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return with_each

    return decorate


@pytest.fixture(scope="module", params=KERNEL_SETS)
def kernels(request: pytest.FixtureRequest) -> KernelSet:
    return KERNEL_SETS[request.param]


@dataclass(frozen=True)
class Run:
    """A kernel set, and its functions as one of the ways runs them."""

    kernels: KernelSet
    c: Any


@pytest.fixture(scope="module", params=[way for name in KERNEL_SETS for way in ways(name)], ids=" ".join)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Undefined behaviour ends what runs on this computer."""
    name, way = request.param
    kernels, folder = KERNEL_SETS[name], tmp_path_factory.mktemp("kernels")
    files = kernel_files(kernels) | table_files()
    if way == "QEMU":
        (folder / "tables").mkdir()
        for table, text in table_files().items():
            (folder / "tables" / table).write_text(text)
        ports = (*XTENSA_PORTS[name], str(folder / "tables"))
        remote = RemoteKernels(kernels, ports, kernel_places(kernels), folder / "firmware", ffi)
        yield Run(kernels, remote)
        remote.close()
        return
    level, *variant = way.removeprefix("machine code ").split()
    if way.startswith("machine code"):
        yield Run(kernels, EmulatedKernels(ffi, kernels, TARGETS[name][variant[0]], level, folder))
        return
    sources = [folder / file for file in files if file.endswith(".c")]
    flags = ["-std=c99", level, "-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-shared", "-fPIC"]
    compile_c(folder, files, sources, *flags, output=folder / "kernels.so")
    library = ffi.dlopen(str(folder / "kernels.so"))
    if variant:
        vector_level = VECTOR_LEVELS.index(variant[0])
        if vector_level > library.tl_vector_level:
            pytest.skip(f"this computer has no {variant[0]}")  # nothing that could be installed
        library.tl_vector_level = vector_level
    yield Run(kernels, library)


@pytest.fixture(scope="module")
def c(run: Run) -> Any:
    return run.c


def kernel_places(kernels: KernelSet) -> list[str]:
    """The C files of a set below firmware/engine."""
    names = [name for name in kernel_files(kernels) if name.endswith(".c")]
    folders = [folder for folder in (kernels.name, kernels.base, "generic") if folder is not None]
    own = {folder: {path.name for path in (ENGINE / "kernels" / folder).iterdir()} for folder in folders}
    places = [(next(folder for folder in folders if name in own[folder]), name) for name in names]
    return [f"kernels/{folder}/{name}" for folder, name in sorted(places, key=lambda place: folders.index(place[0]))]


@dataclass(frozen=True)
class Weights:
    """A matrix of a width as the kernels read it. integers: what its sums are over, int64 (rows, columns)."""

    bits: int
    layout: Layout
    integers: np.ndarray
    matrix: Any
    alive: list[np.ndarray]

    def function(self, c: Any, name: str) -> Any:
        """The kernel of that name for this width."""
        return getattr(c, name if self.bits == 8 else f"{name}_int4")


def weights_of_width(
    kernels: KernelSet, bits: int, shape: tuple[int, int], extreme: int | None = None, seed: int = 1
) -> Weights:
    """Random codes, or the largest positive or negative ones; of int4 random scales or the largest."""
    random = np.random.default_rng(seed)
    if bits == 8:
        codes = codes_of(random, *shape) if extreme is None else np.full(shape, extreme, np.int8)
        groups, integers = kernels.int8.pack(codes), codes.astype(np.int64)
    else:
        count = scale_groups(shape[1])
        codes, scales = random.integers(-8, 8, shape).astype(np.int8), random.integers(1, 256, (shape[0], count))
        if extreme is not None:
            codes[:], scales[:] = (7 if extreme > 0 else -8), 255
        groups = kernels.int4.pack(codes, scales.astype(np.uint8))
        integers = IntegerMatrix(codes, np.ones(shape[0], np.uint16), 0, scales.astype(np.uint8)).integers()
    memory = aligned(groups.size + 16)
    memory[: groups.size] = groups.ravel()
    mantissa = np.ones(shape[0], np.uint16)
    most = 127 * int(np.abs(integers.astype(np.int64)).sum(axis=1).max())
    value = (pointer("uint8_t", memory), pointer("uint16_t", mantissa), *shape, groups.shape[1], 0, most, bits)
    matrix = ffi.new("struct tl_matrix *", value)
    return Weights(bits, kernels.layout(bits), integers.astype(np.int64), matrix, [memory, mantissa])


@pytest.mark.parametrize(
    ("board", "name"),
    [
        ("host", "host"),
        ("esp32c3", "rv32"),
        ("esp32", "xtensa"),
        ("esp32s3", "xtensa_s3"),
        ("pico", "armv6m"),
        ("pico2", "armv8m"),
    ],
)
def test_a_board_has_the_kernels_of_its_instruction_set(board: str, name: str) -> None:
    kernels = kernel_set_of(load_board(board))
    assert kernels.name == name
    assert "dot_groups.c" in kernel_files(kernels)


def codes_of(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.integers(-127, 128, shape).astype(np.int8)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_matrix_is_packed_whole_and_comes_back(kernels: KernelSet, shape: tuple[int, int]) -> None:
    codes, layout = codes_of(np.random.default_rng(0), *shape), kernels.int8
    groups = layout.pack(codes)
    assert groups.dtype == np.uint8
    assert groups.shape == (layout.groups(shape[0]), layout.group_bytes(shape[1]))
    assert groups.shape[1] % 16 == 0
    assert np.array_equal(layout.unpack(groups, *shape), codes)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_int4_matrix_is_packed_whole_and_comes_back(kernels: KernelSet, shape: tuple[int, int]) -> None:
    random, layout = np.random.default_rng(0), kernels.int4
    codes = random.integers(-8, 8, shape).astype(np.int8)
    scales = random.integers(1, 256, (shape[0], scale_groups(shape[1]))).astype(np.uint8)
    groups = layout.pack(codes, scales)
    assert groups.dtype == np.uint8
    assert groups.shape == (layout.groups(shape[0]), layout.group_bytes(shape[1]))
    assert groups.shape[1] % 16 == 0
    unpacked, unpacked_scales = layout.unpack(groups, *shape)
    assert np.array_equal(unpacked, codes)
    assert np.array_equal(unpacked_scales, scales)


@every("extreme", [None, (127, 127), (127, -127), (-127, -127)])
@every("shape", SHAPES)
@every("bits", [8, 4])
def test_sums_of_packed_rows_are_exact(
    run: Run, bits: int, shape: tuple[int, int], extreme: tuple[int, int] | None
) -> None:
    w = weights_of_width(run.kernels, bits, shape, extreme and extreme[0])
    x = codes_of(np.random.default_rng(2), shape[1])
    if extreme is not None:
        x[:] = extreme[1]
    # What lies behind the input from an earlier, longer one must not count.
    given_codes, expanded = aligned(shape[1] + 16, np.int8), aligned(w.layout.input_bytes(shape[1]))
    expanded[:] = 77
    given_codes[:] = 55
    given_codes[: shape[1]] = x
    w.function(run.c, "tl_expand")(pointer("int8_t", given_codes), shape[1], pointer("uint8_t", expanded))
    groups, rows = w.layout.groups(shape[0]), w.layout.rows
    for first, last in {(0, groups), (groups // 2, groups), (0, (groups + 1) // 2)}:
        sums = np.full((last - first) * rows, 99, np.int32)
        inputs = pointer("uint8_t", expanded)
        w.function(run.c, "tl_dot_groups")(w.matrix, inputs, first, last, pointer("int32_t", sums))
        expected = w.integers[first * rows : last * rows] @ x.astype(np.int64)
        assert sums[: len(expected)].tolist() == expected.tolist()


@every("extreme", [None, (127, 127), (127, -127), (-127, -127)])
@every("tokens", [2, 3, 4, 5, 7, 8])
@every("shape", [(1, 1), (13, 172), (8, 64), (2, 700), (1, 4099)])
@every("bits", [8, 4])
def test_the_sums_of_several_tokens_are_those_of_each(
    run: Run, bits: int, shape: tuple[int, int], tokens: int, extreme: tuple[int, int] | None
) -> None:
    rows, columns = shape
    w = weights_of_width(run.kernels, bits, shape, extreme and extreme[0], seed=tokens)
    xs = codes_of(np.random.default_rng(tokens), tokens, columns)
    if extreme is not None:
        xs[:] = extreme[1]
    stride = padded(columns) + 16
    given_codes, expanded = aligned(stride * tokens, np.int8), aligned(tokens * w.layout.input_bytes(columns))
    expanded[:] = 77
    given_codes[:] = 55
    given_codes.reshape(tokens, stride)[:, :columns] = xs
    inputs = pointer("uint8_t", expanded)
    w.function(run.c, "tl_expand_tokens")(pointer("int8_t", given_codes), stride, tokens, columns, inputs)
    groups = w.layout.groups(rows)
    for first, last in {(0, groups), (groups // 2, groups)}:
        count = (last - first) * w.layout.rows
        sums = np.full((tokens, count + 3), 99, np.int32)
        together = w.function(run.c, "tl_dot_tokens")
        together(w.matrix, inputs, tokens, first, last, pointer("int32_t", sums), count + 3)
        expected = xs.astype(np.int64) @ w.integers[first * w.layout.rows : last * w.layout.rows].T
        assert sums[:, : expected.shape[1]].tolist() == expected.tolist()
        assert np.all(sums[:, count:] == 99)


@every("extreme", [(127, 127), (127, -127), (-127, 127), (-127, -127)])
@every("bits", [8, 4])
def test_the_longest_dot_product_of_extreme_codes_fits(run: Run, bits: int, extreme: tuple[int, int]) -> None:
    size = {8: MAX_COLUMNS, 4: MAX_INT4_COLUMNS}[bits]
    w = weights_of_width(run.kernels, bits, (1, size), extreme[0])
    given_codes, expanded = aligned(size + 16, np.int8), aligned(w.layout.input_bytes(size))
    given_codes[:] = extreme[1]
    w.function(run.c, "tl_expand")(pointer("int8_t", given_codes), size, pointer("uint8_t", expanded))
    sums = np.zeros(w.layout.rows, np.int32)
    inputs = pointer("uint8_t", expanded)
    w.function(run.c, "tl_dot_groups")(w.matrix, inputs, 0, 1, pointer("int32_t", sums))
    assert sums[0] == w.integers[0].sum() * extreme[1]


def test_a_set_passes_the_check_of_the_start(c: Any) -> None:
    assert c.tl_kernels_start()


@every("bits", [8, 4])
def test_a_code_is_found_in_the_packed_rows(run: Run, bits: int) -> None:
    w = weights_of_width(run.kernels, bits, (7, 85))
    code = w.function(run.c, "tl_code")
    assert [[code(w.matrix, row, column) for column in range(85)] for row in range(7)] == w.integers.tolist()


@given(
    values=st.lists(st.integers(-fp.INT32_MAX, fp.INT32_MAX), min_size=1, max_size=9),
    spread=st.integers(0, 31),
    multiplier=st.integers(0, 2**15),
    right=st.integers(-40, 70),
    data=st.data(),
)
def test_rows_are_requantised_as_the_specification_says(
    c: Any, values: list[int], spread: int, multiplier: int, right: int, data: st.DataObject
) -> None:
    got = np.array(values, np.int64) >> spread
    mantissa = np.array(data.draw(st.lists(st.integers(1, 65535), min_size=len(values), max_size=len(values))))
    expected = fp.requantize(got, mantissa * min(multiplier, 32767), right)
    got, mantissas = got.astype(np.int32), mantissa.astype(np.uint16)
    c.tl_requantize_rows(
        pointer("int32_t", got), pointer("uint16_t", mantissas), len(values), min(multiplier, 32767), right
    )
    assert got.tolist() == expected.tolist()


@given(
    values=st.lists(st.integers(-fp.INT32_MAX, fp.INT32_MAX), min_size=1, max_size=9),
    spread=st.integers(0, 31),
    multiplier=st.integers(0, 31).flatmap(lambda bits: st.integers(0, 2**bits - 1)),
    right=st.integers(-40, 70),
    in_place=st.booleans(),
)
@example(values=[2**20], spread=0, multiplier=2**31 - 1, right=21, in_place=False)  # just below 2^30
def test_a_vector_is_requantised_as_the_specification_says(
    c: Any, values: list[int], spread: int, multiplier: int, right: int, in_place: bool
) -> None:
    given_values = (np.array(values, np.int64) >> spread).astype(np.int32)
    expected = fp.requantize(given_values, multiplier, right)
    got = given_values if in_place else np.zeros_like(given_values)
    c.tl_requantize_vector(pointer("int32_t", given_values), got.size, multiplier, right, pointer("int32_t", got))
    assert got.tolist() == expected.tolist()


@given(
    bits=st.integers(1, 31),
    reciprocal=st.integers(2**14, 127 * 2**8),
    size=st.integers(1, 25),
    seed=st.integers(0, 2**32 - 1),
)
def test_vectors_become_codes_rounded_to_nearest(c: Any, bits: int, reciprocal: int, size: int, seed: int) -> None:
    """Of any magnitude: a vector of less than 15 bits is as good as shifted left by the reciprocal."""
    right, left = max(bits - 15, 0), max(15 - bits, 0)
    vector = np.random.default_rng(seed).integers(-(2**bits) + 1, 2**bits, size)
    reciprocal <<= left
    expected = fp.rounding_shift((vector >> right) * reciprocal, 23)
    given_vector, codes = vector.astype(np.int32), np.zeros(size, np.int8)
    c.tl_quantize_codes(pointer("int32_t", given_vector), size, right, reciprocal, pointer("int8_t", codes))
    assert codes.tolist() == expected.tolist()


@every("right", [0, 1, 7, 20, 29, 31, 32, 33, 34, 61, 62, 63])
@every("beyond", [0, 1])
def test_rows_of_the_largest_products_are_exact(c: Any, right: int, beyond: int) -> None:
    largest = min(2**right - 1 + beyond, fp.INT32_MAX)
    values = np.array([largest, -largest, largest - 1, 0, 1, -1, -(largest // 2)] * 5, np.int64)
    mantissa = np.resize(np.array([65535, 65534, 1], np.uint16), len(values))
    expected = fp.requantize(values, mantissa.astype(np.int64) * 32767, right)
    got = values.astype(np.int32)
    c.tl_requantize_rows(pointer("int32_t", got), pointer("uint16_t", mantissa), len(got), 32767, right)
    assert got.tolist() == expected.tolist()


@every("n", [1, 2, 7, 8, 64])
@every("bits", [1, 14, 15, 16, 20, 31])
def test_vectors_are_multiplied_by_gains_and_squared_exactly(c: Any, bits: int, n: int) -> None:
    random = np.random.default_rng(n)
    for extreme in (False, True):
        x, gain = random.integers(-(2**bits) + 1, 2**bits, n), random.integers(-32768, 32768, n)
        if extreme:
            x[:], gain[:] = 1 - 2**bits, -32768
        shifted = fp.shift(x, bits - 15)
        squares, products = np.array([2**40 + 5], np.uint64), np.full(n, 7, np.int32)
        given = x.astype(np.int32), gain.astype(np.int16)
        words = pointer("int32_t", given[0]), pointer("int16_t", given[1])
        places = pointer("int32_t", products), pointer("uint64_t", squares)
        largest = c.tl_gain_products(*words, n, bits - 15, *places)
        assert products.tolist() == (shifted * gain).tolist()
        assert int(squares[0]) == 2**40 + 5 + int((shifted**2).sum())
        assert largest == np.abs(shifted * gain).max()


@every("n", [1, 7, 8, 16, 23])
def test_gates_are_activated_and_multiplied_exactly(c: Any, n: int) -> None:
    """Vectors of every magnitude, some gates far beyond the sigmoid's table."""
    random = np.random.default_rng(n)
    for gate_bits, up_bits in itertools.product([1, 10, 14, 15, 16, 20, 23, 31], [1, 15, 17, 31]):
        gate, up = (random.integers(-(2**bits) + 1, 2**bits, n) for bits in (gate_bits, up_bits))
        gate[0], up[-1] = 2**gate_bits - 1, 1 - 2**up_bits
        (expected,), (exponent,) = silu_mul(gate[None], up[None])
        got, ups = gate.astype(np.int32), up.astype(np.int32)
        downs = gate_bits - 15, up_bits - 15
        largest = c.tl_silu_elements(pointer("int32_t", got), pointer("int32_t", ups), n, *downs)
        assert got.tolist() == expected.tolist()
        assert (largest, exponent) == (np.abs(expected).max(), sum(downs) - fp.FRACTION_BITS)


@every("slots", [1, 2, 7, 8, 9, 21, 512])
@every("bits", [15, 8])
def test_scores_become_the_weights_of_the_specification(c: Any, bits: int, slots: int) -> None:
    """Scores from alike to as far apart as int32 allows, and scales from no difference at all to all but one hidden."""
    random = np.random.default_rng(slots)
    for exponent, apart in itertools.product([-45, -27, -26, -11, -10, -9, 0, 6, 7, 11], [0, 3, 8, 15, 22, 31]):
        scores = np.maximum(random.integers(-(2**apart), 2**apart, slots), -fp.INT32_MAX)
        scores[random.integers(0, slots, 3)] = scores.max()
        mantissa, top = int(random.integers(2**14, 2**15)), int(random.integers(-16, 16))
        packed = fp.pack_scale(random.integers(516, 1034, slots), random.integers(-16, top + 1, slots))
        seen = np.ones(slots, bool)
        probabilities = softmax_q15(scores, seen, np.array(mantissa), np.array(exponent))
        expected, down, total = weights_of(probabilities, packed, np.array(top), bits)
        got, v_scales = scores.astype(np.int32), packed.astype(np.uint16)
        softmax = c.tl_softmax_weights(
            pointer("int32_t", got), {"mantissa": mantissa, "exponent": exponent}, pointer("uint16_t", v_scales), top,
            slots, bits,
        )  # fmt: skip
        assert (softmax.total, softmax.down, softmax.exponent) == (total, down, down + top)
        assert fp.rounding_shift(got, down).tolist() == expected.tolist()


@every("size", [3, 8, 28, 64])
@every("bits", [15, 20, 21, 22, 31])
def test_the_values_of_several_tokens_are_requantised_as_those_of_each(c: Any, bits: int, size: int) -> None:
    """With shifts to the right by which a value of `bits` bits may come to the limit of int32, or not."""
    random = np.random.default_rng(bits)
    most, stride = 2**bits - 1, size + 3
    scales, exponent = np.zeros((40, 2), np.int32), -13
    multipliers, rights = random.integers(0, 32768, 40), random.integers(-3, 45, 40)
    multipliers[:9] = [32767, 16384, 1, 0, 32767, 16383, 32767, 20000, 30000]
    rights[:9] = [0, 32, 31, 20, 10, 24, 33, 11, 9]
    scales[:, 0], scales[:, 1] = multipliers, -rights - exponent
    values = np.full((40, stride), 99)
    values[:, :size] = random.integers(-most, most + 1, (40, size))
    values[:, 0], values[::2, 1] = most, -most
    mantissa = random.integers(1, 65536, size)
    mantissa[0] = 65535
    expected = values.copy()
    for t in range(40):
        expected[t, :size] = fp.requantize(values[t, :size], mantissa * multipliers[t], int(rights[t]))
    got, mantissas = values.astype(np.int32), mantissa.astype(np.uint16)
    given_scales = ffi.cast("void *", pointer("int32_t", scales))
    given_values = pointer("int32_t", got), stride, 40, pointer("uint16_t", mantissas), size
    c.tl_requantize_tokens(*given_values, given_scales, exponent, most)
    assert got.tolist() == expected.tolist()


HEAD_DIMS = [1, 2, 4, 8, 10, 16, 32, 64, 72, 100, 128, 256]


@every("first_row", [0, 1])
@every("heads", [1, 2])
@every("head_dim", HEAD_DIMS)
def test_scores_are_the_specifications(c: Any, heads: int, head_dim: int, first_row: int) -> None:
    """first_row: of the head in an aligned cache."""
    random = np.random.default_rng(head_dim)
    slots, stride, shift = 29, 33, max(0, (head_dim - 1).bit_length() - 7)
    for extreme in (False, True):
        queries, keys = codes_of(random, heads, head_dim), codes_of(random, slots, head_dim)
        mantissa, exponent = random.integers(516, 1034, slots), random.integers(-16, 16, slots)
        if extreme:
            queries[:], keys[::2], keys[1::2], mantissa[:] = 127, 127, -127, 1033
        top = int(exponent.max())
        scales = fp.pack_scale(mantissa, exponent).astype(np.uint16)
        dots = queries.astype(np.int64) @ keys.T.astype(np.int64)
        expected = ((dots >> shift) * mantissa) >> (top - exponent)
        scores, memory = (
            np.full((heads, stride), 7, np.int32),
            aligned((slots + 16) * head_dim + 16, np.int8, first_row * head_dim),
        )
        memory[: keys.size] = keys.ravel()
        job = ffi.new("struct tl_score_job *")
        job.queries, job.keys = pointer("int8_t", queries), pointer("int8_t", memory)
        job.key_scales, job.scores = pointer("uint16_t", scales), pointer("int32_t", scores)
        job.heads, job.head_dim, job.stride, job.top, job.dot_shift = heads, head_dim, stride, top, shift
        c.tl_score_rows(job, 4, slots)
        assert np.all(scores[:, :4] == 7) and np.all(scores[:, slots:] == 7)
        c.tl_score_rows(job, 0, 4)
        assert scores[:, :slots].tolist() == expected.tolist()


@every("first_row", [0, 1])
@every("heads", [1, 2])
@every("head_dim", HEAD_DIMS)
def test_weighted_values_are_summed_exactly(c: Any, heads: int, head_dim: int, first_row: int) -> None:
    random = np.random.default_rng(head_dim)
    for slots in (1, 2, 3, 31, 512):
        values, stride = codes_of(random, slots, head_dim), slots + 3
        down = random.integers(0, 12, heads)
        weights = np.zeros((heads, stride), np.int32)
        weights[:, :slots] = random.integers(0, 32767 << down[:, None], (heads, slots))
        weights[:, :slots] *= random.random((heads, slots)) < 0.8
        if slots == 512:
            down[:], weights[:], values[:] = 0, 32767, random.choice([127, -127])
        sums, memory = np.full((heads, head_dim), 9, np.int32), aligned(values.size + 16, np.int8, first_row * head_dim)
        memory[: values.size] = values.ravel()
        job = ffi.new("struct tl_mix_job *")
        job.weights, job.values = pointer("int32_t", weights), pointer("int8_t", memory)
        job.heads, job.head_dim, job.stride, job.slots, job.down = heads, head_dim, stride, slots, list(down[:2])
        c.tl_mix_rows(job, pointer("int32_t", sums))
        rounded = fp.rounding_shift(weights[:, :slots], down[:, None])
        assert sums.tolist() == (rounded @ values.astype(np.int64)).tolist()


def some_values(size: int, seed: int, few: bool) -> np.ndarray:
    """int32 (size,): any, or of few values, which are then often equal to a bound."""
    random = np.random.default_rng(seed)
    return (random.integers(-3, 4, size) if few else random.integers(-fp.INT32_MAX, 2**31, size)).astype(np.int32)


@every("bound", [-4, 0, 2, 3, -(2**31), fp.INT32_MAX - 2**25])
@every("size", [0, 1, 4, 31, 32, 33, 70, 128])
def test_values_above_a_bound_are_found_and_copied(c: Any, size: int, bound: int) -> None:
    for few in (False, True):
        values = some_values(size, size, few)
        above = np.flatnonzero(values.astype(np.int64) > bound)
        memory, marks = values.copy(), np.full(4, 99, np.uint32)
        at, at_marks = pointer("int32_t", memory), pointer("uint32_t", marks)
        assert c.tl_first_above(at, size, bound) == (above[0] if above.size else size)
        assert c.tl_copy_above(at, size, bound, at, size + 32, at_marks) == above.size
        assert memory[: above.size].tolist() == values[above].tolist()
        words = (size + 31) // 32
        assert [i for i in range(32 * words) if marks[i // 32] >> (i % 32) & 1] == above.tolist()
        assert np.all(marks[words:] == 99)


def test_copies_that_have_no_room_are_not_made(c: Any) -> None:
    values, copies, marks = np.arange(64, dtype=np.int32), np.full(40, -1, np.int32), np.zeros(2, np.uint32)
    arrays = (pointer("int32_t", copies), 33, pointer("uint32_t", marks))
    assert c.tl_copy_above(pointer("int32_t", values), 64, -1, *arrays) == 34
    assert np.all(copies[33:] == -1)


@every("shift", [0, 3, 24, 25])
@every("size", [0, 1, 5, 32])
def test_distances_are_counted_in_ranges(c: Any, size: int, shift: int) -> None:
    values = some_values(4 * size, size, shift < 5)
    from_ = int(values.max(initial=0))
    least = values.reshape(4, size).max(axis=0).astype(np.int64)
    for function, counted in (
        (c.tl_count_distances, values[:size].astype(np.int64)),
        (c.tl_count_least_distances, least),
    ):
        counts = np.full(128, 7, np.uint32)
        function(pointer("int32_t", values), size, from_, shift, pointer("uint32_t", counts))
        ranges = (from_ - counted) % 2**32 >> shift
        expected = 7 + np.bincount(ranges[ranges < 128], minlength=128)
        assert counts.tolist() == expected.tolist()


@every("temperature", [1, 655, 52429, 65536, 300000, 6553600])
@every("size", [1, 2, 3, 4, 7, 64])
def test_probabilities_are_summed_exactly(run: Run, size: int, temperature: int) -> None:
    random = np.random.default_rng(temperature)
    reach = temperature * (15 + (size - 1).bit_length()) * LN2_Q27 >> 27
    for spread in (0, reach // 40, reach, 2 * reach):
        logits = (1000 - random.integers(0, spread, size, endpoint=True)).astype(np.int32)
        expected = int(fp.exp2_q30(-exponents(logits.astype(np.int64), temperature)).sum())
        largest = int(logits.max())
        reciprocal = (LOG2E_Q58 + temperature // 2) // temperature
        left = reciprocal.bit_length() - 35
        multiplier = int(fp.rounding_shift(reciprocal, left + 14)) << (10 if wide_products(run) else 0)
        scale = ((largest << left) + 32) % 2**32, left, multiplier, largest - reach
        total = np.zeros(1, np.uint64)
        run.c.tl_sum_probabilities(
            pointer("int32_t", logits), size, ffi.new("struct tl_exponents *", scale), pointer("uint64_t", total)
        )
        assert int(total[0]) == expected


def wide_products(run: Run) -> bool:
    """Whether the compiled set has products of 64 bits (firmware/engine/exponents.h)."""
    thumb = isinstance(run.c, EmulatedKernels) and run.kernels.name == "armv6m"
    return not thumb and not isinstance(run.c, RemoteKernels)
