"""The host killed (SIGKILL) in mid-build, mid-pull, mid-flash, mid-train and mid-save, at random moments.

    python -m tests.reliability.kills --rounds 20 --save

What compiles nothing is killed MANY times as often: 20 rounds are 360 kills, 56 are 1,008. After each kill the same
command is given again, or the one that needs what was made before. Wrong is: a command that then fails; a program,
model or conversation that is not what an undisturbed run makes; a file of the user's that has changed; a process that
goes on; and, at the end, half-written files that nobody removes.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.pipeline import desk_upload
from tests.pipeline.pull.hub_server import Repository, hub_server
from tests.pipeline.test_flash import DESK
from tests.reliability.commands import Forked
from tests.reliability.desk import STORY_MODEL, use_the_caches_of_the_tests
from tests.reliability.record import Trial
from tinyllm.boards.description import BOARDS_DIR
from tinyllm.files import is_leftover
from tinyllm.host.api.board import Board
from tinyllm.host.link.link import Link

MANY = 5
"""Rounds of a command that compiles nothing, for each round of one that compiles."""
COMPILE = ("build", "build -o", "flash")
KINDS = (*COMPILE, "pull", "train", "save")
SECONDS = 300.0
"""Longest of a command."""
END_SECONDS = 30.0
"""How long what a killed command has started may go on."""
STORIES = "\n<|endoftext|>\n".join(
    f"Once there was a {size} {animal} who liked to {deed}. One day it rained, and the {animal} was {feeling}."
    for size in ("small", "big", "red", "old")
    for animal in ("cat", "dog", "frog", "bird")
    for deed in ("run", "sing", "sleep")
    for feeling in ("sad", "happy")
)
TRAIN = ("--steps", "24", "--dim", "16", "--blocks", "1", "--heads", "2", "--vocab", "300", "--context", "32")


def tree(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def save_again_and_again(model: str, name: str) -> None:
    """One conversation, under one new name after the other until the process is killed."""
    with Board.host(model, 64) as board:
        chat = board.chat()
        chat.ask("Once upon a time", 8, temperature=0).read()
        for number in itertools.count():
            chat.save(f"{name}-{number}.json")


class Work(ABC):
    """Something that a command makes. folder: all that it may write into is below."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    @abstractmethod
    def command(self, number: int) -> tuple[str | Path, ...]:
        """That is killed in round `number`, and given again."""

    @abstractmethod
    def made(self, number: int) -> object:
        """What is there after an undisturbed run, to be compared."""

    def variables(self) -> dict[str, str]:
        """Of the command's environment."""
        return {"TINYLLM_HOME": str(self.folder / "home")}

    def prepare(self, number: int) -> None:  # noqa: B027 - most need nothing
        """What stands before a round."""

    def began(self, number: int) -> bool:
        """Whether the command has begun to write."""
        return True

    def leftovers(self) -> list[Path]:
        """Half-written files and folders that are still there."""
        found = [path for path in self.folder.rglob("*") if is_leftover(path)]
        return found + list(self.folder.glob("home/builds/new-*")) + list(self.folder.glob("home/models/.old-*"))


class Build(Work):
    """A build in the cache, and its program, which then answers."""

    name = "build"

    def command(self, number: int) -> tuple[str | Path, ...]:
        return ("build", STORY_MODEL, "--context", str(64 + 8 * (number % 2)))

    def prepare(self, number: int) -> None:
        shutil.rmtree(self.folder / "home/builds", ignore_errors=True)

    def began(self, number: int) -> bool:
        return any((self.folder / "home/builds").glob("new-*"))

    def made(self, number: int) -> object:
        (program,) = (self.folder / "home/builds").glob("host-*/.pio/build/host/program")
        return hashlib.sha256(program.read_bytes()).hexdigest()


class Project(Work):
    """A project in a folder of the user's, which is there already for another context, or not at all."""

    name = "build -o"

    def command(self, number: int) -> tuple[str | Path, ...]:
        return ("build", STORY_MODEL, "--context", str(64 + 8 * (number % 2)), "-o", self.folder / "story")

    def prepare(self, number: int) -> None:
        if number % 3 == 0:
            shutil.rmtree(self.folder / "story", ignore_errors=True)
        notes = self.folder / "story/notes.txt"
        if notes.parent.exists():
            notes.write_text("a file of my own")

    def began(self, number: int) -> bool:
        return (self.folder / "story").exists()

    def made(self, number: int) -> object:
        notes = self.folder / "story/notes.txt"
        assert not notes.exists() or notes.read_text() == "a file of my own"
        program = (self.folder / "story/.pio/build/host/program").read_bytes()
        return tree(self.folder / "story/src"), hashlib.sha256(program).hexdigest()


class Pull(Work):
    """A model from a hub on this computer, which has the next commit each time; it is found after each pull."""

    name = "pull"

    def __init__(self, folder: Path, address: str, repository: Repository) -> None:
        super().__init__(folder)
        self.address, self.repository = address, repository

    def variables(self) -> dict[str, str]:
        return {**super().variables(), "HF_ENDPOINT": self.address}

    def command(self, number: int) -> tuple[str | Path, ...]:
        return ("pull", "someone/tiny-model", "--yes")

    def prepare(self, number: int) -> None:
        self.repository.commit = f"{number:040x}"
        self.repository.files["README.md"] = f"round {number}".encode()

    def began(self, number: int) -> bool:
        return any((self.folder / "home/models/.partial").glob("*/*/*"))

    def made(self, number: int) -> object:
        (model,) = (self.folder / "home/models").glob("[!.]*")
        return {name: found for name, found in tree(model).items() if name.endswith((".safetensors", ".model"))}


class Train(Work):
    """A training, which goes on from its checkpoint and ends with the same weights."""

    name = "train"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "stories.txt").write_text(STORIES)

    def command(self, number: int) -> tuple[str | Path, ...]:
        return ("train", "--text", self.folder / "stories.txt", "--out", self.folder / "model", *TRAIN)

    def prepare(self, number: int) -> None:
        if number % 2 == 0:
            shutil.rmtree(self.folder / "model", ignore_errors=True)

    def made(self, number: int) -> object:
        return {name: found for name, found in tree(self.folder / "model").items() if name.endswith(".safetensors")}

    def began(self, number: int) -> bool:
        return (self.folder / "model").exists()


class Flash(Work):
    """A board on the desk that is built for, uploaded to, and answers as what was built."""

    name = "flash"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "boards").mkdir()
        (folder / "boards/desk.toml").write_text(DESK.format(script=desk_upload.__file__, flash=folder / "flash"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = f"socket://127.0.0.1:{free.getsockname()[1]}"

    def variables(self) -> dict[str, str]:
        return {**super().variables(), BOARDS_DIR: str(self.folder / "boards")}

    def command(self, number: int) -> tuple[str | Path, ...]:
        context = str(64 + 8 * (number % 2))
        return ("flash", STORY_MODEL, "--context", context, "--board", "desk", "--port", self.port)

    def began(self, number: int) -> bool:
        return (self.folder / "home/flash/desk/.pio/desk.unfinished").exists()

    def made(self, number: int) -> object:
        with Link(self.port) as link:
            return link.hello.build_id

    def close(self) -> None:
        """End the board."""
        with suppress(OSError):
            os.kill(int((self.folder / "flash.pid").read_text()), signal.SIGTERM)


def trial_of(work: Work, rounds: int, minutes: float, moments: random.Random, trial: Trial) -> None:
    """Kill and give the command again, so many times, or as often as that many minutes allow."""
    deadline = time.monotonic() + 60 * minutes
    right, seconds = [], 0.0
    for number in (0, 1):  # The first one has work to do that the others find done.
        work.prepare(number)
        seconds = run_to_the_end(work, number, trial)[1]
        right.append(work.made(number))
    seen: Counter[str] = Counter()
    for number in range(2, 2 + rounds):
        if time.monotonic() > deadline:
            break
        work.prepare(number)
        process = Forked.command(*work.command(number), **work.variables())
        patience = time.monotonic() + SECONDS
        while not work.began(number) and process.poll() is None and time.monotonic() < patience:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, seconds))
        children = children_of(process.pid)
        seen["at work" if process.poll() is None else "done already"] += 1
        process.kill()
        if left := [child for child in children if not ends(child)]:
            trial.fail(f"{work.name}, round {number}: {left} go on after the kill")
        said, _ = run_to_the_end(work, number, trial)
        try:
            if work.made(number) != right[number % 2]:
                trial.fail(f"{work.name}, round {number}: something else was made than without the kill\n{said}")
        except Exception as error:  # whatever it is, it is told with the round
            trial.fail(f"{work.name}, round {number}: {error!r}\n{said}")
        trial.progress(f"{work.name}: {number - 1} kills")
    if left := work.leftovers():
        trial.fail(f"{work.name}: left behind: {left}")
    trial.counts[f"mid-{work.name}"] = f"{seen['at work']} kills at work, {seen['done already']} just after the end"


def run_to_the_end(work: Work, number: int, trial: Trial) -> tuple[str, float]:
    """What the command said, and the seconds from its first write to its end."""
    process = Forked.command(*work.command(number), **work.variables())
    while not work.began(number) and process.poll() is None:
        time.sleep(0.005)
    begun = time.monotonic()
    code, said = process.wait(SECONDS)
    if code != 0:
        trial.fail(f"{work.name}, round {number}: the command ended with {code}\n{said}")
    return said, time.monotonic() - begun


def children_of(pid: int) -> list[int]:
    """The processes that it has started and that still run."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in tasks.read_text().split()]
    except OSError:
        return []


def ends(pid: int) -> bool:
    """Whether a process is gone soon, or a zombie."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def saves(folder: Path, rounds: int, minutes: float, moments: random.Random, trial: Trial) -> None:
    """A conversation that is saved under one new name after the other: what is there under such a name is whole."""
    kills = files = halves = 0
    deadline = time.monotonic() + 60 * minutes
    for number in range(rounds):
        if time.monotonic() > deadline:
            break
        kills += 1
        place = folder / f"{number}"
        place.mkdir(parents=True)
        process = Forked(save_again_and_again, str(STORY_MODEL), str(place / "talk"))
        while not any(place.iterdir()) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        for path in place.iterdir():
            if is_leftover(path):
                halves += 1
                continue
            files += 1
            try:
                json.loads(path.read_text("utf-8"))["turns"][0]["digest"]
            except (ValueError, KeyError, IndexError) as error:
                trial.fail(f"save: {path.name} is not whole: {error!r}")
        shutil.rmtree(place)
        trial.progress(f"save: {number + 1} kills")
    trial.counts["mid-save"] = f"{kills} kills, {files:,} whole conversations, {halves} half ones under no such name"


@contextmanager
def works(folder: Path) -> Iterator[list[Work]]:
    """Everything that is killed."""
    with hub_server() as hub:
        files = {path.name: path.read_bytes() for path in STORY_MODEL.iterdir() if path.is_file()}
        repository = hub.repositories.setdefault("someone/tiny-model", Repository(files))
        flash = Flash(folder / "flash")
        try:
            yield [
                Build(folder / "build"),
                Project(folder / "project"),
                Pull(folder / "pull", hub.address, repository),
                flash,
                Train(folder / "train"),
            ]
        finally:
            flash.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; the exit code is 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--rounds", type=int, default=20, help=f"kills of each command that compiles, and a {MANY}th of the others'"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="for all of them: no new round after its part")
    parser.add_argument("--only", nargs="+", choices=KINDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write the record")
    options = parser.parse_args(arguments)
    share = options.minutes / len(options.only or KINDS)
    use_the_caches_of_the_tests()
    # The hub's client reads these when it is imported.
    os.environ.update(HF_HOME=str(Path(tempfile.gettempdir()) / "tinyllm-no-hub"), HF_TOKEN="")
    trial = Trial("host killed", "tests.reliability.kills", options.seed, options.save)
    with tempfile.TemporaryDirectory(prefix="tinyllm-kills-") as place, works(Path(place)) as all_works:
        for work in all_works:
            if not options.only or work.name in options.only:
                rounds = options.rounds * (1 if work.name in COMPILE else MANY)
                trial_of(work, rounds, share, random.Random(f"{options.seed} {work.name}"), trial)
        if not options.only or "save" in options.only:
            saves(Path(place) / "save", options.rounds * MANY, share, random.Random(f"{options.seed} save"), trial)
    return trial.end()


if __name__ == "__main__":
    sys.exit(main())
