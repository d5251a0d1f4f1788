"""Keeps calibrations in the user's cache; damaged ones are ignored, old ones are removed."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyllm.cache_folder import home
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.int4 import HIGHEST, LOWEST, GroupedCodes
from tinyllm.codegen.arithmetic.integer_model import scale_groups
from tinyllm.codegen.calibration.calibrate import VERSION, Calibration
from tinyllm.codegen.calibration.layerwise import FINAL, matrices
from tinyllm.files import write_file

Array = NDArray[Any]

KEPT = 32
"""Most calibrations in the cache; those used last are kept."""
LARGEST = 1 << 31
"""Most bytes of an entry that is read."""
DIGEST_BYTES = hashlib.sha256().digest_size


def key_of(model: Model, weights: str, text: str) -> str:
    """The name of an entry: a hash of the model's weights and dimensions, the format of its weights and the text."""
    config = model.config
    facts = [
        VERSION, weights, config.schedule, asdict(config.rope), config.norm_epsilon, config.windows, config.n_heads,
        config.n_kv_heads, config.head_dim, min(config.context, 1 << 16), text,
    ]  # fmt: skip
    hasher = hashlib.sha256(repr(facts).encode())
    arrays = [model.embedding, model.final_norm, model.output_head]
    for block in model.blocks:
        arrays += [array for array in vars(block).values() if array is not None]
    for array in arrays:
        hasher.update(repr(array.shape).encode())
        hasher.update(np.ascontiguousarray(array, "<f4").data)
    return hasher.hexdigest()[:32]


def find_calibration(key: str, model: Model) -> Calibration | None:
    """The calibration of that key; None if there is none, or if it is damaged or of another shape."""
    path = _path(key)
    try:
        if path.stat().st_size > LARGEST:
            return None
        content = path.read_bytes()
        digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            found = _unpacked({name: arrays[name] for name in arrays.files}, model)
        with suppress(OSError):  # a read-only cache is as good
            os.utime(path)
        return found
    except (OSError, ValueError, KeyError, IndexError, AttributeError, zipfile.BadZipFile):
        return None


def keep_calibration(key: str, calibration: Calibration) -> None:
    """Put a calibration into the cache, if it is writable, and remove the entries that were not used for longest."""
    arrays: dict[str, Array] = {}
    for (stored, name), codes in calibration.codes.items():
        arrays[f"codes.{stored}.{name}"] = codes.codes
        arrays[f"multiples.{stored}.{name}"] = codes.multiples
        arrays[f"units.{stored}.{name}"] = codes.units
    for (stored, name), value in calibration.values.items():
        arrays[f"value.{stored}.{name}"] = value
    for (stored, name), error in calibration.errors.items():
        arrays[f"error.{stored}.{name}"] = np.array(error)
    if calibration.perplexities is not None:
        arrays[f"perplexity.{FINAL}.both"] = np.array(calibration.perplexities)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    body = file.getvalue()
    path = _path(key)
    with suppress(OSError):
        write_file(path, hashlib.sha256(body).digest() + body)
        # Never this one: if the clock was set back, it seems to be the oldest.
        others = (entry for entry in path.parent.glob(f"*{path.suffix}") if entry != path)
        for old in sorted(others, key=lambda entry: entry.stat().st_mtime)[: 1 - KEPT or None]:
            old.unlink()


def _path(key: str) -> Path:
    return home() / "calibrations" / f"{key}.int4"


def _unpacked(arrays: dict[str, Array], model: Model) -> Calibration:
    """The calibration in the arrays of an entry. Raises ValueError or KeyError if it does not fit the model."""
    known = set(matrices(model))
    found = Calibration()
    for full in arrays:
        kind, index, name = full.split(".")
        key = (int(index), name)
        if kind == "codes":
            if key not in known:
                raise ValueError(full)
            rows, columns = getattr(model.blocks[key[0]], name).shape
            codes = _array(arrays, full, np.int8, (rows, columns))
            multiples = _array(arrays, f"multiples.{index}.{name}", np.uint8, (rows, scale_groups(columns)))
            units = _array(arrays, f"units.{index}.{name}", np.float64, (rows,))
            if codes.min() < LOWEST or codes.max() > HIGHEST or multiples.min() < 1 or not units.min() > 0:
                raise ValueError(full)
            found.codes[key] = GroupedCodes(codes, multiples, units)
        elif kind == "value":
            of = getattr(model if key[0] == FINAL else model.blocks[key[0]], name)
            found.values[key] = _array(arrays, full, np.float32, of.shape)
        elif kind == "error":
            found.errors[key] = float(_array(arrays, full, np.float64, ()))
        elif kind == "perplexity":
            given, own = _array(arrays, full, np.float64, (2,))
            found = replace(found, perplexities=(float(given), float(own)))
    return found


def _array(arrays: dict[str, Array], name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> Array:
    """The array of that name. ValueError if it has another dtype or shape, or is not finite."""
    array = arrays[name]
    if array.dtype != dtype or array.shape != shape or not np.all(np.isfinite(array)):
        raise ValueError(name)
    return array
