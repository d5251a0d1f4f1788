"""A trimmed vocabulary encodes its texts as the whole one does; the model is the whole one with fewer choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer

from tests.conftest import STORY_MODEL
from tests.unit.chat_templates import FAMILIES, small_tokenizer
from tests.unit.checkpoint_files import random_model
from tests.unit.tokenizer_files import CORPUS, REPLICAS, gpt2, write_tokenizer
from tests.unit.tokenizer_forms import large_vocabulary
from tinyllm.codegen.arithmetic.float_forward import FloatForward, generate_greedy
from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig, Rope
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.chat.conversation import conversation_ids
from tinyllm.codegen.chat.render import Message
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import plan_memory
from tinyllm.codegen.tokenizers import PieceKind, Tokenizer, find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, Strip
from tinyllm.codegen.trim import needed_tokens, padding_piece, trim, trim_tokenizer
from tinyllm.codegen.verify.perplexity import perplexity, split_stories

WORDS = sorted({word for line in CORPUS for word in line.split(" ")})


def sentencepiece(folder: Path, kind: str, **options: object) -> Tokenizer:
    with (folder / "tokenizer.model").open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS),
            model_writer=file,
            minloglevel=2,
            model_type=kind,
            vocab_size=420,
            hard_vocab_limit=False,
            **({"byte_fallback": True} | options),
        )
    return read_tokenizer(folder / "tokenizer.model")


def byte_pieces(folder: Path) -> Tokenizer:
    """As tiktoken: the ranks of the joined pieces decide, and a whole word comes first."""
    pairs = read_tokenizer(write_tokenizer(folder, gpt2()))
    joined = [token for _, _, token in pairs.merges]
    order = [*(token for token in range(pairs.vocab_size) if token not in joined), *joined]
    ranks = {token: rank for rank, token in enumerate(order)}
    in_order = tuple(ranks[token] for token in range(pairs.vocab_size))
    return replace(pairs, algorithm=Algorithm.PIECES, ranks=in_order, merges=(), whole_words=True)


def published(name: str) -> Callable[[Path], Tokenizer]:
    return lambda folder: read_tokenizer(write_tokenizer(folder, REPLICAS[name]()))


BUNDLED = "the bundled one"
MAKERS: dict[str, Callable[[Path], Tokenizer]] = {
    **{name: published(name) for name in REPLICAS},
    "sentencepiece bpe": lambda folder: sentencepiece(folder, "bpe"),
    "sentencepiece unigram": lambda folder: sentencepiece(folder, "unigram"),
    "sentencepiece with words of the user": lambda folder: sentencepiece(
        folder, "unigram", byte_fallback=False, user_defined_symbols=["dog", "park."]
    ),
    "tiktoken": byte_pieces,
    "32,000 pieces": lambda _: large_vocabulary(),
    BUNDLED: lambda _: read_tokenizer(find_tokenizer(STORY_MODEL, 512)),
}
WITHOUT_BYTES = {
    "Llama 2 without byte fallback",
    "T5",
    "Unigram with words",
    "sentencepiece with words of the user",
}
"""Tokenizers for which there is text that they cannot say."""

Made = Callable[[str], Tokenizer]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return cache(lambda name: MAKERS[name](tmp_path_factory.mktemp("tokenizer")))


every_tokenizer = pytest.mark.parametrize("name", MAKERS)
every_tokenizer_of_bytes = pytest.mark.parametrize("name", sorted(MAKERS.keys() - WITHOUT_BYTES))
few = settings(max_examples=40)

TEXTS = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), max_size=12).map(" ".join)


# --- The tokenizer ----------------------------------------------------------------------------------------------------


@every_tokenizer
@few
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_the_texts_encode_to_the_same_tokens(made: Made, name: str, texts: list[str]) -> None:
    tokenizer = made(name)
    kept = needed_tokens(tokenizer, texts)
    trimmed = trim_tokenizer(tokenizer, kept)
    for text in texts:
        assert [kept[token] for token in encode(trimmed, text)] == encode(tokenizer, text)


@every_tokenizer_of_bytes
@few
@given(text=TEXTS, other=TEXTS)
def test_any_other_text_still_encodes_and_says_the_same(made: Made, name: str, text: str, other: str) -> None:
    tokenizer = made(name)
    trimmed = trim_tokenizer(tokenizer, needed_tokens(tokenizer, [text]))
    assert decode(trimmed, encode(trimmed, other)) == decode(tokenizer, encode(tokenizer, other))


@every_tokenizer_of_bytes
@few
@given(text=st.binary(max_size=30))
def test_every_byte_still_encodes(made: Made, name: str, text: bytes) -> None:
    tokenizer = made(name)
    trimmed = trim_tokenizer(tokenizer, needed_tokens(tokenizer, [CORPUS[0]]))
    assert decode(trimmed, encode(trimmed, text)) == decode(tokenizer, encode(tokenizer, text))


@every_tokenizer
def test_what_is_no_plain_text_stays(made: Made, name: str) -> None:
    tokenizer = made(name)
    kept = needed_tokens(tokenizer, [CORPUS[0]])
    trimmed = trim_tokenizer(tokenizer, kept)
    assert trimmed.vocab_size < tokenizer.vocab_size
    special = [token for token, kind in enumerate(tokenizer.kinds) if kind is not PieceKind.NORMAL]
    assert set(special) <= set(kept)
    for name in ("bos", "eos", "unknown"):
        before, after = getattr(tokenizer, name), getattr(trimmed, name)
        assert (after is None) == (before is None)
        assert before is None or kept[after] == before
    assert [kept[token] for token in trimmed.stop_ids] == list(tokenizer.stop_ids)


def test_a_large_vocabulary_comes_down_to_what_a_text_needs() -> None:
    whole = large_vocabulary()
    trimmed = trim_tokenizer(whole, needed_tokens(whole, CORPUS))
    assert trimmed.vocab_size < 259 + 31 + 2 * sum(len(line) for line in set(CORPUS))
    assert max(trimmed.ranks) < trimmed.vocab_size


def test_padding_goes_and_the_marks_keep_their_strips() -> None:
    whole = Tokenizer(
        pieces=(b"<s>", b"</s>", *(bytes([byte]) for byte in range(256)), b"ab", b"<|end|>", padding_piece(260)),
        kinds=(PieceKind.CONTROL,) * 2 + (PieceKind.NORMAL,) * 257 + (PieceKind.CONTROL,) * 2,
        ranks=tuple(range(261)),
        bos=None,
        eos=1,
        stop_ids=(1, 259),
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        source="test",
        byte_level=True,
        strips=((259, Strip(right=True)),),
    )
    kept = needed_tokens(whole, ["a b"])
    assert kept == tuple(token for token in range(260) if token != 258)
    trimmed = trim_tokenizer(whole, kept)
    assert trimmed.pieces[258] == b"<|end|>"
    assert trimmed.strips == ((258, Strip(right=True)),)
    assert trimmed.stop_ids == (1, 258)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_chat_encodes_to_the_same_tokens(family: str) -> None:
    whole, template = small_tokenizer(FAMILIES[family]), FAMILIES[family].template
    kept = needed_tokens(whole, [CORPUS[0]], template)
    trimmed = trim_tokenizer(whole, kept)
    assert trimmed.vocab_size < whole.vocab_size
    chat = [Message("user", "Hello"), Message("assistant", "Hello"), Message("user", "Hello")]
    ids = conversation_ids(template, trimmed, chat)
    assert [kept[token] for token in ids] == conversation_ids(template, whole, chat)


# --- The model --------------------------------------------------------------------------------------------------------

SMALL = ModelConfig(
    name="small",
    family="llama",
    dim=16,
    hidden_dim=24,
    n_heads=2,
    n_kv_heads=1,
    head_dim=8,
    vocab_size=512,
    context=32,
    schedule=(0, 1),
    rope=Rope(rotary_dim=8),
)


@pytest.fixture(scope="module")
def bundled_tokenizer(made: Made) -> Tokenizer:
    return made(BUNDLED)


@pytest.mark.parametrize("tied", [True, False])
def test_a_trimmed_model_gives_the_kept_tokens_the_same_logits(bundled_tokenizer: Tokenizer, tied: bool) -> None:
    model = random_model(replace(SMALL, tied_head=tied))
    trimmed = trim(model, bundled_tokenizer, [CORPUS[0]])
    tokens = np.array(encode(trimmed.tokenizer, CORPUS[0], bos=True)[:32])
    kept = np.array(trimmed.kept)
    got = FloatForward(trimmed.model).forward(tokens)
    np.testing.assert_allclose(got, FloatForward(model).forward(kept[tokens])[:, kept], rtol=1e-4, atol=1e-5)
    assert trimmed.model.config.name == f"small-trim{len(kept)}"
    assert trimmed.model.config.vocab_size == trimmed.tokenizer.vocab_size == len(kept)


@pytest.mark.parametrize("tied", [True, False])
def test_the_saving_is_what_the_plans_differ_by(bundled_tokenizer: Tokenizer, tied: bool) -> None:
    model = random_model(replace(SMALL, tied_head=tied))
    trimmed = trim(model, bundled_tokenizer, [CORPUS[0]])
    before = plan_memory(quantize(model), bundled_tokenizer)
    after = plan_memory(quantize(trimmed.model), trimmed.tokenizer)
    assert trimmed.saving.flash == sum(before.flash.values()) - sum(after.flash.values()) > 0
    assert trimmed.saving.ram == before.state_bytes - after.state_bytes > 0
    assert trimmed.saving.parameters == model.n_parameters() - trimmed.model.n_parameters()
    assert (trimmed.saving.tokens_before, trimmed.saving.tokens) == (512, len(trimmed.kept))


def test_fewer_choices_make_no_text_less_likely(
    stories: Model, stories_tokenizer: Tokenizer, stories_text: str
) -> None:
    model, tokenizer = stories, stories_tokenizer
    texts = split_stories(stories_text)[:6]
    trimmed = trim(model, tokenizer, texts)
    tokens = [np.array(encode(trimmed.tokenizer, story, bos=True)) for story in texts]
    kept = np.array(trimmed.kept)
    assert len(kept) < tokenizer.vocab_size
    before = perplexity(FloatForward(model).forward, [kept[ids] for ids in tokens])
    after = perplexity(FloatForward(trimmed.model).forward, tokens)
    assert 0.9 * before < after < before


def test_the_greedy_answer_is_the_same_while_it_stays_among_the_kept_tokens(
    stories: Model, stories_tokenizer: Tokenizer
) -> None:
    model, tokenizer = stories, stories_tokenizer
    prompt = encode(tokenizer, "Once upon a time", bos=True)
    answer = generate_greedy(FloatForward(model), prompt, 60)
    trimmed = trim(model, tokenizer, [decode(tokenizer, prompt + answer).decode()])
    new = {old: token for token, old in enumerate(trimmed.kept)}
    assert len(new) < tokenizer.vocab_size
    got = generate_greedy(FloatForward(trimmed.model), [new[token] for token in prompt], 60)
    assert [trimmed.kept[token] for token in got] == answer


# --- Counting without weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("biases", [False, True])
def test_an_outline_takes_the_bytes_of_the_model(bundled_tokenizer: Tokenizer, tied: bool, biases: bool) -> None:
    config = replace(SMALL, tied_head=tied, schedule=(0, 0, 1, 1))
    model = quantize(random_model(config, biases=biases))
    sketch = outline(config, ("bq", "bk", "bv", "bo") if biases else ())
    assert plan_memory(sketch, bundled_tokenizer) == plan_memory(model, bundled_tokenizer)
    shapes = [(name, tensor.shape, tensor.dtype) for name, tensor in model.tensors()]
    assert [(name, tensor.shape, tensor.dtype) for name, tensor in sketch.tensors()] == shapes


def test_an_outline_of_a_billion_parameters_takes_no_memory() -> None:
    config = replace(SMALL, dim=2048, hidden_dim=5632, n_heads=32, n_kv_heads=4, head_dim=64, vocab_size=32000)
    sketch = outline(replace(config, schedule=tuple(range(22)), rope=Rope(rotary_dim=64)))
    assert sum(tensor.size for _, tensor in sketch.tensors()) > 1e9
    assert all(max(tensor.strides) == 0 for _, tensor in sketch.tensors())
