"""The proof in one number: 128 greedy tokens of each model have the same digest on every board."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import SHARED_DATA
from tinyllm.host.api.board import Board
from tinyllm.host.link.messages import token_digest
from tinyllm.host.prove.prove import COUNT, PROMPT

MODELS = [None, str(SHARED_DATA / "stories260K/stories260K.bin")]
DIGESTS = {"tinystories-260k": "cfabd115", "stories260K": "97148539"}
CONTEXT = 256
SECOND_OPINION = True


def test_128_greedy_tokens_have_the_digest_of_the_reference(
    board: Board, record_property: Callable[[str, object], None]
) -> None:
    """On through any token that ends an answer."""
    (expected,) = board.expected.answers([PROMPT], COUNT, through_stops=True)
    answers = [board.ask(PROMPT, COUNT).read()]
    while (missing := COUNT - sum(len(answer.tokens) for answer in answers)) > 0:
        answers.append(board.ask((), missing).read())
    tokens = [token for answer in answers for token in answer.tokens]
    digest = token_digest(tokens)
    record_property("tinyllm greedy tokens", f"{COUNT}, digest {digest:08x}")
    if (process := board.connection.process) and process.counts:
        counted = sum(answer.decode_us for answer in answers) / COUNT
        record_property("tinyllm per token", f"{counted:,.0f} {process.counts.unit}, {process.clock.split()[0]}")
    assert (digest, tokens) == (token_digest(expected), list(expected))
    if board.request.options.weights is None:
        assert DIGESTS.get(board.hello.model) in (f"{digest:08x}", None)
