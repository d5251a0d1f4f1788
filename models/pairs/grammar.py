"""The grammar of phrases: one line stands for many sentences, in the notation of speech grammars.

    (turn|switch) on the {room} light[s]

    (a|b)      one of several; one may be empty
    [a]        may be left out
    <name>     a rule of the phrase book, as if its text stood here in brackets
    {name}     a slot for a value; {name:form} writes the value in a form of the phrase book

The notation is that of JSGF (W3C note, 2000), with slots as in Home Assistant's sentences. A *template* is one
expansion with its slots still empty. Whole templates are trained on or held out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from tinyllm.errors import UserError
from tinyllm.text import shown

SLOT = re.compile(r"\{([a-z][a-z0-9_]*)?(?::([a-z][a-z0-9_]*))?\}")
"""{argument}, {argument:form}, or, within a form, {} for the value itself."""
_TOKEN = re.compile(rf"{SLOT.pattern}|<([a-z][a-z0-9_]*)>|[()\[\]|]|[^()\[\]|{{}}<]+|.", re.DOTALL)
DEEPEST = 12
"""The most brackets and rules within one another."""
TOO_DEEP = f"more than {DEEPEST} brackets or rules within one another; does a rule name itself?"
LONGEST_LINE = 4000
RULE = ", rule <"


@dataclass(frozen=True)
class Choice:
    """One of several sequences."""

    options: tuple[Sequence, ...]

    def count(self) -> int:
        """The number of expansions; equal ones count separately."""
        return sum(option.count() for option in self.options)

    def pick(self, random: Random) -> str:
        """A random expansion; all options are equally likely."""
        return self.options[random.randrange(len(self.options))].pick(random)


@dataclass(frozen=True)
class Sequence:
    """Texts and choices, one after the other."""

    parts: tuple[str | Choice, ...]

    def count(self) -> int:
        """The number of expansions; equal ones count separately."""
        total = 1
        for part in self.parts:
            total *= 1 if isinstance(part, str) else part.count()
        return total

    def pick(self, random: Random) -> str:
        """A random expansion, with its spaces unchanged."""
        return "".join(part if isinstance(part, str) else part.pick(random) for part in self.parts)


Rules: TypeAlias = Mapping[str, str]


def parse(line: str, rules: Rules, where: str) -> Choice:
    """Parse one line; `|` may stand outside brackets too.

    Raises UserError, which begins with `where`, for brackets that do not close, unknown rules and stray marks.
    """
    if len(line) > LONGEST_LINE:
        raise UserError(f"{where}: a phrase of {len(line)} characters, expected at most {LONGEST_LINE}")
    return _Parser(line, rules, where, 0).choice("")


class _Parser:
    def __init__(self, line: str, rules: Rules, where: str, depth: int) -> None:
        self.line, self.rules, self.where, self.depth = line, rules, where, depth
        self.tokens = list(_TOKEN.finditer(line))
        self.at = 0
        if depth > DEEPEST:
            self.fail(TOO_DEEP)

    def fail(self, what: str) -> None:
        raise UserError(f"{self.where}: {shown(self.line)}: {what}")

    def choice(self, end: str) -> Choice:
        """Parse up to and including the bracket `end`; "" is the end of the line."""
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(TOO_DEEP)
        options: list[Sequence] = []
        parts: list[str | Choice] = []
        while True:
            token = self.tokens[self.at] if self.at < len(self.tokens) else None
            text = token[0] if token else ""
            self.at += 1
            if text == "|" or text == end:
                options.append(Sequence(tuple(parts)))
                parts = []
                if text == end:
                    self.depth -= 1
                    return Choice(tuple(options))
            elif token is None:
                self.fail(f"a bracket is not closed, expected {end!r}")
            elif text == "(":
                parts.append(self.choice(")"))
            elif text == "[":
                inner = self.choice("]")
                parts.append(Choice((*inner.options, *[Sequence(())] * len(inner.options))))
            elif token[3]:
                parts.append(self.rule(token[3]))
            elif text in (")", "]", "{", "}", "<"):
                self.fail(f"{text!r} stands alone; expected (a|b), [a], <rule> or {{slot}}")
            else:
                parts.append(text)

    def rule(self, name: str) -> Choice:
        if name not in self.rules:
            self.fail(f"there is no rule <{name}>; expected one of [rules]")
        place = f"{self.where.partition(RULE)[0]}{RULE}{name}>"
        return _Parser(self.rules[name], self.rules, place, self.depth + 1).choice("")


def slot_sets(choice: Choice) -> set[frozenset[tuple[str, str]]]:
    """The sets of slots that the templates of a line may have, each slot as (name, form)."""
    found: set[frozenset[tuple[str, str]]] = set()
    for option in choice.options:
        sets: set[frozenset[tuple[str, str]]] = {frozenset()}
        for part in option.parts:
            own = {frozenset(slots_of(part))} if isinstance(part, str) else slot_sets(part)
            sets = {before | more for before in sets for more in own}
        found |= sets
    return found


def tidy(text: str) -> str:
    """The text with single spaces, and none at its ends or before punctuation."""
    return re.sub(r" +([,.?!]|'s\b)", r"\1", " ".join(text.split()))


def slots_of(template: str) -> list[tuple[str, str]]:
    """The slots of a template in order, as (name, form); "" for none."""
    return [(match[1] or "", match[2] or "") for match in SLOT.finditer(template)]
