"""The emitted C as a Python object: compiled as a shared library and called through cffi.

cffi's ABI mode needs no Python headers, only a C compiler.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cffi
import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS, Setting
from tinyllm.codegen.emit.prefix import unpacked_codes
from tinyllm.codegen.kernels.kernel_set import ALIGNMENT
from tinyllm.codegen.verify.compiler import find_compiler
from tinyllm.errors import Failure
from tinyllm.files import WEIGHTS, write_file

BUILDS: dict[str, tuple[str, ...]] = {
    "O0": ("-O0",),
    "O2": ("-O2",),
    "O3": ("-O3",),
    "ubsan": ("-O1", "-g", "-fsanitize=undefined", "-fno-sanitize-recover=undefined"),
    "asan": ("-O1", "-g", "-fsanitize=address"),
}
"""Compiler flags by the name of a build. Every build must give the same integers."""

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")

_CDEF = """
typedef %(token)s tl_token_t;
struct tl_sampler_settings { uint32_t temperature, top_k, top_p, min_p, repetition_penalty; };
struct tl_random { uint64_t state; };
void tl_random_seed(struct tl_random *random, uint32_t seed);
uint32_t tl_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                   const struct tl_sampler_settings *settings, struct tl_random *random);
uint32_t tl_encode(const uint8_t *text, uint32_t n_bytes, bool bos, tl_token_t *tokens, uint32_t capacity);
void tl_begin(void);
void tl_forward(uint32_t token, uint32_t position);
uint32_t tl_prefill(const uint32_t *tokens, uint32_t n, uint32_t position);
int32_t *tl_logits(void);
bool tl_weights_intact(void);
void tl_weights_attach(const uint8_t *image, uint32_t room);
int tl_weights_state(void);
const char *tl_model_name(void);
const uint8_t *tl_model_hash(void);
bool tl_kernels_start(void);
struct cache {
    int8_t k[%(rows)d * %(key_bytes)d + %(padding)d];
    int8_t v[%(rows)d * %(value_bytes)d];
    uint16_t k_scale[%(rows)d];
    uint16_t v_scale[%(rows)d];
};
extern struct cache tl_cache;
"""

_CALLS = """
void tl_call_leave(void);
bool tl_call_read(uint32_t token);
bool tl_call_is_open(void);
const char *tl_call_text(void);
uint32_t tl_call_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                        const struct tl_sampler_settings *settings, struct tl_random *random);
"""
"""The further functions of a model with a catalogue of calls."""


def compile_library(files: dict[str, str], folder: Path, build: str = "O2", weights: bytes | None = None) -> Path:
    """Compile the model and the engine of an emitted project (Project.files) into a shared library in `folder`.

    weights: weights.bin of a project whose weights lie beside the program; it is written beside the library.
    Raises UserError without a compiler, Failure with the compiler's first error if it refuses the C.
    """
    compiler = find_compiler()
    for name, text in files.items():
        if name.startswith("src/"):
            write_file(folder / name, text)
    if weights is not None:
        write_file(folder / WEIGHTS, weights)
    sources = [name for name in files if re.fullmatch(r"src/(engine/|kernels/)?\w+\.c", name)]
    library = folder / f"model-{build}{'.dll' if sys.platform == 'win32' else '.so'}"
    include = [f"-Isrc{part}" for part in ("", "/engine", "/kernels", "/console", "/port")]
    shared = [] if sys.platform == "win32" else ["-fPIC"]
    command = [compiler, *WARNINGS, *BUILDS[build], *shared, *include]

    def run(arguments: Sequence[str]) -> None:
        done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise Failure(f"{compiler} cannot build the emitted C ({build}): {lines[0] if lines else 'no message'}")

    objects = [f"{name}.{build}.o" for name in sources]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, (["-c", name, "-o", to] for name, to in zip(sources, objects, strict=True))))
    run(["-shared", *objects, "-o", str(library)])
    return library


class HostLibrary:
    """One loaded library with the state of its C: one conversation, one KV cache.

    Two loads of the same file share that state. Compile to another folder for a second instance.
    """

    def __init__(self, library: Path, config: ModelConfig) -> None:
        self._config = config
        self._room: Any = None
        self.image: Any = None
        """The attached weights, if they lie beside the program."""
        self._rows = config.n_kv_heads * sum(config.slots)
        self.ffi = cffi.FFI()
        self.ffi.cdef(
            _CDEF
            % {
                "token": "uint16_t" if config.vocab_size <= 0xFFFF else "uint32_t",
                "rows": self._rows,
                "key_bytes": config.key_bytes,
                "value_bytes": config.value_bytes,
                "padding": -self._rows * config.key_bytes % 16,
            }
        )
        if config.actions is not None:
            self.ffi.cdef(_CALLS)
        try:
            self.c: Any = self.ffi.dlopen(str(library))
        except OSError as error:
            raise Failure(f"{library} does not load: {error}") from None
        if (weights := library.with_name(WEIGHTS)).is_file():
            self.attach(weights.read_bytes())
        if not self.c.tl_kernels_start():
            raise Failure(f"{library}: its kernels fail the check that a board makes at its start.")

    def attach(self, image: bytes) -> bool:
        """Give the C the weights that lie beside its program. Returns whether they belong to it and are intact."""
        self._room = self.ffi.new(f"uint8_t[{len(image) + ALIGNMENT}]")
        self.image = self._room + -int(self.ffi.cast("uintptr_t", self._room)) % ALIGNMENT
        self.ffi.memmove(self.image, image, len(image))
        self.c.tl_weights_attach(self.image, len(image))
        return bool(self.c.tl_weights_intact())

    def begin(self) -> None:
        """Begin a conversation. Afterwards the cache holds only the prefix."""
        self.c.tl_begin()
        if self._config.actions is not None:
            self.c.tl_call_leave()

    def forward(self, token: int, position: int) -> NDArray[np.int32]:
        """A copy of the logits (vocab_size,) int32, Q16.16, after one token."""
        self.c.tl_forward(token, position)
        return self.logits().copy()

    def prefill(self, tokens: list[int], position: int) -> None:
        """Put tokens into the cache, from a position on, in batches."""
        done = 0
        while done < len(tokens):
            done += self.c.tl_prefill(tokens[done:], len(tokens) - done, position + done)

    def logits(self) -> NDArray[np.int32]:
        """A view of the C's own logits, (vocab_size,) int32, Q16.16."""
        return np.frombuffer(self.ffi.buffer(self.c.tl_logits(), 4 * self._config.vocab_size), np.int32)

    def cache(self) -> dict[str, list[NDArray[np.generic]]]:
        """Copies, for each pass, of k and v (n_kv_heads, slots, head_dim) int8 and their packed uint16 scales."""
        config, cache = self._config, self.c.tl_cache
        ends = np.cumsum([config.n_kv_heads * slots for slots in config.slots])

        def passes(name: str, dtype: type[np.generic], *row: int) -> list[NDArray[np.generic]]:
            flat = np.frombuffer(self.ffi.buffer(getattr(cache, name)), dtype)[: self._rows * math.prod(row)].copy()
            parts = np.split(flat.reshape(self._rows, *row), ends[:-1])
            return [part.reshape(config.n_kv_heads, -1, *row) for part in parts]

        def codes(name: str, row_bytes: int, bits: int) -> list[NDArray[np.generic]]:
            packed = passes(name, np.int8, row_bytes)
            return [unpacked_codes(part.astype(np.int8), config.head_dim, bits) for part in packed]

        return {
            "k": codes("k", config.key_bytes, config.key_bits),
            "v": codes("v", config.value_bytes, config.value_bits),
            "k_scale": passes("k_scale", np.uint16),
            "v_scale": passes("v_scale", np.uint16),
        }

    def seed(self, seed: int) -> Any:
        """A random state of the C sampler. Raises UserError if the seed is no u32."""
        random = self.ffi.new("struct tl_random *")
        self.c.tl_random_seed(random, SETTINGS[Setting.SEED].encode(seed))
        return random

    def sample(self, settings: SamplerSettings, random: Any) -> int:
        """Draw a token from the current logits, which it overwrites.

        A model with a catalogue draws only a token that may follow at this point of a call.
        """
        values = [settings.temperature, settings.top_k, settings.top_p, settings.min_p, settings.repetition_penalty]
        own = self.ffi.new("struct tl_sampler_settings *", values)
        draw = self.c.tl_sample if self._config.actions is None else self.c.tl_call_sample
        return int(draw(self.c.tl_logits(), self.ffi.NULL, 0, own, random))

    def read_call(self, token: int) -> None:
        """Tell the C which token was sampled, if the model has a catalogue."""
        if self._config.actions is not None:
            self.c.tl_call_read(token)
