"""Remembers which matrices of a mixture are int4, as its last calibration chose them, for fit, which reads no weights.

The cache has an entry for each checkpoint and budget. It is found by the sizes and times of the checkpoint's files, so
none of them is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tinyllm.cache_folder import home_path
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.calibration.calibrate import VERSION
from tinyllm.codegen.calibration.layerwise import Key
from tinyllm.files import write_file
from tinyllm.host.model.budgets import all_matrices

KEPT = 256
"""Most entries; the newest are kept."""
LARGEST = 1 << 20
"""Most bytes of an entry that is read."""


def keep_mixture(checkpoint: Path, config: ModelConfig, budget: str, int4: Collection[Key]) -> None:
    """Remember the int4 matrices, if the cache is writable. budget: its name."""
    path = _path(checkpoint, config, budget)
    content = json.dumps(sorted(int4)).encode()
    with suppress(OSError):
        if path.is_file() and path.read_bytes() == content:
            return
        write_file(path, content)
        others = (entry for entry in path.parent.glob(f"*{path.suffix}") if entry != path)
        for old in sorted(others, key=lambda entry: entry.stat().st_mtime)[: 1 - KEPT or None]:
            old.unlink()


def find_mixture(checkpoint: Path, config: ModelConfig, budget: str) -> frozenset[Key] | None:
    """The int4 matrices, by stored block and field; None if there is no valid entry."""
    try:
        path = _path(checkpoint, config, budget)
        if path.stat().st_size > LARGEST:
            return None
        found = json.loads(path.read_bytes())
        if not isinstance(found, list):
            return None
        int4 = frozenset((stored, name) for stored, name in found)
        return int4 if int4 <= all_matrices(config) else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _path(checkpoint: Path, config: ModelConfig, budget: str) -> Path:
    """Of an entry. OSError if the checkpoint's files cannot be listed."""
    facts = [VERSION, str(checkpoint.resolve()), list(_files(checkpoint)), budget]
    facts += [config.vocab_size, config.schedule, asdict(config.rope)]
    return home_path() / "mixtures" / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}.json"


def _files(checkpoint: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of a checkpoint's files."""
    for path in sorted(checkpoint.iterdir()) if checkpoint.is_dir() else [checkpoint]:
        if path.is_file():
            about = path.stat()
            yield path.name, about.st_size, about.st_mtime_ns
