"""A kernel set that runs in QEMU's Xtensa, with the face of a library that cffi loaded.

The firmware serves three requests: write memory, read memory, call a function. Codes of a matrix and the keys and
values of heads end 16 bytes before the memory does: a kernel that reads further behind them stops with a fault.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import cffi

from tests.pipeline.c_library import STRUCTURES_BY_ADDRESS
from tests.pipeline.emulated_boards import SECONDS, compile_firmware, need
from tinyllm.codegen.kernels.kernel_set import KernelSet
from tinyllm.host.virtual.qemu import MACHINES, STRICT

FUNCTIONS = (
    "tl_kernels_start",
    "tl_expand",
    "tl_dot_groups",
    "tl_expand_tokens",
    "tl_dot_tokens",
    "tl_code",
    "tl_expand_int4",
    "tl_dot_groups_int4",
    "tl_expand_tokens_int4",
    "tl_dot_tokens_int4",
    "tl_code_int4",
    "tl_requantize_rows",
    "tl_requantize_tokens",
    "tl_requantize_vector",
    "tl_quantize_codes",
    "tl_gain_products",
    "tl_silu_elements",
    "tl_first_above",
    "tl_copy_above",
    "tl_count_distances",
    "tl_count_least_distances",
    "tl_sum_probabilities",
    "tl_score_rows",
    "softmax_weights",
    "tl_mix_rows",
)
MEMORY, END = 0x60000000, 0x68000000
READABLE = 16
"""Bytes that a kernel may read behind a table."""
STRUCT = 0x62000000
"""Where the structure that a call takes is written."""

FIRMWARE = """\
#include "console.h"
#include "port.h"

STRUCTURES_BY_ADDRESS

typedef uint32_t function(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
static const void *const functions[] = {FUNCTIONS};

static int receive_byte(void) {
    int byte;
    do {
        byte = tl_port_read();
    } while (byte < 0);
    return byte;
}

static void receive(void *to, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        ((uint8_t *)to)[i] = (uint8_t)receive_byte();
    }
}

void tl_console_start(void) {
}

bool tl_console_poll(void) {
    uint32_t place[2], w[8], result;
    switch (receive_byte()) {
    case 'w':
        receive(place, sizeof place);
        receive((void *)place[0], place[1]);
        break;
    case 'r':
        receive(place, sizeof place);
        tl_port_write((const uint8_t *)place[0], place[1]);
        break;
    default:
        receive(place, 4);
        receive(w, sizeof w);
        result = ((function *)functions[place[0]])(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]);
        tl_port_write((const uint8_t *)&result, sizeof result);
        break;
    }
    return true;
}
"""


class RemoteKernels:
    """The functions of kernels.h, on an emulated Xtensa. Close it."""

    def __init__(self, kernels: KernelSet, ports: tuple[str, ...], engine: list[str], folder: Path, ffi: cffi.FFI):
        """Build and start the firmware. engine: files of the set below firmware/engine; ffi: of the caller's values."""
        machine = MACHINES["lx106"]
        need(machine.program)
        source = FIRMWARE.replace("STRUCTURES_BY_ADDRESS", STRUCTURES_BY_ADDRESS.read_text("utf-8"))
        source = source.replace("FUNCTIONS", ", ".join(f"(const void *){name}" for name in FUNCTIONS))
        image = compile_firmware("lx106", ports, source, folder, engine=engine)
        command = [machine.program, *machine.arguments, *STRICT, "-kernel", str(image)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._kernels, self._ffi = kernels, ffi
        self._free = MEMORY
        self.tl_kernels_start()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=SECONDS)

    # --- Memory ---

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def _receive(self, n: int) -> bytes:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.flush()
        data = self._process.stdout.read(n)
        assert len(data) == n, f"the board stopped: {data!r}"
        return data

    def _write(self, address: int, data: bytes) -> int:
        self._send(b"w" + struct.pack("<II", address, len(data)) + data)
        return address

    def _read(self, address: int, target: Any) -> None:
        """From the board into a buffer of cffi."""
        self._send(b"r" + struct.pack("<II", address, len(target)))
        target[:] = self._receive(len(target))

    def _put(self, pointer: Any, size: int) -> int:
        """Copy what lies at a pointer; its alignment stays."""
        ffi = self._ffi
        address = self._free + int(ffi.cast("uintptr_t", pointer)) % 64
        self._free = -(-(address + size) // 64) * 64
        return self._write(address, bytes(ffi.buffer(ffi.cast("char *", pointer), size)))

    def _put_last(self, pointer: Any, size: int) -> int:
        """Copy a table to the end of the memory; its alignment stays."""
        address = END - READABLE - size
        address -= (address - int(self._ffi.cast("uintptr_t", pointer))) % 16
        return self._write(address, bytes(self._ffi.buffer(self._ffi.cast("char *", pointer), size)))

    def _call(self, name: str, *words: int) -> int:
        padded = [word & 0xFFFFFFFF for word in words] + [0] * (8 - len(words))
        self._send(b"c" + struct.pack("<9I", FUNCTIONS.index(name), *padded))
        self._free = MEMORY
        return int(struct.unpack("<I", self._receive(4))[0])

    def _buffer(self, pointer: Any, size: int) -> Any:
        return self._ffi.buffer(self._ffi.cast("char *", pointer), size)

    # --- The functions of kernels.h ---

    def tl_kernels_start(self) -> bool:
        return bool(self._call("tl_kernels_start") & 255)

    def tl_expand(self, codes: Any, n: int, expanded: Any, name: str = "tl_expand") -> None:
        there = self._put(expanded, len(expanded))
        self._call(name, self._put(codes, n), n, there)
        self._read(there, self._buffer(expanded, len(expanded)))

    def tl_expand_int4(self, codes: Any, n: int, expanded: Any) -> None:
        self.tl_expand(codes, n, expanded, "tl_expand_int4")

    def _matrix(self, matrix: Any) -> int:
        groups = self._kernels.layout(matrix.bits).groups(matrix.rows) * matrix.group_bytes
        fields = (
            self._put_last(matrix.groups, groups), self._put(matrix.mantissa, 2 * matrix.rows),
            matrix.rows, matrix.columns, matrix.group_bytes, matrix.exponent, matrix.most, matrix.bits,
        )  # fmt: skip
        return self._write(STRUCT, struct.pack("<5I2iI", *fields))

    def tl_dot_groups(
        self, matrix: Any, expanded: Any, first: int, last: int, sums: Any, name: str = "tl_dot_groups"
    ) -> None:
        size = 4 * len(sums)
        there = self._put(sums, size)
        self._call(name, self._matrix(matrix), self._put(expanded, len(expanded)), first, last, there)
        self._read(there, self._buffer(sums, size))

    def tl_dot_groups_int4(self, matrix: Any, expanded: Any, first: int, last: int, sums: Any) -> None:
        self.tl_dot_groups(matrix, expanded, first, last, sums, "tl_dot_groups_int4")

    def tl_expand_tokens(
        self, codes: Any, stride: int, tokens: int, n: int, inputs: Any, name: str = "tl_expand_tokens"
    ) -> None:
        there = self._put(inputs, len(inputs))
        self._call(name, self._put(codes, len(codes)), stride, tokens, n, there)
        self._read(there, self._buffer(inputs, len(inputs)))

    def tl_expand_tokens_int4(self, codes: Any, stride: int, tokens: int, n: int, inputs: Any) -> None:
        self.tl_expand_tokens(codes, stride, tokens, n, inputs, "tl_expand_tokens_int4")

    def tl_dot_tokens(
        self,
        matrix: Any,
        inputs: Any,
        tokens: int,
        first: int,
        last: int,
        sums: Any,
        stride: int,
        name: str = "tl_dot_tokens",
    ) -> None:
        size = 4 * len(sums)
        there, given = self._put(sums, size), self._put(inputs, len(inputs))
        self._call(name, self._matrix(matrix), given, tokens, first, last, there, stride)
        self._read(there, self._buffer(sums, size))

    def tl_dot_tokens_int4(
        self, matrix: Any, inputs: Any, tokens: int, first: int, last: int, sums: Any, stride: int
    ) -> None:
        self.tl_dot_tokens(matrix, inputs, tokens, first, last, sums, stride, "tl_dot_tokens_int4")

    def tl_code(self, matrix: Any, row: int, column: int, name: str = "tl_code") -> int:
        return (self._call(name, self._matrix(matrix), row, column) ^ 1 << 31) - (1 << 31)

    def tl_code_int4(self, matrix: Any, row: int, column: int) -> int:
        return self.tl_code(matrix, row, column, "tl_code_int4")

    def tl_first_above(self, values: Any, n: int, bound: int) -> int:
        return self._call("tl_first_above", self._put(values, 4 * n), n, bound)

    def tl_copy_above(self, values: Any, n: int, bound: int, copies: Any, room: int, marks: Any) -> int:
        there, copied = self._put(values, 4 * n), self._put(copies, 4 * len(copies))
        marked = self._put(marks, 4 * len(marks))
        count = self._call("tl_copy_above", copied if copies == values else there, n, bound, copied, room, marked)
        self._read(copied, self._buffer(copies, 4 * len(copies)))
        self._read(marked, self._buffer(marks, 4 * len(marks)))
        return count

    def _count(self, name: str, values: Any, n: int, origin: int, shift: int, counts: Any) -> None:
        there = self._put(counts, 4 * len(counts))
        self._call(name, self._put(values, 4 * len(values)), n, origin, shift, there)
        self._read(there, self._buffer(counts, 4 * len(counts)))

    def tl_count_distances(self, *arguments: Any) -> None:
        self._count("tl_count_distances", *arguments)

    def tl_count_least_distances(self, *arguments: Any) -> None:
        self._count("tl_count_least_distances", *arguments)

    def tl_sum_probabilities(self, logits: Any, n: int, exponents: Any, total: Any) -> None:
        fields = struct.pack("<3Ii", exponents.largest, exponents.left, exponents.multiplier, exponents.farthest)
        there = self._put(total, 8)
        self._call("tl_sum_probabilities", self._put(logits, 4 * n), n, self._write(STRUCT, fields), there)
        self._read(there, self._buffer(total, 8))

    def tl_requantize_rows(self, values: Any, mantissa: Any, n: int, multiplier: int, right: int) -> None:
        there = self._put(values, 4 * n)
        self._call("tl_requantize_rows", there, self._put(mantissa, 2 * n), n, multiplier, right)
        self._read(there, self._buffer(values, 4 * n))

    def tl_requantize_tokens(
        self, values: Any, stride: int, tokens: int, mantissa: Any, n: int, scales: Any, exponent: int, most: int
    ) -> None:
        there, size = self._put(values, 4 * stride * tokens), 4 * stride * tokens
        given = self._put(mantissa, 2 * n), n, self._put(scales, 8 * tokens)
        self._call("tl_requantize_tokens", there, stride, tokens, *given, exponent, most)
        self._read(there, self._buffer(values, size))

    def tl_requantize_vector(self, values: Any, n: int, multiplier: int, right: int, results: Any) -> None:
        there = self._put(values, 4 * n)
        place = there if results == values else self._put(results, 4 * n)
        self._call("tl_requantize_vector", there, n, multiplier, right, place)
        self._read(place, self._buffer(results, 4 * n))

    def tl_quantize_codes(self, vector: Any, n: int, right: int, reciprocal: int, codes: Any) -> None:
        there = self._put(codes, n)
        self._call("tl_quantize_codes", self._put(vector, 4 * n), n, right, reciprocal, there)
        self._read(there, self._buffer(codes, n))

    def tl_gain_products(self, x: Any, gain: Any, n: int, down: int, products: Any, squares: Any) -> int:
        there, total = self._put(products, 4 * n), self._put(squares, 8)
        given = self._put(x, 4 * n), self._put(gain, 2 * n)
        largest = self._call("tl_gain_products", *given, n, down, there, total)
        self._read(there, self._buffer(products, 4 * n))
        self._read(total, self._buffer(squares, 8))
        return largest

    def tl_silu_elements(self, gate: Any, up: Any, n: int, gate_down: int, up_down: int) -> int:
        there = self._put(gate, 4 * n)
        largest = self._call("tl_silu_elements", there, self._put(up, 4 * n), n, gate_down, up_down)
        self._read(there, self._buffer(gate, 4 * n))
        return largest

    def tl_softmax_weights(
        self, scores: Any, scale: dict[str, int], v_scales: Any, top: int, slots: int, bits: int
    ) -> Any:
        there, result = self._put(scores, 4 * slots), self._ffi.new("struct tl_softmax *")
        size = self._ffi.sizeof(result[0])
        how, place = self._put(self._ffi.new("struct tl_scale *", scale), 8), self._put(result, size)
        self._call("softmax_weights", there, how, self._put(v_scales, 2 * slots), top, slots, bits, place)
        self._read(there, self._buffer(scores, 4 * slots))
        self._read(place, self._buffer(result, size))
        return result[0]

    def tl_score_rows(self, job: Any, first: int, last: int) -> None:
        size = 4 * job.heads * job.stride
        there = self._put(job.scores, size)
        fields = (
            self._put(job.queries, job.heads * job.head_dim), self._put_last(job.keys, last * job.head_dim),
            self._put(job.key_scales, 2 * last), there,
            job.heads, job.head_dim, job.stride, job.top, job.dot_shift,
        )  # fmt: skip
        self._call("tl_score_rows", self._write(STRUCT, struct.pack("<7I2i", *fields)), first, last)
        self._read(there, self._buffer(job.scores, size))

    def tl_mix_rows(self, job: Any, sums: Any) -> None:
        size = 4 * job.heads * job.head_dim
        there = self._put(sums, size)
        fields = (
            self._put(job.weights, 4 * job.heads * job.stride), self._put_last(job.values, job.slots * job.head_dim),
            job.heads, job.head_dim, job.stride, job.slots, *job.down,
        )  # fmt: skip
        self._call("tl_mix_rows", self._write(STRUCT, struct.pack("<6I2i", *fields)), there)
        self._read(there, self._buffer(sums, size))
