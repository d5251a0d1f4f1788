"""A vocabulary of 32,000 pieces on a Pico: it fits the flash, and 1 KB of text is encoded well within a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.conftest import BASE, random_model
from tests.unit.tokenizer_forms import large_vocabulary
from tinyllm.boards.description import load_board
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.host.build.build import build
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.errors import Refused
from tinyllm.host.link.link import Link
from tinyllm.host.model.load import LoadedModel
from tinyllm.host.virtual.emulators import require_unicorn

CONTEXT = 256
CYCLES = 2
"""Of an instruction at most, on an RP2040 that runs from its flash's cache: an estimate."""
STORY = "once upon a time there was a girl named lily. she had a ball and her dog ran after it all day long. " * 16
TEXTS = {"words": STORY[:1024], "no spaces": STORY.replace(" ", "")[:1024], "one letter": "a" * 1024}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> BoardProcess:
    """The virtual Pico, counting."""
    require_unicorn()
    tokenizer = large_vocabulary()
    model = random_model(replace(BASE, vocab_size=tokenizer.vocab_size, context=CONTEXT))
    pico = load_board("pico").twin()
    loaded = LoadedModel(Path("large"), model, Path("large"), tokenizer, CONTEXT)
    built = build(loaded, pico, CONTEXT, tmp_path_factory.mktemp("large") / "project")
    with BoardProcess.of(pico, built.program, count=True) as running:
        yield running


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_kilobyte_of_text_is_encoded_well_within_a_second(process: BoardProcess, text: str) -> None:
    """The text is as long as the board takes and, in most cases, has too many tokens: then it encodes and no more."""
    tokens = len(encode(large_vocabulary(), text)) + 1
    with Link(process.url) as link:
        assert link.hello.text_max == len(text) == 1024
        link.reset()
        before = process.instructions()[0]
        try:
            list(link.prompt(text, 0))
        except Refused:
            assert tokens > CONTEXT
        else:
            assert tokens <= CONTEXT
        counted = process.instructions()[0] - before
    seconds = counted * CYCLES / (load_board("pico").clock_mhz * 1e6)
    print(f"\n1 KB, {tokens} tokens: at most {counted:,} instructions (counted), {seconds:.2f} s (estimated)")
    assert seconds < 0.5
