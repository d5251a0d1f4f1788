"""Random models that make calls: their tokenizer has the control tokens, their config a catalogue."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import sentencepiece

from tests.unit.checkpoint_files import CONFIG, random_model, write_huggingface
from tinyllm.codegen.actions.catalogue import BUNDLED, FILE, read_catalogue_text
from tinyllm.codegen.actions.plan import ActionPlan, actions_of
from tinyllm.codegen.arithmetic.float_model import Model, Rope
from tinyllm.codegen.tokenizers import Tokenizer, read_tokenizer

CORPUS = [
    "Turn on the light in the kitchen, please. The living room is dark.",
    'light.set(room="kitchen", on=true) light.dim(room="living room", level=50) led.set(color="red")',
    'sensor.read(kind="temperature") servo.set(angle=90) timer.start(minutes=15) pin.write(pin=13, on=false)',
    'display.show(text="hello world, how are you") relay.set(id=3, on=true) led.blink(times=12)',
    "It is 21 degrees. The timer runs for 15 minutes. Done, the bedroom light is off.",
]
VOCAB = 384
CATALOGUE = (
    "caution = 1.5\n[words]"
    + read_catalogue_text(BUNDLED).partition("[words]")[2]
    + """
[call."note.find"]
arguments = { words = "text(20)", most = "-3..12" }
"""
)
"""The bundled one with caution, and a call that no board has a handler for."""


@cache
def tokenizer_file() -> Path:
    """A tokenizer.model of SentencePiece with byte fallback and the control tokens of calls."""
    folder = Path(_folder.name)

    def sentences() -> Iterator[str]:
        yield from CORPUS * 20

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences(),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=VOCAB,
        model_type="bpe",
        byte_fallback=True,
        control_symbols=["<call>", "</call>", "<result>", "</result>"],
        add_dummy_prefix=True,
        minloglevel=2,
    )
    return folder / "tokenizer.model"


_folder = tempfile.TemporaryDirectory(prefix="tinyllm-calls-")


@cache
def tokenizer() -> Tokenizer:
    """The same, read."""
    return read_tokenizer(tokenizer_file())


@cache
def plan() -> ActionPlan:
    """Of this tokenizer with this catalogue."""
    found = actions_of(CATALOGUE, tokenizer())
    assert found is not None
    return found


def call_model(context: int = 96, seed: int = 0) -> Model:
    """A random model whose tokens are this tokenizer's, with this catalogue."""
    config = replace(CONFIG, name="calls", vocab_size=VOCAB, context=context, actions=CATALOGUE)
    return random_model(config, seed=seed)


def write_folder(folder: Path, context: int = 320, seed: int = 0) -> Path:
    """Such a model as a person has it: a folder of Hugging Face with its catalogue."""
    model = call_model(context, seed)
    rope = Rope(rotary_dim=model.config.head_dim)
    write_huggingface(folder, replace(model, config=replace(model.config, rope=rope)))
    shutil.copy(tokenizer_file(), folder / "tokenizer.model")
    (folder / FILE).write_text(CATALOGUE)
    return folder
