"""A prefix: what every conversation of a board begins with, computed when the C is emitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tinyllm
from tests.boards.conftest import missing
from tests.conftest import skip_unless_ci
from tests.pipeline.conftest import BASE, RANDOM_CONFIGS, random_model
from tests.pipeline.console_board import compile_program
from tests.pipeline.test_chat_turns import CHANGING, CONTEXT, SAID, TOKENIZER, choice, on_host, talk
from tests.unit.chat_templates import CHATML, FAMILIES
from tests.unit.checkpoint_files import write_huggingface
from tests.unit.tokenizer_files import byte_level, split_by, write_tokenizer
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.chat.derive import derive
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.verify import verify
from tinyllm.errors import UserError
from tinyllm.host.chat.turn_writer import OnBoard
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.answer import collect

BEGINNING = "Once upon a time there was a little fox who"
GREEDY = {"temperature": 0, "repetition_penalty": 1.1}


@pytest.fixture
def beginning(tmp_path: Path) -> Path:
    path = tmp_path / "beginning.txt"
    path.write_text(BEGINNING + "\n")
    return path


def opened(board: str, model: tinyllm.LanguageModel) -> tinyllm.Board:
    return tinyllm.Board.host(model) if board == "host" else tinyllm.Board.virtual(board, model)


@pytest.mark.parametrize("board", [pytest.param("host", marks=pytest.mark.sweep), "pico2"])
def test_every_conversation_goes_on_behind_the_prefix(board: str, beginning: Path) -> None:
    """The tokens are those of a board without it that reads it first, in the first conversation and the next ones."""
    if lacking := missing(load_board(board), board != "host", None, None):
        skip_unless_ci(lacking)
    with opened(board, tinyllm.load(context=48)) as plain:
        collect(plain.link.prompt(BEGINNING, 0))
        list(plain.ask(" saw", max_tokens=60, **GREEDY))
        expected = plain.answer.tokens
    assert len(expected) == 60  # beyond the context, so that slots of the prefix are written over
    with opened(board, tinyllm.load(context=48, prefix=beginning)) as begun:
        for _ in range(2):
            list(begun.ask(" saw", max_tokens=60, **GREEDY))
            assert begun.answer.tokens == expected
            begun.reset()


def test_what_the_prefix_leaves_of_the_context_is_told(beginning: Path) -> None:
    model = tinyllm.load(context=48, prefix=beginning)
    with tinyllm.Board.host(model) as board:
        assert board.hello.context_used == len(model.model.config.prefix)
        assert board.hello.conversation_digest == 0
        assert board.hello.model_hash == model.quantize().short_digest()
        assert board.hello.model_hash != tinyllm.load(context=48).quantize().short_digest()


def test_the_board_proves_itself_behind_a_prefix(beginning: Path) -> None:
    with tinyllm.Board.host(tinyllm.load(context=48, prefix=beginning)) as board:
        assert [comparison.difference for comparison in board.verify() if not comparison.bit_exact] == []


@pytest.mark.parametrize("feature", ["grouped-query", "windows of several sizes"])
def test_the_emitted_cache_is_the_references(feature: str, stories_tokenizer: Tokenizer) -> None:
    config = replace(RANDOM_CONFIGS[feature], prefix=(1, 7, 5, 300, 2, 9, 9, 30, 4))
    for verdict in verify(quantize(random_model(config)), stories_tokenizer, ("ubsan",), positions=60):
        assert verdict.bit_exact, verdict.difference


def test_a_chat_begins_with_the_prefix_as_its_system_message(tmp_path: Path) -> None:
    """The board's turns give the tokens that the host renders with that message."""
    system = "You are a fox.\nAnswer in one word."
    prefix = derive(CHATML, TOKENIZER, system).first.tokens
    assert len(prefix) > 10
    whole = choice(CHATML).model
    begun = replace(whole, config=replace(whole.config, prefix=prefix, system=system))
    boards = {}
    for name, model in (("whole", whole), ("begun", begun)):
        files = emit_project(quantize(model, CONTEXT), TOKENIZER, load_board("host")).files
        boards[name] = compile_program(files, tmp_path / name, ["-O1"])
    with BoardProcess([boards["whole"]]) as board:
        expected = talk(board, on_host(system=system))
    with BoardProcess([boards["begun"]]) as board:
        said = talk(board, OnBoard())
    assert len(said.turns) == len(SAID)
    assert [turn.answer for turn in said.turns] == [turn.answer for turn in expected.turns]


def test_a_prefix_counts_in_flash_and_in_the_models_hash(beginning: Path) -> None:
    plain, begun = (tinyllm.load(context=48, prefix=prefix).emit("pico2") for prefix in (None, beginning))
    tokens = len(tinyllm.load(context=48, prefix=beginning).model.config.prefix)
    rows = 2 * 5 * 2 * tokens  # of keys and values, in each of 5 layers and 2 KV heads
    flash = dict(begun.needs.plan.flash)
    assert flash.pop("prefix") == 4 * tokens + rows * (16 + 2) + 2 * 5 * 2
    assert flash == plain.needs.plan.flash
    assert plain.manifest.model_hash != begun.manifest.model_hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no text in it; expected what every conversation is to begin with"),
        ("word " * 60, r"the prefix has \d+ tokens, which leaves no room in a context of 48: expected at most 40"),
    ],
)
def test_a_prefix_that_cannot_be_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "prefix.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        tinyllm.load(context=48, prefix=path).emit("host")


def test_a_template_that_only_the_host_can_render_takes_no_prefix(beginning: Path, tmp_path: Path) -> None:
    theirs = byte_level(split_by("llama3"), list(FAMILIES["chatml"].controls))
    folder = tmp_path / "chatty"
    write_huggingface(folder, random_model(replace(BASE, vocab_size=theirs.get_vocab_size())))
    write_tokenizer(folder, theirs, tokenizer_config={"eos_token": "<|im_end|>", "chat_template": CHANGING})
    with pytest.raises(UserError, match=r"the board cannot follow .* `tinyllm chat --system TEXT` renders it"):
        tinyllm.load(folder, prefix=beginning)
