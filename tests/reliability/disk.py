"""A disk that is full at every write of a build: file systems of every size, from none to enough.

    python -m tests.reliability.disk --save

A project lies on the disk, with a file of the user's in it, and is built anew for another context; the cache lies there
too. Wrong is: an error that is more than a few lines or does not say that the disk is full; a file of the user's that
has changed; and a build that fails once there is room. Needs a user who may mount a tmpfs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.reliability.desk import STORY_MODEL, use_the_caches_of_the_tests
from tests.reliability.record import Trial

ENOUGH = 64 << 20
SECONDS = 300.0
MOST_LINES = 8
FULL = ("No space left on device", "the disk is full")
OWN = "a file of my own"


@contextmanager
def disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of that size at `folder`."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def resize(folder: Path, size: int) -> None:
    """Give it another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def build(folder: Path, context: int) -> tuple[int, list[str]]:
    """Exit code and lines of a build of the project on the disk."""
    command = [sys.executable, "-m", "tinyllm", "build", STORY_MODEL, "--context", str(context), "-o", folder / "story"]
    variables = {"TINYLLM_HOME": str(folder / "home"), "PLATFORMIO_BUILD_CACHE_DIR": str(folder / "home/objects")}
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, errors="replace", timeout=SECONDS
    )
    return done.returncode, done.stderr.splitlines()


def program(folder: Path) -> str:
    """The hash of what was built."""
    return hashlib.sha256((folder / "story/.pio/build/host/program").read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; the exit code is 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--step", type=int, default=64, help="KB between one size and the next")
    parser.add_argument("--seed", type=int, default=1, help="decides how the first size is chosen within a step")
    parser.add_argument("--save", action="store_true", help="write the record")
    options = parser.parse_args(arguments)
    use_the_caches_of_the_tests()
    trial = Trial("full disk", "tests.reliability.disk", options.seed, options.save)
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="tinyllm-disk-") as place:
        folder = Path(place) / "disk"
        folder.mkdir()
        with disk(folder, ENOUGH):
            assert build(folder, 64)[0] == build(folder, 72)[0] == 0
            right = program(folder)
        step = options.step << 10
        room = options.seed * 4096 % step
        while seen["builds that had room"] == 0:
            with disk(folder, ENOUGH):
                code, told = build(folder, 64)
                assert code == 0, told
                own = folder / "story/notes.txt"
                own.write_text(OWN)
                used = sum(4096 * -(-path.lstat().st_size // 4096) for path in folder.rglob("*") if path.is_file())
                resize(folder, used + room)
                code, told = build(folder, 72)
                if code == 0:
                    seen["builds that had room"] += 1
                else:
                    seen["builds that found the disk full"] += 1
                    text = " ".join(told)
                    if not any(words in text for words in FULL) or len(told) > MOST_LINES:
                        trial.fail(f"with {room:,} bytes left it says: {told}")
                if own.read_text() != OWN:
                    trial.fail(f"with {room:,} bytes left a file of the user's was lost")
                resize(folder, ENOUGH)
                code, told = build(folder, 72)
                if code != 0 or program(folder) != right:
                    trial.fail(f"after {room:,} bytes were left, with room again: {told}")
            trial.progress(f"{room:,} bytes left")
            room += step
    trial.counts.update(seen)
    trial.counts["bytes left, from and to"] = f"{options.seed * 4096 % step:,} to {room - step:,} by {step:,}"
    return trial.end()


if __name__ == "__main__":
    sys.exit(main())
