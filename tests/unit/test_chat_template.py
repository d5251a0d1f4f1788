"""Chat templates: rendered within bounds, and compiled into a plan that gives the same tokens."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.chat_templates import CHATML, CONTROL, FAMILIES, LLAMA2, PLAIN, Family, messages_of, small_tokenizer
from tinyllm.codegen.chat.conversation import conversation_ids, special_names
from tinyllm.codegen.chat.derive import Unsuited, derive, stopping_where_answers_end
from tinyllm.codegen.chat.plan import SPACES
from tinyllm.codegen.chat.render import Chat, render, render_chats
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode
from tinyllm.codegen.tokenizers.tokenizer import PieceKind

TALK = ("Hello there!", "Hi. What is it?", "  A question\nin two lines ", "The answer is 42.", "Why\t?")
SAID = (
    "Once upon a time",
    "  spaces around  ",
    "\n\tline\n\n",
    "no-break\u00a0\u3000",
    "\u2003em\x1c\x85",
    "[/INST] [INST]",
    "{{ 7 * 7 }}{% raw %}",
    "caf\u00e9 \u65e5\u672c\u8a9e \U0001f600",
    "<|not_special|> <user>",
    "a",
    "## Heading\n\n- 'quoted' \"twice\"\n",
)
WORDS = (
    st.lists(
        st.sampled_from([*" \n\ta\u3000\x1cé", "he", "ant", "##", " w", "e ", "[/INST]"]) | st.text(max_size=3),
        max_size=6,
    )
    .map("".join)
    .filter(lambda text: not CONTROL.search(text))
)
families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
systems = pytest.mark.parametrize("system", [None, "Be  brief.\n"], ids=["no system message", "a system message"])


@families
@systems
def test_the_turns_of_a_plan_make_the_tokens_of_the_whole_conversation(family: Family, system: str | None) -> None:
    tokenizer = small_tokenizer(family)
    plan = derive(family.template, tokenizer, system)
    whole = conversation_ids(family.template, tokenizer, messages_of(TALK, system))
    held: list[int] = []
    for index in range(0, len(TALK), 2):
        turn = plan.turn(tokenizer, TALK[index], index == 0, held[-1] if held else None)
        assert whole[len(held) : len(held) + len(turn)] == turn
        held += turn
        if index + 1 < len(TALK):
            if plan.end is None:
                answer = encode(replace(tokenizer, add_dummy_prefix=False), f" {TALK[index + 1]}")
                held += answer
                assert whole[: len(held)] == held
            else:
                held = whole[: whole.index(plan.end, len(held)) + 1]
    assert held == whole


@families
@systems
def test_a_first_turn_has_the_tokens_of_its_rendering_whatever_is_said(family: Family, system: str | None) -> None:
    tokenizer = small_tokenizer(family)
    plan = derive(family.template, tokenizer, system)
    chats = [Chat(messages_of((said,), system)) for said in SAID]
    for said, rendered in zip(SAID, render_chats(family.template, chats, *special_names(tokenizer)), strict=True):
        assert plan.turn(tokenizer, said, first=True) == encode(tokenizer, rendered.text, special=True)


@families
@settings(max_examples=5)
@given(talks=st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=12, max_size=12))
def test_the_turns_of_a_plan_stand_around_any_answer(family: Family, talks: list[tuple[str, ...]]) -> None:
    """The answer begins and ends with a letter that merges with nothing, as a model's own tokens do not."""
    tokenizer = small_tokenizer(family)
    plan = derive(family.template, tokenizer)
    talks = [(question, f"Q{answer}Q", following) for question, answer, following in talks]
    chats = [Chat(messages_of(talk)) for talk in talks]
    rendered = render_chats(family.template, chats, *special_names(tokenizer))
    for (question, _, following), chat in zip(talks, rendered, strict=True):
        whole = encode(tokenizer, chat.text, special=True)
        first = plan.turn(tokenizer, question, first=True)
        second = plan.turn(tokenizer, following, first=False, last_token=plan.end)
        cut_short = plan.turn(tokenizer, following, first=False, last_token=ord("Q"))
        answer = whole[len(first) : len(whole) - len(second)]
        assert whole == first + answer + second
        assert ord("Q") in answer and answer[-1] == (ord("Q") if plan.end is None else plan.end)
        assert whole[len(whole) - len(cut_short) :] == cut_short and len(cut_short) == len(second) + plan.ended


def test_a_template_trims_what_python_strips() -> None:
    spaces = {chr(code) for code in range(sys.maxunicode + 1) if not chr(code).strip()}
    assert {space.decode() for space in SPACES} == spaces


@families
def test_an_answer_that_was_cut_short_gets_its_end_and_one_that_ended_gets_no_second(family: Family) -> None:
    tokenizer = small_tokenizer(family)
    plan = derive(family.template, tokenizer)
    cut_short = plan.turn(tokenizer, "Go on", False, last_token=ord("a"))
    if plan.end is None:
        assert plan.ended == 0
        return
    ended = plan.turn(tokenizer, "Go on", False, last_token=plan.end)
    assert plan.end in cut_short[: plan.ended] and cut_short[plan.ended :] == ended


@families
def test_a_model_stops_with_the_token_that_ends_an_answer_though_no_file_names_it(family: Family) -> None:
    tokenizer = small_tokenizer(family)
    forgetful = replace(tokenizer, stop_ids=(tokenizer.eos,))
    found = stopping_where_answers_end(family.template, forgetful)
    assert (found == tokenizer) if family.end else (found == forgetful)
    assert stopping_where_answers_end(None, forgetful) == forgetful
    assert stopping_where_answers_end("{{ messages }}", forgetful) == forgetful


@families
def test_names_of_control_tokens_that_a_person_writes_stay_text(family: Family) -> None:
    tokenizer = small_tokenizer(family)
    plan = derive(family.template, tokenizer)
    said = "".join(f"{name}x" for name in family.controls)
    turn = plan.turn(tokenizer, said, first=True)
    assert turn == conversation_ids(family.template, tokenizer, messages_of((said,)))
    n_control = [
        sum(tokenizer.kinds[token] is PieceKind.CONTROL for token in ids)
        for ids in (turn, plan.turn(tokenizer, "x", True))
    ]
    assert n_control[0] == n_control[1]
    assert said.encode() in decode(replace(tokenizer, kinds=(PieceKind.NORMAL,) * tokenizer.vocab_size), turn)


@pytest.mark.parametrize(
    ("template", "why"),
    {
        "counts its turns": (
            "{% for m in messages %}{{ loop.index ~ ': ' if m.role == 'user' }}{{ m.content }}\n{% endfor %}",
            "depends on the conversation",
        ),
        "says things twice": ("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "once and in order"),
        "forgets": ("{{ messages[-1].content }}</s>", "once and in order"),
        "prompts otherwise than it remembers": (
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant><think>",
            "what it writes before an answer",
        ),
        "refuses": ("{{ raise_exception('no\nway') }}", "it refuses a conversation (no way)"),
        "is no template": ("{% for %}", "line 1"),
        "needs the date": ("{{ strftime_now('%Y') }}{{ messages[0].content }}", "strftime_now"),
        "upper case": (
            "{% for m in messages %}{{ m.content if m.content|length < 9 else m.content|upper }}\n{% endfor %}",
            "depends on the conversation",
        ),
    }.values(),
)  # fmt: skip
def test_a_template_that_is_no_row_of_literals_is_left_to_the_host(template: str, why: str) -> None:
    with pytest.raises(Unsuited) as caught:
        derive(template, small_tokenizer(FAMILIES["chatml"]))
    assert why in str(caught.value)


def test_no_plan_is_made_without_a_control_token_if_every_text_gets_a_space() -> None:
    tokenizer = replace(small_tokenizer(FAMILIES["plain"]), prefix_sections=True)
    with pytest.raises(Unsuited, match="space before every text"):
        derive(PLAIN, tokenizer)


def test_a_template_renders_as_transformers_has_it() -> None:
    template = (
        "{%- set ns = namespace(n=0) %}\n"
        "{% for m in messages %}\n"
        "    {% if loop.index > 2 %}{% break %}{% endif %}\n"
        "{% generation %}{{ m | tojson }}{% endgeneration %}\n"
        "{% set ns.n = ns.n + 1 %}\n"
        "{% endfor %}\n"
        "{{ ns.n }}{{ bos_token }}{{ eos_token is defined }}{{ tools is none }}{{ dict(a=1).a }}"
    )
    text = render(template, messages_of(("<&>", "2", "3")), "<s>", None)
    assert text == '{"role": "user", "content": "<&>"}{"role": "assistant", "content": "2"}2<s>FalseTrue1'


def test_one_template_that_fails_for_one_chat_still_renders_the_others() -> None:
    chats = [Chat(messages_of(("a", "b", "c"))), Chat(messages_of(("a",))[:0]), Chat(messages_of(("d",)))]
    first, second, third = render_chats(LLAMA2, chats, "<s>", "</s>")
    assert first.text == "<s>[INST] a [/INST] b </s><s>[INST] c [/INST]"
    assert second.refusal and not second.text
    assert third.text == "<s>[INST] d [/INST]"


def test_chatml_has_its_default_system_message() -> None:
    text = render(CHATML, messages_of(("Hi",)), None, "<|endoftext|>")
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    assert text == f"{system}<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
