"""Reads the pre-tokenizer of a tokenizer.json: steps that cut a text into words, and these into smaller ones.

Source: tokenizers/src/pre_tokenizers of github.com/huggingface/tokenizers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.tokenizers.encode.code_sets import (
    ANYTHING,
    NUMERIC,
    PUNCTUATION,
    RUST_WORD,
    WHITE_SPACE,
    CodeSet,
    characters,
)
from tinyllm.codegen.tokenizers.encode.cut import Behavior, Cut
from tinyllm.codegen.tokenizers.encode.pretokenize import DIGIT_REGEX, GPT2_REGEX, find_pattern
from tinyllm.codegen.tokenizers.encode.regex import Chars, Choice, Node, Repeat, literal, map_sets, read_regex
from tinyllm.codegen.tokenizers.formats.tokenizer_json_steps import MARK, Steps, pattern_of
from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK

WRITTEN_FOR_TIKTOKEN = "cl100k"
"""The pattern whose regex has another meaning in tokenizers."""
LONGEST_FIXED = 100
BEHAVIORS = {
    "Isolated": Behavior.ISOLATED,
    "Removed": Behavior.REMOVED,
    "MergedWithPrevious": Behavior.MERGED_WITH_PREVIOUS,
    "MergedWithNext": Behavior.MERGED_WITH_NEXT,
    "Contiguous": Behavior.CONTIGUOUS,
}
KNOWN = (
    *("ByteLevel", "Metaspace", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits", "BertPreTokenizer"),
    *("CharDelimiterSplit", "Split", "FixedLength"),
)
_SPACE = Cut(Chars(WHITE_SPACE), Behavior.REMOVED)
_WORDS = Cut(
    Choice((Repeat(Chars(RUST_WORD), 1, None), Repeat(Chars(~(RUST_WORD | WHITE_SPACE)), 1, None))),
    Behavior.REMOVED,
    invert=True,
)
_AT_SPACES = Cut(literal(" "), Behavior.MERGED_WITH_NEXT)


@dataclass(frozen=True)
class _Found:
    """A cut, and its regular expression if its words are the matches and these cover the whole text; else ""."""

    cut: Cut
    regex: str = ""


def read_pre_tokenizer(document: Fields, sequence: list[Fields], steps: Steps) -> Steps:
    """`steps` with the pre-tokenizer's steps added. Raises UserError, naming the first that cannot be followed."""
    found: list[_Found] = []
    at_spaces = False
    for step in sequence:
        kind = step.get("type")
        if steps.byte_level:
            raise step.refusal("type", "nothing behind ByteLevel", "choose another tokenizer")
        if kind == "ByteLevel":
            if steps.marks:
                raise step.refusal("type", "no ByteLevel if spaces become marks", "choose another tokenizer")
            if step.switch("use_regex", True):
                found.append(_Found(Cut(read_regex(GPT2_REGEX), Behavior.ISOLATED), GPT2_REGEX))
            steps = _byte_level(step, steps, first=step is sequence[0])
        elif kind == "Metaspace":
            if steps.marks:
                raise step.refusal("type", "one step that turns spaces into marks", "choose another tokenizer")
            split = step.switch("split", True)
            steps = _metaspace(step, replace(steps, cuts=tuple(item.cut for item in found)))
            at_spaces = split and step is sequence[-1] and not found
            found += [_Found(_AT_SPACES)] if split and not at_spaces and not steps.word_prefix else []
        else:
            cuts = _cuts(step)
            found += [_with_marks(item) for item in cuts] if steps.marks else cuts
    if steps.byte_level and steps.character_map:
        raise document.refusal("pre_tokenizer", "no ByteLevel behind a Precompiled normalizer", "choose another")
    pattern, n_cuts = ("spaces", 0) if at_spaces else _published(found)
    return replace(steps, pattern=pattern, cuts=tuple(item.cut for item in found[:n_cuts]))


def _published(found: list[_Found]) -> tuple[str, int]:
    """The published pattern that the last cuts make, "" if none, and how many cuts come before it."""
    for start in range(len(found)):
        regexes = tuple(item.regex for item in found[start:])
        name = find_pattern(regexes)
        if all(regexes) and name is not None and name != WRITTEN_FOR_TIKTOKEN:
            return name, start
    return "", len(found)


def _byte_level(step: Fields, steps: Steps, first: bool) -> Steps:
    prefix = step.switch("add_prefix_space", True)
    if prefix and not first:
        raise step.refusal("add_prefix_space", "false behind another step", "choose another tokenizer")
    return replace(steps, byte_level=True, add_dummy_prefix=prefix, prefix_sections=prefix, prefix_unless_space=prefix)


def _metaspace(step: Fields, steps: Steps) -> Steps:
    if step.get("replacement") != MARK:
        raise step.refusal("replacement", "U+2581", "choose another tokenizer")
    scheme = step.get("prepend_scheme", "always" if step.switch("add_prefix_space", True) else "never")
    if scheme not in ("always", "first", "never"):
        raise step.refusal("prepend_scheme", "always, first or never")
    if steps.remove_extra_whitespaces and scheme != "always":
        raise step.refusal("prepend_scheme", "always behind a Strip", "choose another tokenizer")
    steps = replace(steps, marks=True)
    if not steps.cuts:
        return replace(
            steps, add_dummy_prefix=scheme != "never", prefix_sections=scheme == "always", prefix_unless_space=True
        )
    if scheme == "first" or (scheme == "always" and not steps.drops_spaces):
        raise step.refusal(
            "prepend_scheme", "never, or always behind a step that drops spaces", "choose another tokenizer"
        )
    return replace(steps, word_prefix=scheme == "always")


def _cuts(step: Fields) -> list[_Found]:
    kind = step.get("type")
    if kind == "Split":
        return [_split(step)]
    if kind == "Digits":
        alone = step.switch("individual_digits", False)
        behavior = Behavior.ISOLATED if alone else Behavior.CONTIGUOUS
        return [_Found(Cut(Chars(NUMERIC), behavior), DIGIT_REGEX if alone else "")]
    if kind == "Whitespace":
        return [_Found(_WORDS)]
    if kind == "WhitespaceSplit":
        return [_Found(_SPACE)]
    if kind == "BertPreTokenizer":
        return [_Found(_SPACE), _Found(Cut(Chars(PUNCTUATION), Behavior.ISOLATED))]
    if kind == "Punctuation":
        return [_Found(Cut(Chars(PUNCTUATION), _behavior(step)))]
    if kind == "CharDelimiterSplit":
        delimiter = step.get("delimiter")
        if not isinstance(delimiter, str) or len(delimiter) != 1:
            raise step.refusal("delimiter", "one character")
        return [_Found(Cut(Chars(characters(delimiter)), Behavior.REMOVED))]
    if kind == "FixedLength":
        length = step.get("length", 5)
        if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= LONGEST_FIXED:
            raise step.refusal("length", f"1 to {LONGEST_FIXED}", "choose another tokenizer")
        return [_Found(Cut(Repeat(Chars(ANYTHING), 1, length), Behavior.ISOLATED))]
    raise step.refusal("type", f"one of {', '.join(KNOWN)}", "choose another tokenizer")


def _split(step: Fields) -> _Found:
    cut = Cut(pattern_of(step), _behavior(step), step.switch("invert", False))
    # The matches of every published pattern cover the whole text, so keeping only the matches keeps everything.
    whole = (cut.behavior, cut.invert) in ((Behavior.ISOLATED, False), (Behavior.REMOVED, True))
    return _Found(cut, str(step.inner("pattern").get("Regex", "")) if whole else "")


def _behavior(step: Fields) -> Behavior:
    name = step.get("behavior", "Isolated")
    if not isinstance(name, str) or name not in BEHAVIORS:
        raise step.refusal("behavior", f"one of {', '.join(BEHAVIORS)}")
    return BEHAVIORS[name]


def _with_marks(found: _Found) -> _Found:
    """The cut of a step that is written for marks, changed for text that has spaces in their place."""
    return _Found(replace(found.cut, pattern=_marked(found.cut.pattern)))


def _marked(node: Node) -> Node:
    mark, space = ord(SPACE_MARK.decode()), characters(" ")

    def change(codes: CodeSet) -> CodeSet:
        return codes | space if mark in codes else codes - space

    return map_sets(node, change)
