"""Derives the plan of a chat template, which a board can follow.

A template is a program, but nearly every template writes a conversation as fixed literals with the messages between
them. `derive` renders probe conversations and cuts the texts at the messages to find these literals. Then it checks the
literals on further probes. It knows no template by its text. If the literals do not reproduce every probe, only the
host can render the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from tinyllm.codegen.chat.conversation import special_names
from tinyllm.codegen.chat.plan import ChatPlan, Lead, Tail, encode_sections
from tinyllm.codegen.chat.render import Chat, Message, Role, render_chats
from tinyllm.codegen.tokenizers.encode.sections import Section, cut_sections
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Strip, Tokenizer
from tinyllm.errors import UserError


class Unsuited(Exception):
    """Why a template cannot become a plan."""


def derive(template: str, tokenizer: Tokenizer, system: str | None = None) -> ChatPlan:
    """The plan of a template. If `system` is given, every conversation begins with that system message.

    Raises Unsuited if the template cannot become a plan.
    """
    plan, why = _derived(template, tokenizer, system)
    if plan is None:
        raise Unsuited(why)
    return plan


def stopping_where_answers_end(template: str | None, tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, with the control token that the template writes after an answer added to its stop tokens.

    A model ends its answer with that token, but not every checkpoint's files name it as a stop token.
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


@dataclass(frozen=True)
class _Literals:
    """The texts between the messages.

    before: white space that the template writes before an answer, but not at the end of its generation prompt. So the
    model itself writes it. trim_*: whether the template removes white space from a user's text after `first`, after
    `following`, and before `after`.
    """

    first: str
    after: str
    before: str
    following: str
    trim_first: bool
    trim_following: bool
    trim_after: bool

    def text(self, said: Sequence[str]) -> str:
        """The text of a conversation (user, assistant, user, ...) up to the beginning of the next answer."""
        text = self.first
        for index, content in enumerate(said):
            if index % 2 == 0:
                content = content.lstrip() if (self.trim_following if index else self.trim_first) else content
                text += (content.rstrip() if self.trim_after else content) + self.after
            else:
                text += self.before + content + self.following
        return text


ANSWER = "Zaqwsx"
"""A word of the probes that no template writes; so is SAID."""
SAID = "Vfrbgt"
PADDED = " \n two\twords\n "
PROBES = (
    ("Hello", "Hi there.", "What is\nthis?"),
    ("1", "2", "3", "4", "5"),
    ("# a 'b' \"c\" {{ d }} <e> é日本", "| f |\n\ng", PADDED, "no", "Hello", "Hello", "?"),
    (PADDED, "So.", "0"),
)
"""Conversations: messages in turn, the first and the last from the user."""


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
        # A build must be the same on every day, so the template gets no clock.
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
            tuple(encode_sections(tokenizer, _fixed(first), True)),
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
            tuple(encode_sections(tokenizer, after[1:] if first_after.text else after, False)),
            _strip(tokenizer, first_after).left,
            literals.trim_after,
        ),
        end=end if ends else None,
        ended=len(_goes_on(tokenizer, _fixed(following, end))) if ends else 0,
    )


def _cut(tokenizer: Tokenizer, text: str) -> Sequence[Section]:
    return tuple(cut_sections(tokenizer, text.encode("utf-8", "surrogatepass"), special=True))


def _end_of_answer(following: Sequence[Section]) -> int | None:
    """The first added token after an answer, None if there is none."""
    return next((section.token for section in following if section.token is not None), None)


def _edge(sections: Sequence[Section]) -> Section:
    """The section next to the user's text: an added token, or text that shares its section with the user's text."""
    return sections[0] if sections else Section(b"", None, False)


def _strip(tokenizer: Tokenizer, section: Section) -> Strip:
    return Strip() if section.token is None else dict(tokenizer.strips).get(section.token, Strip())


def _fixed(sections: Sequence[Section], end: int | None = None) -> Sequence[Section]:
    """The sections up to the last added token, or up to the first that is `end`."""
    places = [n for n, section in enumerate(sections, 1) if section.token is not None and end in (None, section.token)]
    return sections[: 0 if not places else places[-1] if end is None else places[0]]


def _goes_on(tokenizer: Tokenizer, sections: Sequence[Section]) -> list[int]:
    """Token ids of sections that follow generated text: such text gets no dummy prefix."""
    plain = replace(tokenizer, add_dummy_prefix=False)
    return encode_sections(plain, sections[:1], False) + encode_sections(tokenizer, sections[1:], False)
