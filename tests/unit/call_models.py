"""Random models that make calls: their tokenizer has the control tokens, their config the bundled catalogue."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import sentencepiece

from tests.unit.checkpoint_files import CONFIG, random_model
from tinyllm.codegen.actions.catalogue import BUNDLED, read_catalogue_text
from tinyllm.codegen.actions.plan import ActionPlan, actions_of
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.tokenizers import Tokenizer, read_tokenizer

CORPUS = [
    "Turn on the light in the kitchen, please. The living room is dark.",
    'light.set(room="kitchen", on=true) light.dim(room="living room", level=50) led.set(color="red")',
    'sensor.read(kind="temperature") servo.set(angle=90) timer.start(minutes=15) pin.write(pin=13, on=false)',
    'display.show(text="hello world, how are you") relay.set(id=3, on=true) led.blink(times=12)',
    "It is 21 degrees. The timer runs for 15 minutes. Done, the bedroom light is off.",
]
VOCAB = 384
CATALOGUE = read_catalogue_text(BUNDLED)


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
    """Of this tokenizer with the bundled catalogue."""
    found = actions_of(CATALOGUE, tokenizer())
    assert found is not None
    return found


def call_model(context: int = 96, seed: int = 0) -> Model:
    """A random model whose tokens are this tokenizer's, with the bundled catalogue."""
    config = replace(CONFIG, name="calls", vocab_size=VOCAB, context=context, actions=CATALOGUE)
    return random_model(config, seed=seed)
