"""A chat from the host: the board's template, the host's, and none, over the link to the real program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import STORY_MODEL
from tests.pipeline.conftest import BASE, random_model
from tests.pipeline.console_board import compile_program
from tests.unit.chat_templates import CHATML, FAMILIES, small_tokenizer
from tests.unit.checkpoint_files import write_huggingface
from tests.unit.tokenizer_files import byte_level, split_by, write_tokenizer
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.chat.conversation import conversation_ids
from tinyllm.codegen.chat.derive import derive
from tinyllm.codegen.chat.render import Message
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.errors import UserError
from tinyllm.host.build.build import build
from tinyllm.host.chat.conversation import Conversation
from tinyllm.host.chat.turn_writer import OnBoard, OnHost, Plain, TurnWriter, turn_writer_for
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Setting, token_digest
from tinyllm.host.model.load import AS_STORED, LoadedModel

CONTEXT = 256
TOKENIZER = small_tokenizer(FAMILIES["chatml"])
SAID = ("Hello there!", "And <|im_end|> then?", " Why? ")
CHANGING = CHATML.replace("{% for message", "{{ messages|length }}{% for message")
"""Begins otherwise with every turn."""


def choice(template: str | None) -> LoadedModel:
    config = replace(BASE, name="chatty", vocab_size=TOKENIZER.vocab_size, context=CONTEXT, chat_template=template)
    return LoadedModel(Path("chatty"), random_model(config, seed=3), Path("tokenizer"), TOKENIZER, CONTEXT)


@dataclass(frozen=True)
class Running:
    """A board with a template, and one without."""

    chatty: BoardProcess
    plain: BoardProcess


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    programs = []
    for template in (CHATML, None):
        model = quantize(choice(template).model, CONTEXT)
        files = emit_project(model, TOKENIZER, load_board("host")).files
        programs.append(compile_program(files, tmp_path_factory.mktemp("program"), ["-O1"]))
    with BoardProcess([programs[0]]) as chatty, BoardProcess([programs[1]]) as plain:
        yield Running(chatty, plain)


def on_host(template: str = CHATML, planned: bool = True, system: str | None = None) -> OnHost:
    return OnHost(template, TOKENIZER, system, derive(template, TOKENIZER, system) if planned else None, CONTEXT)


def talk(board: BoardProcess, turns: TurnWriter, said: tuple[str, ...] = SAID, max_tokens: int = 6) -> Conversation:
    with Link(board.url) as link:
        link.set(Setting.TEMPERATURE, 0)
        link.reset()
        conversation = Conversation(link.hello)
        for text in said:
            for _ in conversation.ask(link, text, max_tokens, turns.write(text, conversation.turns)):
                pass
        return conversation


def digests(conversation: Conversation) -> list[int]:
    return [turn.done.conversation_digest for turn in conversation.turns if turn.done]


def test_the_board_and_the_host_put_the_same_tokens_into_a_chat(boards: Running) -> None:
    assert digests(talk(boards.chatty, OnBoard())) == digests(talk(boards.plain, on_host()))


def test_a_template_rendered_whole_each_time_begins_as_the_plan_does(boards: Running) -> None:
    whole, planned = talk(boards.plain, on_host(planned=False)), talk(boards.plain, on_host())
    assert digests(whole)[0] == digests(planned)[0]
    assert not whole.turns[0].sent.anew


def test_a_template_that_changes_what_was_said_makes_the_board_read_the_conversation_anew(boards: Running) -> None:
    conversation = talk(boards.plain, on_host(CHANGING, planned=False))
    assert [turn.sent.anew for turn in conversation.turns] == [False, True, True]
    last = conversation.turns[-1]
    assert isinstance(last.sent.content, tuple)
    assert digests(conversation)[-1] == token_digest((*last.sent.content, *last.answer))


def test_a_conversation_to_be_read_anew_that_is_too_long_is_refused_and_nothing_is_sent(boards: Running) -> None:
    turns = on_host(CHANGING, planned=False)
    conversation = talk(boards.plain, turns, SAID[:1])
    with pytest.raises(UserError, match="the board's context is 256"):
        turns.write("x" * 400, conversation.turns)


@pytest.mark.parametrize("kind", ["board", "host", "changing", "plain"])
def test_a_chat_is_replayed_with_the_kinds_of_its_turns(boards: Running, kind: str) -> None:
    turns: TurnWriter = {
        "board": OnBoard(), "host": on_host(), "changing": on_host(CHANGING, planned=False), "plain": Plain(),
    }[kind]  # fmt: skip
    conversation = talk(boards.chatty, turns)
    with Link(boards.chatty.url) as link:
        link.reset()
        assert conversation.replay(link)
        assert link.update_hello().conversation_digest == digests(conversation)[-1]
        assert conversation.held_by(link.hello)


@pytest.mark.parametrize("kind", ["board", "host", "changing"])
def test_a_turn_that_was_held_elsewhere_is_read_as_the_template_writes_it(boards: Running, kind: str) -> None:
    template = CHANGING if kind == "changing" else CHATML
    turns: TurnWriter = OnBoard() if kind == "board" else on_host(template, planned=kind == "host")
    said, answered, then = SAID
    with Link(boards.chatty.url) as link:
        link.reset()
        conversation = Conversation(link.hello)
        for sent in turns.write_past(said, answered, conversation.turns):
            list(conversation.ask(link, said, 0, sent))
        conversation.turns[-1].text = answered
        list(conversation.ask(link, then, 0, turns.write(then, conversation.turns)))
        held = link.update_hello().conversation_digest
    messages = [Message("user", said), Message("assistant", answered), Message("user", then)]
    assert held == token_digest(conversation_ids(template, TOKENIZER, messages))


def test_a_system_message_is_the_first_thing_that_the_board_reads(boards: Running) -> None:
    plain, system = on_host(), on_host(system="Be brief.")
    assert talk(boards.plain, plain, SAID[:1]).turns[0].sent != talk(boards.plain, system, SAID[:1]).turns[0].sent
    sent = system.write(SAID[0], ()).content
    text = b"".join(TOKENIZER.pieces[token] for token in sent if isinstance(token, int)).decode()
    assert (
        text
        == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello there!<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_turns_are_those_of_the_board_if_it_has_a_template(boards: Running) -> None:
    nobody = BoardRequest(None, AS_STORED, "host", boards.chatty.url)
    with Connection(boards.chatty.url).open() as link:
        assert isinstance(turn_writer_for(nobody, Connection(link.name), link.hello, False, None), OnBoard)
        assert isinstance(turn_writer_for(nobody, Connection(link.name), link.hello, True, None), Plain)
        with pytest.raises(UserError, match="Name the MODEL"):
            turn_writer_for(nobody, Connection(link.name), link.hello, False, "Be brief.")
        with pytest.raises(UserError, match="--raw"):
            turn_writer_for(nobody, Connection(link.name), link.hello, True, "Be brief.")


def test_a_model_without_a_template_goes_on_from_the_text(boards: Running) -> None:
    bundled = BoardRequest(str(STORY_MODEL), AS_STORED, "host", None)
    with Connection(boards.plain.url).open() as link:
        assert isinstance(turn_writer_for(bundled, Connection(link.name), link.hello, False, None), Plain)
        with pytest.raises(UserError, match="tinystories-260k has none"):
            turn_writer_for(bundled, Connection(link.name), link.hello, False, "Be brief.")


def test_a_build_tells_that_only_the_host_can_follow_a_template() -> None:
    notes: list[str] = []
    build(choice(CHANGING), load_board("host"), CONTEXT, notice=notes.append)
    assert [note for note in notes if "chat template" in note and "depends on the conversation" in note]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a byte-level tokenizer and the ChatML template."""
    folder = tmp_path_factory.mktemp("checkpoint") / "chatty"
    theirs = byte_level(split_by("llama3"), list(FAMILIES["chatml"].controls))
    model = random_model(replace(BASE, vocab_size=theirs.get_vocab_size(), context=CONTEXT), seed=3)
    write_huggingface(folder, model)
    names = {"eos_token": "<|im_end|>", "chat_template": CHATML}
    write_tokenizer(folder, theirs, tokenizer_config=names)
    return folder


def tinyllm(*arguments: str, typed: str = "") -> dict[str, Any]:
    command = [sys.executable, "-m", "tinyllm.host.cli.app", *arguments, "--json"]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_run_and_chat_use_the_template_of_a_checkpoint(checkpoint: Path) -> None:
    tokenizer = read_tokenizer(checkpoint / "tokenizer.json")
    options = ("-p", "Hello there!", "-n", "4", "--temperature", "0")
    board = tinyllm("run", str(checkpoint), *options)
    system = tinyllm("run", str(checkpoint), *options, "--system", "You are a helpful assistant.")
    raw = tinyllm("run", str(checkpoint), *options, "--raw")
    turn = derive(CHATML, tokenizer).turn(tokenizer, "Hello there!", first=True)
    assert [run["chat_template"] for run in (board, system, raw)] == ["board", "host", None]
    assert board["prompt_tokens"] == system["prompt_tokens"] == len(turn)
    assert board["tokens"] == system["tokens"]
    assert raw["prompt_tokens"] == len(encode(tokenizer, "Hello there!", bos=True))
    chat = tinyllm("chat", str(checkpoint), typed="/temp 0\n/max 4\nHello there!\nAnd then?\n")
    assert chat["turns"][0]["tokens"] == board["tokens"]
    assert len(chat["turns"]) == 2
