"""Damaged frames and hostile files by number, each in bounded time and memory.

    python -m tests.fuzz.counts [--frames 1000000] [--files 100000] [--seed 1] [--record]

Frames go to the console of a board, in a program without a port, and replies to the parser of the host. Files go to
every reader, each in a process of its own. The first fault ends a count and tells how to see it again. docs/fuzzing.md
says what counts as wrong.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.fuzz.engine import DAMAGED_FRAMES, build_targets
from tests.fuzz.mutation import damaged, mutated
from tests.fuzz.readers import CORPUS, READERS, Bench, sound_files
from tests.fuzz.record import save_record
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, FrameReader, Stray, encode_frame

FAULTS = Path(__file__).resolve().parents[2] / "build/fuzz/faults"
SECONDS = 10.0
"""For one file or a thousand frames, on a busy machine."""
ADDRESS_SPACE = 3 << 30
MEMORY_GROWTH = 256 << 20
"""Bytes that a process may take more at its most than before the first hostile file."""


# --- Frames -----------------------------------------------------------------------------------------------------------


def count_board_frames(seed: int, count: int, folder: Path) -> dict[str, int]:
    """Damaged requests at a board's console, built with sanitizers (c/damaged_frames.c)."""
    (target,) = build_targets([DAMAGED_FRAMES], folder)
    command = [str(target.program), str(seed), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + count / 100)
    if done.returncode:
        raise SystemExit(f"a fault: {' '.join(command)}\n{done.stderr[-3000:]}")
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


def replies() -> list[protocol.Reply]:
    """One of every kind, as the sound files have them."""
    reader, found = FrameReader(), []
    for path in sound_files("replies"):
        found += [protocol.parse_reply(item) for item in reader.feed(path.read_bytes()) if isinstance(item, Frame)]
    return found


def _is_sound(frame: Frame, segment: bytes) -> bool:
    """Whether a segment is this frame, by CRC-16/CCITT-FALSE and COBS as they are written down, bit by bit."""
    payload, at = bytearray(), 0
    while at < len(segment):
        code = segment[at]
        payload += segment[at + 1 : at + code]
        at += code
        if code < 255 and at < len(segment):
            payload.append(0)
    crc = 0xFFFF
    for byte in payload[:-2]:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x11021 if crc & 0x8000 else 0)
    head = bytes((frame.type, frame.sequence)) + frame.body
    return at == len(segment) and bytes(payload[:-2]) == head and bytes(payload[-2:]) == crc.to_bytes(2, "little")


def count_host_frames(seed: int, count: int) -> dict[str, int]:
    """Damaged replies at the host's parser, cut into pieces anywhere."""
    generator, reader, kinds = random.Random(seed), FrameReader(), replies()
    wires = [encode_frame(protocol.to_frame(kind, generator.randrange(256))) for kind in kinds]
    counts: Counter[str] = Counter(sent=count, refused=0, sound_by_chance=0, malformed=0)
    for number in range(count):
        wire = generator.choice(wires)
        data = damaged(wire, generator)
        cut = generator.randrange(len(data))
        items = [*reader.feed(data[:cut]), *reader.feed(data[cut:])]
        segments = [segment for segment in data.split(b"\x00") if segment]
        if len(items) != len(segments) or reader.pending:
            raise SystemExit(f"a fault: frame {number} of seed {seed} is read as {len(items)} items: {data.hex()}")
        for item, segment in zip(items, segments, strict=True):
            if isinstance(item, Stray):
                if segment == wire[1:-1] or item.data != segment:
                    raise SystemExit(f"a fault: frame {number} of seed {seed} is sound and was refused: {data.hex()}")
                counts["refused"] += 1
                continue
            if not _is_sound(item, segment):
                raise SystemExit(f"a fault: frame {number} of seed {seed} is damaged and was taken: {data.hex()}")
            counts["sound_by_chance"] += 1
            try:
                protocol.parse_reply(item)
            except protocol.MalformedBody:
                counts["malformed"] += 1
    return dict(counts)


def count_frames(seed: int, count: int) -> dict[str, int]:
    """The same number at a board and at the host."""
    with tempfile.TemporaryDirectory() as folder:
        board = count_board_frames(seed, count, Path(folder))
    print(f"damaged frames at a board: {board}", flush=True)
    host = count_host_frames(seed, count)
    print(f"damaged replies at the host: {host}", flush=True)
    return {f"board: {what}": number for what, number in board.items()} | {
        f"host: {what}": number for what, number in host.items()
    }


# --- Files ------------------------------------------------------------------------------------------------------------


class TooSlow(BaseException):
    """A reader took longer than SECONDS; no `except Exception` of its own catches this."""


def _stop(*_: object) -> None:
    raise TooSlow


def count_files(name: str, seed: int, count: int) -> dict[str, int]:
    """Hostile files at one reader, in this process, whose memory is limited from now on."""
    generator = random.Random(f"{seed} {name}")
    originals = [path.read_bytes() for path in [*sound_files(name), *sorted((CORPUS / name).glob("*"))]]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    signal.signal(signal.SIGALRM, _stop)
    counts = Counter(taken=0, refused=0)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(name, Path(folder))
        before = _most_memory()
        for number in range(count):
            data = mutated(originals, generator)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                counts["taken" if bench.read(data) else "refused"] += 1
            except KeyboardInterrupt:
                raise
            except BaseException:
                FAULTS.mkdir(parents=True, exist_ok=True)
                (FAULTS / f"{name}-{seed}-{number}").write_bytes(data)
                print(f"a fault: file {number} of seed {seed} at {name}, kept in {FAULTS}", file=sys.stderr)
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)  # TooSlow is no Exception, which a pool would hand on
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        if _most_memory() - before > MEMORY_GROWTH:
            raise SystemExit(f"a fault: {name} took {(_most_memory() - before) >> 20} MiB more, seed {seed}")
    return dict(counts)


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def count_all_files(seed: int, count: int) -> dict[str, int]:
    """The same number at each reader, together at least `count`."""
    total: Counter[str] = Counter()
    each = -(-count // len(READERS))
    for name in READERS:
        started = time.monotonic()
        # A process of its own: what one reader takes of memory is its own, and a crash is seen.
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
            counts = pool.submit(count_files, name, seed, each).result()
        row = f"{name:20} {each:8,} files {counts['taken']:8,} taken {counts['refused']:8,} refused"
        print(f"{row} {time.monotonic() - started:7.1f} s", flush=True)
        total.update(counts)
    return dict(total)


def main() -> None:
    """Count, print, and write records if asked to."""
    parser = argparse.ArgumentParser(description="Damaged frames and hostile files by number.")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="write records into reliability/")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    command = f"python -m tests.fuzz.counts --seed {options.seed}"
    if options.frames:
        started = time.monotonic()
        counted = count_frames(options.seed, options.frames)
        if options.record:
            own = f"{command} --frames {options.frames} --files 0"
            save_record("damaged frames", own, options.seed, time.monotonic() - started, counted)
    if options.files:
        started = time.monotonic()
        files = count_all_files(options.seed, options.files)
        print(f"hostile files: {files}", flush=True)
        if options.record:
            own = f"{command} --frames 0 --files {options.files}"
            save_record("hostile files", own, options.seed, time.monotonic() - started, files)


if __name__ == "__main__":
    main()
