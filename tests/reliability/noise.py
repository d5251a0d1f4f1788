"""Noise on the line: bytes dropped, flipped, duplicated, delayed and reordered between the host and a host board.

    python -m tests.reliability.noise --rounds 1000 --save

In each round the line is noisy while a prompt is answered, or every tenth time while a connection is opened; then the
line is good, and the next prompt is asked. Wrong is: an answer that is neither that of the reference nor an error that
names the line; an answer that takes longer than PATIENCE; and any answer on the good line but that of the reference.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.boards.noisy_line import DAMAGES, NoisyLine
from tests.reliability.desk import STORY_MODEL, use_the_caches_of_the_tests
from tests.reliability.record import Trial
from tinyllm.errors import TinyllmError
from tinyllm.host.api.board import Board
from tinyllm.host.link.link import SILENCE_SECONDS, Link
from tinyllm.host.link.messages import Setting, Token

ONCE = "Once upon a time"
TOKENS = 24
CONTEXT = 64
RATES = (0.001, 0.01, 0.05)
PATIENCE = SILENCE_SECONDS + 10


@dataclass(frozen=True)
class Right:
    """What the reference answers."""

    tokens: tuple[int, ...]
    pieces: tuple[str, ...]


def right_answer(board: Board) -> Right:
    """As the board gives it on a good line, which must be what the reference says."""
    (tokens,) = board.expect(ONCE, max_tokens=TOKENS)
    pieces = tuple(event.text for event in board.link.prompt(ONCE, TOKENS) if isinstance(event, Token))
    return Right(tokens, pieces)


def ask(link: Link, tokens: int) -> Right:
    """Tokens and pieces of text of an answer."""
    came = [event for event in link.prompt(ONCE, tokens) if isinstance(event, Token)]
    return Right(tuple(token.token for token in came), tuple(token.text for token in came))


class Rounds:
    """Rounds on one line, and what became of them: `seen` counts, `wrong` says what must not be."""

    def __init__(self, line: NoisyLine, right: Right, rate: float) -> None:
        self.line, self.right, self.rate = line, right, rate
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest = 0.0

    def run(self, count: int, connect_every: int = 10) -> None:
        """Each ends with an answer on the good line; after one that does not, a new connection is tried.

        connect_every: how often it is a connection that meets the noise, and not an answer.
        """
        link = self._connected()
        for number in range(count):
            tokens = TOKENS - number * 7 % TOKENS
            begun = time.monotonic()
            if number % connect_every == connect_every - 1:
                link.close()
                self._try(self._connect)
                link = self._connected()
            else:
                link.reset()
                self._try(lambda link=link, tokens=tokens: self._is_right(ask(link, tokens), tokens))
            slow = time.monotonic() - begun
            self.slowest = max(self.slowest, slow)
            if slow > PATIENCE:
                self.wrong.append(f"a round took {slow:.0f} s")
            self.seen["rounds"] += 1
            try:
                link.reset()
                self._is_right(ask(link, 3), 3)
            except TinyllmError as error:
                self.wrong.append(f"after the noise: {error}")
                link.close()
                link = self._connected()
        link.close()

    def _try(self, work: Callable[[], None]) -> None:
        self.line.rate = self.rate
        try:
            work()
            self.seen["right"] += 1
        except TinyllmError as error:
            self.seen["errors"] += 1
            if not str(error).startswith(self.line.url):
                self.wrong.append(f"an error that does not name the line: {error}")
        finally:
            self.line.rate = 0.0

    def _connect(self) -> None:
        """Have a connection, and ask the board for something on it."""
        with Link(self.line.url) as link:
            link.get()

    def _connected(self) -> Link:
        link = Link(self.line.url)
        link.set(Setting.TEMPERATURE, 0)
        return link

    def _is_right(self, came: Right, tokens: int) -> None:
        if came != Right(self.right.tokens[:tokens], self.right.pieces[:tokens]):
            self.wrong.append(f"accepted {came}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; the exit code is 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1000, help="of each kind of damage at each rate")
    parser.add_argument("--lines", type=int, default=16, help="at once, each with a board of its own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write the record")
    options = parser.parse_args(arguments)
    use_the_caches_of_the_tests()
    trial = Trial("noise on the line", "tests.reliability.noise", options.seed, options.save)
    kinds = [(damage, rate) for damage in DAMAGES for rate in RATES]
    done: dict[tuple[str, float], list[Rounds]] = {kind: [] for kind in kinds}

    def work(number: int) -> None:
        with Board.host(STORY_MODEL, CONTEXT) as board:
            board.settings.update(temperature=0)
            right = right_answer(board)
            board.link.close()
            for damage, rate in kinds:
                line = NoisyLine(board.link.name, DAMAGES[damage], f"{options.seed} {number} {damage} {rate}")
                rounds = Rounds(line, right, rate)
                done[damage, rate].append(rounds)
                rounds.run(options.rounds // options.lines + (number < options.rounds % options.lines))
                line.close()

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(options.lines)]
    trial.wait(workers, lambda: f"{sum(each.seen['rounds'] for many in done.values() for each in many):,} rounds")
    slowest = 0.0
    for (damage, rate), many in done.items():
        seen = sum((each.seen for each in many), Counter())
        trial.counts[f"{damage} at {rate:.1%}"] = (
            f"{seen['rounds']} rounds, {sum(each.line.damaged for each in many)} bytes harmed, "
            f"{seen['right']} right answers, {seen['errors']} errors"
        )
        if seen["rounds"] != options.rounds:
            trial.fail(f"{damage} at {rate:.1%}: {seen['rounds']} of {options.rounds} rounds were done")
        slowest = max([slowest, *(each.slowest for each in many)])
        for each in many:
            for line in each.wrong:
                trial.fail(f"{damage} at {rate:.1%}: {line}")
    trial.counts["slowest round, seconds"] = round(slowest, 1)
    return trial.end()


if __name__ == "__main__":
    sys.exit(main())
