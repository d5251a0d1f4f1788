"""A chat template as a plan that a board can follow: fixed tokens and texts around the user's text.

    first U1 after A1 following U2 after A2 following U3 after ...

A section is the text between two added tokens, and is encoded by itself. So the literals of the template become tokens
in advance, except for the text that shares its section with the user's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinyllm.codegen.tokenizers.encode.encoder import encode_section
from tinyllm.codegen.tokenizers.encode.sections import Section, cut_sections
from tinyllm.codegen.tokenizers.encode.unicode_classes import WHITE_SPACE
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

SPACES = (*WHITE_SPACE, b"\x1c", b"\x1d", b"\x1e", b"\x1f")
"""The characters that Python's str.strip and a template's `trim` remove: white space and information separators."""


@dataclass(frozen=True)
class Lead:
    """The literal before the user's text.

    tokens: the literal up to the last added token. text: the rest, which shares its section with the user's text.
    strip: the last added token removes white space at the start of the user's text. trim: the template removes it.
    """

    tokens: tuple[int, ...]
    text: bytes
    strip: bool
    trim: bool


@dataclass(frozen=True)
class Tail:
    """The literal after the user's text.

    text: the part that shares its section with the user's text. tokens: the rest, from the first added token on.
    strip: the first added token removes white space at the end of the user's text. trim: the template removes it.
    """

    text: bytes
    tokens: tuple[int, ...]
    strip: bool
    trim: bool


@dataclass(frozen=True)
class ChatPlan:
    """How a chat turn becomes tokens.

    first: the literal before the first user text of a conversation. following: the one before every later user text,
    from the end of the answer on. after: the one after a user text, up to the answer.
    end: the token that ends an answer in the template, if it is a stop token. After an answer that ended with it, the
    conversation already has the first `ended` tokens of `following`.
    """

    first: Lead
    following: Lead
    after: Tail
    end: int | None
    ended: int

    def turn(self, tokenizer: Tokenizer, text: str | bytes, first: bool, last_token: int | None = None) -> list[int]:
        """Token ids of a turn. last_token: the last token of the conversation so far."""
        said = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        lead = self.first if first else self.following
        said = trimmed(said, SPACES, lead.trim, self.after.trim)
        ended = not first and self.end is not None and last_token == self.end
        section = trimmed(lead.text + said + self.after.text, WHITE_SPACE, lead.strip, self.after.strip)
        return [
            *lead.tokens[self.ended if ended else 0 :],
            *encode_sections(tokenizer, cut_sections(tokenizer, section, special=False), first and not lead.tokens),
            *self.after.tokens,
        ]


def trimmed(text: bytes, spaces: Sequence[bytes], left: bool = True, right: bool = True) -> bytes:
    """The text without `spaces` at its ends."""
    start, end = 0, len(text)
    while left and (space := next((space for space in spaces if text.startswith(space, start)), b"")):
        start += len(space)
    while right and (space := next((space for space in spaces if text.endswith(space, start, end)), b"")):
        end -= len(space)
    return text[start:end]


def encode_sections(tokenizer: Tokenizer, sections: Iterable[Section], first: bool) -> list[int]:
    """Token ids of consecutive sections and added tokens. first: whether they begin the text."""
    ids: list[int] = []
    for section in sections:
        if section.token is None:
            ids += encode_section(tokenizer, section.text, first and section.first)
        else:
            ids.append(section.token)
    return ids
