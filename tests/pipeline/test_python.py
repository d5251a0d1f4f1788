"""The public Python API: docs/python.md runs as it stands, and what the page does not show."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinyllm
from tests.boards.conftest import missing
from tests.conftest import skip_unless_ci
from tinyllm.boards.description import load_board
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Setting, token_digest

GUIDE = Path(__file__).parents[2] / "docs/python.md"
EXAMPLE = re.compile(r"```python\n(.*?)```\n```text\n(.*?)```", re.DOTALL)


def test_the_examples_of_the_guide_print_what_it_shows() -> None:
    if lacking := missing(load_board("pico2"), True, None, None):
        skip_unless_ci(lacking)
    guide = GUIDE.read_text(encoding="utf-8")
    examples = EXAMPLE.findall(guide)
    assert len(examples) == guide.count("```python")
    names: dict[str, Any] = {}
    for code, shown in examples:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        assert printed.getvalue() == shown, code


def test_importing_the_package_loads_nothing_and_its_names_are_all_there() -> None:
    code = (
        "import sys, tinyllm; "
        "assert not [name for name in sys.modules if name.startswith('tinyllm.')]; "
        "assert not {'numpy', 'serial', 'rich'} & set(sys.modules); "
        "assert set(tinyllm.__all__) <= set(dir(tinyllm)); "
        "assert all(getattr(tinyllm, name).__name__ == name for name in tinyllm.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_name_that_the_package_does_not_have_is_told_with_those_that_it_has() -> None:
    with pytest.raises(AttributeError, match=r"'board'; it has Answer, AnswerStream, Board, "):
        _ = tinyllm.board


@pytest.fixture(scope="module")
def shared() -> Iterator[tinyllm.Board]:
    with tinyllm.Board.host(context=64) as board:
        yield board


@pytest.fixture
def board(shared: tinyllm.Board) -> tinyllm.Board:
    shared.settings.update(temperature=0, top_k=0, top_p=1, min_p=0, repetition_penalty=1, seed=1, max_tokens=256)
    shared.settings["overflow"] = "slide"
    shared.reset()
    return shared


def test_the_pieces_are_the_answer_and_the_answer_is_there_when_they_have_come(board: tinyllm.Board) -> None:
    pieces = []
    stream = board.ask("Once upon a time", 12)
    for piece in stream:
        assert board.answer is None
        pieces.append(piece)
        if len(pieces) == 11:
            break
    answer = stream.read()
    assert answer == board.answer
    assert answer.text.startswith("".join(pieces))
    assert (answer.tokens, answer.reason) == (board.expect("Once upon a time", max_tokens=12)[0], "length")
    assert (answer.prompt_tokens, answer.context_used) == (5, 17)
    assert answer.digest == f"{token_digest(answer.tokens):08x}"


def test_settings_of_one_answer_end_with_it(board: tinyllm.Board) -> None:
    greedy = board.ask("The dog", 12).read().tokens
    board.reset()
    drawn = board.ask("The dog", 12, temperature=1.5, seed=3).read().tokens
    assert drawn != greedy
    assert (board.settings["temperature"], board.settings["seed"]) == (0, 1)
    board.reset()
    assert board.ask("The dog", 12).read().tokens == greedy
    board.settings.update(temperature=1.5, seed=3)
    board.reset()
    assert board.ask("The dog", 12).read().tokens == drawn


def test_the_same_seed_with_an_answer_draws_the_same_again_without_a_reset_of_the_numbers(board: tinyllm.Board) -> None:
    answers = []
    for _ in range(2):
        board.link.reset()
        board.ask("So", 5, temperature=1.2, seed=9).read()
        board.link.reset()
        answers.append(board.ask("The dog", 12, temperature=1.2, seed=9).read().tokens)
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"temprature": 0},
            "no setting is called 'temprature'. Did you mean temperature? The settings are temperature, ",
        ),
        ({"max_token": 3}, "no setting is called 'max_token'. Did you mean max_tokens? "),
        ({"temperature": 1000}, "temperature 1000: expected a number from 0 to 100."),
        ({"temperature": "hot"}, "temperature 'hot': expected a number from 0 to 100."),
        ({"top_k": 1.5}, "top_k 1.5: expected a whole number from 0 to 4294967295."),
        ({"max_tokens": -1}, "max_tokens -1: expected a whole number from 0 to 4294967295."),
    ],
)
def test_a_wrong_setting_is_told_before_the_board_is_asked(
    board: tinyllm.Board, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(tinyllm.UserError) as error:
        board.ask("The dog", **settings)
    assert str(error.value).startswith(complaint)
    assert isinstance(error.value, TypeError) == complaint.startswith("no setting")
    assert board.link.update_hello().context_used == 0


def test_several_settings_of_which_one_is_wrong_leave_all_as_they_were(board: tinyllm.Board) -> None:
    before = dict(board.settings)
    with pytest.raises(tinyllm.UserError, match=r"^overflow 'wrap': expected slide or stop\.$"):
        board.settings.update(temperature=1, overflow="wrap")
    assert dict(board.settings) == before
    with pytest.raises(tinyllm.UnknownSetting, match=r"'topk'. Did you mean top_k\? "):
        board.settings["topk"] = 3


def test_an_answer_that_is_left_early_gives_way_to_the_next_one(board: tinyllm.Board) -> None:
    left = board.ask("Once upon a time", 0)
    next(left)
    board.reset()
    assert board.ask("The dog", 8).read().tokens == board.expect("The dog", max_tokens=8)[0]
    assert list(left) == []
    with pytest.raises(tinyllm.Failure, match="was left before its end"):
        left.read()


def test_an_answer_that_is_stopped_comes_to_its_end(board: tinyllm.Board) -> None:
    board.settings.update(temperature=1.4, top_p=1)
    stream = board.ask("Once upon a time", 0)
    next(stream)
    stream.stop()
    answer = stream.read()
    assert answer.reason in ("cancelled", "stop")
    assert answer.context_used == board.link.update_hello().context_used


def test_an_answer_comes_token_by_token_too(board: tinyllm.Board) -> None:
    stream = board.ask("Once upon a time", 12)
    pieces = list(stream.tokens())
    answer = stream.read()
    assert tuple(token for token, _ in pieces) == answer.tokens
    assert "".join(text for _, text in pieces) == answer.text


def test_ctrl_c_ends_the_answer_and_not_the_program(board: tinyllm.Board) -> None:
    board.settings.update(temperature=1.4, top_p=1)
    before = signal.getsignal(signal.SIGINT)
    with board.stopping():
        stream = board.ask("Once upon a time", 0)
        next(stream)
        signal.raise_signal(signal.SIGINT)
        answer = stream.read()
    assert answer.reason in ("cancelled", "stop")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_setting_that_the_board_refuses_stays_as_it_was(board: tinyllm.Board) -> None:
    with pytest.raises(tinyllm.Refused):
        board.settings.set_wire({Setting.SEED: 9, Setting.TOP_P: 0})
    assert (board.settings["seed"], board.settings["top_p"]) == (1, 1)
    board.reset()
    assert board.link.get()[Setting.SEED] == 1


def test_logits_are_those_of_the_reference(board: tinyllm.Board) -> None:
    tokens = board.expected.encode("The cat sat")
    expected = board.expected.logits(tokens)[-1]
    assert (board.logits("The cat sat") == expected).all()
    board.reset()
    assert (board.logits(tokens) == expected).all()


def test_the_progress_of_a_prompt_is_told(board: tinyllm.Board) -> None:
    said: list[tuple[int, int]] = []
    prompt = "Lily and Tom went to the park and saw a big dog."
    board.ask(prompt, 2, progress=lambda done, total: said.append((done, total))).read()
    length = len(board.expected.encode(prompt))
    assert {total for _, total in said} == {length}
    assert sorted({done for done, _ in said if 0 < done <= length}) == [done for done, _ in said]


def test_a_board_on_a_port_says_what_it_runs_and_must_run_what_is_named(board: tinyllm.Board) -> None:
    model = tinyllm.load()
    board.link.close()
    url = board.link.name
    with tinyllm.Board.open(url, model) as other:
        assert (other.hello.model, other.clock) == (model.name, "wall clock of a host process")
        assert other.ask("The dog", 8, temperature=0).read().tokens == other.expected.answers(["The dog"], 8)[0]
    with Link(url) as link:
        assert link.hello.context_used > 0
    with pytest.raises(tinyllm.UserError, match="the board is host, not pico"):
        tinyllm.Board.open(url, board="pico")
    board.reconnect()


def test_a_board_that_is_lost_says_so_and_comes_back_with_its_settings(board: tinyllm.Board) -> None:
    board.settings.update(temperature=0.8, seed=5)
    expected = board.ask("The dog", 12).read().tokens
    board.cut_power()
    with pytest.raises(tinyllm.BoardGone):
        board.ask("The dog", 12).read()
    board.reconnect()
    assert board.ask("The dog", 12).read().tokens == expected


def test_a_chat_goes_on_as_if_the_board_had_not_been_lost(board: tinyllm.Board) -> None:
    said = ("Once upon a time", "The dog")
    chat = board.chat()
    unbroken = [chat.ask(text, 20).read() for text in said]
    assert chat.held()
    assert chat.resume() is None

    chat = board.chat()
    chat.ask(said[0], 20).read()
    board.cut_power()
    with pytest.raises(tinyllm.BoardGone):
        chat.ask(said[1], 20).read()
    assert chat.interrupted is chat.turns[-1]
    board.reconnect(keep=True)
    assert not chat.held()
    assert chat.replay()
    assert chat.held()
    resumed = chat.resume()
    assert resumed is not None
    assert resumed.read().conversation_digest == unbroken[1].conversation_digest
    assert [tuple(turn.answer) for turn in chat.turns] == [answer.tokens for answer in unbroken]
    assert chat.interrupted is None


def test_a_board_whose_cable_was_pulled_may_hold_the_conversation_still(board: tinyllm.Board) -> None:
    chat = board.chat()
    chat.ask("Once upon a time", 12).read()
    board.settings["seed"] = 3
    board.reconnect(keep=True)
    assert chat.held()
    assert board.link.get()[Setting.SEED] == 3
    board.reconnect()
    assert not chat.held()


def test_a_chat_is_saved_and_taken_up_again_with_its_settings(board: tinyllm.Board, tmp_path: Path) -> None:
    chat = board.chat()
    board.settings.update(seed=7, overflow="stop")
    chat.ask("Once upon a time", 12).read()
    saved = chat.transcript()
    assert chat.save(tmp_path / "talk.json") == tmp_path / "talk.json"
    unbroken = chat.ask("The dog", 8).read()

    board.settings.update(seed=1, overflow="slide")
    again = board.chat()
    again.ask("Something else", 5).read()
    again.load(tmp_path / "talk.json")
    assert again.transcript() == saved
    assert not again.held()
    assert again.replay()
    answer = again.ask("The dog", 8).read()
    assert (answer.tokens, answer.conversation_digest) == (unbroken.tokens, unbroken.conversation_digest)

    with pytest.raises(tinyllm.UserError, match="there is such a file already"):
        again.save(tmp_path / "talk.json")
    (tmp_path / "talk.json").write_text("{}")
    with pytest.raises(tinyllm.UserError, match="is no conversation"):
        again.load(tmp_path / "talk.json")
    assert len(again.turns) == 2


def test_a_board_that_counts_tells_no_speed() -> None:
    if lacking := missing(load_board("pico2"), True, None, None):
        skip_unless_ci(lacking)
    with tinyllm.Board.virtual("pico2", context=64, count=True) as board:
        answer = board.ask("Once", 4, temperature=0).read()
        assert board.clock.startswith("estimated from counted instructions")
        assert answer.tokens_per_second is None
        assert answer.decode_us > 100_000


def test_a_model_is_evaluated_on_a_text_or_a_file(tmp_path: Path) -> None:
    model = tinyllm.load(context=32)
    text = "Once upon a time there was a dog.<|endoftext|>The cat sat on the mat and was happy."
    (tmp_path / "text.txt").write_text(text)
    evaluation = model.perplexity(text)
    assert evaluation == model.perplexity(tmp_path / "text.txt")
    assert evaluation.predicted == evaluation.tokens - 2
    with pytest.raises(tinyllm.UserError, match="no token to predict"):
        model.perplexity("")


def test_a_board_may_be_built_for_a_model_that_was_loaded(tmp_path: Path) -> None:
    model = tinyllm.load(context=40)
    with tinyllm.Board.host(model) as board:
        assert board.hello.context == 40
        assert board.hello.model_hash == model.quantize().digest()[:8].hex()
    program = model.build("host", tmp_path / "project")
    assert program.project == tmp_path / "project"
    assert program.program.is_file()
