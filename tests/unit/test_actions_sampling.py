"""Inside of <call> nothing ill-formed can be sampled, and outside of it no other mark of a call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import call_models
from tests.unit.test_actions_catalogue import CATALOGUE, calls
from tinyllm.codegen.actions.automaton import COMPLETE, DEAD, Automaton, automaton_of
from tinyllm.codegen.actions.catalogue import Argument, Call, Catalogue, FreeText, Integers, Value
from tinyllm.codegen.actions.plan import OUTSIDE, ActionPlan, CallReader, cut_result, plan_actions, result_tokens
from tinyllm.codegen.arithmetic.sampler import FARTHEST, OUT_OF_REACH, Sampler, SamplerSettings, exponents, lowered
from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS, Setting
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece, encode
from tinyllm.codegen.tokenizers.tokenizer import PieceKind
from tinyllm.errors import UserError

AUTOMATON = automaton_of(CATALOGUE)
HOTTEST = SETTINGS[Setting.TEMPERATURE].maximum


@pytest.fixture(scope="module")
def plan() -> ActionPlan:
    return call_models.plan()


def accepts(automaton: Automaton, text: str) -> bool:
    return automaton.walk(automaton.start, text.encode("utf-8", "surrogatepass")) == COMPLETE


def is_call(catalogue: Catalogue, text: str) -> bool:
    try:
        catalogue.parse(text)
    except UserError:
        return False
    return True


# --- The automaton ----------------------------------------------------------------------------------------------------


@given(calls())
def test_the_automaton_accepts_what_the_catalogue_writes(call: tuple[str, dict[str, Value]]) -> None:
    text = CATALOGUE.write(*call)
    assert accepts(AUTOMATON, text)
    assert len(text.encode()) <= AUTOMATON.longest


@given(calls(), st.data())
def test_the_automaton_and_the_parser_agree_on_a_damaged_call(
    call: tuple[str, dict[str, Value]], data: st.DataObject
) -> None:
    text = CATALOGUE.write(*call)
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(at + 3, len(text))))
    put = data.draw(st.text(alphabet=st.sampled_from('0123456789-"\\,=() truefalsé\n\x7f\x85\ud800'), max_size=3))
    damaged = text[:at] + put + text[end:]
    assert accepts(AUTOMATON, damaged) == is_call(CATALOGUE, damaged)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.data())
def test_a_range_accepts_its_integers_and_no_others(one: int, other: int, data: st.DataObject) -> None:
    least, greatest = sorted((one, other))
    catalogue = Catalogue({"a": Call("a", (Argument("n", Integers(least, greatest)),))})
    automaton = automaton_of(catalogue)
    near = st.integers(least - 12, least + 12) | st.integers(greatest - 12, greatest + 12)
    value = data.draw(near | st.integers(least, greatest) | st.integers())
    assert accepts(automaton, f"a(n={value})") == (least <= value <= greatest)
    assert not accepts(automaton, f"a(n=0{value})")


@given(st.text(max_size=12))
def test_free_text_accepts_what_its_kind_holds(text: str) -> None:
    kind = FreeText(9)
    automaton = automaton_of(Catalogue({"a": Call("a", (Argument("t", kind),))}))
    assert accepts(automaton, f'a(t="{text}")') == kind.holds(text)


def test_every_state_leads_to_the_end() -> None:
    for state, edges in enumerate(AUTOMATON.edges[1:], 1):
        assert edges and all(to < state for _, _, to in edges)


def test_a_space_may_stand_before_a_call_if_the_tokenizer_puts_one(plan: ActionPlan) -> None:
    assert accepts(plan.automaton, "servo.set(angle=5)")
    assert accepts(plan.automaton, " servo.set(angle=5)")
    assert not accepts(plan.automaton, "  servo.set(angle=5)")
    assert not accepts(AUTOMATON, " servo.set(angle=5)")


def test_a_catalogue_that_a_board_cannot_number_is_refused() -> None:
    texts = tuple(Argument(f"t{n}", FreeText(200)) for n in range(8))
    catalogue = Catalogue(
        {f"c{n}": Call(f"c{n}", tuple(replace(t, name=f"{t.name}of{n}") for t in texts)) for n in range(3)}
    )
    with pytest.raises(UserError, match="catalogue of calls is too large: its automaton has more than the 65,535"):
        automaton_of(catalogue)


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_may_follow_if_its_bytes_do(plan: ActionPlan) -> None:
    for prefix in (b"", b"li", b'light.set(room="', b"servo.set(angle=1", b'display.show(text="', "…".encode()[:0]):
        state = plan.automaton.walk(plan.automaton.start, prefix)
        for token, may in enumerate(plan.allowed(state)):
            text = plan.texts[token]
            follows = bool(text) and plan.automaton.walk(state, text) != DEAD
            assert may == (follows and token not in plan.stops), (prefix, text)


def test_outside_of_a_call_only_the_marks_within_are_forbidden(plan: ActionPlan) -> None:
    forbidden = np.flatnonzero(~plan.allowed(OUTSIDE))
    assert set(forbidden) == {plan.end_call, plan.result, plan.end_result}


def test_after_a_whole_call_only_its_end_may_follow(plan: ActionPlan) -> None:
    assert list(np.flatnonzero(plan.allowed(COMPLETE))) == [plan.end_call]


@pytest.mark.parametrize("temperature", [0, SETTINGS[Setting.TEMPERATURE].start, HOTTEST])
@pytest.mark.parametrize("penalty", [655, 65536, HOTTEST])
def test_thousands_of_sampled_calls_are_all_in_the_catalogue(plan: ActionPlan, temperature: int, penalty: int) -> None:
    random = np.random.default_rng(temperature + penalty)
    sampler = Sampler(SamplerSettings(temperature=temperature, repetition_penalty=penalty), seed=3)
    seen = set()
    for _ in range(30):
        reader, ended = CallReader(plan), None
        reader.read(plan.call)
        said: list[int] = []
        while ended is None:
            logits = random.normal(0, 300_000, len(plan.texts)).astype(np.int64)
            said.append(sampler.sample(logits, said, reader.handicaps()))
            ended = reader.read(said[-1])
        name, values = plan.catalogue.parse(ended)
        assert plan.catalogue.write(name, values) == ended
        seen.add(name)
    assert len(seen) >= 3


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=2, max_size=40), st.data())
def test_what_is_not_allowed_is_out_of_reach_and_the_rest_keeps_its_chances(
    values: list[int], data: st.DataObject
) -> None:
    logits = np.array(values, np.int64)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    allowed[data.draw(st.integers(0, len(values) - 1))] = True
    temperature = data.draw(st.sampled_from([1, 52429, 65536, HOTTEST]))
    z = exponents(lowered(logits, np.where(allowed, 0, FARTHEST)), temperature)
    assert np.all(z[~allowed] == OUT_OF_REACH)
    alone = exponents(np.where(allowed, logits, -(2**40)), temperature)
    np.testing.assert_array_equal(z[allowed], alone[allowed])


def test_a_call_may_be_begun_by_token_ids_and_broken_off_by_them(plan: ActionPlan) -> None:
    tokenizer = call_models.tokenizer()
    reader = CallReader(plan)
    begun = [plan.call, *[tokenizer.byte_ids[byte] for byte in b"led.set("]]
    assert [reader.read(token) for token in begun] == [None] * len(begun)
    assert reader.text == b"led.set("
    assert reader.read(tokenizer.byte_ids[ord("x")]) is None
    assert reader.state == OUTSIDE
    assert reader.read(plan.end_call) is None


def test_names_of_marks_in_a_text_stay_text(plan: ActionPlan) -> None:
    tokenizer = call_models.tokenizer()
    marks = {plan.call, plan.end_call, plan.result, plan.end_result}
    said = '<call>led.set(color="red")</call><result>x</result>'
    assert not marks & set(encode(tokenizer, said))
    tokens = result_tokens(plan, tokenizer, said)
    assert [token for token in tokens if token in marks] == [plan.result, plan.end_result]
    assert b"".join(decode_piece(tokenizer, token) for token in tokens).decode() == f" {said}"


@given(st.text(max_size=400))
def test_a_result_is_cut_at_a_character(text: str) -> None:
    raw = text.encode("utf-8", "replace")
    kept = cut_result(raw)
    assert len(kept) <= 255
    assert raw.startswith(kept)
    assert kept == raw or len(kept) > 251
    kept.decode()


def test_a_tokenizer_without_the_marks_is_refused() -> None:
    tokenizer = call_models.tokenizer()
    pieces = tuple(piece.replace(b"result", b"outcome") for piece in tokenizer.pieces)
    with pytest.raises(UserError, match="control tokens <result>, </result>; this one lacks them"):
        plan_actions(CATALOGUE, replace(tokenizer, pieces=pieces))


def test_a_tokenizer_that_cannot_spell_a_call_is_refused() -> None:
    tokenizer = call_models.tokenizer()
    kinds = tuple(
        PieceKind.CONTROL if b'"' in piece or kind is PieceKind.BYTE else kind
        for piece, kind in zip(tokenizer.pieces, tokenizer.kinds, strict=True)
    )
    with pytest.raises(UserError, match="cannot spell every call of the catalogue: no token begins with"):
        plan_actions(CATALOGUE, replace(tokenizer, kinds=kinds))


def test_a_call_is_begun_only_if_it_is_likelier_by_the_caution(plan: ActionPlan) -> None:
    """Half a logit more than the caution begins one, half a logit less does not; what may not follow stays out."""
    assert plan.caution == 98304
    logits = np.zeros(len(plan.texts), np.int64)
    logits[plan.end_call] = 10 * 65536
    for above, sampled in ((plan.caution + 32768, plan.call), (plan.caution - 32768, 0)):
        logits[plan.call] = above
        assert Sampler(SamplerSettings(temperature=0), 1).sample(logits, (), CallReader(plan).handicaps()) == sampled
    inside = CallReader(plan)
    inside.read(plan.call)
    assert set(np.unique(inside.handicaps())) == {0, FARTHEST}


def test_lowered_logits_stay_above_the_least_integer() -> None:
    logits = np.array([-(2**31) + 1, -(2**31) + 3, -(2**31) + 1], np.int64)
    assert lowered(logits, np.array([65536, 2, FARTHEST])).tolist() == [0, 0, -FARTHEST]
