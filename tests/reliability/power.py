"""Power cuts in mid-answer: boards that are switched off while they read or answer the second turn of a conversation.

    python -m tests.reliability.power --rounds 1000 --save

After each cut the board is started again and given the conversation, and the answer goes on. Wrong is: a conversation
that is not told token by token as without the cut, an error that does not say that the board went away, and a digest of
the board's memory that is not that of the conversation.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.reliability.desk import STORY_MODEL, use_the_caches_of_the_tests
from tests.reliability.record import Trial
from tinyllm.errors import TinyllmError
from tinyllm.host.api.board import Board
from tinyllm.host.link.errors import BoardGone

TURNS = ("Once upon a time", " The cat was")
TOKENS = 24
CONTEXT = 64
LONGER = {"host": 600}
"""Tokens of the second answer, which is over too soon on a fast board."""
BOARDS = ("host", "pico2", "esp32c3")

Told = list[tuple[str, str, list[int]]]
"""Prompt, text and tokens of each turn."""


@dataclass
class Cuts:
    """Cuts of one board. seen counts what the board was doing; wrong says what must not be."""

    board: str
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Of the second answer."""
        return LONGER.get(self.board, TOKENS)

    @property
    def in_mid_answer(self) -> int:
        """Cuts so far that came while the board read or answered."""
        return self.seen["while it read"] + self.seen["while it answered"]

    def run(self, rounds: int, seed: int) -> None:
        """Until so many cuts came in mid-answer."""
        host = self.board == "host"
        with Board.host(STORY_MODEL, CONTEXT) if host else Board.virtual(self.board, STORY_MODEL, CONTEXT) as board:
            self.run_on(board, rounds, seed)

    def run_on(self, board: Board, rounds: int, seed: int) -> None:
        """On a board that runs; each round is a conversation of its own."""
        moments = random.Random(f"{seed} {self.board}")
        board.settings.update(temperature=0)
        whole, seconds = self._whole(board)
        for number in range(2 * rounds + 3):
            if self.in_mid_answer >= rounds:
                break
            try:
                told = self._cut(board, moments.uniform(0, seconds))
            except TinyllmError as error:
                self.wrong.append(f"round {number}: {error}")
                board.reconnect()
                continue
            if told != whole:
                self.wrong.append(f"round {number}: told {told}")

    def _whole(self, board: Board) -> tuple[Told, float]:
        """The conversation without a cut, which is that of the reference, and the seconds of its second answer."""
        chat = board.chat()
        chat.ask(TURNS[0], TOKENS).read()
        begun = time.monotonic()
        chat.ask(TURNS[1], self.tokens).read()
        seconds = time.monotonic() - begun
        told = [(turn.prompt, turn.text, list(turn.answer)) for turn in chat.turns]
        expected = board.expect(*TURNS, max_tokens=TOKENS)
        if tuple(tuple(tokens[:TOKENS]) for _, _, tokens in told) != expected:
            self.wrong.append(f"without a cut: told {told}")
        return told, seconds

    def _cut(self, board: Board, moment: float) -> Told:
        """What is told in the end, if the power goes `moment` seconds after the second prompt."""
        chat = board.chat()
        chat.ask(TURNS[0], TOKENS).read()
        cut = threading.Timer(moment, board.cut_power)
        cut.start()
        try:
            chat.ask(TURNS[1], self.tokens).read()
            self.seen["after the answer"] += 1
        except BoardGone as gone:
            if "the board went away" not in str(gone):
                self.wrong.append(f"an error that does not say that the board went away: {gone}")
            asked = chat.interrupted
            self.seen["while it answered" if asked and asked.answer else "while it read"] += 1
        cut.join()
        board.reconnect()
        if not chat.replay():
            self.wrong.append("the board was given back a memory that is not proved")
        if (rest := chat.resume()) is not None:
            rest.read()
        done = chat.turns[-1].done
        if done is None or board.link.update_hello().conversation_digest != done.conversation_digest:
            self.wrong.append("the board holds other tokens than the conversation")
        return [(turn.prompt, turn.text, list(turn.answer)) for turn in chat.turns]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; the exit code is 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1000, help="cuts of each board in mid-answer")
    parser.add_argument("--boards", nargs="+", default=BOARDS, help="host, or boards with a virtual twin")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write the record")
    options = parser.parse_args(arguments)
    use_the_caches_of_the_tests()
    trial = Trial("power cuts", "tests.reliability.power", options.seed, options.save)
    boards = [Cuts(board) for board in options.boards]
    workers = [threading.Thread(target=cuts.run, args=(options.rounds, options.seed), daemon=True) for cuts in boards]
    trial.wait(workers, lambda: ", ".join(f"{cuts.board} {cuts.in_mid_answer:,}" for cuts in boards))
    for cuts in boards:
        trial.counts[cuts.board] = (
            f"{cuts.in_mid_answer} cuts in mid-answer, {cuts.seen['while it read']} of them before its first token; "
            f"{cuts.seen['after the answer']} more just after it"
        )
        if cuts.in_mid_answer != options.rounds:
            trial.fail(f"{cuts.board}: {cuts.in_mid_answer} of {options.rounds} cuts went through")
        for line in cuts.wrong:
            trial.fail(f"{cuts.board}: {line}")
    return trial.end()


if __name__ == "__main__":
    sys.exit(main())
