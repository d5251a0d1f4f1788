"""One run of a fuzz target: libFuzzer for some seconds, from the inputs in the repository, and what came of it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.engine import C_TARGETS, ENCODERS, C, Target, tokenizer_of
from tests.fuzz.readers import CORPUS, READERS, SOUND
from tests.unit import call_models
from tinyllm.codegen.tokenizers.encode.encoder import encode, encode_section
from tinyllm.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
INPUTS = C / "inputs"
"""Of the targets in C, a folder each."""
SECONDS_FOR_ONE = 10
"""A single input may take so long, on a busy machine."""
MEMORY_MIB = {True: 512, False: 1536}
"""Of a target in C, and of one in Python."""
LONGEST = {True: 2048, False: 16384}
"""Bytes of an input."""
AT_ONCE = 500
"""Inputs of one process, when their results are compared."""
TARGETS = (*C_TARGETS, *READERS)


@dataclass(frozen=True)
class Outcome:
    """What a run did. features: branches with how often they were taken, as libFuzzer counts. fault: None if none."""

    name: str
    runs: int
    features: int
    inputs: int
    seconds: float
    fault: str | None = None


def has_atheris() -> bool:
    """Whether readers in Python can be fuzzed here."""
    return importlib.util.find_spec("atheris") is not None


def fuzz(
    name: str, target: Target | None, folder: Path, seed: int, seconds: int | None = None, runs: int | None = None
) -> Outcome:
    """Fuzz one of TARGETS for so many seconds or runs, then compare with the specification what can be.

    target: its program, of one in C. folder: keeps the inputs that reach something new, in NAME, and faults, in faults.
    """
    in_c = target is not None
    found, faults = folder / name, folder / "faults"
    for each in (found, faults):
        each.mkdir(parents=True, exist_ok=True)
    known = [INPUTS / _inputs_of(name)] if in_c else [SOUND / name, CORPUS / name]
    options = {
        "seed": seed,
        "max_len": LONGEST[in_c],
        "timeout": SECONDS_FOR_ONE,
        "rss_limit_mb": MEMORY_MIB[in_c],
        "artifact_prefix": f"{faults}/{name}-",
        "print_final_stats": 1,
        "max_total_time": seconds or 0,
        "runs": -1 if runs is None else runs,
    }
    program = [str(target.program)] if target else [sys.executable, "-m", "tests.fuzz.python_target", name]
    command = [*program, *(f"-{option}={value}" for option, value in options.items()), str(found)]
    command += [str(each) for each in known if each.is_dir()]
    started = time.monotonic()
    # Through a shell, for a process takes over the peak memory of the one that starts it, which may be over the limit.
    apart = ["sh", "-c", '"$@"; exit $?', "sh", *command]
    done = subprocess.run(apart, cwd=ROOT, capture_output=True, text=True, errors="replace")
    fault = None if done.returncode == 0 else _why(done.stderr, faults)
    if fault is None and name in ENCODERS and target is not None:
        fault = compare_tokens(name, target, [found, *known])
    if fault is None and name == "call_automaton" and target is not None:
        fault = compare_calls(target, [found, *known])
    features = re.findall(r" ft: (\d+)", done.stderr)
    number = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    return Outcome(
        name,
        int(number[1]) if number else 0,
        int(features[-1]) if features else 0,
        len(list(found.iterdir())),
        time.monotonic() - started,
        fault,
    )


def _inputs_of(name: str) -> str:
    return "encoder" if name in ENCODERS else name


def _why(said: str, faults: Path) -> str:
    """The first words of a fault and the file of its input."""
    signs = r"broken promise.*|.*runtime error:.*|.*ERROR: (?:AddressSanitizer|libFuzzer).*|.*(?:Error|Fault)\b.*: .*"
    words = re.search(signs, said)
    kept = re.search(rf"written to ({re.escape(str(faults))}\S+)", said)
    return f"{words[0].strip()[:300] if words else said[-300:]}; the input: {kept[1] if kept else 'none'}"


# --- Comparison with the specification --------------------------------------------------------------------------------


def inputs_in(folders: Sequence[Path]) -> list[Path]:
    """All inputs of these folders."""
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]


def compare_tokens(name: str, target: Target, folders: Sequence[Path]) -> str | None:
    """What is wrong if the C has other tokens of an input than Python's encoder; None if nothing is."""
    tokenizer, paths = tokenizer_of(name), inputs_in(folders)
    for path, line in zip(paths, _written(target, "TOKENS", paths), strict=True):
        how, text = path.read_bytes().ljust(1, b"\0")[0], path.read_bytes()[2:]
        tokens = json.loads(line)
        if tokens is None:  # too long
            continue
        encoded = encode_section(tokenizer, text, bool(how & 2)) if how & 1 else encode(tokenizer, text, bool(how & 2))
        if tokens != encoded:
            return f"the C and the specification encode {path} in other tokens"
    return None


def compare_calls(target: Target, folders: Sequence[Path]) -> str | None:
    """What is wrong if the C ends a call that is not in the catalogue; None if nothing is."""
    catalogue = call_models.plan().catalogue
    for call in _written(target, "CALLS", inputs_in(folders)):
        try:
            catalogue.parse(call)
        except UserError as error:
            return f"a call that is not in the catalogue: {call!r} ({error})"
    return None


def _written(target: Target, variable: str, paths: Sequence[Path]) -> list[str]:
    """The lines that the target adds to the file that an environment variable names, input by input."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "written"
        file.touch()
        for first in range(0, len(paths), AT_ONCE):
            command = [target.program, *paths[first : first + AT_ONCE]]
            subprocess.run(command, env={**os.environ, variable: str(file)}, capture_output=True, check=True)
        return file.read_text("utf-8").splitlines()
