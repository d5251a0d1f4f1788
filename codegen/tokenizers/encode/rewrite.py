"""The steps that change a text before it is cut into words: normal forms, lower case, replacement, white space.

They are those of Hugging Face tokenizers (tokenizers/src/normalizers of github.com/huggingface/tokenizers), each in the
Unicode version of the library that it uses. No step changes a byte that is no UTF-8.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Literal

from tinyllm.codegen.tokenizers.encode.automaton import Alphabet, Automaton
from tinyllm.codegen.tokenizers.encode.code_sets import (
    ACCENTS,
    BERT_ACCENTS,
    BERT_CONTROLS,
    BERT_SPACES,
    CHINESE,
    NMT_DROPPED,
    NMT_SPACES,
    WHITE_SPACE,
    CodeSet,
)
from tinyllm.codegen.tokenizers.encode.regex import Chars, Node
from tinyllm.codegen.tokenizers.encode.unicode_data import LATER_FORMS, LOWER_CASE


class RewriteKind(IntEnum):
    """What a step does; the values are emitted into the C tables."""

    NFC = 0
    NFD = 1
    NFKC = 2
    NFKD = 3
    """Normal forms (Unicode annex 15)."""
    LOWERCASE = 4
    """Each character by itself, whatever its neighbours are."""
    REPLACE = 5
    """Each match becomes `content`."""
    SURROUND = 6
    """Each match gets `content` before it and after it."""
    TRIM = 7
    """Matches at the start (`left`) and at the end (`right`) are removed; they are single characters."""
    PREPEND = 8
    """A text that is not empty gets `content` before it."""


Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: dict[RewriteKind, Form] = {
    RewriteKind.NFC: "NFC",
    RewriteKind.NFD: "NFD",
    RewriteKind.NFKC: "NFKC",
    RewriteKind.NFKD: "NFKD",
}


@dataclass(frozen=True)
class Rewrite:
    """One step. pattern: the matches that it changes, None for a step without matches."""

    kind: RewriteKind
    pattern: Node | None = None
    content: bytes = b""
    left: bool = False
    right: bool = False


def replace_set(codes: CodeSet, content: bytes) -> Rewrite:
    return Rewrite(RewriteKind.REPLACE, Chars(codes), content)


COMPOSE = Rewrite(RewriteKind.NFC)
LOWERCASE = Rewrite(RewriteKind.LOWERCASE)
STRIP_ACCENTS = replace_set(ACCENTS, b"")
NMT = (replace_set(NMT_DROPPED, b""), replace_set(NMT_SPACES, b" "))
BERT_CLEAN = (replace_set(BERT_CONTROLS, b""), replace_set(BERT_SPACES, b" "))
BERT_CHINESE = Rewrite(RewriteKind.SURROUND, Chars(CHINESE), b" ")
BERT_STRIP_ACCENTS = (Rewrite(RewriteKind.NFD), replace_set(BERT_ACCENTS, b""))


def trim(left: bool, right: bool) -> Rewrite:
    return Rewrite(RewriteKind.TRIM, Chars(WHITE_SPACE), left=left, right=right)


def rewrite(step: Rewrite, alphabet: Alphabet, automaton: Automaton | None, text: str) -> str:
    """The text after the step. Bytes that are no UTF-8 are escaped in it as surrogates.

    automaton: that of `step.pattern`, which reads `alphabet`; None if the step has no pattern.
    """
    if step.kind in FORMS:
        return normal_form(FORMS[step.kind], text)
    if step.kind is RewriteKind.LOWERCASE:
        return text.translate(_lower_case())
    content = step.content.decode()
    if automaton is None:
        return content + text if text else ""
    segments = list(_segments(alphabet, automaton, text))
    if step.kind is RewriteKind.TRIM:
        return _trimmed(step, segments)
    if step.kind is RewriteKind.SURROUND:
        return "".join(f"{content}{segment}{content}" if match else segment for segment, match in segments)
    return "".join(content if match else segment for segment, match in segments)


def normal_form(form: Form, text: str) -> str:
    """The text in a normal form. As in tokenizers, the characters of LATER_FORMS do not change."""
    if text.isascii():
        return text
    parts = _later().split(text)  # Every second part is such a character.
    parts[::2] = (unicodedata.normalize(form, part) for part in parts[::2])
    return "".join(parts)


def _segments(alphabet: Alphabet, automaton: Automaton, text: str) -> Iterator[tuple[str, bool]]:
    """The text in segments, each with whether it is a match."""
    symbols, start, at = alphabet.read(text), 0, 0
    while at < len(text):
        end = automaton.match_end(symbols, at, len(text))
        if end < 0:
            at += 1
            continue
        yield text[start:at], False
        yield text[at:end], True
        start = at = end
    yield text[start:], False


def _trimmed(step: Rewrite, segments: list[tuple[str, bool]]) -> str:
    kept = [number for number, (segment, match) in enumerate(segments) if segment and not match]
    if not kept:
        return "" if step.left or step.right else "".join(segment for segment, _ in segments)
    first = kept[0] if step.left else 0
    last = kept[-1] if step.right else len(segments) - 1
    return "".join(segment for segment, _ in segments[first : last + 1])


@lru_cache(maxsize=1)
def _later() -> re.Pattern[str]:
    return re.compile("([" + "".join(f"{chr(first)}-{chr(last)}" for first, last in LATER_FORMS) + "])")


@lru_cache(maxsize=1)
def _lower_case() -> dict[int, str]:
    found = {
        code: chr(code + distance)
        for first, last, step, distance in LOWER_CASE
        for code in range(first, last + 1, step)
    }
    return found | {0x130: "i\u0307"}
