"""The same tokens as the reference, whatever the settings, the voice and how full the context is."""

from __future__ import annotations

import pytest

from tinyllm.host.api.board import Board
from tinyllm.host.api.settings import Sampling
from tinyllm.host.link.errors import Refused
from tinyllm.host.link.messages import ErrorCode

ONCE = "Once upon a time"
PROMPTS = (ONCE, "The cat sat", "So they")


SAMPLING: dict[str, Sampling] = {
    "at the default settings": {"temperature": 0.8},
    "hot": {"temperature": 1.5, "top_p": 1},
    "of the five likeliest": {"temperature": 1, "top_k": 5, "top_p": 1},
    "of the likely": {"temperature": 1, "top_p": 1, "min_p": 0.05},
    "without repetition": {"temperature": 0.8, "repetition_penalty": 1.3},
    "greedy, without repetition": {"repetition_penalty": 1.2},
}


@pytest.mark.parametrize("how", SAMPLING)
def test_seeded_sampling_draws_what_the_python_sampler_draws(board: Board, how: str) -> None:
    board.settings.update(seed=7, **SAMPLING[how])
    assert board.ask(ONCE, 24).read().tokens == board.expect(ONCE, max_tokens=24)[0]


def test_a_full_context_slides(board: Board) -> None:
    """Conversations of more tokens than the context holds go on as the reference does."""
    turns = board.hello.context // 20
    prompts = (PROMPTS * turns)[:turns]
    expected = board.expect(*prompts, max_tokens=30)
    assert tuple(board.ask(prompt, 30).read().tokens for prompt in prompts) == expected
    assert sum(map(len, expected)) > board.hello.context / 2
    assert board.link.update_hello().context_used == board.hello.context


def test_a_full_context_stops_where_that_was_asked_for(board: Board) -> None:
    board.settings["overflow"] = "stop"
    answer = board.ask(ONCE, max_tokens=0).read()
    while answer.reason != "context":
        assert answer.reason == "stop"
        answer = board.ask("", max_tokens=0).read()
    held = board.link.update_hello()
    assert held.context_used == board.hello.context
    with pytest.raises(Refused) as refused:
        board.ask("More", 1).read()
    assert refused.value.code == ErrorCode.TOO_LONG
    assert board.link.update_hello() == held, "a prompt that is refused leaves the conversation as it was"


def test_a_prompt_longer_than_the_context_is_refused_and_the_next_one_answered(board: Board) -> None:
    with pytest.raises(Refused) as refused:
        board.ask([3] * (board.hello.context + 1), 1).read()
    assert refused.value.code == ErrorCode.TOO_LONG
    assert board.ask(ONCE, 8).read().tokens == board.expect(ONCE, max_tokens=8)[0]


def test_both_voices_give_the_same_tokens(board: Board) -> None:
    commands = {"/temp": "0.8", "/seed": "11", "/max": "16"}
    board.settings.update(temperature=0.8, seed=11)
    expected = board.expect(*PROMPTS[:2], max_tokens=16)
    with board.typing() as terminal:
        for command, value in commands.items():
            assert terminal.enter(f"{command} {value}") == f"{command[1:]} {value}"
        terminal.enter("/reset")
        typed = [terminal.enter(prompt) for prompt in PROMPTS[:2]]
    typed_digest = f"{board.link.update_hello().conversation_digest:08x}"
    board.reset()
    framed = [board.ask(prompt, 16).read() for prompt in PROMPTS[:2]]
    assert [answer.tokens for answer in framed] == list(expected)
    assert typed == [answer.text for answer in framed]
    assert typed_digest == framed[-1].conversation_digest
