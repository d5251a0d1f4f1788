"""Coverage-guided fuzzing of the C that boards run, and of everything that reads files of strangers.

    python -m tests.fuzz [TARGET ...] [--seconds 60] [--seed N] [--jobs 2] [--record]

Each target is fuzzed for so many seconds. What it finds stays in build/fuzz, where the next run goes on from it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.engine import C_TARGETS, build_targets, has_compiler
from tests.fuzz.record import save_record
from tests.fuzz.run import ROOT, TARGETS, Outcome, fuzz, has_atheris

FOLDER = ROOT / "build/fuzz"


def row(outcome: Outcome) -> str:
    """What is printed of a target's run."""
    figures = f"{outcome.runs:12,} {outcome.features:9,} {outcome.inputs:7,} {outcome.seconds:8.1f}"
    return f"{outcome.name:20} {figures}" + (f"\n  fault: {outcome.fault}" if outcome.fault else "")


def main() -> int:
    """Fuzz, print a table, and tell by the exit code whether there was a fault."""
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--jobs", type=int, default=1, help="targets that are fuzzed at once; a core each")
    parser.add_argument("--record", action="store_true", help="write a record of all targets into reliability/")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"there is no target {unknown[0]}, expected some of {', '.join(TARGETS)}")
    in_c = [name for name in names if name in C_TARGETS]
    if in_c and not has_compiler():
        parser.error("clang with libFuzzer is needed; on Debian: sudo apt-get install clang libclang-rt-14-dev")
    if len(in_c) < len(names) and not has_atheris():
        parser.error("atheris is needed; pip install -e '.[test,fuzz]'")
    print(f"seed {options.seed}, {options.seconds} s for each target", flush=True)
    started = time.monotonic()
    programs = {target.name: target for target in build_targets(in_c, FOLDER / "programs")}
    print(f"{'target':20} {'runs':>12} {'features':>9} {'inputs':>7} {'seconds':>8}", flush=True)
    outcomes: list[Outcome] = []

    def fuzzed(name: str) -> Outcome:
        return fuzz(name, programs.get(name), FOLDER, options.seed, options.seconds)

    pool = ThreadPoolExecutor(max(1, options.jobs))
    try:
        for outcome in pool.map(fuzzed, names):
            outcomes.append(outcome)
            print(row(outcome), flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    faults = [outcome for outcome in outcomes if outcome.fault]
    if options.record and not faults and not options.targets:
        command = f"python -m tests.fuzz --seconds {options.seconds} --seed {options.seed}"
        command += f" --jobs {options.jobs}" * (options.jobs > 1)
        counts = {f"runs of {outcome.name}": outcome.runs for outcome in outcomes}
        save_record("fuzzing", command, options.seed, time.monotonic() - started, counts)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
