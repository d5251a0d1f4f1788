"""A regular expression as an automaton finds what Oniguruma finds in Hugging Face tokenizers, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from tinyllm.codegen.tokenizers.encode.automaton import build_automata
from tinyllm.codegen.tokenizers.encode.pretokenize import PATTERNS
from tinyllm.codegen.tokenizers.encode.regex import UnknownRegexError, read_regex

FORMS = [form for pattern in PATTERNS.values() if not pattern.at_spaces for form in pattern.published]
PUBLISHED = sorted({regex for form in FORMS for regex in form})
OWN = [
    r"\w+|[^\w\s]+",
    r"\d+|[a-z]+|.",
    r"[A-Z]?[a-z]+|\d",
    r"a{2,3}",
    r"a{2,3}?",
    r"a{2}?b",
    r"a{1,2}+",
    r"a{,2}b",
    r"(ab|a)(c|bcd)(d*)",
    r"x*y|x+",
    r"\s++$|\s",
    r"a+?b",
    r"(a|b)*c",
    r".+?(?= |\z)",
    r"[[:punct:]]|[[:^space:]]",
    r"[^\S\n]+",
    r"\p{Lu}\p{Ll}*|\p{Ll}+|\P{L}|\p{^M}",
    r"(?i)dog|[k-s]at",
    r"[a-z&&[^aeiou]]+",
    r"\S+(?=\s|$)|\S",
    r"(?:\r\n|\r|\n)+",
    r"https?://\S+|\w+",
    r"[\x{4e00}-\x{9fff}]|\u0301|\x41",
    r"\h+|\H",
    r"[-a-c.]+",
    r"[]x]+",
    r"[^]x]+",
    r"[ab]?+a|b",
]
FRAGMENTS = [*"abcdxyAB éÉ字ß½²ſK\u0301😀Ⓐ\n\t1.-_]", "  ", "\r\n", "23", "'s", "'S", "'ll", "Dog", "cat", "the"]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)


def ours(regex: str, text: str) -> list[tuple[int, int]]:
    """The matches and what lies between them."""
    alphabet, (automaton,) = build_automata([read_regex(regex)])
    symbols, spans, start, at = alphabet.read(text), [], 0, 0
    while at < len(text):
        end = automaton.match_end(symbols, at, len(text))
        if end < 0:
            at += 1
            continue
        spans += [(start, at)] if at > start else []
        spans.append((at, end))
        start = at = end
    return spans + ([(start, len(text))] if start < len(text) else [])


def theirs(regex: str, text: str) -> list[tuple[int, int]]:
    return [span for _, span in Split(Regex(regex), "isolated").pre_tokenize_str(text)]


@pytest.mark.parametrize("regex", PUBLISHED + OWN)
@settings(deadline=None, max_examples=40)
@given(text=TEXTS)
def test_a_regex_of_any_form_finds_what_oniguruma_finds(regex: str, text: str) -> None:
    assert ours(regex, text) == theirs(regex, text)


ATOMS = st.sampled_from([*"abAxé .", r"\w", r"\W", r"\s", r"\d", r"\p{L}", "[ab]", "[^a]", r"[^\s\w]"])
PARTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda options: f"(?:{'|'.join(options)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?", "+?", "??"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.tuples(ATOMS, st.sampled_from(["++", "*+", "?+"])).map("".join),
        st.tuples(inner, st.sampled_from(["(?=a)", "(?!\\s)", "$", "(?!\\S|\\z)"])).map("".join),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(regex=PARTS, text=TEXTS)
def test_any_regex_that_is_not_refused_finds_what_oniguruma_finds(regex: str, text: str) -> None:
    try:
        found = ours(regex, text)
    except UnknownRegexError:
        assume(False)
    assert found == theirs(regex, text)


@settings(deadline=None, max_examples=300)
@given(regex=st.one_of(st.text(r"ab()[]{}|*+?^$\-.,&:!=<pPwLi1 ", max_size=14), st.text(max_size=8)))
def test_any_text_is_a_regex_or_refused_as_one(regex: str) -> None:
    try:
        build_automata([read_regex(regex)])
    except UnknownRegexError as error:
        assert len(str(error).splitlines()) <= 1
