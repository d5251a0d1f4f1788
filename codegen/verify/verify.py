"""Compares the emitted C, compiled in several ways, bit by bit with the reference.

The C generates tokens by sampling from its own logits. Then it reads the same tokens once more as a prompt. The
reference computes the logits of these tokens, and the Python sampler draws from them. The C is bit-exact if every id,
every logit and every entry of the cache agrees.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyllm.boards.description import HOST, load_board
from tinyllm.codegen.actions.plan import ActionPlan, CallReader, actions_of
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.sampler import Sampler, SamplerSettings
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.kernels.choose import named_sets
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.compiler import find_compiler
from tinyllm.codegen.verify.library import HostLibrary, compile_library
from tinyllm.errors import Failure, UserError
from tinyllm.processes import python_module

SANITIZERS = ("ubsan", "asan")
Cache = dict[str, list[NDArray[np.generic]]]
CACHE = ("k", "k_scale", "v", "v_scale")


@dataclass(frozen=True)
class Run:
    """A run of one build: tokens int64 (n + 1,), logits int32 (n, vocab_size), and each pass's cache at the end.

    prompted: the last row of logits and the cache after the same tokens were read in batches; None in the reference,
    which reads them one by one. prefix: the number of tokens before the first one. held: of the reference, for each
    pass the position that each slot holds, the prefix included; -1 for an empty slot.
    """

    tokens: NDArray[np.int64]
    logits: NDArray[np.int32]
    cache: Cache
    prompted: tuple[NDArray[np.int32], Cache] | None = None
    prefix: int = 0
    held: Sequence[NDArray[np.int64]] = ()


@dataclass(frozen=True)
class Verdict:
    """exact: how many of the `positions` agree. difference: the first difference, in words. kernels: the set's name."""

    kernels: str
    build: str
    temperature: float
    exact: int
    positions: int
    difference: str | None = None

    @property
    def bit_exact(self) -> bool:
        """Whether everything agrees."""
        return self.difference is None

    def __str__(self) -> str:
        return f"bit-exact: {self.exact}/{self.positions} positions"


def verify(
    model: IntegerModel,
    tokenizer: Tokenizer,
    builds: Sequence[str] = ("O2",),
    temperatures: Sequence[float] = (0.0, 0.8),
    seed: int = 1,
    positions: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
    kernels: Sequence[str] = (HOST,),
) -> Iterator[Verdict]:
    """Compare a run of `positions` tokens (default: the whole context) for each kernel set, build and temperature.

    kernels: names as named_sets takes them. The C of every set compiles on this computer, with the set's own layout of
    the weights. An instruction that this computer lacks is replaced by the C that defines it.
    Raises UserError without a compiler, for unknown kernels and for less than one position; Failure if the C does not
    build or a sanitizer reports.
    """
    sets = named_sets(kernels)
    count = model.config.context if positions is None else positions
    if count < 1:
        raise UserError(f"--positions {count}: expected at least 1.")
    first = 0 if tokenizer.bos is None else tokenizer.bos
    plan = actions_of(model.config.actions, tokenizer)
    expected: dict[float, Run] = {}
    number = 0
    with tempfile.TemporaryDirectory(prefix="tinyllm-verify-") as folder:
        for own in sets:
            progress(f"writing the C with the kernels {own.name}")
            # The instruction set decides the kernels and the layout of the weights; the rest is this computer's board.
            files = emit_project(model, tokenizer, replace(load_board(HOST), instruction_set=own.name)).files
            for build in builds:
                number += 1
                place = f"{own.name} {build}, {number} of {len(sets) * len(builds)}"
                progress(f"compiling ({place})")
                library = compile_library(files, Path(folder) / own.name / build, build)
                for temperature in temperatures:
                    settings = SamplerSettings.from_float(temperature=temperature)
                    progress(f"running {count} positions at temperature {temperature:g} ({place})")
                    run = partial(_isolated, build) if build in SANITIZERS else generate
                    got = run(library, model.config, first, settings, seed, count)
                    if temperature not in expected:
                        progress(f"computing the reference of {count} positions")
                    if temperature not in expected or not np.array_equal(expected[temperature].tokens, got.tokens):
                        expected[temperature] = reference_run(model, got.tokens, settings, seed, plan)
                    exact, difference = first_difference(expected[temperature], got)
                    yield Verdict(own.name, build, temperature, exact, count, difference)


def generate(
    library: Path, config: ModelConfig, first: int, settings: SamplerSettings, seed: int, positions: int
) -> Run:
    """Let the C generate from the token `first` on, by sampling; it does not end at a stop token."""
    c = HostLibrary(library, config)
    random = c.seed(seed)
    tokens, logits = [first], []
    prefix = len(config.prefix)
    c.begin()
    for position in range(positions):
        logits.append(c.forward(tokens[-1], prefix + position))
        tokens.append(c.sample(settings, random))
        c.read_call(tokens[-1])
    cache = c.cache()
    c.begin()
    c.prefill(tokens[: positions - 1], prefix)
    prompted = c.forward(tokens[positions - 1], prefix + positions - 1), c.cache()
    return Run(np.array(tokens, np.int64), np.array(logits), cache, prompted, prefix)


def reference_run(
    model: IntegerModel,
    tokens: NDArray[np.int64],
    settings: SamplerSettings,
    seed: int,
    plan: ActionPlan | None = None,
) -> Run:
    """The reference's logits and cache for the same tokens, and the tokens that the Python sampler draws from them.

    plan: that of the calls which the model may make.
    """
    reference = Reference(model)
    sampler = Sampler(settings, seed)
    if model.config.prefix:
        reference.forward(model.config.prefix)
    logits = reference.forward(tokens[:-1])
    handicaps = repeat(None, len(logits)) if plan is None else _handicaps(plan, tokens[1:])
    sampled = [sampler.sample(row, handicaps=lower) for row, lower in zip(logits, handicaps, strict=True)]
    cache = {name: getattr(reference, name) for name in CACHE}
    held = reference.held()
    prefix = len(model.config.prefix)
    return Run(np.array([tokens[0], *sampled], np.int64), logits.astype(np.int32), cache, None, prefix, held)


def _handicaps(plan: ActionPlan, tokens: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """How much the logits are lowered before each of these tokens."""
    reader = CallReader(plan)
    for token in tokens:
        yield reader.handicaps()
        reader.read(int(token))


def first_difference(expected: Run, got: Run) -> tuple[int, str | None]:
    """The first position that differs, and in words how: in its cache slot, its logits or the id drawn from them.

    expected: from reference_run. If everything agrees: the number of positions, and None. A cache slot belongs to the
    position that wrote it last.
    """
    differ = np.any(expected.logits != got.logits, axis=1) | (expected.tokens[1:] != got.tokens[1:])
    for name in CACHE:
        for held, ours, theirs in zip(expected.held, expected.cache[name], got.cache[name], strict=True):
            heads_and_channels = tuple(axis for axis in range(ours.ndim) if axis != 1)
            wrong = held[np.any(ours != theirs, axis=heads_and_channels)]
            if np.any((wrong >= 0) & (wrong < expected.prefix)):
                return 0, f"{name} of the prefix"
            differ[wrong[wrong >= 0] - expected.prefix] = True
    if differ.any():
        position = int(np.argmax(differ))
        return position, f"position {position}: {_difference_at(position, expected, got)}"
    if got.prompted is not None and not _agree(got, *got.prompted):
        return 0, "the same tokens read as a prompt give another cache or other logits"
    return len(got.logits), None


def _difference_at(position: int, expected: Run, got: Run) -> str:
    """The first difference at a position, in words."""
    for name in CACHE:
        for layer, (ours, theirs) in enumerate(zip(expected.cache[name], got.cache[name], strict=True)):
            slots = expected.held[layer] == expected.prefix + position
            heads = np.argwhere(ours[:, slots] != theirs[:, slots])
            if heads.size:
                return f"{name} of layer {layer}, head {heads[0][0]}"
    wrong = np.flatnonzero(expected.logits[position] != got.logits[position])
    if wrong.size:
        theirs, ours = got.logits[position][wrong[0]], expected.logits[position][wrong[0]]
        return f"logit {wrong[0]} is {theirs}, the reference has {ours}"
    return f"sampled {got.tokens[position + 1]}, the reference samples {expected.tokens[position + 1]}"


def _agree(run: Run, logits: NDArray[np.int32], cache: Cache) -> bool:
    """Whether a run ended with these logits and this cache."""
    same = (
        np.array_equal(ours, theirs)
        for name in CACHE
        for ours, theirs in zip(run.cache[name], cache[name], strict=True)
    )
    return np.array_equal(run.logits[-1], logits) and all(same)


def _isolated(
    build: str, library: Path, config: ModelConfig, first: int, settings: SamplerSettings, seed: int, positions: int
) -> Run:
    """Run `generate` in a process of its own: a sanitizer ends it, and AddressSanitizer must load before Python."""
    environment = dict(os.environ)
    if build == "asan":
        environment |= {"LD_PRELOAD": _asan_runtime(), "ASAN_OPTIONS": "detect_leaks=0"}
    with tempfile.TemporaryDirectory(prefix="tinyllm-run-") as folder:
        saved = Path(folder) / "run.npz"
        job = {
            "library": str(library),
            "saved": str(saved),
            "config": asdict(config),
            "settings": asdict(settings),
            "run": {"first": first, "seed": seed, "positions": positions},
        }
        done = subprocess.run(
            python_module("tinyllm.codegen.verify.worker"),
            input=json.dumps(job),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reports = [line for line in done.stderr.splitlines() if "runtime error" in line or "ERROR" in line]
            raise Failure(f"the {build} build stopped: {(reports or [done.stderr[-300:]])[0].strip()}")
        with contextlib.closing(np.load(saved)) as arrays:

            def cache(prefix: str) -> Cache:
                return {name: [arrays[f"{prefix}{name}.{i}"] for i in range(config.n_layers)] for name in CACHE}

            prompted = arrays["prompted.logits"], cache("prompted.")
            return Run(arrays["tokens"], arrays["logits"], cache(""), prompted, len(config.prefix))


def _asan_runtime() -> str:
    command = [find_compiler(), "-print-file-name=libasan.so"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():
        raise UserError("this compiler has no libasan.so; install gcc's, or leave the asan build out.")
    return path
