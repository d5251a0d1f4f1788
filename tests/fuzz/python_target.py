"""A reader of readers.py under atheris, which is libFuzzer for Python: it looks for inputs that reach new branches.

python -m tests.fuzz.python_target READER [options of libFuzzer] [folders of inputs]
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import atheris

MEMORY = 3 << 30
"""Bytes of address space; numpy and the readers themselves take about one GiB of it."""
IN_RAM = Path("/dev/shm")
"""Where the hostile files lie, if it is there: on a disk, a run would wait for it."""
TRACED = (
    *("tinyllm.boards", "tinyllm.codegen.actions", "tinyllm.codegen.checkpoints", "tinyllm.codegen.tokenizers.formats"),
    *("tinyllm.host.link", "tinyllm.files", "tinyllm.toml"),
)
"""What reads. What only proves that a result is sound is not traced: new ways through it are no new ways to read."""


def main() -> None:
    """Fuzz one reader; the process ends with libFuzzer's exit code."""
    with atheris.instrument_imports(include=list(TRACED), enable_loader_override=False):
        from tests.fuzz.readers import Bench
    name = sys.argv.pop(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory(dir=IN_RAM if IN_RAM.is_dir() else None) as folder:
        bench = Bench(name, Path(folder))
        atheris.Setup(sys.argv, bench.read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
