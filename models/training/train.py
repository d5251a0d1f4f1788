"""A whole training, from files and settings to the folder of a model."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import sentencepiece
import torch

from tinyllm.codegen.checkpoints import read_model
from tinyllm.errors import UserError
from tinyllm.files import is_leftover
from tinyllm.models.training.beginning import Origin, beginning
from tinyllm.models.training.card import MADE_BY, Card
from tinyllm.models.training.distillation import Teacher
from tinyllm.models.training.folder import write_folder
from tinyllm.models.training.network import Weights, greedy
from tinyllm.models.training.pairs import Conversation, read_pairs
from tinyllm.models.training.rounding import rounded
from tinyllm.models.training.shape import Shape
from tinyllm.models.training.texts import read_stories
from tinyllm.models.training.trainer import Corpus, Measure, Recipe, Step, Training
from tinyllm.models.training.vocabulary import (
    CALLED,
    Document,
    Vocabulary,
    tokenizer_of,
    train_vocabulary,
    vocabulary_of,
)

CHECKPOINT = "checkpoint.pt"
BESIDE = ("actions.toml",)
"""Files that a maker may have put into the output folder before the training."""
HELD_OUT, MOST_HELD_OUT = 20, 100
"""Without validation files, one in HELD_OUT documents is held out, at most MOST_HELD_OUT in all."""
SAMPLE = 60
"""The most tokens of a sample."""


@dataclass(frozen=True)
class Data:
    """Files to learn from and to validate with. They hold stories, or conversations if `pairs`.

    chat: give a story model's tokenizer the control pieces of a conversation, so that it can be trained on pairs later.
    """

    files: Sequence[Path]
    valid: Sequence[Path] = ()
    pairs: bool = False
    chat: bool = False
    algorithm: str = "bpe"


@dataclass(frozen=True)
class Sources:
    """Other models. origin: the training begins with its weights and tokenizer. teacher: the model to be distilled."""

    origin: Origin | None = None
    teacher: Path | None = None


@dataclass(frozen=True)
class Machine:
    """cores: processes that share each batch, on a CPU. minutes: if given, the time, which decides the steps."""

    cores: int = 1
    device: str = "cpu"
    minutes: float | None = None


@dataclass(frozen=True)
class Description:
    """What only the maker knows, for the card. command: the command that trains this model again."""

    licence: str | None = None
    data: str | None = None
    command: str = "tinyllm train"


@dataclass
class Job:
    """A training that is ready to run.

    skipped: the number of conversations that are left out because they are longer than the context; first_skipped: the
    place of the first of these. prompts: of samples. read: tokens read so far.
    """

    data: Data
    sources: Sources
    machine: Machine
    out: Path
    vocabulary: Vocabulary
    training: Training
    kind: str
    prompts: Sequence[str]
    skipped: int = 0
    first_skipped: str = ""
    resumed: bool = False
    read: int = 0
    seconds: float = 0.0

    @property
    def recipe(self) -> Recipe:
        return self.training.recipe

    def run(self, report: Callable[[Step], None], stop: Callable[[], bool]) -> bool:
        """Train to the last step, or until `stop()` is true. Returns whether the last step is done."""
        started = time.perf_counter()

        def told(step: Step) -> None:
            self.read += step.tokens
            report(step)

        try:
            return self.training.run(told, stop)
        finally:
            self.seconds = time.perf_counter() - started

    def samples(self, weights: Weights | None = None) -> list[tuple[str, str]]:
        """Each prompt with the model's continuation, always the likeliest token."""
        vocabulary, control = self.vocabulary, self.vocabulary.tokenizer.control_ids
        # End after a call, because the board writes what follows.
        ends = [control[CALLED.encode()]] if vocabulary.chat else []
        stops = vocabulary.tokenizer.stop_ids
        chosen = rounded(self.training.averaged if weights is None else weights, self.training.rounding)
        found = []
        for prompt in self.prompts:
            ids = greedy(chosen, self.training.config, vocabulary.opening(prompt), (*stops, *ends), SAMPLE)
            found.append((prompt, vocabulary.text(token for token in ids if token not in stops)))
        return found

    def finish(self, description: Description, others: dict[str, str]) -> Measure:
        """Write the folder with its card and `others`, and remove the checkpoint. Returns the measure."""
        figures = self.training.figures()
        content = self.card(description, figures).markdown()
        files = {"README.md": content, **others}
        write_folder(self.out, self.recipe.shape, self.training.result(), self.vocabulary, files)
        self.training.checkpoint.unlink(missing_ok=True)
        return figures

    def card(self, description: Description, figures: Measure) -> Card:
        """The model card of the folder."""
        corpus, recipe = self.training.corpus, self.recipe
        return Card(
            name=self.out.resolve().name,
            shape=recipe.shape,
            recipe=recipe,
            figures=figures,
            kind=self.kind,
            files=[path.name for path in self.data.files],
            documents=len(corpus.train),
            tokens=sum(len(document.ids) for document in corpus.train),
            learned=sum(int(document.learned.sum()) for document in corpus.train),
            held_out=len(corpus.valid),
            read=self.read,
            licence=description.licence,
            data=description.data,
            command=description.command,
            cores=self.machine.cores,
            seconds=self.seconds,
            versions=[f"torch {torch.__version__}", f"sentencepiece {sentencepiece.__version__}"],
            origin=None if self.sources.origin is None else self.sources.origin.path.name,
            teacher=None if self.sources.teacher is None else self.sources.teacher.name,
            samples=self.samples(self.training.best),
        )


def prepare(
    data: Data,
    sources: Sources,
    recipe: Recipe,
    machine: Machine,
    out: Path,
    prompts: Sequence[str] = (),
    steps: int | None = None,
    fresh: bool = False,
) -> Job:
    """Read everything, and take up the checkpoint in `out` if there is one. The training itself has not begun then.

    steps: as the user gave it; None takes the recipe's, or as many as fit the minutes. fresh: delete the checkpoint.
    Raises UserError for bad files, sources that do not fit, and a checkpoint of another training.
    """
    torch.set_num_threads(1)
    _check(out)
    texts, held_out = _read(data.files, data), _read(data.valid, data)
    if not held_out:
        texts, held_out = _split(texts)
    vocabulary = _vocabulary(data, sources, recipe.shape, texts)
    recipe, first = _beginning(recipe, sources, vocabulary)
    if not data.pairs:
        recipe = replace(recipe, tokens=recipe.shape.context * max(1, round(recipe.tokens / recipe.shape.context)))
    teacher = _teacher(recipe, sources, machine, vocabulary.ends)
    documents, skipped = _documents(vocabulary, texts, recipe.shape.context)
    valid, _ = _documents(vocabulary, held_out, recipe.shape.context)
    if not documents or not valid:
        which = "held out" if documents else "there"
        raise UserError(
            f"{data.files[0]}: every conversation that is {which} is longer than {recipe.shape.context} tokens; "
            "give a larger --context"
        )
    corpus = Corpus(documents, valid, whole=data.pairs)
    _make(out)

    def training(recipe: Recipe) -> Training:
        path = out / CHECKPOINT
        return Training(recipe, corpus, vocabulary.text_bytes, path, machine.device, first, teacher, machine.cores)

    if fresh:
        (out / CHECKPOINT).unlink(missing_ok=True)
    ready = training(replace(recipe, steps=steps or recipe.steps))
    resumed = ready.resume(None if machine.minutes else ready.recipe.steps)
    if machine.minutes and not resumed:
        recipe = replace(recipe, steps=training(recipe).steps_in(60 * machine.minutes))
        ready = training(recipe)
    return Job(
        data=data,
        sources=sources,
        machine=machine,
        out=out,
        vocabulary=vocabulary,
        training=ready,
        kind="conversations" if data.pairs else "stories",
        prompts=prompts or _prompts(data, held_out),
        skipped=len(skipped),
        first_skipped=skipped[0] if skipped else "",
        resumed=resumed,
    )


Text = str | Conversation


def _check(out: Path) -> None:
    """Raise UserError for a folder with somebody else's files: a training overwrites a model's files and README.md."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder to write into")
    card = out / "README.md"
    trained = (out / CHECKPOINT).exists() or (card.is_file() and MADE_BY.encode() in card.read_bytes())
    there = list(out.iterdir()) if out.is_dir() else []
    # A training that was killed while it wrote its first checkpoint leaves a half-written file.
    others = sorted(path.name for path in there if path.name not in BESIDE and not is_leftover(path))
    if others and not trained:
        raise UserError(
            f"{out} holds {others[0]}, and no training of tinyllm; give a new folder, or one that was trained into"
        )


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in filter(is_leftover, out.iterdir()):
            path.unlink()
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); give a folder to write into") from None


def _read(files: Sequence[Path], data: Data) -> list[Text]:
    return list(read_pairs(files) if data.pairs else read_stories(files))


def _split(texts: list[Text]) -> tuple[list[Text], list[Text]]:
    """The texts to learn from, and those to hold out: a random choice that is the same each time."""
    if len(texts) < 2:
        raise UserError("one document only; give more, or another to validate with: --valid FILE")
    count = min(MOST_HELD_OUT, max(1, len(texts) // HELD_OUT))
    chosen = {*np.random.default_rng(0).permutation(len(texts))[:count].tolist()}
    return (
        [text for index, text in enumerate(texts) if index not in chosen],
        [text for index, text in enumerate(texts) if index in chosen],
    )


def _vocabulary(data: Data, sources: Sources, shape: Shape, texts: Sequence[Text]) -> Vocabulary:
    """The vocabulary: of the model to begin with, else of the teacher, else trained on the texts."""
    adopted = sources.teacher if sources.origin is None else sources.origin.path
    if adopted is None:
        return train_vocabulary(_plain(texts), shape.vocab_size, data.pairs or data.chat, data.algorithm)
    vocabulary = vocabulary_of(adopted)
    if sources.teacher and tokenizer_of(sources.teacher)[1].pieces != vocabulary.tokenizer.pieces:
        raise UserError(f"{adopted} and {sources.teacher} have different tokenizers; they must share one")
    if data.pairs and not vocabulary.chat:
        raise UserError(
            f"{adopted}: its tokenizer has no <|user|> and <|assistant|>, which pairs need; "
            "train it with --chat-tokens first"
        )
    return vocabulary


def _plain(texts: Sequence[Text]) -> list[str]:
    """The texts as plain strings: stories, and the prompts and answers of conversations."""
    said = [(text,) if isinstance(text, str) else itertools.chain(*text.turns) for text in texts]
    return list(itertools.chain(*said))


def _beginning(recipe: Recipe, sources: Sources, vocabulary: Vocabulary) -> tuple[Recipe, Weights | None]:
    """The recipe with the model's final shape, and the weights to begin with.

    With an origin the shape is that of its weights. Without, it gets the vocabulary's size, and the weights are None.
    """
    if sources.origin is None:
        return replace(recipe, shape=replace(recipe.shape, vocab_size=vocabulary.size)), None
    shape, weights = beginning(sources.origin, recipe.shape.context, recipe.seed)
    return replace(recipe, shape=shape), weights


def _teacher(recipe: Recipe, sources: Sources, machine: Machine, ends: tuple[int, int]) -> Teacher | None:
    if sources.teacher is None:
        return None
    model = read_model(sources.teacher)
    if recipe.shape.context > model.config.context:
        raise UserError(
            f"{sources.teacher}: a context of {model.config.context}, the model is to have {recipe.shape.context}; "
            f"give --context {model.config.context}"
        )
    return Teacher.of(model, ends, machine.device)


def _documents(vocabulary: Vocabulary, texts: Sequence[Text], context: int) -> tuple[list[Document], list[str]]:
    """The documents, and the places of the conversations that are left out because they are longer than the context."""
    found, skipped = [], []
    for text in texts:
        if isinstance(text, str):
            found.append(vocabulary.story(text))
            continue
        document = vocabulary.conversation(text)
        if len(document.ids) - 1 <= context:
            found.append(document)
        else:
            skipped.append(text.place)
    return found, skipped


def _prompts(data: Data, held_out: Sequence[Text]) -> list[str]:
    """The prompts of the first two held-out conversations. For stories one empty prompt: the model begins by itself."""
    return [text.turns[0].prompt for text in held_out[:2] if not isinstance(text, str)] or [""]


def devices() -> list[str]:
    """The devices that torch can use on this computer, the fastest first."""
    return (["cuda"] if torch.cuda.is_available() else []) + ["cpu"]
