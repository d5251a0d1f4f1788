"""The host board's speed against the float program of llama2.c, measured in pairs on this computer.

    python benchmarks/llama2c.py RUN_C CHECKPOINT [--save]

RUN_C is run.c of https://github.com/karpathy/llama2.c, CHECKPOINT one of its files, such as stories260K.bin. Both
programs answer "Once upon a time" greedily, and the thread's CPU time of a token is taken over positions 5-132: forward
pass and sampling. One after the other makes a pair, so that whatever else the computer does slows both; what counts is
the median of the pairs' ratios. --save appends the result to benchmarks/llama2c.toml, which docs/benchmarks.md shows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import cffi
import tomli_w

from tinyllm.boards.description import FIRMWARE, load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.codegen.verify.compiler import find_compiler
from tinyllm.host.model.load import LoadedModel, load_model

FILE = Path("benchmarks/llama2c.toml")
PROMPT, TOKENS, CONTEXT = "Once upon a time", 128, 256
LIBRARY_FLAGS = ("-shared", "-fPIC", "-fvisibility=hidden")
THEIR_FLAGS = ("-O3", "-march=native", "-ffast-math")

MEASURE = """
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Seconds of CPU time for so many greedy tokens after the first that follows a prompt; answer: becomes them all. */
__attribute__((visibility("default"))) double measure(const uint32_t *prompt, uint32_t n, uint32_t tokens,
                                                      uint32_t *answer) {
    double start = 0;
    for (uint32_t position = 0; position < n + tokens; position++) {
        if (position == n) start = now();
        const uint32_t token = position < n ? prompt[position] : answer[position - n];
        const uint32_t next = forward_and_sample(token, position);
        if (position + 1 >= n) answer[position + 1 - n] = next;
    }
    return now() - start;
}
"""

OURS = """
#define _POSIX_C_SOURCE 200809L
#include "model.h"
#include "sampler.h"

static struct tl_random unused;

static uint32_t forward_and_sample(uint32_t token, uint32_t position) {
    static const struct tl_sampler_settings greedy = {0, 0, TL_SAMPLER_ONE, 0, TL_SAMPLER_ONE};
    if (position == 0) tl_begin();
    tl_forward(token, position);
    return tl_sample(tl_logits(), 0, 0, &greedy, &unused);
}
"""

THEIRS = """
#include <stdint.h>

#define TESTING
#include "RUN_C"

static Transformer transformer;

__attribute__((visibility("default"))) void start(const char *checkpoint) {
    build_transformer(&transformer, (char *)checkpoint);
}

static uint32_t forward_and_sample(uint32_t token, uint32_t position) {
    float *logits = forward(&transformer, (int)token, (int)position);
    return (uint32_t)sample_argmax(logits, transformer.config.vocab_size);
}
"""


class Program:
    """One of both, compiled and loaded."""

    def __init__(self, ffi: cffi.FFI, c: Any) -> None:
        self._ffi, self.c = ffi, c

    def measure(self, prompt: Sequence[int]) -> tuple[float, list[int]]:
        """Seconds for TOKENS greedy tokens after the first one behind the prompt, and all of them."""
        answer = self._ffi.new("uint32_t[]", TOKENS + 1)
        seconds = self.c.measure(prompt, len(prompt), TOKENS, answer)
        return float(seconds), list(answer)


def library(folder: Path, source: str, sources: Sequence[Path], flags: Sequence[str]) -> Program:
    """Compile what a program is measured with, and load it; its functions call each other as those of a program do."""
    (folder / "measure.c").write_text(source + MEASURE)
    path = folder / "measure.so"
    command = [find_compiler(), *flags, *LIBRARY_FLAGS, *map(str, sources), str(folder / "measure.c")]
    subprocess.run([*command, "-lm", "-o", str(path)], check=True)
    ffi = cffi.FFI()
    ffi.cdef("void start(const char *checkpoint); double measure(const uint32_t *, uint32_t, uint32_t, uint32_t *);")
    return Program(ffi, ffi.dlopen(str(path)))


def our_library(folder: Path, loaded: LoadedModel) -> Program:
    """The host board's engine, compiled as the board is."""
    project = emit_project(quantize(loaded.model, CONTEXT), loaded.tokenizer, load_board("host"))
    write_project(project, folder)
    build = json.loads((FIRMWARE / "platform/boards/host.json").read_text("utf-8"))["build"]
    parts = [folder / "src" / name for name in ("", "engine", "kernels", "console", "port")]
    sources = [path for part in parts[:3] for path in sorted(part.glob("*.c"))]
    return library(folder, OURS, sources, [*build["extra_flags"].split(), *(f"-I{part}" for part in parts)])


def their_library(folder: Path, run_c: Path) -> Program:
    """llama2.c's forward pass."""
    folder.mkdir()
    return library(folder, THEIRS.replace("RUN_C", str(run_c.resolve())), [], [*THEIR_FLAGS, "-w"])


def processor() -> str:
    """The name of this computer's processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def compiler() -> str:
    """Name and version of the compiler of both programs."""
    done = subprocess.run([find_compiler(), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def compare(run_c: Path, checkpoint: Path, pairs: int) -> dict[str, Any]:
    """Measure, as a [[comparison]] of the file: microseconds a token of both, median and quartiles of the ratios."""
    loaded = load_model(str(checkpoint))
    prompt = encode(loaded.tokenizer, PROMPT, bos=True)
    with tempfile.TemporaryDirectory() as name:
        ours = our_library(Path(name) / "ours", loaded)
        theirs = their_library(Path(name) / "theirs", run_c)
        theirs.c.start(str(checkpoint).encode())
        measured = [[each.measure(prompt)[0] for each in (ours, theirs)] for _ in range(pairs)]
    own, other = (statistics.median(pair[side] for pair in measured) * 1e6 / TOKENS for side in (0, 1))
    lower, median, upper = statistics.quantiles((theirs / ours for ours, theirs in measured), n=4)
    return {
        "date": date.today(),
        "model": loaded.name,
        "processor": processor(),
        "compiler": compiler(),
        "run_c": hashlib.sha256(run_c.read_bytes()).hexdigest()[:12],
        "pairs": pairs,
        "us_per_token": round(own, 1),
        "llama2c_us_per_token": round(other, 1),
        "times_as_fast": round(median, 2),
        "quartiles": [round(lower, 2), round(upper, 2)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the host board against llama2.c, in pairs.")
    parser.add_argument("run_c", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    comparison = compare(options.run_c, options.checkpoint, options.pairs)
    text = tomli_w.dumps({"comparison": [comparison]})
    print(text, end="")
    if options.save:
        with FILE.open("a", encoding="utf-8") as file:
            file.write("\n" + text)


if __name__ == "__main__":
    main()
