"""Two hosts on one port, and clocks that jump.

    python -m tests.reliability.hosts_and_clocks --rounds 200 --save

Two hosts want one board at once, through a serial port that one of them has open, and through TCP: each is answered as
by the reference, or told that it cannot have the board. The clock jumps by years, as seen in the times of all files
that were written before: a build is then of its own files all the same, and one in the cache is found. Builds, pulls,
trainings, answers and proofs run under clocks that are decades off, come to the end of their bits, or jump meanwhile:
each makes what it makes under the right clock, and tells of no time that cannot be. Wrong is anything else.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.pipeline.false_clocks import CLOCKS, false_clock, has_faketime
from tests.reliability.commands import start
from tests.reliability.desk import STORY_MODEL, use_the_caches_of_the_tests
from tests.reliability.kills import SECONDS, works
from tests.reliability.noise import CONTEXT, STORY, beginning, right_answer
from tests.reliability.record import Trial
from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.api.board import Board
from tinyllm.host.link.frame_port import BAUD
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Setting
from tinyllm.host.link.serial_port import open_port

YEAR = 365 * 86400
JUMPS = {"to 1970": -60 * YEAR, "a year back": -YEAR, "a day back": -86400, "ten years on": 10 * YEAR}
TOKENS = 12
ANSWERS: dict[str, tuple[str | Path, ...]] = {
    "run": ("run", STORY_MODEL, "-p", "Once upon a time", "-n", "40", "--temperature", "0"),
    "verify": ("verify", STORY_MODEL, "--context", "64"),
}
"""Commands that answer."""
SPEED = re.compile(r"[\d,.]+ (?:ms|s|tok/s|tokens/s|min)\b")
IMPOSSIBLE = re.compile(r"-\d[\d,.]* ?(?:s|min|h)\b|\d{4,} ?(?:min|h)\b|\bnan\b|\binf\b|Traceback")
"""Words of a time that went backwards, or of years."""


def serial_hosts(rounds: int, trial: Trial) -> None:
    """The second host on a serial port is told that it is in use, and has it as soon as the first is gone."""
    for _ in range(rounds):
        ours, theirs = os.openpty()
        name = os.ttyname(theirs)
        first = open_port(name, BAUD)
        try:
            open_port(name, BAUD).close()
            trial.fail("two hosts have one serial port open")
        except UserError as error:
            if "in use" not in str(error):
                trial.fail(f"the second host is told: {error}")
        first.close()
        open_port(name, BAUD).close()
        os.close(ours)
        os.close(theirs)
    trial.counts["two hosts on a serial port"] = f"{rounds} rounds"


def tcp_hosts(rounds: int, seed: int, trial: Trial) -> None:
    """Two hosts that come and go at a board's TCP port."""
    seen: Counter[str] = Counter()
    with Board.host(STORY_MODEL, CONTEXT) as board:
        board.settings.update(temperature=0)
        right = right_answer(board)
        expected = beginning(right[STORY], TOKENS)
        name = board.link.name
        board.link.close()

        def host(number: int) -> None:
            pauses = random.Random(f"{seed} {number}")
            for _ in range(rounds):
                try:
                    with Link(name, handshake_seconds=1, silence_seconds=1) as link:
                        link.set(Setting.TEMPERATURE, 0)
                        link.reset()
                        if STORY.ask(link, TOKENS) != expected:
                            trial.fail("a host had another answer than the reference's")
                        seen["answered"] += 1
                        time.sleep(pauses.choice((0, 0.01, 1.5)) if pauses.random() < 0.1 else 0)
                except TinyllmError as error:
                    seen["refused"] += 1
                    if not str(error).startswith(name):
                        trial.fail(f"an error that does not name the port: {error}")
                trial.progress(f"{seen.total()} connections")

        hosts = [threading.Thread(target=host, args=(number,)) for number in range(2)]
        for each in hosts:
            each.start()
        for each in hosts:
            each.join()
        board.reconnect()
        if right_answer(board) != right:
            trial.fail("another answer when the hosts are gone")
    trial.counts["two hosts on a TCP port"] = f"{seen['answered']} answered, {seen['refused']} refused"


def build(folder: Path, context: int, *more: str | Path) -> tuple[int, str]:
    """Exit code of a build, and the hash of its program."""
    command = [sys.executable, "-m", "tinyllm", "build", STORY_MODEL, "--context", str(context), *more]
    done = subprocess.run(command, env=os.environ | {"TINYLLM_HOME": str(folder / "home")}, capture_output=True)
    place = folder / "story" if more else next((folder / "home/builds").glob("host-*"), folder)
    program = place / ".pio/build/host/program"
    return done.returncode, hashlib.sha256(program.read_bytes()).hexdigest() if program.exists() else ""


def clocks(trial: Trial) -> None:
    """Builds after jumps of the clock."""
    with tempfile.TemporaryDirectory(prefix="tinyllm-clocks-") as place:
        folder = Path(place)
        story = ("-o", folder / "story")
        right = {context: build(folder, context, *story)[1] for context in (64, 72)}
        cached = build(folder, 64)
        context = 72
        for name, jump in JUMPS.items():
            for path in folder.rglob("*"):
                if not path.is_symlink():
                    # As if the clock had been so far off when the file was written.
                    then = max(0, path.stat().st_mtime - jump)
                    os.utime(path, (then, then))
            context = 136 - context
            if build(folder, context, *story) != (0, right[context]):
                trial.fail(f"{name}: the build is of other files")
            if build(folder, 64) != cached:
                trial.fail(f"{name}: the cache has another build")
            trial.progress(name)
    trial.counts["clock jumps"] = f"{len(JUMPS)}: {', '.join(JUMPS)}, two builds after each"


def commands(trial: Trial) -> None:
    """Whole commands under every clock of CLOCKS."""
    with tempfile.TemporaryDirectory(prefix="tinyllm-clocks-") as place, works(Path(place)) as all_works:
        makers = [work for work in all_works if work.name != "flash"]
        right: dict[tuple[str, int], object] = {}
        for number in (0, 1):
            for work in makers:
                work.prepare(number)
                told(work.name, work.command(number), work.variables(), trial)
                right[work.name, number] = work.made(number)
            for name, command in ANSWERS.items():
                right[name, number] = told(name, command, {}, trial)
        for number, clock in enumerate(CLOCKS, 2):
            with false_clock(clock) as wrong:
                for work in makers:
                    what = f"{work.name}, {clock}"
                    work.prepare(number)
                    said = told(what, work.command(number), work.variables() | wrong, trial)
                    if work.made(number) != right[work.name, number % 2]:
                        trial.fail(f"{what}: something else was made than under the right clock")
                    if impossible := IMPOSSIBLE.search(said):
                        trial.fail(f"{what}: it tells of {impossible[0]!r}")
                    trial.progress(what)
                for name, command in ANSWERS.items():
                    if told(f"{name}, {clock}", command, wrong, trial) != right[name, number % 2]:
                        trial.fail(f"{name}, {clock}: another answer than under the right clock")
    names = [work.name for work in makers] + list(ANSWERS)
    trial.counts["wrong clocks"] = f"{len(CLOCKS)}: {'; '.join(CLOCKS)}"
    trial.counts["under each"] = ", ".join(names)


def told(what: str, command: Sequence[str | Path], variables: dict[str, str], trial: Trial) -> str:
    """What a command prints, without the figures of a board's speed; one that fails is noted."""
    process = start(*command, **variables)
    said, _ = process.communicate(timeout=SECONDS)
    if process.returncode != 0:
        trial.fail(f"{what}: the command ended with {process.returncode}\n{said}")
    return SPEED.sub("", said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; the exit code is 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="of each host")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write the record")
    options = parser.parse_args(arguments)
    use_the_caches_of_the_tests()
    trial = Trial("two hosts and clocks", "tests.reliability.hosts_and_clocks", options.seed, options.save)
    serial_hosts(options.rounds, trial)
    tcp_hosts(options.rounds, options.seed, trial)
    clocks(trial)
    if has_faketime():
        commands(trial)
    return trial.end()


if __name__ == "__main__":
    sys.exit(main())
