"""inspect tells what a checkpoint is and what it takes, and reads no weight for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import STORY_MODEL
from tests.unit import gguf_files
from tests.unit.chat_templates import FAMILIES
from tests.unit.checkpoint_files import huggingface_tensors, random_model, write_huggingface
from tests.unit.huggingface_files import HALF, TINYLLAMA, rewrite, write_sparse
from tests.unit.tokenizer_files import gpt2, write_tokenizer
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.checkpoints.licence import READ_BYTES, find_licence
from tinyllm.codegen.memory.fit import check_fits
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import kv_bytes_per_token, plan_memory, weight_bytes
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.errors import UserError
from tinyllm.host.cli import app as cli
from tinyllm.host.model.inspection import inspect_model
from tinyllm.host.model.load import AS_STORED, LoadOptions, load_model
from tinyllm.text import LONGEST_SHOWN

SMALL = replace(HALF, context=32)
MODEL = STORY_MODEL
Inspect = Callable[..., dict[str, Any]]


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Inspect:
    """The JSON document of `tinyllm inspect`."""

    def run(*arguments: object) -> dict[str, Any]:
        assert cli.run(["inspect", *map(str, arguments), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert isinstance(document, dict)
        return document

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder without a tokenizer."""
    return write_huggingface(tmp_path / "tiny", random_model(SMALL))


# --- Sizes ------------------------------------------------------------------------------------------------------------


def test_the_bytes_are_those_of_the_model_that_is_built(inspect: Inspect) -> None:
    seen = inspect(MODEL, "--context", 64)
    loaded = load_model(str(MODEL), LoadOptions(context=64))
    integers = quantize(loaded.model, 64)
    plan = plan_memory(integers, loaded.tokenizer)
    assert seen["weight_bytes"]["int8"] == plan.flash["weights"]
    assert seen["vocabulary_bytes"] == plan.flash["vocabulary"]
    assert seen["ram"] == plan.ram | {"state": plan.state_bytes}
    assert seen["parameters"] == sum(seen["parts"].values()) == loaded.model.n_parameters()


def test_a_token_more_takes_its_kv_bytes() -> None:
    model = outline(replace(TINYLLAMA, context=128))
    tokenizer = read_tokenizer(MODEL / "tokenizer.model")
    grown = replace(model, config=replace(model.config, context=256))
    cache = [plan_memory(one, tokenizer).ram["kv_cache"] for one in (model, grown)]
    assert cache[1] - cache[0] == 128 * kv_bytes_per_token(model) == 128 * 22 * 4 * 2 * (64 + 2)


def test_narrower_weights_take_fewer_bytes_in_proportion() -> None:
    model = outline(TINYLLAMA)
    sizes = weight_bytes(model, plan_memory(model, read_tokenizer(MODEL / "tokenizer.model")).flash["weights"])
    matrices = sum(tensor.size for _, tensor in model.tensors() if tensor.ndim == 2)
    assert sizes.fp16 / matrices == pytest.approx(2, rel=0.01)
    assert sizes.int8 / matrices == pytest.approx(1, rel=0.01)
    ends = 2 * TINYLLAMA.vocab_size * TINYLLAMA.dim  # embedding and head stay int8
    assert sizes.int4 == pytest.approx(ends + (matrices - ends) * 4.25 / 8, rel=0.01)


# --- Boards -----------------------------------------------------------------------------------------------------------


def test_a_model_of_a_billion_parameters_is_inspected(inspect: Inspect, tmp_path: Path) -> None:
    seen = inspect(write_sparse(tmp_path / "TinyLlama", TINYLLAMA, "BF16", 3))
    assert seen["parameters"] == 1_100_048_384
    assert seen["stored_bytes"] == 2 * seen["parameters"]


def test_trimming_is_advised_if_the_vocabulary_is_most_of_what_is_short() -> None:
    tokenizer = read_tokenizer(MODEL / "tokenizer.model")
    wide = outline(replace(TINYLLAMA, dim=64, hidden_dim=64, n_heads=1, n_kv_heads=1, schedule=(0,), context=8))
    with pytest.raises(UserError, match="Most of it is for 32,000 tokens: --trim-vocab FILE keeps what a text needs"):
        check_fits(wide, tokenizer, load_board("pico"))
    deep = outline(replace(TINYLLAMA, vocab_size=512))
    with pytest.raises(UserError) as caught:
        check_fits(deep, tokenizer, load_board("pico"))
    assert "--trim-vocab" not in str(caught.value)


# --- Tokenizers and chat templates ------------------------------------------------------------------------------------


def test_a_checkpoint_without_a_tokenizer_is_inspected_and_says_so(inspect: Inspect, tiny: Path) -> None:
    seen = inspect(tiny)
    assert seen["tokenizer"] is None
    assert "tokenizer" in seen["no_tokenizer"]


def test_trimming_needs_a_tokenizer(tiny: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("a text")
    with pytest.raises(UserError, match="--trim-vocab needs the model's tokenizer"):
        inspect_model(tiny, LoadOptions(trim_vocab=text))


def test_trimming_is_inspected_as_it_would_be_built(inspect: Inspect, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("Once upon a time there was a dog.")
    seen = inspect(MODEL, "--trim-vocab", text)
    loaded = load_model(str(MODEL), LoadOptions(trim_vocab=text))
    assert loaded.saving is not None
    assert seen["config"]["name"] == loaded.name
    assert seen["parameters"] == loaded.model.n_parameters()
    assert seen["trimming"]["flash"] == loaded.saving.flash > 0
    plan = plan_memory(quantize(loaded.model, loaded.context), loaded.tokenizer)
    assert seen["weight_bytes"]["int8"] == plan.flash["weights"]


@pytest.mark.parametrize(
    ("template", "on_board", "reason"),
    [
        (FAMILIES["plain"].template, True, ""),
        ("{{ messages[0].content }}{{ messages[-1].content }}", False, "it does not write every message"),
    ],
)
def test_a_chat_template_is_tried_on_the_board(tiny: Path, template: str, on_board: bool, reason: str) -> None:
    model = random_model(replace(SMALL, vocab_size=700))
    folder = write_huggingface(tiny, model)
    write_tokenizer(folder, gpt2(), tokenizer_config={"chat_template": template, "eos_token": "<|endoftext|>"})
    tokenizer = read_tokenizer(folder / "tokenizer.json")
    write_huggingface(folder, random_model(replace(SMALL, vocab_size=tokenizer.vocab_size)))
    seen = inspect_model(folder, AS_STORED)
    assert seen.chat_template is not None
    assert seen.chat_template.on_board is on_board
    assert reason in seen.chat_template.reason


# --- Switches that a configuration leaves out -------------------------------------------------------------------------


def test_the_switches_of_mobilellm_are_options(inspect: Inspect, tmp_path: Path) -> None:
    model = random_model(replace(SMALL, schedule=(0, 1), tied_head=True))
    folder = write_huggingface(tmp_path / "MobileLLM", model, tie_word_embeddings=False)
    rewrite(folder, huggingface_tensors(model))
    assert cli.run(["inspect", str(folder)]) == 2
    seen = inspect(folder, "--share-embedding", "--layer-sharing")
    assert seen["config"]["schedule"] == [0, 0, 1, 1]
    assert seen["config"]["tied_head"] is True
    assert seen["parameters"] == read_model(folder, share_embedding=True).n_parameters()
    assert "2 stored blocks, each run 2 times in a row" in seen["features"]
    assert inspect(folder, "--share-embedding", "--no-layer-sharing")["config"]["schedule"] == [0, 1]


def test_biases_are_part_of_the_weights(inspect: Inspect, tmp_path: Path) -> None:
    with_biases = random_model(SMALL, biases=True)
    folder = write_huggingface(tmp_path / "biased", with_biases, attention_bias=True)
    rewrite(folder, huggingface_tensors(with_biases))
    read = read_model(folder)
    tokenizer = read_tokenizer(MODEL / "tokenizer.model")
    expected = plan_memory(quantize(read, 32), tokenizer).flash["weights"]
    assert inspect(folder)["weight_bytes"]["int8"] == expected
    assert read.blocks[0].bq is not None


# --- Licences ---------------------------------------------------------------------------------------------------------

CARDS = {
    "plain": ("---\nlicense: mit\n---\n", "mit"),
    "quoted, with a comment": ('---\ntags: [a]\nlicense: "apache-2.0" # yes\n---\n', "apache-2.0"),
    "a list": ("---\nlicense:\n- cc-by-nc-4.0\n---\n", "cc-by-nc-4.0"),
    "a list of one": ("---\nlicense: [mit]\n---\n", "mit"),
    "another with a name": ("---\nlicense: other\nlicense_name: fair\n---\n", "fair"),
    "Windows": ("---\r\nlicense: mit\r\n---\r\n", "mit"),
    "a terminal's codes": ("---\nlicense: mit\x1b[2J\u202e\n---\n", "mit[2J"),
    "endless": (f"---\nlicense: {'x' * 100_000}", None),
    "long": (f"---\nlicense: {'x' * 1000}\n---\n", "x" * LONGEST_SHOWN),
    "outside the front matter": ("license: mit\n", None),
    "not first": ("# Card\n---\nlicense: mit\n---\n", None),
    "empty": ("---\nlicense:\n---\n", None),
    "an anchor": ("---\nlicense: &a mit\n---\n", None),
    "an object": ("---\nlicense: {a: b}\n---\n", None),
    "bytes": ("---\nlicense: \udcff\n---\n", "\ufffd"),
}


@pytest.mark.parametrize("card", CARDS)
def test_a_licence_is_read_from_the_card(card: str, tmp_path: Path) -> None:
    content, expected = CARDS[card]
    (tmp_path / "README.md").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert find_licence(tmp_path) == (expected and (expected, "README.md"))


def test_a_licence_file_is_named_by_its_title(tmp_path: Path) -> None:
    (tmp_path / "LICENSE.txt").write_text("\n  # MIT License\n\nCopyright ...")
    assert find_licence(tmp_path) == ("MIT License", "LICENSE.txt")
    (tmp_path / "README.md").mkdir()
    assert find_licence(tmp_path) == ("MIT License", "LICENSE.txt")


def test_a_gguf_file_names_its_licence(tmp_path: Path) -> None:
    model = random_model(SMALL)
    metadata = gguf_files.metadata_of(model) | {"general.license": "apache-2.0"}
    path = gguf_files.write_gguf(tmp_path / "tiny.gguf", "llama", metadata, gguf_files.tensors_of(model))
    assert find_licence(path) == ("apache-2.0", "tiny.gguf")
    plain = gguf_files.write_model(tmp_path / "plain.gguf", model)
    assert find_licence(plain) is None


def test_only_the_beginning_of_a_card_is_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\n" + "a: b\n" * READ_BYTES + "license: mit\n---\n")
    assert find_licence(tmp_path) is None


def test_people_see_parts_sizes_and_where_boards_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", str(MODEL)]) == 0
    out, err = capsys.readouterr()
    for shown in ("feed-forward", "######", "weights as int4", "mit"):
        assert shown in out
    assert "tinyllm fit" in err
