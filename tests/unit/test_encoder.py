"""Every form of tokenizer encodes any text exactly as the library does that it comes from."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings

from tests.unit.tokenizer_forms import FORMS, TEXTS, form
from tests.unit.trained_tokenizers import read_trained
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode, encode_section


@pytest.mark.parametrize("name", FORMS)
@settings(deadline=None, max_examples=80)
@example(text="")
@example(text=" ")
@example(text="aaaa  <|end|>  x")
@example(text="<|end|>x <tag> y")
@given(text=TEXTS)
def test_any_text_encodes_as_the_library_has_it(name: str, text: str) -> None:
    assert encode(form(name).ours, text) == form(name).theirs(text)


@pytest.mark.parametrize("name", FORMS)
@settings(deadline=None, max_examples=50)
@given(text=TEXTS)
def test_names_of_control_tokens_are_tokens_in_a_rendered_template_only(name: str, text: str) -> None:
    tokenizer, theirs = form(name).ours, form(name).theirs_special
    if theirs is not None:
        assert encode(tokenizer, text, special=True) == theirs(text)
    assert not set(encode(tokenizer, text)) & set(tokenizer.control_ids.values())


@pytest.mark.parametrize("name", FORMS)
def test_every_story_encodes_and_decodes_as_the_library_has_it(name: str, stories_text: str) -> None:
    ours, theirs = form(name).ours, form(name).theirs
    for story in stories_text.split("<|endoftext|>")[:12]:
        ids = theirs(story)
        assert encode(ours, story) == ids
        if (
            not ours.remove_extra_whitespaces
            and not ours.character_map
            and ours.unknown not in ids
            and not ours.dropped_bytes
        ):
            assert decode(ours, ids).decode() in (story, story.removeprefix(" "))


def test_a_section_has_its_dummy_prefix_if_the_tokenizer_says_so() -> None:
    first, each = form("byte fallback, metaspace").ours, form("byte fallback").ours
    assert encode_section(first, b"the", first=True) == encode(first, "the")
    assert encode_section(first, b"the", first=False) != encode(first, "the")
    assert encode_section(each, b"the", first=False) == encode(each, "the")


def test_bytes_that_are_a_character_once_a_control_between_them_is_removed_are_read_as_that() -> None:
    """A board's text is bytes, so this is U+0301 to its second step, which takes accents away."""
    assert encode(read_trained("word pieces, BERT uncased"), b"\xcc\x05\x81") == []
