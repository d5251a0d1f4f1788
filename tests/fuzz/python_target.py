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


def main() -> None:
    """Fuzz one reader; the process ends with libFuzzer's exit code."""
    # Everything that the readers import is traced, and nothing of the tests.
    with atheris.instrument_imports(include=["tinyllm"], enable_loader_override=False):
        from tests.fuzz.readers import Bench
    name = sys.argv.pop(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(name, Path(folder))
        atheris.Setup(sys.argv, bench.read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
