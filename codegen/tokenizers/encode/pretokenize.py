r"""Cuts text into words by a published pattern: one hand-written matcher for the regular expressions in use.

The patterns are one family, which began with GPT-2's. At each place the next word is the first of these that matches,
as long as possible:

    contraction     's 't 're 've 'm 'll 'd
    word            one other character if there is one, then letters
    number          one or a few digits; or one space if there is one, then any number of digits
    punctuation     one space if there is one, then neither white space nor letters nor digits, then line ends
    line ends       white space up to the last line end of its run
    white space     a run; if something else follows, without its last character unless that is the only one

The patterns differ in the fields of `Pattern`. Sources: github.com/openai/tiktoken (tiktoken_ext), and the
pre_tokenizer of the published tokenizer.json files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tinyllm.codegen.tokenizers.encode.unicode_classes import CharClass, char_class

GPT2_REGEX = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DIGIT_REGEX = r"\p{N}"
"""What `Digits(individual_digits=True)` of Hugging Face tokenizers isolates."""


@dataclass(frozen=True)
class Pattern:
    r"""One way of cutting text into words.

    published: the published forms. Each has one or more regular expressions, applied one after the other, and every
        match is a word of its own ("isolated").
    at_spaces: every space begins a word, and nothing else does; the other fields have no effect.
    contractions: 's and the like are words. any_case: also in capitals, and with U+017F for s.
    cased: a word is capitals, then small letters, with marks among them; a contraction is the end of its word.
    any_before: the character before the letters may be any but a line end, a letter or a digit; else only a space.
    max_digits: the most digits of a number, without a space before them; 0: any number of digits, after one space.
    digits_alone: each digit is cut out first, so white space ends at a digit as it does at the end of the text.
    line_ends: \r and \n belong to the punctuation before them, and end white space. slashes: / too, after punctuation.
    keeps_last_run: white space at the end of the text is one word, even if it has line ends.
    """

    published: tuple[tuple[str, ...], ...]
    at_spaces: bool = False
    contractions: bool = True
    any_case: bool = True
    cased: bool = False
    any_before: bool = True
    max_digits: int = 3
    digits_alone: bool = False
    line_ends: bool = True
    slashes: bool = False
    keeps_last_run: bool = False


_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_CL100K_POSSESSIVE = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
_OLMO2 = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
    r"|\s+(?!\S)|\s+"
)
_GPT2_POSSESSIVE = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_CASED_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX"
    r"|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _cased(suffix: str, digits: str) -> str:
    return _CASED_WORDS.replace("SUFFIX", suffix).replace("DIGITS", digits)


PATTERNS: dict[str, Pattern] = {
    "gpt2": Pattern(
        published=((GPT2_REGEX,), (_GPT2_POSSESSIVE,)),
        any_case=False,
        any_before=False,
        max_digits=0,
        line_ends=False,
    ),
    "smollm": Pattern(
        published=((DIGIT_REGEX, GPT2_REGEX),),
        any_case=False,
        any_before=False,
        max_digits=1,
        digits_alone=True,
        line_ends=False,
    ),
    "llama3": Pattern(published=((_CL100K,), (_OLMO2,))),
    # Only for tiktoken: tokenizers reads the "+" of "{1,3}+" as another repetition.
    "cl100k": Pattern(published=((_CL100K_POSSESSIVE,),), keeps_last_run=True),
    "qwen2": Pattern(published=((_CL100K.replace("{1,3}", ""),),), max_digits=1),
    "o200k": Pattern(published=((_cased(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"\p{N}{1,3}"),),), cased=True, slashes=True),
    "tekken": Pattern(published=((_cased("", r"\p{N}"),),), contractions=False, cased=True, max_digits=1, slashes=True),
    "spaces": Pattern(published=(("(?= )",),), at_spaces=True),
}
"""The patterns by name. `spaces` is Metaspace's split of Hugging Face tokenizers; `smollm` is Digits before GPT-2's."""

_AT_SPACES = re.compile(r" [^ ]*|[^ ]+")
_CONTRACTIONS = re.compile(r"'(?:[sdmt]|ll|ve|re)")
_ANY_CASE_CONTRACTIONS = re.compile(r"'(?:[sdmt]|ll|ve|re)", re.IGNORECASE)
_LETTERS = frozenset({CharClass.LETTER, CharClass.UPPER, CharClass.LOWER})
_CAPITALS = frozenset({CharClass.LETTER, CharClass.UPPER, CharClass.MARK})
_SMALL = frozenset({CharClass.LETTER, CharClass.LOWER, CharClass.MARK})
_PUNCTUATION = frozenset({CharClass.OTHER, CharClass.MARK})
_SPACES = frozenset({CharClass.SPACE})
_NUMBERS = frozenset({CharClass.NUMBER})


def find_pattern(regexes: Sequence[str]) -> str | None:
    """The name of the pattern published as these regular expressions, applied one after the other; None if none is."""
    return next((name for name, pattern in PATTERNS.items() if tuple(regexes) in pattern.published), None)


def words(name: str, text: bytes) -> Iterator[bytes]:
    """The words of `text` by the pattern of that name. Joined, they are the text again.

    A byte that is no UTF-8 counts as a character of class OTHER.
    """
    pattern, characters = PATTERNS[name], text.decode("utf-8", "surrogateescape")
    ends = (
        (match.end() for match in _AT_SPACES.finditer(characters)) if pattern.at_spaces else _ends(pattern, characters)
    )
    start = 0
    for end in ends:
        yield characters[start:end].encode("utf-8", "surrogateescape")
        start = end


def _ends(pattern: Pattern, text: str) -> Iterator[int]:
    at = 0
    while at < len(text):
        at = (
            (0 if pattern.cased else _contraction(pattern, text, at))
            or (_cased_word if pattern.cased else _word)(pattern, text, at)
            or _number(pattern, text, at)
            or _punctuation(pattern, text, at)
            or _white_space(pattern, text, at)
        )
        yield at


# Each function below returns the end of the word of its kind that begins at `at`, or 0 if none begins there.


def _contraction(pattern: Pattern, text: str, at: int) -> int:
    match = (_ANY_CASE_CONTRACTIONS if pattern.any_case else _CONTRACTIONS).match(text, at)
    return match.end() if pattern.contractions and match else 0


def _before(pattern: Pattern, text: str, at: int) -> bool:
    """Whether the character at `at` may stand before the letters of a word."""
    if not pattern.any_before:
        return text[at] == " "
    return text[at] not in "\r\n" and char_class(text[at]) not in _LETTERS | _NUMBERS


def _word(pattern: Pattern, text: str, at: int) -> int:
    start = at + _before(pattern, text, at)
    end = _run(text, start, _LETTERS)
    return end if end > start else 0


def _cased_word(pattern: Pattern, text: str, at: int) -> int:
    starts = [at + 1, at] if _before(pattern, text, at) else [at]
    end = next(filter(None, (_small_end(text, start) for start in starts)), 0)
    if not end:
        # Capitals without a small letter after them.
        end = next((end for start in starts if (end := _run(text, start, _CAPITALS)) > start), 0)
    return (end and _contraction(pattern, text, end)) or end


def _small_end(text: str, start: int) -> int:
    """The end of a run of capitals and then at least one small letter; letters that may be either count as capitals."""
    middle = _run(text, start, _CAPITALS)
    end = _run(text, middle, _SMALL)
    if end > middle:
        return end
    # Without a small letter after them, the last of the capitals that may be either is the small letter.
    return next((at + 1 for at in range(middle - 1, start - 1, -1) if char_class(text[at]) in _SMALL), 0)


def _number(pattern: Pattern, text: str, at: int) -> int:
    start = at + (pattern.max_digits == 0 and text[at] == " ")
    end = _run(text, start, _NUMBERS, pattern.max_digits)
    return end if end > start else 0


def _punctuation(pattern: Pattern, text: str, at: int) -> int:
    start = at + (text[at] == " ")
    end = _run(text, start, _PUNCTUATION)
    if end == start:
        return 0
    ends = "\r\n/" if pattern.slashes else "\r\n" if pattern.line_ends else ""
    while end < len(text) and text[end] in ends:
        end += 1
    return end


def _white_space(pattern: Pattern, text: str, at: int) -> int:
    end = _run(text, at, _SPACES)
    at_end = end == len(text)
    if at_end and pattern.keeps_last_run:
        return end
    if pattern.line_ends:
        line_end = max(text.rfind("\r", at, end), text.rfind("\n", at, end))
        if line_end >= at:
            return line_end + 1
    if at_end or (pattern.digits_alone and char_class(text[end]) is CharClass.NUMBER):
        return end
    return max(end - 1, at + 1)


def _run(text: str, start: int, classes: frozenset[CharClass], limit: int = 0) -> int:
    """The end of the run of characters of these classes from `start` on; at most `limit` characters if it is not 0."""
    end = min(len(text), start + limit) if limit else len(text)
    at = start
    while at < end and char_class(text[at]) in classes:
        at += 1
    return at
