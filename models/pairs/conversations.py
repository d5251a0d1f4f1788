"""Makes conversations of one to eight turns from a phrase book and small talk.

The answer to a command is `<call>light.set(room="kitchen", on=true)</call><result>ok</result>The kitchen light is on.`
The board writes what is in <result>, so training takes no loss on it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tinyllm.codegen.actions.catalogue import FreeText, Value
from tinyllm.errors import Failure, UserError
from tinyllm.models.pairs.grammar import SLOT, slots_of, tidy
from tinyllm.models.pairs.noise import Noise
from tinyllm.models.pairs.phrasebook import (
    ASIDE,
    CALLS,
    DONE,
    RESULT,
    SMALL_TALK,
    UNKNOWN,
    Command,
    Frame,
    PhraseBook,
    Reply,
)
from tinyllm.models.pairs.small_talk import Intent
from tinyllm.models.pairs.surface import Piece, Surface, canonical
from tinyllm.models.pairs.synonyms import Synonyms

COMMAND = "command"
_Entry = TypeVar("_Entry", Command, Reply, Frame)

ERRORS = ("no handler", "failed", "not connected", "timeout", "busy", "no such relay", "no such sensor")
"""The errors that a handler may report, as `error: busy`."""
SORRY = "Sorry, that did not work: {error}."
LENGTHS = (50, 14, 10, 7, 6, 5, 4, 4)
"""Weights of conversations with one turn, two, three and so on."""
LONGEST = 450
"""After this many characters only the last turn follows, because the context of a small model is short."""
EARLIER = (COMMAND,) * 3 + (ASIDE,) * 2 + (UNKNOWN,) + (SMALL_TALK,) * 3
"""The kinds of turns before the last, as often as they are drawn."""
TELLING = 0.12
"""The share of turns before the last that tell something to be remembered."""
REACH = 4
"""After this many turns nobody calls a thing "it" any more."""
MOST_TRIES = 400
"""The most tries to find a template on the wanted side of the split."""
ERROR_SHARE = 0.05
REWORDED = 0.5
"""The share of the small talk's training questions that are reworded."""
JOINTS = (" and ", " and ", " and then ", ", then ", ", ", " and also ", ". ")
LONGEST_PAIR = 110
"""The most characters of two commands in one sentence."""
DOUBLED = ("cut", "dim", "flip", "get", "let", "put", "run", "set", "shut", "stop", "spin", "tap", "begin")
"""Verbs that double their last letter before -ing."""
_PLACE = re.compile(r"\{command\}|\{doing\}")


@dataclass(frozen=True)
class Turn:
    """What the user says, and the right answer.

    calls: the texts of the answer's calls, in order. told: values that later turns may refer to. template: the template
    that the user's words come from.
    """

    kind: str
    user: str
    answer: str
    template: str
    calls: tuple[str, ...] = ()
    told: dict[str, Value] = field(default_factory=dict)


Conversation = tuple[Turn, ...]


@dataclass(frozen=True)
class Split:
    """Decides which templates are held out: a share of them, by a hash of seed and template."""

    seed: int
    share: float

    def holds_out(self, template: str) -> bool:
        """Whether a template is never trained on."""
        digest = hashlib.blake2b(f"{self.seed}\n{template}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") < self.share * 2**32


class Speaker:
    """Makes turns and conversations. Every random choice comes from `random`."""

    def __init__(self, book: PhraseBook, intents: Sequence[Intent], split: Split, random: Random) -> None:
        self.book, self.split, self.random = book, split, random
        self.surface = Surface(book, random)
        self.synonyms = Synonyms(book.synonyms, random)
        self.noise = Noise(book.misspellings, book.contractions, random)
        self.questions = {
            side: [
                (intent, kept)
                for intent in intents
                if (kept := [question for question in intent.questions if split.holds_out(question) == side])
            ]
            for side in (False, True)
        }
        self.kept_back = {_bare(question) for _, questions in self.questions[True] for question in questions}
        self.first = _by_call([command for command in book.commands if not command.after])
        self.later = _by_call([command for command in book.commands if command.after])

    # --- Conversations ------------------------------------------------------------------------------------------------

    def conversation(self, kind: str, held_out: bool) -> Conversation:
        """A conversation whose last turn is of this kind, with held-out words if `held_out`; the others have none."""
        count = self.random.choices(range(1, len(LENGTHS) + 1), LENGTHS)[0]
        before: list[Turn] = []
        while len(before) < count - 1 and sum(len(turn.user) + len(turn.answer) for turn in before) < LONGEST:
            telling = [reply for reply in self.book.replies if reply.tells]
            if telling and self.random.random() < TELLING:
                before.append(self.reply(telling, False))
            else:
                before.append(self.turn(self.random.choice(EARLIER), False, before))
        return (*before, self.turn(kind, held_out, before))

    def turn(self, kind: str, held_out: bool, before: Sequence[Turn] = ()) -> Turn:
        """A turn of a kind. It may refer to the turns before it."""
        chance = self.random.random()
        if kind == COMMAND:
            referring, told = self.referring(before)
            if referring and chance < 0.6:
                return self.command(referring, held_out, told)
            if chance > 0.95:
                return self.two_commands(held_out)
            return self.command(self.random.choice(self.first), held_out)
        told = {name: value for turn in before if not turn.calls for name, value in turn.told.items()}
        asking = [reply for reply in self.book.replies if reply.kind == kind and reply.after in told]
        if asking and chance < 0.5:
            return self.reply(asking, held_out, told)
        if kind == SMALL_TALK and self.questions[held_out] and chance < 0.9:
            return self.small_talk(held_out)
        if kind == ASIDE and self.book.frames and chance < 0.4:
            return self.framed(held_out)
        commanded = any(turn.calls for turn in before)
        replies = [
            reply
            for reply in self.book.replies
            if not reply.after and not (reply.alone and commanded) and not (reply.unless and reply.unless in told)
        ]
        return self.reply([reply for reply in replies if reply.kind == kind] or replies, held_out)

    def referring(self, before: Sequence[Turn]) -> tuple[list[Command], Mapping[str, Value]]:
        """The commands that may leave out values of the last call, and these values; none after REACH turns."""
        for turn in reversed(before[-REACH:]):
            if turn.calls:
                name = turn.calls[0].partition("(")[0]
                later = [commands for commands in self.later if any(name in command.after for command in commands)]
                if not later or len(turn.calls) > 1:
                    break
                return [command for command in self.random.choice(later) if name in command.after], turn.told
        return [], {}

    # --- Turns --------------------------------------------------------------------------------------------------------

    def command(self, commands: Sequence[Command], held_out: bool, told: Mapping[str, Value] | None = None) -> Turn:
        """A turn with one of these commands, in the words of one of its templates. told: what it may leave out."""
        command, template = self._template(commands, held_out)
        values: dict[str, Value] = dict(command.values)
        forms = dict(slots_of(template))
        for argument in command.call.arguments:
            if argument.name in forms and argument.name not in values:
                values[argument.name] = self.surface.value(argument.name, forms[argument.name], argument.kind)
            elif argument.name not in values and told:
                values[argument.name] = told[argument.name]
        pieces, _ = self.surface.fill(self.polite(template), values)
        call = self.book.catalogue.write(command.call.name, values)
        answer = f"<call>{call}</call>{self._closing(command, values)}"
        return Turn(COMMAND, self.noise.add(pieces), answer, command.identity(template), (call,), values)

    def two_commands(self, held_out: bool) -> Turn:
        """Two commands in one sentence. The first alone if both are the same, too long or could be misread."""
        first, second = self.turn(COMMAND, held_out), self.turn(COMMAND, False)
        user = first.user.rstrip(".?!, ") + self.random.choice(JOINTS) + second.user
        if len(user) > LONGEST_PAIR or first.calls == second.calls or '"' in first.user or self._shows_text(first):
            return first
        answer = "".join(f"<call>{call}</call><result>ok</result>" for call in (*first.calls, *second.calls))
        return Turn(COMMAND, user, f"{answer}{DONE}", first.template, first.calls + second.calls)

    def reply(self, replies: Sequence[Reply], held_out: bool, told: Mapping[str, Value] | None = None) -> Turn:
        """A turn that is answered by words alone."""
        reply, template = self._template(replies, held_out)
        pieces, chosen = self.surface.fill(self.polite(template) if reply.kind == ASIDE else template, {})
        answer = _filled(reply.answer, {CALLS: self.book.abilities, **chosen, **(told or {})})
        tells = {reply.tells: chosen[reply.tells]} if reply.tells else {}
        return Turn(reply.kind, self.noise.add(pieces), answer, reply.identity(template), (), tells)

    def framed(self, held_out: bool) -> Turn:
        """A command inside a sentence that is no command, as "how do I {command}?"."""
        frame, template = self._template(self.book.frames, held_out)
        for _ in range(MOST_TRIES):
            command, inner = self._template(self.random.choice(self.first), False)
            if self._imperative(inner):
                break
        else:
            raise NoTemplateError("no command begins with a verb of [around]")
        forms = dict(slots_of(inner))
        values = {
            argument.name: self.surface.value(argument.name, forms[argument.name], argument.kind)
            for argument in command.call.arguments
            if argument.name in forms
        }
        pieces, _ = self.surface.fill(_around(template, inner), values)
        return Turn(ASIDE, self.noise.add(pieces), frame.answer, frame.identity(template))

    def small_talk(self, held_out: bool) -> Turn:
        """A question of the small talk file. Intents with more questions come more often."""
        intents = self.questions[held_out]
        intent, questions = self.random.choices(intents, [len(questions) ** 0.5 for _, questions in intents])[0]
        question = self.random.choice(questions)
        said = question
        if not held_out and self.random.random() < REWORDED:
            other = self.synonyms.reworded(question)
            if self.book.fillers and self.random.random() < 0.3:
                other = _around(self.random.choice(self.book.fillers).pick(self.random), other)
            said = question if _bare(other) in self.kept_back else other
        return Turn(SMALL_TALK, self.noise.add([Piece(said)]), intent.answer, question)

    def held_out_questions(self) -> list[Conversation]:
        """Every held-out question of the small talk file, asked alone and as it stands there."""
        return [
            (Turn(SMALL_TALK, question, intent.answer, question),)
            for intent, questions in self.questions[True]
            for question in questions
        ]

    def polite(self, template: str) -> str:
        """The template unchanged, or with a filler, or, if it is an imperative, in a polite sentence."""
        chance = self.random.random()
        imperative = self._imperative(template)
        if imperative and self.book.polite and chance < 0.4:
            return _around(self.random.choice(self.book.polite).pick(self.random), template)
        if self.book.fillers and chance < (0.55 if imperative else 0.3):
            return _around(self.random.choice(self.book.fillers).pick(self.random), template)
        return template

    # --- Chance -------------------------------------------------------------------------------------------------------

    def _closing(self, command: Command, values: Mapping[str, Value]) -> str:
        """The result of a call, and the model's words after it."""
        if self.random.random() < ERROR_SHARE:
            error = self.random.choice(ERRORS)
            return f"<result>error: {error}</result>{SORRY.format(error=error)}"
        result = self.surface.one_of(command.results)
        return f"<result>{result}</result>{_filled(command.answer, {**values, RESULT: result})}"

    def _shows_text(self, turn: Turn) -> bool:
        """Whether a call of the turn has a free text: words after it could be taken for part of that text."""
        calls = (self.book.catalogue.calls[call.partition("(")[0]] for call in turn.calls)
        return any(isinstance(argument.kind, FreeText) for call in calls for argument in call.arguments)

    def _imperative(self, template: str) -> bool:
        return template.split(" ", 1)[0].lower() in self.book.verbs

    def _template(self, entries: Sequence[_Entry], held_out: bool) -> tuple[_Entry, str]:
        """An entry, and a template of it on the wanted side of the split.

        Raises NoTemplateError if none is found in MOST_TRIES tries.
        """
        weights = [entry.phrases.weights[-1] ** 0.7 for entry in entries]
        for _ in range(MOST_TRIES):
            entry = self.random.choices(entries, weights)[0]
            template = entry.phrases.pick(self.random)
            if not held_out and _bare(template) in self.kept_back:
                continue
            if self.split.holds_out(entry.identity(template)) == held_out:
                return entry, template
        raise NoTemplateError("no template on this side of the split")


def line(conversation: Conversation) -> str:
    """A conversation as a line of JSON: its messages, and the kind and template of its last turn."""
    messages = []
    for turn in conversation:
        messages.append({"role": "user", "content": turn.user})
        messages.append({"role": "assistant", "content": turn.answer})
    last = conversation[-1]
    return json.dumps({"messages": messages, "kind": last.kind, "template": last.template}, ensure_ascii=False)


def read_line(text: str, place: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The kind, the user's texts and the assistant's texts in a line that `line` made. UserError for any other text."""
    try:
        row = json.loads(text)
        users = tuple(str(message["content"]) for message in row["messages"][0::2])
        answers = tuple(str(message["content"]) for message in row["messages"][1::2])
        kind = str(row["kind"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{place}: no held-out conversation; expected a line that `tinyllm pairs` wrote") from None
    if not users or len(users) != len(answers):
        raise UserError(f"{place}: {len(users)} questions and {len(answers)} answers; expected as many")
    return kind, users, answers


class NoTemplateError(Failure):
    """No template was found on the wanted side of the split, as happens with few phrases. The caller tries again."""


def gerund(imperative: str) -> str:
    """The form with -ing: "switch off the light" becomes "switching off the light"."""
    verb, space, rest = imperative.partition(" ")
    low = verb.lower()
    if low in DOUBLED:
        verb += verb[-1]
    elif low.endswith("e") and not low.endswith("ee"):
        verb = verb[:-1]
    return f"{verb}ing{space}{rest}"


def _around(sentence: str, command: str) -> str:
    """The sentence with the command in place of {command}, or its gerund in place of {doing}."""
    return tidy(_PLACE.sub(lambda match: command if match[0] == "{command}" else gerund(command), sentence))


def _filled(answer: str, values: Mapping[str, Value]) -> str:
    """An answer with values in its slots, written as in calls but with on and off for true and false."""
    return SLOT.sub(lambda match: canonical(values[match[1]]) if match[1] in values else match[0], answer)


def _bare(text: str) -> str:
    """The letters and digits of a text, in lower case."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _by_call(commands: Sequence[Command]) -> list[list[Command]]:
    """The commands in a list for each call, so that every call comes equally often."""
    found: dict[str, list[Command]] = {}
    for command in commands:
        found.setdefault(command.call.name, []).append(command)
    return list(found.values())
