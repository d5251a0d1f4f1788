"""Any small Llama: a Hugging Face folder of each family, with tokenizer and chat template of its kind, on every chip.

The checkpoints are random. What counts is that a board gives the reference's tokens and logits, in a chat too, past the
window and past the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.chat_templates import CHATML, LLAMA2, LLAMA3, PHI3
from tests.unit.checkpoint_files import CONFIG, half_paired, random_model, write_huggingface
from tests.unit.huggingface_files import rewrite, tensors_of
from tests.unit.tokenizer_files import REPLICAS, train_sentencepiece, write_tokenizer
from tinyllm.codegen.arithmetic.float_model import Rope
from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.chat.conversation import conversation_ids
from tinyllm.codegen.chat.render import Message
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.messages import Done, Token, token_digest
from tinyllm.host.link.settings import apply_settings, wire_settings
from tinyllm.host.model.load import LoadedModel, LoadOptions, load_model
from tinyllm.host.output import Output
from tinyllm.host.prove.expected_answers import Expected
from tinyllm.host.prove.prove import prove

CONTEXT = 96
SAID = ("The dog <|im_end|> </s>", "  Ελλάδα, 1234 and\n2?")
SHAPE = replace(
    CONFIG, name="tiny", dim=48, hidden_dim=80, n_heads=4, n_kv_heads=2, head_dim=12, context=256, schedule=(0, 1, 2)
)
LONGROPE = {"type": "longrope", "short_factor": [1.0] * 6, "long_factor": [1.5, 2.0, 2.5, 3.0, 3.5, 4.0]}


@dataclass(frozen=True)
class Family:
    """model_type and what config.json says besides; tokenizer and tokenizer_config.json; the board that runs it."""

    model_type: str
    fields: dict[str, Any]
    tokenizer: str | None
    tokenizer_config: dict[str, Any]
    board: str


FAMILIES = {
    "llama 3": Family("llama", {"tie_word_embeddings": False}, "Llama 3", {"chat_template": LLAMA3}, "host"),
    "qwen2, window on later layers": Family(
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1, "tie_word_embeddings": False},
        "Qwen2",
        {"chat_template": CHATML},
        "pico",
    ),
    "phi3, long factors": Family(
        "phi3",
        {"rope_scaling": LONGROPE, "original_max_position_embeddings": 24, "tie_word_embeddings": False},
        "Phi-3",
        {"chat_template": PHI3},
        "pico2",
    ),
    "mistral, window on every layer": Family(
        "mistral",
        {"sliding_window": 20, "tie_word_embeddings": False},
        "Mistral",
        {"chat_template": LLAMA2, "bos_token": "<s>", "eos_token": "</s>"},
        "esp32c3",
    ),
    "mobilellm, blocks run twice": Family(
        "mobilellm",
        {"layer_sharing": True, "share_embedding": False, "tie_word_embeddings": False},
        None,
        None,
        "esp32",
    ),
}


def write_folder(folder: Path, family: Family) -> Path:
    """The checkpoint with its tokenizer."""
    folder.mkdir()
    if family.tokenizer is None:
        path = folder / "tokenizer.model"
        path.write_bytes(train_sentencepiece(model_type="unigram"))
    else:
        path = write_tokenizer(folder, REPLICAS[family.tokenizer](), tokenizer_config=family.tokenizer_config)
    config = half_paired(replace(SHAPE, vocab_size=read_tokenizer(path).vocab_size, tied_head=False))
    model = random_model(replace(config, rope=Rope(pairing="half", rotary_dim=12)), biases=True, seed=3)
    write_huggingface(folder, model, model_type=family.model_type, **family.fields)
    return rewrite(folder, tensors_of(family.model_type, model))


@dataclass(frozen=True)
class Running:
    """A board that runs the checkpoint."""

    loaded: LoadedModel
    connection: Connection


OFTEN = ("llama 3", "phi3, long factors", "mobilellm, blocks run twice")
"""The others are a sweep: tests/peers runs the C of every family."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name in OFTEN else pytest.mark.sweep, id=name) for name in FAMILIES],
)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Program and started as a person would, one family after the other."""
    family = FAMILIES[request.param]
    folder = write_folder(tmp_path_factory.mktemp("checkpoint") / "tiny", family)
    options = LoadOptions(context=CONTEXT)
    request = BoardRequest(str(folder), options, family.board, None, virtual=family.board != "host")
    with attach(request, Output()) as connection:
        yield Running(load_model(str(folder), options), connection)


def test_the_board_gives_the_references_tokens_and_logits(running: Running) -> None:
    with running.connection.open() as link:
        for agreement in prove(link, Expected(running.loaded, CONTEXT), [0.8], count=CONTEXT + 16):
            assert agreement.difference is None, agreement.difference


def test_a_chat_has_the_tokens_of_the_rendered_conversation(running: Running) -> None:
    config, tokenizer = running.loaded.model.config, running.loaded.tokenizer
    if config.chat_template is None:
        with running.connection.open() as link:
            assert link.hello.chat == 0
        return
    with running.connection.open() as link:
        apply_settings(link, wire_settings(SamplerSettings.from_float(temperature=0.0), 1))
        assert link.hello.chat == 1
        *_, done = link.prompt(SAID[0], 0, chat=True)
    assert isinstance(done, Done)
    expected = conversation_ids(config.chat_template, tokenizer, [Message("user", SAID[0])])
    assert done.conversation_digest == token_digest(expected)


def test_what_the_board_says_is_what_its_tokens_decode_to(running: Running) -> None:
    with running.connection.open() as link:
        apply_settings(link, wire_settings(SamplerSettings.from_float(temperature=1.0), 5))
        events = list(link.prompt(SAID[1], 12))
    ids = [event.token for event in events if isinstance(event, Token)]
    text = "".join(event.text for event in events if isinstance(event, (Token, Done)))
    tokenizer = replace(running.loaded.tokenizer, add_dummy_prefix=False)
    assert text == decode(tokenizer, ids).decode("utf-8", "replace")
