"""Writes the files of training data: train.jsonl, and the held-out files to measure a model with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tinyllm.codegen.actions.catalogue import read_catalogue
from tinyllm.errors import UserError
from tinyllm.files import StagedFiles
from tinyllm.models.pairs.conversations import COMMAND, Conversation, NoTemplateError, Speaker, Split, Turn, line
from tinyllm.models.pairs.phrasebook import ASIDE, BUNDLED, GENERIC, SMALL_TALK, UNKNOWN, PhraseBook
from tinyllm.models.pairs.small_talk import read_qna

TRAIN = "train.jsonl"
HELD_OUT = {
    COMMAND: "heldout_commands.jsonl",
    ASIDE: "heldout_noncommands.jsonl",
    UNKNOWN: "heldout_unknown.jsonl",
    SMALL_TALK: "heldout_small_talk.jsonl",
}
"""The files of held-out conversations by the kind of their last turn, which is never trained on."""
QUESTIONS = "heldout_questions.jsonl"
"""The file of the small talk file's held-out questions, each asked alone and as it stands there."""
SHARES = {COMMAND: 0.38, ASIDE: 0.3, UNKNOWN: 0.07, SMALL_TALK: 0.25}
"""The share of each kind of last turn in the training conversations."""
HELD_OUT_SHARE = 0.1
"""The share of templates, and of small talk's questions, that are held out."""
PATIENCE = 50
"""A kind has no more conversations if so many in a row are there already."""


@dataclass(frozen=True)
class Made:
    """What was written. conversations: their number by file.

    templates: their numbers, trained on and held out, by name of call or kind.
    """

    conversations: dict[str, int]
    templates: dict[str, tuple[int, int]]


def phrase_book(actions: Path, phrases: Path | None) -> PhraseBook:
    """The phrases for a catalogue: the generic ones, the bundled ones for its calls, those of `phrases`, and its own.

    Raises UserError if a call has no phrases, and as PhraseBook.read.
    """
    book = PhraseBook(read_catalogue(actions))
    for path in (*GENERIC, *BUNDLED, *([] if phrases is None else [phrases])):
        book.read(path)
    book.add_phrasings(actions)
    spoken = {command.call.name for command in book.commands if not command.after}
    for name in book.catalogue.calls:
        if name not in spoken:
            raise UserError(f'{actions}: call."{name}" has no phrasings; add some, as phrasings = ["switch it {{on}}"]')
    return book


def generate(
    actions: Path,
    out: Path,
    count: int,
    seed: int,
    small_talk: Path | None = None,
    phrases: Path | None = None,
    held_out: int = 500,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Made:
    """Write the pairs for a catalogue into a folder: `count` conversations to train on, `held_out` to test each kind.

    The same arguments give the same files. Raises UserError for a wrong file or a folder that cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: not a folder; give a folder to write into")
    book = phrase_book(actions, phrases)
    intents = [] if small_talk is None else read_qna(small_talk, book.answers)
    split = Split(seed, HELD_OUT_SHARE)
    speaker = Speaker(book, intents, split, Random(seed))
    total = count + held_out * len(HELD_OUT)
    done = 0

    def some(kind: str, number: int, held: bool) -> list[Conversation]:
        """Up to `number` conversations of a kind, no two with the same words of the user."""
        nonlocal done
        found: dict[tuple[str, ...], Conversation] = {}
        misses = 0
        while len(found) < number and misses < PATIENCE:
            try:
                conversation = speaker.conversation(kind, held)
            except NoTemplateError:
                misses += 1
                continue
            words = tuple(turn.user for turn in conversation)
            misses = misses + 1 if words in found else 0
            found[words] = conversation
            if done % 500 == 0:
                progress(done, total)
            done += 1
        return list(found.values())

    files: dict[str, list[Conversation]] = {}
    train = [conversation for kind, share in SHARES.items() for conversation in some(kind, round(count * share), False)]
    speaker.random.shuffle(train)
    files[TRAIN] = train
    for kind, name in HELD_OUT.items():
        files[name] = some(kind, held_out, True)
    if alone := speaker.held_out_questions():
        files[QUESTIONS] = alone
    try:
        with StagedFiles() as staged:
            for name, conversations in files.items():
                staged.add(out / name, "".join(f"{line(conversation)}\n" for conversation in conversations))
            staged.put_in_place()
        if not alone:
            (out / QUESTIONS).unlink(missing_ok=True)  # Of an earlier run.
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); give a folder to write into") from error
    trained = _templates(turn for conversation in train for turn in conversation)
    tested = _templates(conversation[-1] for name in HELD_OUT.values() for conversation in files[name])
    counts = {name: (len(templates), len(tested.get(name, ()))) for name, templates in trained.items()}
    return Made({name: len(conversations) for name, conversations in files.items()}, counts)


def _templates(turns: Iterable[Turn]) -> dict[str, set[str]]:
    """The templates of the turns, by the name of the call or the kind."""
    found: dict[str, set[str]] = {}
    for turn in turns:
        found.setdefault(turn.calls[0].partition("(")[0] if turn.calls else turn.kind, set()).add(turn.template)
    return found
