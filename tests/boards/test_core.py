"""The core of what a board must do: it says who it is, and answers with the tokens and logits of the reference."""

from __future__ import annotations

from tinyllm.host.api.board import Board
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.messages import token_digest
from tinyllm.host.prove.prove import chosen_positions, compare_logits

SECOND_OPINION = True
NARROW = {"pico2": "int4", "esp32c3": "mixed"}
ONCE = "Once upon a time"
PROMPTS = (ONCE, "The cat sat", "So they")


def test_a_board_says_who_it_is(board: Board) -> None:
    facts = board.link.update_hello()
    assert (facts.version, facts.board) == (protocol.PROTOCOL_VERSION, board.request.target().name)
    assert (facts.model, facts.model_hash) == (board.expected.name, board.expected.model_hash)
    assert facts.vocab_size == board.expected.tokenizer.vocab_size
    assert (facts.context_used, facts.conversation_digest) == (0, 0)
    assert int(facts.build_id, 16) > 0
    assert board.link.memory()["ram.kv_cache"] > 0


def test_a_greedy_answer_is_the_references(board: Board) -> None:
    (expected,) = board.expect(ONCE, max_tokens=32)
    answer = board.ask(ONCE, 32).read()
    assert answer.tokens == expected
    assert answer.text == board.expected.text(expected)
    assert answer.conversation_digest == f"{token_digest(board.expected.encode(ONCE) + list(expected)):08x}"


def test_the_logits_are_the_references_bit_for_bit(board: Board) -> None:
    context = board.hello.context
    tokens = board.expected.encode("Lily and Tom went to the park. They saw a big dog. " * context)[: context + 3]
    agreement = compare_logits(board.link, board.expected, tokens, chosen_positions(len(tokens)))
    assert agreement.difference is None


def test_turns_are_one_sequence_of_tokens(board: Board) -> None:
    board.settings.update(temperature=0.9, seed=3)
    answers = [board.ask(prompt, 12).read() for prompt in PROMPTS]
    expected = board.expect(*PROMPTS, max_tokens=12)
    assert tuple(answer.tokens for answer in answers) == expected
    turns = zip(PROMPTS, expected, strict=True)
    said = [token for i, (prompt, ids) in enumerate(turns) for token in (*board.expected.encode(prompt, not i), *ids)]
    assert answers[-1].conversation_digest == f"{token_digest(said):08x}"
