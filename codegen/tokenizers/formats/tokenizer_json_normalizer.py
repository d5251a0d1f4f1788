"""Reads the normalizer of a tokenizer.json.

First come steps that rewrite the text, in any number and order. Then may come SentencePiece's steps: a Precompiled map,
a Prepend of the mark U+2581, and a Replace of spaces by the mark.
Source: tokenizers/src/normalizers of github.com/huggingface/tokenizers.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.tokenizers.encode.normalize import CharacterMap
from tinyllm.codegen.tokenizers.encode.rewrite import (
    BERT_CHINESE,
    BERT_CLEAN,
    BERT_STRIP_ACCENTS,
    FORMS,
    LOWERCASE,
    NMT,
    STRIP_ACCENTS,
    Rewrite,
    RewriteKind,
    trim,
)
from tinyllm.codegen.tokenizers.encode.unicode_classes import WHITE_SPACE
from tinyllm.codegen.tokenizers.formats.character_map import check_character_map
from tinyllm.codegen.tokenizers.formats.tokenizer_json_steps import MARK, Steps, pattern_of
from tinyllm.errors import UserError

RUN_OF_SPACES = " {2,}"
NEXT_LINE = "\u0085".encode()
LONGEST_CONTENT = 255
"""The most bytes of a replacement."""
_FIXED = {kind.name: (Rewrite(kind),) for kind in FORMS} | {
    "Lowercase": (LOWERCASE,),
    "StripAccents": (STRIP_ACCENTS,),
    "Nmt": NMT,
}
KNOWN = (*_FIXED, "Strip", "Replace", "Prepend", "BertNormalizer", "Precompiled")


def read_normalizer(sequence: list[Fields]) -> Steps:
    """The Steps of a normalizer. Raises UserError, naming the first step that cannot be followed."""
    steps = Steps(normalizers=tuple(str(step.get("type")) for step in sequence))
    prepends = strips = folds = False
    for step in sequence:
        kind = step.get("type")
        later = bool(steps.character_map) or prepends or steps.marks
        rewrites = () if later else _rewrites(step)
        if rewrites:
            steps = replace(steps, rewrites=steps.rewrites + rewrites)
        elif kind == "Precompiled" and not later:
            steps = replace(steps, character_map=_character_map(step))
        elif kind == "Prepend" and step.get("prepend") == MARK and not prepends:
            prepends = True
        elif _replaces_spaces(step):
            steps = replace(steps, marks=True)
        elif kind == "Strip" and not step.switch("strip_left", True) and step.switch("strip_right", True):
            strips = True
        elif kind == "Replace" and step.inner("pattern") == {"Regex": RUN_OF_SPACES} and strips:
            if step.get("content") not in (" ", MARK):
                raise step.refusal("content", "a space or the mark U+2581", "choose another tokenizer")
            folds = True
        elif kind in KNOWN:
            raise step.refusal(
                "type",
                "no more than a Prepend of U+2581 and a Replace of spaces by it here",
                "choose another tokenizer",
            )
        else:
            raise step.refusal("type", f"one of {', '.join(KNOWN)}", "choose another tokenizer")
    whole = not prepends or steps.marks
    if not whole or strips is not folds or (folds and (steps.marks or not _maps_white_space(steps.character_map))):
        raise sequence[-1].refusal("type", "a known sequence of normalizers", "choose another tokenizer")
    return replace(steps, add_dummy_prefix=prepends, prefix_sections=prepends, remove_extra_whitespaces=folds)


def _rewrites(step: Fields) -> tuple[Rewrite, ...]:
    """The rewrites of a step; () if it is one of SentencePiece's steps or unknown."""
    kind = str(step.get("type"))
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == "BertNormalizer":
        return _bert(step)
    if kind == "Strip":
        return (trim(step.switch("strip_left", True), step.switch("strip_right", True)),)
    if kind == "Prepend" and step.get("prepend") != MARK:
        return (Rewrite(RewriteKind.PREPEND, content=_content(step, "prepend")),)
    if kind == "Replace" and not _replaces_spaces(step):
        return (Rewrite(RewriteKind.REPLACE, pattern_of(step), _content(step, "content")),)
    return ()


def _replaces_spaces(step: Fields) -> bool:
    return step.get("type") == "Replace" and (step.inner("pattern"), step.get("content")) == ({"String": " "}, MARK)


def _content(step: Fields, key: str) -> bytes:
    text = step.get(key)
    try:
        content = text.encode() if isinstance(text, str) else None
    except UnicodeEncodeError:
        content = None
    if content is None or len(content) > LONGEST_CONTENT:
        raise step.refusal(key, f"a text of up to {LONGEST_CONTENT} bytes")
    return content


def _bert(step: Fields) -> tuple[Rewrite, ...]:
    lowercase = step.switch("lowercase", True)
    strip_accents = lowercase if step.get("strip_accents") is None else step.switch("strip_accents", False)
    return (
        *(BERT_CLEAN if step.switch("clean_text", True) else ()),
        *((BERT_CHINESE,) if step.switch("handle_chinese_chars", True) else ()),
        *(BERT_STRIP_ACCENTS if strip_accents else ()),
        *((LOWERCASE,) if lowercase else ()),
    )


def _maps_white_space(character_map: bytes) -> bool:
    """Whether the map leaves no white space for Strip to find, except spaces and the control character NEL."""
    found = CharacterMap(character_map)
    others = set(WHITE_SPACE) - {b" ", NEXT_LINE}
    return bool(character_map) and all(found.longest(space, 0)[1] in (b"", b" ") for space in others)


def _character_map(step: Fields) -> bytes:
    text = step.get("precompiled_charsmap", "")
    try:
        if isinstance(text, str):
            return check_character_map(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise UserError(
            f"{step.path}: {step.prefix}precompiled_charsmap is not sound ({error}); export the tokenizer again"
        ) from error
    raise step.refusal("precompiled_charsmap", "text in base64")
