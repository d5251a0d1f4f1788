"""A soak: conversations of every kind on four boards at once, for hours.

    make soak HOURS=24

The boards are the host board and the virtual pico2, esp32c3 and pico, each with conversations of its own: text, token
ids and chats of several turns, greedy and drawn, answers that are stopped, requests for logits, a context that slides,
the text voice, a power cut now and then. Wrong is: an answer that is not the reference's, or not that of the first
time; a board that counts a corrupt frame; memory of a board that changes; and a host process that grows.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.reliability.desk import STORY_MODEL, use_the_caches_of_the_tests
from tests.reliability.record import Trial
from tinyllm.errors import TinyllmError
from tinyllm.host.api.board import Board

BOARDS = ("host", "pico2", "esp32c3", "pico")
CONTEXT = 64
TOKENS = 24
TEXTS = ("Once upon a time", "The cat sat", "Lily and Tom went to the park", "é ü 日本")
MOST_GROWTH = 1.25
"""Of the host's memory, from the first tenth of the time on."""


class Soaked:
    """One board and its conversations. seen counts them by kind, delays are seconds until an answer begins."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.seen: Counter[str] = Counter()
        self.delays: list[float] = []
        self.wrong: list[str] = []
        self._random = random.Random(f"{seed} {name}")
        self._answers: dict[tuple[object, ...], tuple[tuple[int, ...], ...]] = {}
        self._said: dict[str, str] = {}
        self.kinds: dict[str, Callable[[Board], None]] = {
            "text": self._text,
            "drawn": self._drawn,
            "chat": self._chat,
            "token ids": self._ids,
            "stopped": self._stopped,
            "logits": self._logits,
            "long": self._long,
            "typed": self._typed,
            "power cut": self._power_cut,
        }

    def run(self, until: float) -> None:
        """Conversations until that moment of the monotonic clock."""
        host = self.name == "host"
        with Board.host(STORY_MODEL, CONTEXT) if host else Board.virtual(self.name, STORY_MODEL, CONTEXT) as board:
            memory, corrupt = board.link.memory(), board.hello.corrupt_frames
            weights = [1 if kind == "power cut" else 8 for kind in self.kinds]
            while time.monotonic() < until:
                (kind,) = self._random.choices(list(self.kinds), weights)
                try:
                    board.reset()
                    self.kinds[kind](board)
                    if {name: size for name, size in board.link.memory().items() if name != "stack.used"} != {
                        name: size for name, size in memory.items() if name != "stack.used"
                    }:
                        self.wrong.append(f"{kind}: the board's memory is {board.link.memory()}, was {memory}")
                    if board.link.update_hello().corrupt_frames != corrupt:
                        self.wrong.append(f"{kind}: the board counts {board.hello.corrupt_frames} corrupt frames")
                        corrupt = board.hello.corrupt_frames
                except TinyllmError as error:
                    self.wrong.append(f"{kind}: {error}")
                    board.reconnect()
                self.seen[kind] += 1

    def _ask(self, board: Board, text: str | Sequence[int], tokens: int = TOKENS, **settings: float) -> tuple[int, ...]:
        begun = time.monotonic()
        stream = board.ask(text, tokens, **settings)  # type: ignore[arg-type]
        self.delays.append(time.monotonic() - begun)
        return stream.read().tokens

    def _same(self, board: Board, came: tuple[tuple[int, ...], ...], prompts: Sequence[str], **settings: float) -> None:
        """As the reference answers, which is asked once for each conversation."""
        key = (tuple(prompts), *sorted(settings.items()))
        if key not in self._answers:
            board.settings.update(**settings)  # type: ignore[arg-type]
            self._answers[key] = board.expect(*prompts, max_tokens=TOKENS)
        if came != self._answers[key]:
            self.wrong.append(f"{prompts} {settings}: {came} instead of {self._answers[key]}")

    def _some(self, count: int) -> list[str]:
        return [self._random.choice(TEXTS[:3]) for _ in range(count)]

    def _text(self, board: Board) -> None:
        prompts = self._some(1)
        self._same(board, (self._ask(board, prompts[0], temperature=0),), prompts, temperature=0)

    def _drawn(self, board: Board) -> None:
        prompts, seed = self._some(1), self._random.randrange(4)
        came = self._ask(board, prompts[0], temperature=0.8, seed=seed)
        self._same(board, (came,), prompts, temperature=0.8, seed=seed)

    def _chat(self, board: Board) -> None:
        board.settings.update(temperature=0)
        prompts = self._some(2)
        chat = board.chat()
        came = tuple(chat.ask(prompt, TOKENS).read().tokens for prompt in prompts)
        self._same(board, came, prompts, temperature=0)

    def _ids(self, board: Board) -> None:
        prompts = self._some(1)
        came = self._ask(board, board.expected.encode(prompts[0]), temperature=0)
        self._same(board, (came,), prompts, temperature=0)

    def _stopped(self, board: Board) -> None:
        prompts = self._some(1)
        stream = board.ask(prompts[0], TOKENS, temperature=0)
        for _ in zip(range(self._random.randrange(1, 8)), stream, strict=False):
            pass
        stream.stop()
        for _ in stream:
            pass
        board.reset()
        self._same(board, (self._ask(board, prompts[0], temperature=0),), prompts, temperature=0)

    def _logits(self, board: Board) -> None:
        (prompt,) = self._some(1)
        key = ("logits", prompt)
        found = (tuple(board.logits(prompt).tolist()),)
        if self._answers.setdefault(key, found) != found:
            self.wrong.append(f"{prompt}: other logits than the first time")

    def _long(self, board: Board) -> None:
        """The context slides, several times over; the same each time."""
        (prompt,) = self._some(1)
        found = (self._ask(board, prompt, 3 * CONTEXT, temperature=0),)
        if self._answers.setdefault(("long", prompt), found) != found:
            self.wrong.append(f"{prompt}: another long answer than the first time")

    def _typed(self, board: Board) -> None:
        """A person at a serial monitor, in the same conversation."""
        with board.typing() as terminal:
            terminal.enter("/seed 7")
            terminal.enter("/temp 0")
            terminal.enter("/max 5")
            text = self._random.choice(TEXTS)
            said = terminal.enter(text)
        if self._said.setdefault(text, said) != said:
            self.wrong.append(f"{text!r} typed: {said!r}, the first time {self._said[text]!r}")

    def _power_cut(self, board: Board) -> None:
        board.restart()
        self._text(board)


def memory_of(pid: int) -> int:
    """Bytes of a process in memory, 0 if the system does not tell."""
    about = Path(f"/proc/{pid}/statm")
    try:
        return int(about.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; the exit code is 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--boards", nargs="+", default=BOARDS, help="host, or boards with a virtual twin")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write the record")
    options = parser.parse_args(arguments)
    use_the_caches_of_the_tests()
    trial = Trial("soak", "tests.reliability.soak", options.seed, options.save)
    begun = time.monotonic()
    until = begun + 3600 * options.hours
    boards = [Soaked(name, options.seed) for name in options.boards]
    workers = [threading.Thread(target=board.run, args=(until,), daemon=True) for board in boards]
    sizes: list[tuple[float, int]] = []

    def look() -> str:
        sizes.append((time.monotonic(), memory_of(os.getpid())))
        return ", ".join(f"{board.name} {board.seen.total():,}" for board in boards)

    trial.wait(workers, look)
    early = max(size for moment, size in sizes if moment - begun < max(60, 360 * options.hours))
    most = max(size for _, size in sizes)
    for board in boards:
        trial.counts[f"{board.name}, conversations"] = ", ".join(f"{n:,} {kind}" for kind, n in board.seen.items())
        if len(board.delays) > 1:
            steps = statistics.quantiles(board.delays, n=100)
            trial.counts[f"{board.name}, ms to the first piece of an answer"] = (
                f"{1000 * steps[49]:.0f} in the median, {1000 * steps[89]:.0f} at 90%, {1000 * steps[98]:.0f} at 99%"
            )
        for line in board.wrong:
            trial.fail(f"{board.name}: {line}")
    trial.counts["host's memory, MB: in the first tenth, at most"] = f"{early >> 20}, {most >> 20}"
    if early and most > MOST_GROWTH * early:
        trial.fail(f"the host grew from {early >> 20} to {most >> 20} MB")
    return trial.end()


if __name__ == "__main__":
    sys.exit(main())
