"""The host board's engine on a computer with AArch64: compiled for it, and run in QEMU's emulation of a process."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import STORY_MODEL, skip_unless_ci
from tinyllm.boards.description import FIRMWARE, load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.host.link.messages import token_digest
from tinyllm.host.model.load import load_model
from tinyllm.host.prove.prove import COUNT, PROMPT

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"

MAIN = """
#include <stdio.h>

#include "kernels.h"
#include "model.h"
#include "sampler.h"

static const uint32_t prompt[] = {PROMPT};
static struct tl_random unused;

int main(void) {
    static const struct tl_sampler_settings greedy = {0, 0, TL_SAMPLER_ONE, 0, TL_SAMPLER_ONE};
    const uint32_t n = sizeof prompt / sizeof prompt[0];
    uint32_t position = 0;
    if (!tl_kernels_start()) return 1;
    tl_begin();
    while (position + 1 < n) position += tl_prefill(prompt + position, n - 1 - position, position);
    for (uint32_t token = prompt[position], i = 0; i < COUNT; i++) {
        tl_forward(token, position++);
        token = tl_sample(tl_logits(), 0, 0, &greedy, &unused);
        printf("%u ", (unsigned)token);
    }
    return 0;
}
"""


@pytest.mark.parametrize("instructions", [pytest.param("armv8-a", marks=pytest.mark.sweep), "armv8.2-a+dotprod"])
def test_128_greedy_tokens_have_the_digest_of_every_board(instructions: str, tmp_path: Path) -> None:
    for program in (COMPILER, EMULATOR):
        if shutil.which(program) is None:
            skip_unless_ci(f"no {program} on PATH")
    loaded = load_model(str(STORY_MODEL))
    write_project(emit_project(quantize(loaded.model, 256), loaded.tokenizer, load_board("host")), tmp_path)
    prompt = ", ".join(map(str, encode(loaded.tokenizer, PROMPT, bos=True)))
    (tmp_path / "main.c").write_text(MAIN.replace("PROMPT", prompt).replace("COUNT", str(COUNT)))
    build = json.loads((FIRMWARE / "platform/boards/host.json").read_text("utf-8"))["build"]
    parts = [tmp_path / "src" / name for name in ("", "engine", "kernels", "console", "port")]
    sources = [str(path) for part in parts[:3] for path in sorted(part.glob("*.c"))]
    flags = [*build["extra_flags"].split(), f"-march={instructions}", "-static", *(f"-I{part}" for part in parts)]
    program = tmp_path / "program"
    subprocess.run([COMPILER, *flags, *sources, str(tmp_path / "main.c"), "-o", str(program)], check=True)
    done = subprocess.run([EMULATOR, "-cpu", "max", str(program)], capture_output=True, text=True, check=True)
    assert f"{token_digest([int(word) for word in done.stdout.split()]):08x}" == "cfabd115"
