"""Each C primitive gives what its Python original gives, on random and extreme inputs, undefined behaviour trapped."""

from __future__ import annotations

from typing import Any

import cffi
import numpy as np
import pytest

from tests.pipeline.conftest import BASE, random_model
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.vectors import quantize_int8, rmsnorm_int8, rotate, silu_mul
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.library import compile_library

DECLARATIONS = """
struct tl_scale { int32_t mantissa; int32_t exponent; };
uint16_t tl_pack_scale(struct tl_scale scale);
struct tl_scale tl_quantize_int8(const int32_t *vector, uint32_t n, int8_t *codes);
struct tl_scale tl_rmsnorm_int8(const int32_t *x, const int16_t *gain, uint32_t n, uint64_t epsilon, int32_t *products,
                                int8_t *codes);
struct tl_scale tl_reciprocal_sqrt(uint64_t value);
uint32_t tl_isqrt32(uint32_t value);
uint32_t tl_exp2_q30(int32_t z);
int32_t tl_silu_mul(int32_t *gate, const int32_t *up, uint32_t n, uint32_t *largest);
struct tl_softmax { uint32_t total; int32_t down; int32_t exponent; };
void tl_softmax_divide(struct tl_softmax softmax, const int32_t *sums, uint32_t n, int32_t *values);
int32_t tl_sine_q15(uint32_t phase);
int32_t tl_rotate(const int32_t *head, uint32_t n, const int16_t *cosine, const int16_t *sine, uint32_t half,
                  int32_t *turned);
"""

ffi = cffi.FFI()
ffi.cdef(DECLARATIONS)

EDGES = np.array([0, 1, -1, 2, 127, 32767, 32768, -32768, 65536, 2**20, 2**30, fp.INT32_MAX, -fp.INT32_MAX])


@pytest.fixture(scope="module")
def c(stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    files = emit_project(quantize(random_model(BASE)), stories_tokenizer, load_board("host")).files
    return ffi.dlopen(str(compile_library(files, tmp_path_factory.mktemp("c"), "ubsan")))


def int32_values(count: int = 4000) -> np.ndarray:
    """Edges, and magnitudes of every size."""
    random = np.random.default_rng(0)
    values = random.integers(-fp.INT32_MAX, fp.INT32_MAX, count) >> random.integers(0, 31, count)
    return np.concatenate([EDGES, values])


def int32_vectors(count: int, size: int) -> np.ndarray:
    random = np.random.default_rng(1)
    vectors = random.integers(-fp.INT32_MAX, fp.INT32_MAX + 1, (count, size)) >> random.integers(0, 31, (count, 1))
    vectors[: len(EDGES)] = EDGES[:, None]
    return vectors


def pointer(kind: str, array: np.ndarray) -> Any:
    """The array as a C pointer; the caller keeps it alive."""
    return ffi.from_buffer(f"{kind}[]", array)


def test_scalar_functions_agree(c: Any) -> None:
    values = int32_values()
    assert [c.tl_exp2_q30(-abs(int(v))) for v in values] == fp.exp2_q30(-np.abs(values)).tolist()
    phases = values & 0xFFFFFFFF
    assert [c.tl_sine_q15(int(v)) for v in phases] == fp.sine_q15(phases).tolist()
    assert [c.tl_isqrt32(int(v)) for v in phases] == fp.isqrt32(phases).tolist()


def test_the_reciprocal_square_root_agrees_at_every_size(c: Any) -> None:
    random = np.random.default_rng(2)
    values = np.concatenate([1 << np.arange(63), random.integers(1, 2**63 - 1, 4000) >> random.integers(0, 62, 4000)])
    values = np.maximum(values, 1)
    mantissa, exponent = fp.reciprocal_sqrt(values)
    got = [c.tl_reciprocal_sqrt(int(v)) for v in values]
    assert [g.mantissa for g in got] == mantissa.tolist()
    assert [g.exponent for g in got] == exponent.tolist()


def test_quantisation_and_packed_scales_agree(c: Any) -> None:
    vectors = int32_vectors(600, 17)
    expected = quantize_int8(vectors)
    packed = fp.pack_scale(expected.mantissa, expected.exponent)
    for index, vector in enumerate(vectors.astype(np.int32)):
        codes = np.zeros(17, np.int8)
        scale = c.tl_quantize_int8(pointer("int32_t", vector), 17, pointer("int8_t", codes))
        assert codes.tolist() == expected.codes[index].tolist()
        assert (scale.mantissa, scale.exponent) == (expected.mantissa[index], expected.exponent[index])
        assert c.tl_pack_scale(scale) == packed[index]


@pytest.mark.parametrize("epsilon", [0, 1, 2748779, 2**34 - 1])
def test_rmsnorm_agrees_at_the_extremes(c: Any, epsilon: int) -> None:
    size = 64
    gain = np.random.default_rng(3).integers(-32767, 32768, size)
    vectors = int32_vectors(300, size)
    vectors[20] = fp.INT32_MAX * np.where(np.arange(size) % 2, 1, -1)
    vectors = vectors[np.max(np.abs(vectors), axis=1) > 0]
    expected = rmsnorm_int8(vectors, gain, epsilon)
    for index, vector in enumerate(vectors.astype(np.int32)):
        codes, products = np.zeros(size, np.int8), np.zeros(size, np.int32)
        gains = gain.astype(np.int16)
        scale = c.tl_rmsnorm_int8(
            pointer("int32_t", vector),
            pointer("int16_t", gains),
            size,
            epsilon,
            pointer("int32_t", products),
            pointer("int8_t", codes),
        )
        assert codes.tolist() == expected.codes[index].tolist()
        assert (scale.mantissa, scale.exponent) == (expected.mantissa[index], expected.exponent[index])


@pytest.mark.parametrize(("size", "half"), [(8, 4), (10, 3), (2, 1), (16, 8)])
def test_rope_agrees_at_the_extremes(c: Any, size: int, half: int) -> None:
    heads = int32_vectors(400, size)
    phases = np.random.default_rng(4).integers(0, 2**32, (400, half))
    cosine, sine = fp.cosine_q15(phases), fp.sine_q15(phases)
    expected, exponents = rotate(heads, cosine, sine)
    for index, head in enumerate(heads.astype(np.int32)):
        turned = np.zeros(size, np.int32)
        cosines, sines = cosine[index].astype(np.int16), sine[index].astype(np.int16)
        exponent = c.tl_rotate(
            pointer("int32_t", head),
            size,
            pointer("int16_t", cosines),
            pointer("int16_t", sines),
            half,
            pointer("int32_t", turned),
        )
        assert turned.tolist() == expected[index].tolist()
        assert exponent == exponents[index]


def test_silu_mul_agrees_at_the_extremes(c: Any) -> None:
    gates, ups = int32_vectors(400, 9), int32_vectors(400, 9)[::-1]
    expected, exponents = silu_mul(gates, ups)
    for index, (gate, up) in enumerate(zip(gates.astype(np.int32), ups.astype(np.int32), strict=True)):
        largest = ffi.new("uint32_t *")
        assert c.tl_silu_mul(pointer("int32_t", gate), pointer("int32_t", up), 9, largest) == exponents[index]
        assert gate.tolist() == expected[index].tolist()
        assert largest[0] == np.abs(expected[index]).max()


def test_sums_are_divided_by_any_total_at_any_exponent(c: Any) -> None:
    random = np.random.default_rng(6)
    for sums, exponent in zip(int32_vectors(900, 7), random.integers(-45, 60, 900), strict=True):
        total = int(random.integers(2**15, 2**32) >> random.integers(0, 17)) | 2**15
        down = total.bit_length() - 16
        expected = fp.requantize(sums, np.int64(2**31 // (total >> down)), np.int64(31 + down - exponent))
        given_sums, values = sums.astype(np.int32), np.zeros(7, np.int32)
        softmax = {"total": total, "down": 0, "exponent": int(exponent)}
        c.tl_softmax_divide(softmax, pointer("int32_t", given_sums), 7, pointer("int32_t", values))
        assert values.tolist() == expected.tolist()
