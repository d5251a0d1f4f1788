"""Compiling C for the tests: into a library that stops at undefined behaviour, or just to see what compilers say."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi

from tinyllm.codegen.memory.stack import FLAG

ENGINE = Path(__file__).resolve().parents[2] / "firmware/engine"
STRUCTURES_BY_ADDRESS = Path(__file__).with_name("structures_by_address.c")
"""For callers of the kernels that pass words alone."""
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
CHECKED = ("-std=c99", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-shared", "-fPIC")


@dataclass(frozen=True)
class CLibrary:
    """A loaded library and the cffi instance that makes its values."""

    lib: Any
    ffi: cffi.FFI


def compile_c(
    folder: Path,
    files: dict[str, str],
    sources: Sequence[str | Path],
    *flags: str,
    compiler: str = "cc",
    output: Path | None = None,
) -> None:
    """Write the files (name -> text) to `folder` and compile each source to an object there, named after it.

    output: what is linked from the objects, if anything. A warning fails the test.
    """
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    near = [os.path.relpath(source, folder) if Path(source).is_relative_to(folder) else source for source in sources]
    compile_and_link([compiler, *WARNINGS, "-I.", f"-I{ENGINE}", *flags], near, folder, output)


def compile_and_link(
    command: Sequence[str], sources: Sequence[str | Path], folder: Path, output: Path | None = None
) -> None:
    """Compile each source to an object in `folder`, where the compiler is called, and link them to `output`, if given.

    One file at a time, for ccache takes no more; it knows a file again if the paths in the command are relative.
    """
    objects = [f"{Path(source).stem}.o" for source in sources]
    assert len(set(objects)) == len(objects)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        commands = [[*command, "-c", str(source), "-o", to] for source, to in zip(sources, objects, strict=True)]
        list(pool.map(lambda each: _run(each, folder), commands))
    if output is not None:
        _run([*command, *objects, "-o", str(output)], folder)


def load_c(folder: Path, files: dict[str, str], sources: list[str | Path], declarations: str, *flags: str) -> CLibrary:
    """Compile a library with these declarations (for cffi); undefined behaviour in it ends the process."""
    path = folder / "library.so"
    compile_c(folder, files, sources, *CHECKED, *flags, output=path)
    ffi = cffi.FFI()
    ffi.cdef(declarations)
    return CLibrary(ffi.dlopen(str(path)), ffi)


def compile_call_graphs(project: Path, folder: Path, compiler: Sequence[str]) -> None:
    """Compile an emitted project but for its port, so that gcc leaves who calls whom in `folder`."""
    sources = [str(path) for path in sorted((project / "src").rglob("*.c")) if path.parent.name != "port"]
    include = [f"-I{project / 'src' / part}" for part in ("", "engine", "kernels", "console", "port")]
    _run([*compiler, "-std=c99", FLAG, *include, "-c", *sources], folder)


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a compiler in `folder`; if it fails, so does the test, with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
