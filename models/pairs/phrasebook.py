"""The phrase book: TOML files with phrases for commands and for other things that people say, and the answers to them.

docs/pairs.md explains the files to makers. They are read one after the other, and each adds to those before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from random import Random

from tinyllm.boards.toml_table import TomlTable
from tinyllm.codegen.actions.catalogue import Call, Catalogue, FreeText, Integers, Switch, Value, Words
from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.models.pairs.grammar import Choice, parse, slot_sets, tidy
from tinyllm.text import shown
from tinyllm.toml import parse_toml

LARGEST_FILE = 1 << 22
FOLDER = Path(__file__).parent / "phrases"
GENERIC = tuple(FOLDER / f"{name}.toml" for name in ("generic", "world", "small_talk"))
"""The phrases for every catalogue: politeness, negation, questions about the world, a chip's small talk."""
BUNDLED = tuple(
    FOLDER / f"{name}.toml"
    for name in ("lights", "led", "servo", "relays", "timer", "sensors", "display", "pins", "asides")
)
"""The phrases for the calls of the bundled catalogue, and near misses of them."""
ANY = "*"
"""The key in a form for every value without its own key."""
ASIDE, UNKNOWN, SMALL_TALK = "aside", "unknown", "small talk"
KINDS = (ASIDE, UNKNOWN, SMALL_TALK)
"""The kinds of phrases that are no commands: near a command, a question about the world, and small talk."""
RESULT = "result"
"""The slot, in an answer, for the result of the board's handler."""
DONE = "Done."
CALLS = "calls"
"""The slot, in an answer, for what the catalogue's calls do."""
MOST_NAMED = 12
OTHERS = ("device", "job")
"""The lists of what a catalogue cannot do. Words of the catalogue's own phrasings are taken out of them."""
AGAIN = "[now|and|and now|then|ok] (turn|switch|put) it {} [again|please]|[now|and] {} again"
"""How people repeat the last command with another value of its switch; {} stands for the switch."""
MOST_PHRASES = 10_000


@dataclass(frozen=True)
class Phrases:
    """The grammar of one thing that people say, in lines. A line's weight is the root of its number of expansions."""

    lines: tuple[Choice, ...]

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """Cumulative weights for random.choices: a line with many expansions comes more often, but not much more."""
        return tuple(accumulate(min(line.count(), 400) ** 0.5 for line in self.lines))

    def pick(self, random: Random) -> str:
        """A random template."""
        return tidy(random.choices(self.lines, cum_weights=self.weights)[0].pick(random))

    def count(self) -> int:
        """The number of templates; equal ones count separately."""
        return sum(line.count() for line in self.lines)


@dataclass(frozen=True)
class Command:
    """Phrases that are answered by a call.

    values: of arguments that the phrases do not name. after: names of calls; missing arguments are taken from the last
    of these calls in the conversation. answer: the text after the call's result. results: what the handler returns.
    """

    call: Call
    values: Mapping[str, Value]
    after: tuple[str, ...]
    answer: str
    results: str
    phrases: Phrases

    def identity(self, template: str) -> str:
        """The text that is hashed to decide whether a template is held out."""
        values = "".join(f" {name}={value}" for name, value in self.values.items())
        return f"{self.call.name}{values}{' later' if self.after else ''}: {template}"


@dataclass(frozen=True)
class Reply:
    """Phrases that are answered by words alone.

    tells: the name of what a phrase tells, to be remembered. after: only after a phrase that told this. unless: only if
    none has told this. alone: only if no command came before.
    """

    kind: str
    answer: str
    phrases: Phrases
    tells: str = ""
    after: str = ""
    unless: str = ""
    alone: bool = False

    def identity(self, template: str) -> str:
        """As Command.identity."""
        return f"{self.kind}: {template}"


@dataclass(frozen=True)
class Frame:
    """A sentence around any command that is no command itself: "how do I {command}?"."""

    answer: str
    phrases: Phrases

    def identity(self, template: str) -> str:
        """As Command.identity."""
        return f"frame: {template}"


@dataclass
class PhraseBook:
    """All phrases for one catalogue.

    forms: how a slot's values are written, by "argument" or "argument:form". lists: the values of slots that are no
    arguments. polite, frames: sentences around commands. verbs: first words that make a phrase an imperative. common:
    words that do not show what a phrase is about. synonyms: groups of words that may replace each other in small talk.
    answers: to the intents of a file of small talk, by their first question. does: what each call does, in words.
    """

    catalogue: Catalogue
    rules: dict[str, str] = field(default_factory=dict)
    forms: dict[str, dict[str, Choice]] = field(default_factory=dict)
    lists: dict[str, Choice] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    polite: list[Choice] = field(default_factory=list)
    fillers: list[Choice] = field(default_factory=list)
    verbs: set[str] = field(default_factory=set)
    common: set[str] = field(default_factory=set)
    misspellings: dict[str, list[str]] = field(default_factory=dict)
    contractions: dict[str, str] = field(default_factory=dict)
    synonyms: list[list[str]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    does: dict[str, str] = field(default_factory=dict)

    @property
    def abilities(self) -> str:
        """What the calls do: "switch lights and read sensors". A call that `does` lacks is given by its name."""
        names = list(self.catalogue.calls)[:MOST_NAMED]
        words = list(dict.fromkeys(self.does.get(name, name) for name in names))
        return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))

    def read(self, path: Path) -> None:
        """Add a file's phrases. Raises UserError that names the file and the wrong field."""
        values = parse_toml(read_bytes(path, LARGEST_FILE), path)
        table = TomlTable(path, "", values)
        table.allow(_TABLES)
        self.rules |= _texts(table, "rules")
        for name, words in table.take("lists", dict, {}).items():
            lines = self._lines(table, f"lists.{name}", words)
            self.lists[name] = Choice(tuple(option for line in lines for option in line.options))
        for name in table.take("forms", dict, {}):
            form = _texts(TomlTable(path, "forms.", values["forms"]), name)
            self.forms[name] = {key: parse(text, self.rules, f"{path}: forms.{name}") for key, text in form.items()}
        self.answers |= _texts(table, "answers")
        self.does |= _texts(table, "does")
        around = TomlTable(path, "around.", table.take("around", dict, {}))
        around.allow(("polite", "fillers", "verbs", "common", "misspellings", "contractions", "synonyms"))
        self.polite += self._lines(around, "polite", around.take("polite", str, ""))
        self.fillers += self._lines(around, "fillers", around.take("fillers", str, ""))
        self.verbs |= set(around.take("verbs", str, "").split())
        self.common |= set(around.take("common", str, "").split())
        for name, text in _texts(around, "misspellings").items():
            self.misspellings[name] = text.split("|")
        self.contractions |= _texts(around, "contractions")
        for line in filter(None, map(str.strip, around.take("synonyms", str, "").splitlines())):
            words = [word.strip().lower() for word in line.split("|")]
            if not all(words):
                around.fail("synonyms", f"has {shown(line)}, expected words or phrases with | between them")
            self.synonyms.append(words)
        for kind, read in (("action", self._command), ("reply", self._reply), ("frame", self._frame)):
            for number, entry in enumerate(table.take(kind, list, []), 1):
                read(TomlTable(path, f"{kind} {number}: ", entry))

    def add_phrasings(self, path: Path) -> None:
        """Add the phrasings in a catalogue's own file; each must name every argument.

        For a call with one switch, phrases that repeat it with "it" are added too. Raises UserError as `read`.
        """
        self._forget_own_words()
        for call in self.catalogue.calls.values():
            if not call.phrasings:
                continue
            where = f'{path}: call."{call.name}".phrasings'
            lines = tuple(parse(line, self.rules, where) for line in call.phrasings)
            self._check_slots(call, {}, (), lines, where)
            self.commands.append(Command(call, {}, (), DONE, "ok", Phrases(lines)))
            switches = [argument.name for argument in call.arguments if isinstance(argument.kind, Switch)]
            if len(switches) == 1:
                line = parse(AGAIN.replace("{}", f"{{{switches[0]}}}"), self.rules, where)
                self.commands.append(Command(call, {}, (call.name,), DONE, "ok", Phrases((line,))))

    def values_of(self, slot: str) -> Choice | Words | Switch | Integers | FreeText | None:
        """The values of a slot that is no argument of its call: a list of the book, or the argument of another call."""
        if slot in self.lists:
            return self.lists[slot]
        for call in self.catalogue.calls.values():
            for argument in call.arguments:
                if argument.name == slot:
                    return argument.kind
        return None

    def _forget_own_words(self) -> None:
        """Take what the catalogue can do out of the lists of what it cannot do: "fan", if it has fan.set."""
        said = " ".join(phrase for call in self.catalogue.calls.values() for phrase in call.phrasings)
        own = set(re.findall(r"[a-z]{3,}", re.sub(r"\{.*?\}", " ", said).lower())) - self.verbs - self.common
        own |= {name.partition(".")[0] for name in self.catalogue.calls}
        for name in OTHERS:
            if name in self.lists:
                options = self.lists[name].options
                kept = tuple(option for option in options if own.isdisjoint(option.pick(Random(0)).lower().split()))
                self.lists[name] = Choice(kept or options)

    # --- Reading ------------------------------------------------------------------------------------------------------

    def _lines(self, table: TomlTable, name: str, text: object) -> list[Choice]:
        if not isinstance(text, str):
            table.fail(name, f"is {shown(text)}, expected a text of phrases")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        if len(lines) > MOST_PHRASES:
            table.fail(name, f"has {len(lines)} phrases, expected at most {MOST_PHRASES}")
        where = f"{table.path}: {table.prefix}{name}"
        return [parse(line, self.rules, where) for line in lines]

    def _phrases(self, table: TomlTable) -> Phrases:
        lines = self._lines(table, "phrases", table.take("phrases", str))
        if not lines:
            table.fail("phrases", "is empty, expected one phrase on each line")
        return Phrases(tuple(lines))

    def _command(self, table: TomlTable) -> None:
        table.allow(("call", "values", "after", "answer", "results", "phrases"))
        name = table.text("call")
        if name not in self.catalogue.calls:
            return  # A maker's catalogue may lack some of the calls that the phrases are for.
        call = self.catalogue.calls[name]
        values = dict(table.take("values", dict, {}))
        kinds = {argument.name: argument.kind for argument in call.arguments}
        for argument, value in values.items():
            if argument not in kinds:
                table.fail(f"values.{argument}", f"is no argument of {name}, expected {', '.join(kinds)}")
            if not kinds[argument].holds(value):
                table.fail(f"values.{argument}", f"is {shown(value)}, expected {kinds[argument]}")
        after = tuple(map(str, table.take("after", list, [])))
        phrases = self._phrases(table)
        self._check_slots(call, values, after, phrases.lines, f"{table.path}: {table.prefix}phrases")
        results = table.take("results", str, "ok")
        self.commands.append(Command(call, values, after, table.take("answer", str, DONE), results, phrases))

    def _check_slots(
        self, call: Call, values: Mapping[str, Value], after: Iterable[str], lines: Iterable[Choice], where: str
    ) -> None:
        """Check that every template gives each argument a value: by a slot, by `values`, or from the call before."""
        names = [argument.name for argument in call.arguments]
        carried = {
            argument.name for name in after if name in self.catalogue.calls
            for argument in self.catalogue.calls[name].arguments
        }  # fmt: skip
        for line in lines:
            for slots in slot_sets(line):
                for slot, form in slots:
                    if slot not in names and self.values_of(slot) is None:
                        raise UserError(f"{where}: there is no argument or list {{{slot}}}; {call.name} has {names}")
                    if form and f"{slot}:{form}" not in self.forms:
                        raise UserError(f"{where}: there is no form {{{slot}:{form}}}; add it to [forms]")
                given = {slot for slot, _ in slots}
                for name in names:
                    if name not in given and name not in values and name not in carried:
                        raise UserError(
                            f"{where}: {shown(line.pick(Random(0)))} gives no {{{name}}}; {call.name} needs it"
                        )

    def _reply(self, table: TomlTable) -> None:
        table.allow(("kind", "answer", "phrases", "tells", "after", "unless", "alone", "about"))
        kind = table.choice("kind", KINDS)
        if not set(map(str, table.take("about", list, []))) <= set(self.catalogue.calls):
            return
        phrases = self._phrases(table)
        for line in phrases.lines:
            for slots in slot_sets(line):
                for slot, _ in slots:
                    if self.values_of(slot) is None:
                        return  # The reply is about a call that this catalogue lacks.
        names = {name: table.take(name, str, "") for name in ("tells", "after", "unless")}
        alone = table.values.get("alone", False) is True
        self.replies.append(Reply(kind, table.text("answer"), phrases, alone=alone, **names))

    def _frame(self, table: TomlTable) -> None:
        table.allow(("answer", "phrases"))
        self.frames.append(Frame(table.text("answer"), self._phrases(table)))


_TABLES = ("rules", "answers", "does", "forms", "lists", "around", "action", "reply", "frame")


def _texts(table: TomlTable, name: str) -> dict[str, str]:
    """The texts in a table, by key."""
    texts = table.take(name, dict, {})
    for key, text in texts.items():
        if not isinstance(text, str):
            table.fail(f"{name}.{key}", f"is {shown(text)}, expected a text")
    return texts
