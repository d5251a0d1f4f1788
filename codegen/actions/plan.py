"""Which tokens a model may sample inside and outside of a call. firmware/engine/calls.c does the same.

Outside of a call any token may be sampled except `</call>`, `<result>` and `</result>`. The logit of `<call>` is
lowered by the catalogue's caution.
After `<call>` a token may follow if the automaton accepts its bytes. A token that decodes to nothing or ends an answer
may not. After a complete call only `</call>` may follow. A prompt of token ids may begin a call for the model to
complete, but a call is carried out only if the model itself ended it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.actions.automaton import COMPLETE, DEAD, Automaton, automaton_of
from tinyllm.codegen.actions.catalogue import Catalogue, parse_catalogue
from tinyllm.codegen.arithmetic.sampler import FARTHEST
from tinyllm.codegen.arithmetic.sampler_settings import ONE
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece, encode_section
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.text import shown

MARKS = (b"<call>", b"</call>", b"<result>", b"</result>")
LONGEST_RESULT = 255
"""The most bytes of a call's result that go into the conversation."""
OUTSIDE = -2
"""The state outside of any call."""


@dataclass(frozen=True, eq=False)
class ActionPlan:
    """call, end_call, result, end_result: ids of the control tokens. texts: the bytes that each token decodes to."""

    catalogue: Catalogue
    automaton: Automaton
    call: int
    end_call: int
    result: int
    end_result: int
    texts: tuple[bytes, ...]
    stops: tuple[int, ...]

    @property
    def caution(self) -> int:
        """How much the logit of `<call>` is lowered, Q16.16."""
        return round(self.catalogue.caution * ONE)

    @cached_property
    def bytes_by_place(self) -> list[NDArray[np.uint8]]:
        """For each index into a token's text, (vocab,): the byte of each token at that index, 0 after its end."""
        longest = max(map(len, self.texts))
        padded = np.frombuffer(b"".join(text.ljust(longest, b"\0") for text in self.texts), np.uint8)
        return list(padded.reshape(len(self.texts), longest).T)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(vocab,): the length of each token in bytes, 0 for stop tokens, which may not stand in a call."""
        lengths = np.array([len(text) for text in self.texts])
        lengths[list(self.stops)] = 0
        return lengths

    def states_after(self, state: int) -> NDArray[np.int32]:
        """(vocab,): the state after each token, from a state inside a call; DEAD if the token may not follow."""
        states = np.where(self.lengths > 0, np.int32(state), np.int32(DEAD))
        for place, row in enumerate(self.bytes_by_place):
            inside = (self.lengths > place) & (states != DEAD)
            if not inside.any():
                break
            states[inside] = self.automaton.table[states[inside], row[inside]]
        return states

    def allowed(self, state: int) -> NDArray[np.bool_]:
        """(vocab,): which tokens may be sampled in a state."""
        if state == OUTSIDE:
            outside = np.ones(len(self.texts), np.bool_)
            outside[[self.end_call, self.result, self.end_result]] = False
            return outside
        if state == COMPLETE:
            return np.arange(len(self.texts)) == self.end_call
        return self.states_after(state) != DEAD

    def handicaps(self, state: int) -> NDArray[np.int64]:
        """(vocab,), Q16.16: how much each logit is lowered in a state; FARTHEST if the token may not be sampled."""
        handicaps = np.where(self.allowed(state), 0, FARTHEST)
        if state == OUTSIDE:
            handicaps[self.call] = self.caution
        return handicaps

    def after(self, state: int, token: int) -> int:
        """The state after a token that was read or sampled; OUTSIDE if the token breaks off a call."""
        if token == self.call:
            return self.automaton.start
        if state == OUTSIDE or self.lengths[token] == 0:
            return OUTSIDE
        to = self.automaton.walk(state, self.texts[token])
        return OUTSIDE if to == DEAD else to


class CallReader:
    """Follows the call in a sequence of tokens. state: of the automaton. text: the call so far."""

    def __init__(self, plan: ActionPlan) -> None:
        self.plan = plan
        self.state = OUTSIDE
        self.text = b""

    def handicaps(self) -> NDArray[np.int64]:
        """(vocab,), Q16.16: how much each logit is lowered next; FARTHEST if the token may not be sampled."""
        return self.plan.handicaps(self.state)

    def read(self, token: int) -> str | None:
        """Read one more token. Returns the text of the call if the token ends a complete call, else None."""
        ended = self.state == COMPLETE and token == self.plan.end_call
        before, self.state = self.text, self.plan.after(self.state, token)
        self.text = before + self.plan.texts[token] if self.state != OUTSIDE else b""
        return before.decode().removeprefix(" ") if ended else None

    def leave(self) -> None:
        """Drop a call that was begun, because a text or a turn of a chat follows."""
        self.state, self.text = OUTSIDE, b""


@lru_cache(maxsize=16)
def actions_of(catalogue: str | None, tokenizer: Tokenizer) -> ActionPlan | None:
    """The plan of a model whose config has this catalogue as text; None without one. Raises as plan_actions does."""
    return None if catalogue is None else plan_actions(parse_catalogue(catalogue), tokenizer)


def plan_actions(catalogue: Catalogue, tokenizer: Tokenizer) -> ActionPlan:
    """The plan of a catalogue for a tokenizer.

    Raises UserError if the tokenizer lacks the control tokens, has pieces that lose their space, or cannot spell every
    call of the catalogue.
    """
    missing = [mark.decode() for mark in MARKS if mark not in tokenizer.control_ids]
    if missing:
        raise UserError(
            f"a catalogue of calls needs a model whose tokenizer has the control tokens {', '.join(missing)}; this one "
            "lacks them. Take a model that was trained for calls, or leave the catalogue out."
        )
    if tokenizer.bare:
        raise UserError(
            "no board samples calls with a tokenizer whose pieces lose their space; train one with byte fallback."
        )
    texts = tuple(decode_piece(tokenizer, token) for token in range(tokenizer.vocab_size))
    call, end_call, result, end_result = (tokenizer.control_ids[mark] for mark in MARKS)
    # A tokenizer that puts a space before every text does so before the text of a call too.
    spaced = decode_piece(tokenizer, encode_section(tokenizer, b"x", False)[0]).startswith(b" ")
    plan = ActionPlan(
        catalogue,
        automaton_of(catalogue, spaced),
        call,
        end_call,
        result,
        end_result,
        texts,
        tokenizer.stop_ids,
    )
    _check_spelling(plan)
    return plan


def result_tokens(plan: ActionPlan, tokenizer: Tokenizer, text: str | bytes) -> list[int]:
    """The tokens of a result in the conversation: its marks, and its text between them. Names of tokens stay text."""
    raw = text.encode() if isinstance(text, str) else text
    return [plan.result, *encode_section(tokenizer, cut_result(raw), False), plan.end_result]


def cut_result(text: bytes) -> bytes:
    """The part of a result that goes into the conversation: at most LONGEST_RESULT bytes, whole characters only."""
    if len(text) <= LONGEST_RESULT:
        return text
    end = LONGEST_RESULT
    while end > 0 and text[end] & 0xC0 == 0x80:
        end -= 1
    return text[:end]


def _check_spelling(plan: ActionPlan) -> None:
    """UserError unless every reachable state has a token that may follow. Then every call can be completed."""
    if _spells_bytes(plan):
        return
    seen, open_states = {plan.automaton.start}, [plan.automaton.start]
    while open_states:
        state = open_states.pop()
        following = {int(to) for to in np.unique(plan.states_after(state))} - {DEAD}
        if not following:
            wanted = bytes(low for low, _, _ in plan.automaton.edges[state]).decode("latin-1")
            raise UserError(
                "the tokenizer cannot spell every call of the catalogue: no token begins with one of "
                f"{shown(wanted)}. Take a tokenizer with byte fallback, or other words."
            )
        open_states += following - seen - {COMPLETE}
        seen |= following


def _spells_bytes(plan: ActionPlan) -> bool:
    """Whether every byte of a call is a token of its own."""
    single = {text[0] for token, text in enumerate(plan.texts) if plan.lengths[token] == 1}
    wanted = {byte for edges in plan.automaton.edges for low, high, _ in edges for byte in range(low, high + 1)}
    return wanted <= single
