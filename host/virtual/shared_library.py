"""Compiles our C for emulators into a shared library, once, and keeps it in the cache folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tinyllm.cache_folder import home
from tinyllm.codegen.verify.compiler import find_compiler
from tinyllm.errors import UserError


def shared_library(source: Path, *headers: Path, flags: tuple[str, ...] = ()) -> Path:
    """The shared library of `source`, from the cache or compiled now. headers: our headers that it includes.

    Raises UserError if it has to be compiled, and there is no C compiler, the compiler makes no shared library, or the
    library cannot be written.
    """
    content = [*(path.read_bytes() for path in (source, *headers)), *(flag.encode() for flag in flags)]
    digest = hashlib.sha256(b"\0".join(content)).hexdigest()[:12]
    library = home() / f"{source.stem}-{digest}{'.dll' if os.name == 'nt' else '.so'}"
    if library.is_file():
        return library
    compiler = find_compiler()
    try:
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            built = Path(folder, library.name)
            every = ["-O2", "-shared", *([] if sys.platform == "win32" else ["-fPIC"]), *flags]
            done = subprocess.run([compiler, *every, str(source), "-o", str(built)], capture_output=True, check=False)
            if done.returncode != 0:
                raise UserError(f"{compiler} cannot build a shared library; set CC to a C compiler that can.")
            built.replace(library)
    except OSError as error:
        raise UserError(
            f"{library.parent}: cannot be written ({error.strerror or error}). Set TINYLLM_HOME to a folder of yours."
        ) from None
    return library
