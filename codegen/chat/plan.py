"""A chat template as a plan that a board can follow: fixed tokens and texts around what the user says.

A template is a program; what it writes for a conversation is nearly always a row of literals with the messages between
them. `derive` finds these literals by rendering probe conversations and cutting the texts at the messages:

    first U1 after A1 following U2 after A2 following U3 after ...

and proves them on further probes. No template is recognised by its text. Where the literals do not give back every
probe the template stays a program, and only the host can render it.

What stands between two added tokens, a section, is encoded by itself. So all of a literal becomes tokens at once, but
for the text that shares its section with the user's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from tinyllm.codegen.chat.render import Chat, Message, Role, render, render_chats
from tinyllm.codegen.tokenizers.encode.encoder import encode_section
from tinyllm.codegen.tokenizers.encode.sections import Section, cut_sections
from tinyllm.codegen.tokenizers.encode.unicode_classes import WHITE_SPACE
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Strip, Tokenizer
from tinyllm.errors import UserError

SPACES = (*WHITE_SPACE, b"\x1c", b"\x1d", b"\x1e", b"\x1f")
"""What Python's str.strip, and so a template's `trim`, takes away: the information separators besides white space."""


@dataclass(frozen=True)
class Lead:
    """What stands before the user's text.

    tokens: up to the last added token. text: the rest, in one section with the user's. strip: that token takes away
    the white space that the user's text begins with. trim: the template does so itself.
    """

    tokens: tuple[int, ...]
    text: bytes
    strip: bool
    trim: bool


@dataclass(frozen=True)
class Tail:
    """What stands after the user's text: `text` in one section with it, then `tokens` from an added token on.

    strip: that token takes away the white space that the user's text ends with. trim: the template does so itself.
    """

    text: bytes
    tokens: tuple[int, ...]
    strip: bool
    trim: bool


@dataclass(frozen=True)
class ChatPlan:
    """How a chat turn becomes tokens.

    first: before the first user text of a conversation. following: before every later one, from the end of the answer
    on. after: after a user text, up to where the answer begins.
    end: the token that ends an answer in the template, if it is a stop token: an answer that ended with it has the
    first `ended` tokens of `following` already.
    """

    first: Lead
    following: Lead
    after: Tail
    end: int | None
    ended: int

    def turn(self, tokenizer: Tokenizer, text: str | bytes, first: bool, last_token: int | None = None) -> list[int]:
        """Token ids of a turn. last_token: the one that the conversation ends with so far."""
        said = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        lead = self.first if first else self.following
        said = trimmed(said, SPACES, lead.trim, self.after.trim)
        ended = not first and self.end is not None and last_token == self.end
        section = trimmed(lead.text + said + self.after.text, WHITE_SPACE, lead.strip, self.after.strip)
        return [
            *lead.tokens[self.ended if ended else 0 :],
            *_encode(tokenizer, cut_sections(tokenizer, section, special=False), first and not lead.tokens),
            *self.after.tokens,
        ]


class Unsuited(Exception):
    """Why a template cannot become a plan."""


def derive(template: str, tokenizer: Tokenizer, system: str | None = None) -> ChatPlan:
    """The plan of a template, with a system message at the beginning of every conversation where one is given.

    Raises Unsuited.
    """
    plan, why = _derived(template, tokenizer, system)
    if plan is None:
        raise Unsuited(why)
    return plan


def stopping_where_answers_end(template: str | None, tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with the control token that follows an answer in the template among its stop tokens.

    A model writes that token when it has said all; not every checkpoint's files name it.
    """
    if template is None:
        return tokenizer
    try:
        end = _end_of_answer(_cut(tokenizer, _literals(template, tokenizer, None).following))
    except Unsuited:
        return tokenizer
    if end is None or end in tokenizer.stop_ids or tokenizer.kinds[end] is not PieceKind.CONTROL:
        return tokenizer
    return replace(tokenizer, stop_ids=(*tokenizer.stop_ids, end))


def conversation_ids(
    template: str, tokenizer: Tokenizer, messages: Sequence[Message], generate: bool = True
) -> list[int]:
    """Token ids of a whole conversation as the template writes it; errors as chat_rendering.render.

    These are the ids of transformers' apply_chat_template, except that a control token's name in a message stays text.
    """
    hidden = _Hidden(tokenizer, "".join(message.content for message in messages))
    safe = [replace(message, content=hidden.hide(message.content)) for message in messages]
    text = render(template, safe, *special_names(tokenizer), generate).encode("utf-8", "surrogatepass")
    sections = cut_sections(tokenizer, text, special=True)
    return _encode(tokenizer, (replace(section, text=hidden.show(section.text)) for section in sections), True)


def special_names(tokenizer: Tokenizer) -> tuple[str | None, str | None]:
    """BOS and EOS as a template writes them, None where the vocabulary has none."""
    bos, eos = tokenizer.bos, tokenizer.eos
    return (
        None if bos is None else tokenizer.pieces[bos].decode("utf-8", "replace"),
        None if eos is None else tokenizer.pieces[eos].decode("utf-8", "replace"),
    )


def trimmed(text: bytes, spaces: Sequence[bytes], left: bool = True, right: bool = True) -> bytes:
    """The text without `spaces` at its ends."""
    start, end = 0, len(text)
    while left and (space := next((space for space in spaces if text.startswith(space, start)), b"")):
        start += len(space)
    while right and (space := next((space for space in spaces if text.endswith(space, start, end)), b"")):
        end -= len(space)
    return text[start:end]


def _encode(tokenizer: Tokenizer, sections: Iterable[Section], first: bool) -> list[int]:
    """Token ids of sections and added tokens in a row. first: nothing stands before them."""
    ids: list[int] = []
    for section in sections:
        if section.token is None:
            ids += encode_section(tokenizer, section.text, first and section.first)
        else:
            ids.append(section.token)
    return ids


class _Hidden:
    """Keeps the names of control tokens that people write apart from those that the template writes.

    While the template is rendered, each such name is a private use character that nobody wrote.
    """

    def __init__(self, tokenizer: Tokenizer, said: str) -> None:
        names = [name.decode("utf-8", "replace") for name in tokenizer.control_ids if name]
        unused = (chr(code) for code in range(0xF0000, 0xFFFFE) if chr(code) not in said)
        self._stand_ins = dict(zip([name for name in names if name in said], unused, strict=False))

    def hide(self, text: str) -> str:
        for name, character in self._stand_ins.items():
            text = text.replace(name, character)
        return text

    def show(self, text: bytes) -> bytes:
        for name, character in self._stand_ins.items():
            text = text.replace(character.encode(), name.encode())
        return text


# --- Derivation -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Literals:
    """The texts between the messages.

    before: white space that the template writes before an answer and not at the end of its generation prompt, so the
    model writes it. trim_*: whether white space goes that a user's text has after `first`, after `following`, and
    before `after`.
    """

    first: str
    after: str
    before: str
    following: str
    trim_first: bool
    trim_following: bool
    trim_after: bool

    def text(self, said: Sequence[str]) -> str:
        """A conversation: user, assistant, user, ... up to where the next answer begins."""
        text = self.first
        for index, content in enumerate(said):
            if index % 2 == 0:
                content = content.lstrip() if (self.trim_following if index else self.trim_first) else content
                text += (content.rstrip() if self.trim_after else content) + self.after
            else:
                text += self.before + content + self.following
        return text


ANSWER = "Zaqwsx"
"""In probes: a word that no template writes."""
SAID = "Vfrbgt"
PADDED = " \n two\twords\n "
PROBES = (
    ("Hello", "Hi there.", "What is\nthis?"),
    ("1", "2", "3", "4", "5"),
    ("# a 'b' \"c\" {{ d }} <e> é日本", "| f |\n\ng", PADDED, "no", "Hello", "Hello", "?"),
    (PADDED, "So.", "0"),
)
"""What is said in turns, beginning and ending with the user."""


@lru_cache(maxsize=16)
def _derived(template: str, tokenizer: Tokenizer, system: str | None) -> tuple[ChatPlan | None, str]:
    try:
        return _plan(_literals(template, tokenizer, system), tokenizer), ""
    except Unsuited as unsuited:
        return None, str(unsuited)


def _literals(template: str, tokenizer: Tokenizer, system: str | None) -> _Literals:
    """The literals that reproduce every probe. Raises Unsuited."""
    probes = ((SAID, ANSWER, SAID), *PROBES)
    try:
        # Without a clock: what is built today must be what is built tomorrow.
        rendered = render_chats(template, [_chat(said, system) for said in probes], *special_names(tokenizer), False)
    except UserError as error:
        raise Unsuited(str(error)) from None
    for one in rendered:
        if one.refusal:
            raise Unsuited(f"it refuses a conversation ({one.refusal})")
    texts = [one.text for one in rendered]
    around = texts[0].split(SAID)
    if len(around) != 3 or around[1].count(ANSWER) != 1:
        raise Unsuited("it does not write every message once and in order")
    first, between, after = around
    before_answer, following = between.split(ANSWER)
    before = before_answer.removeprefix(after)
    if not before_answer.startswith(after) or before.strip():
        raise Unsuited("what it writes before an answer that was given is not what it writes before one to be given")
    for trims in product((False, True), repeat=3):
        literals = _Literals(first, after, before, following, *trims)
        if [literals.text(said) for said in probes] == texts:
            return literals
    raise Unsuited("what it writes around a message depends on the conversation")


def _chat(said: Sequence[str], system: str | None) -> Chat:
    roles: tuple[Role, Role] = ("user", "assistant")
    messages = [Message(roles[index % 2], content) for index, content in enumerate(said)]
    return Chat(tuple(messages if system is None else [Message("system", system), *messages]))


def _plan(literals: _Literals, tokenizer: Tokenizer) -> ChatPlan:
    """The literals as tokens. Raises Unsuited."""
    first, following, after = (_cut(tokenizer, text) for text in (literals.first, literals.following, literals.after))
    end = _end_of_answer(following)
    if end is None and tokenizer.prefix_sections:
        raise Unsuited("no control token follows an answer, and its tokenizer puts a space before every text")
    ends = end is not None and end in tokenizer.stop_ids
    last_of_first, last_of_following, first_after = _edge(first[-1:]), _edge(following[-1:]), _edge(after[:1])
    return ChatPlan(
        first=Lead(
            tuple(_encode(tokenizer, _fixed(first), True)),
            last_of_first.text,
            _strip(tokenizer, last_of_first).right,
            literals.trim_first,
        ),
        following=Lead(
            tuple(_goes_on(tokenizer, _fixed(following))),
            last_of_following.text,
            _strip(tokenizer, last_of_following).right,
            literals.trim_following,
        ),
        after=Tail(
            first_after.text,
            tuple(_encode(tokenizer, after[1:] if first_after.text else after, False)),
            _strip(tokenizer, first_after).left,
            literals.trim_after,
        ),
        end=end if ends else None,
        ended=len(_goes_on(tokenizer, _fixed(following, end))) if ends else 0,
    )


def _cut(tokenizer: Tokenizer, text: str) -> Sequence[Section]:
    return tuple(cut_sections(tokenizer, text.encode("utf-8", "surrogatepass"), special=True))


def _end_of_answer(following: Sequence[Section]) -> int | None:
    """The first added token after an answer."""
    return next((section.token for section in following if section.token is not None), None)


def _edge(sections: Sequence[Section]) -> Section:
    """The section beside the user's text: an added token, or text that is in one section with it."""
    return sections[0] if sections else Section(b"", None, False)


def _strip(tokenizer: Tokenizer, section: Section) -> Strip:
    return Strip() if section.token is None else dict(tokenizer.strips).get(section.token, Strip())


def _fixed(sections: Sequence[Section], end: int | None = None) -> Sequence[Section]:
    """The sections up to the last added token, or up to the first that is `end`."""
    places = [n for n, section in enumerate(sections, 1) if section.token is not None and end in (None, section.token)]
    return sections[: 0 if not places else places[-1] if end is None else places[0]]


def _goes_on(tokenizer: Tokenizer, sections: Sequence[Section]) -> list[int]:
    """Token ids of sections that go on where generated text ended: such text gets no dummy prefix."""
    plain = replace(tokenizer, add_dummy_prefix=False)
    return _encode(plain, sections[:1], False) + _encode(tokenizer, sections[1:], False)
