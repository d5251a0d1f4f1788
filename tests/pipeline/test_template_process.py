"""The process that renders chat templates: hostile ones, and any mixture of what a template may say."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.chat_templates import FAMILIES, messages_of, small_tokenizer
from tinyllm.codegen.chat.conversation import conversation_ids
from tinyllm.codegen.chat.derive import derive
from tinyllm.codegen.chat.render import TEMPLATE_CHARACTERS, render
from tinyllm.codegen.tokenizers.tokenizer import Strip
from tinyllm.errors import UserError

WORDS = st.lists(
    st.sampled_from([*" \n\ta\u3000\x1cé", "he", "ant", "##", " w", "e ", "[/INST]"]) | st.text(max_size=3), max_size=6
).map("".join)
NAMES = FAMILIES["phi 3"].controls
LITERALS = st.lists(st.sampled_from([*NAMES, "<|end|>", "<|end|>", *" \naé\u00a0", "## "]), max_size=4).map("".join)
SIDES = st.builds(Strip, st.booleans(), st.booleans())


@settings(max_examples=15)
@given(
    literals=st.tuples(*[LITERALS] * 5),
    trims=st.tuples(*[st.sampled_from(["", " | trim"])] * 2),
    strips=st.tuples(*[SIDES] * len(NAMES)),
    sections=st.booleans(),
    talk=st.tuples(WORDS, WORDS, WORDS),
)
def test_a_template_of_any_literals_with_tokens_that_strip_has_a_plan(
    literals: tuple[str, ...], trims: tuple[str, ...], strips: tuple[Strip, ...], sections: bool, talk: tuple[str, ...]
) -> None:
    begin, user, after, before, end = (json.dumps(literal) for literal in literals)
    template = (
        f"{{{{ {begin} }}}}{{% for m in messages %}}{{% if m.role == 'user' %}}"
        f"{{{{ {user} }}}}{{{{ m.content{trims[0]} }}}}{{{{ {after} }}}}{{% else %}}"
        f"{{{{ {before} }}}}{{{{ m.content{trims[1]} }}}}{{{{ {end} + '<|end|>' }}}}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ {before} }}}}{{% endif %}}"
    )
    tokenizer = small_tokenizer(FAMILIES["phi 3"])
    ids = (tokenizer.control_ids[name.encode()] for name in NAMES)
    tokenizer = replace(tokenizer, strips=tuple(zip(ids, strips, strict=True)), prefix_sections=sections)
    plan = derive(template, tokenizer)
    talk = (talk[0], f"Q{talk[1]}Q", talk[2])
    whole = conversation_ids(template, tokenizer, messages_of(talk))
    first = plan.turn(tokenizer, talk[0], first=True)
    assert first == conversation_ids(template, tokenizer, messages_of(talk[:1]))
    second = plan.turn(tokenizer, talk[2], first=False, last_token=ord("Q"))
    assert whole[len(whole) - len(second) :] == second
    if plan.end is not None:
        ended = plan.turn(tokenizer, talk[2], first=False, last_token=plan.end)
        assert ended == second[plan.ended :] and second[plan.ended - 1] == plan.end


@pytest.mark.parametrize(
    ("template", "why"),
    {
        "an endless loop": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "within"),
        "a long range": ("{{ range(10**9) | list }}", "Range too big"),
        "a long string": ("{{ 'a' * 10**10 }}", "memory"),
        "a wide number": ("{{ '%10000000000d' % 1 }}", "memory"),
        "double": ("{% set n = namespace(x=1) %}{% for i in range(99) %}{% set n.x = n.x~n.x %}{% endfor %}", "memory"),
        "much output": ("{% for i in range(99999) %}{{ 'a' * 99 }}{% endfor %}", "writes more than"),
        "a macro that calls itself": ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "too deeply"),
        "deep nesting": ("{{ " + "(" * 20000, "too deeply"),
        "a huge template": ("a" * (TEMPLATE_CHARACTERS + 1), "characters, expected at most"),
        "a class": ("{{ ''.__class__.__mro__ }}", "unsafe"),
        "a class by filter": ("{{ (''|attr('__class__')).__mro__ }}", "undefined|unsafe"),
        "a format string": ("{{ '{0.__class__.__init__.__globals__}'.format(messages) }}", "unsafe"),
        "a subclass": ("{{ dict.__class__.__subclasses__() }}", "unsafe"),
        "a namespace's class": ("{% set n = namespace(__class__=1) %}", "namespace cannot"),
        "a global's module": ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "unsafe"),
        "a change of the conversation": ("{{ messages.append(1) }}", "unsafe"),
        "an include": ("{% include '/etc/passwd' %}", "no loader"),
        "a division by zero": ("{{ 1 // 0 }}", "zero"),
    }.values(),
)  # fmt: skip
def test_a_hostile_template_is_refused_in_one_line_and_in_time(template: str, why: str) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=why) as caught:
        render(template, messages_of(("Hello",)), None, None)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert time.monotonic() - start < 30
