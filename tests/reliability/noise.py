"""Noise on the line: bytes dropped, flipped, duplicated, delayed and reordered between the host and a host board.

    python -m tests.reliability.noise --rounds 1000 --save
    python -m tests.reliability.noise --calls --rounds 200 --save

In each round the line is noisy while a prompt is answered, or every tenth time while a connection is opened; then the
line is good, and the next prompt is asked. Wrong is: an answer that is neither that of the reference nor an error that
names the line; a call that is asked about twice; an answer that takes longer than PATIENCE; and any answer on the good
line but that of the reference.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.boards.noisy_line import DAMAGES, NoisyLine
from tests.reliability.desk import STORY_MODEL, use_the_caches_of_the_tests
from tests.reliability.record import Trial
from tests.unit import call_models
from tinyllm.errors import TinyllmError
from tinyllm.host.api.board import Board
from tinyllm.host.link.link import SILENCE_SECONDS, Event, Link
from tinyllm.host.link.messages import Call, CallResult, Setting, Token

ONCE = "Once upon a time"
TOKENS = 24
CONTEXT = 64
CALLS_CONTEXT = 128
RATES = (0.001, 0.01, 0.05)
PATIENCE = SILENCE_SECONDS + 10

Answer = tuple[tuple[object, ...], ...]
"""Tokens with their text, calls with who is to answer them, and results, in their order."""


@dataclass(frozen=True)
class Question:
    """A prompt, and how the calls of its answer are carried out.

    asks_first: the board asks before it carries out what it has a handler for, and is told to. result: of a call that
    only the host can carry out.
    """

    prompt: str | tuple[int, ...]
    asks_first: bool = False
    result: str | None = None

    def ask(self, link: Link, tokens: int, came: list[tuple[object, ...]] | None = None) -> Answer:
        """What comes in so many tokens; `came` has it after an error too. AssertionError if a call is asked twice."""
        came = [] if came is None else came
        asked: list[str] = []

        def answer_call(call: str) -> str | None:
            assert not asked, "a call is asked about again"
            asked.append(call)
            return self.result

        link.asks_first, link.answer_call = self.asks_first, answer_call
        for event in link.prompt(self.prompt, tokens):
            if (told := _told(event)) is not None:
                came.append(told)
        return tuple(came)


def _told(event: Event) -> tuple[object, ...] | None:
    if isinstance(event, Token):
        return TOKEN, event.token, event.text
    if isinstance(event, Call):
        return "call", event.answered, event.text
    return ("result", event.tokens, event.text) if isinstance(event, CallResult) else None


TOKEN = "token"
STORY = Question(ONCE)


def questions_of_calls() -> tuple[Question, ...]:
    """The model is made to end a call: of the board's handler, of one that is asked about first, of the host's."""

    def forced(call: str) -> tuple[int, ...]:
        return (call_models.plan().call, *(call_models.tokenizer().byte_ids[byte] for byte in call.encode()))

    led = forced('led.set(color="red")')
    return (
        Question(led),
        Question(led, asks_first=True),
        Question(forced('note.find(words="", most=0)'), result="found"),
    )


Right = dict[Question, Answer]
"""What is answered on a good line, in TOKENS tokens."""


def right_answer(board: Board) -> Right:
    """As the board gives it on a good line, which must be what the reference says."""
    (tokens,) = board.expect(ONCE, max_tokens=TOKENS)
    answer = STORY.ask(board.link, TOKENS)
    assert tuple(told[1] for told in answer) == tokens
    return {STORY: answer}


def right_calls(board: Board) -> Right:
    """As the board gives them on a good line: each has its call, its result and more text."""
    right: Right = {}
    for question in questions_of_calls():
        board.link.reset()
        right[question] = question.ask(board.link, TOKENS)
        assert [told[0] for told in right[question][:4]] == [TOKEN, "call", "result", TOKEN]
    return right


def beginning(answer: Answer, tokens: int) -> Answer:
    """What comes in fewer tokens: a call that the last of them ends comes too, with its result."""
    places = [place for place, told in enumerate(answer) if told[0] == TOKEN]
    return answer[: places[tokens]] if tokens < len(places) else answer


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
        link, questions = self._connected(), list(self.right)
        for number in range(count):
            tokens = TOKENS - number * 7 % TOKENS
            question = questions[number % len(questions)]
            begun = time.monotonic()
            if number % connect_every == connect_every - 1:
                link.close()
                self._try(self._connect)
                link = self._connected()
            else:
                link.reset()
                self._try(lambda link=link, tokens=tokens, question=question: self._ask(link, question, tokens))
            slow = time.monotonic() - begun
            self.slowest = max(self.slowest, slow)
            if slow > PATIENCE:
                self.wrong.append(f"a round took {slow:.0f} s")
            self.seen["rounds"] += 1
            try:
                link.reset()
                self._ask(link, question, 3)
            except (TinyllmError, AssertionError) as error:
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
        except AssertionError as error:
            self.wrong.append(str(error))
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

    def _ask(self, link: Link, question: Question, tokens: int) -> None:
        came: list[tuple[object, ...]] = []
        try:
            if question.ask(link, tokens, came) != beginning(self.right[question], tokens):
                self.wrong.append(f"accepted {came}")
        finally:
            kinds = Counter(told[0] for told in came)
            if self.line.rate:
                self.seen.update(calls=kinds["call"], results=kinds["result"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; the exit code is 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1000, help="of each kind of damage at each rate")
    parser.add_argument("--lines", type=int, default=16, help="at once, each with a board of its own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write the record")
    parser.add_argument("--calls", action="store_true", help="answers with calls of actions and their results")
    options = parser.parse_args(arguments)
    use_the_caches_of_the_tests()
    name = "noise on calls" if options.calls else "noise on the line"
    trial = Trial(name, "tests.reliability.noise", options.seed, options.save)
    kinds = [(damage, rate) for damage in DAMAGES for rate in RATES]
    done: dict[tuple[str, float], list[Rounds]] = {kind: [] for kind in kinds}

    def work(number: int) -> None:
        with Board.host(model, CALLS_CONTEXT if options.calls else CONTEXT) as board:
            board.settings.update(temperature=0)
            right = right_calls(board) if options.calls else right_answer(board)
            board.link.close()
            for damage, rate in kinds:
                line = NoisyLine(board.link.name, DAMAGES[damage], f"{options.seed} {number} {damage} {rate}")
                rounds = Rounds(line, right, rate)
                done[damage, rate].append(rounds)
                rounds.run(options.rounds // options.lines + (number < options.rounds % options.lines))
                line.close()

    place = tempfile.TemporaryDirectory(prefix="tinyllm-noise-")
    model = call_models.write_folder(Path(place.name) / "calls", CALLS_CONTEXT) if options.calls else STORY_MODEL
    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(options.lines)]
    trial.wait(workers, lambda: f"{sum(each.seen['rounds'] for many in done.values() for each in many):,} rounds")
    slowest = 0.0
    for (damage, rate), many in done.items():
        seen = sum((each.seen for each in many), Counter())
        trial.counts[f"{damage} at {rate:.1%}"] = (
            f"{seen['rounds']} rounds, {sum(each.line.damaged for each in many)} bytes harmed, "
            f"{seen['right']} right answers, {seen['errors']} errors"
            + (f", {seen['calls']} calls, {seen['results']} results" if options.calls else "")
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
