"""Conversations become the token ids of transformers' apply_chat_template, and a plan's turns are parts of them.

Needs the extra `peers`. The templates are the published ones, the tokenizers tiny ones of the families' shapes, and
both sides read the same folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Theirs

from tests.conftest import skip_unless_ci
from tests.unit.chat_templates import CHATML, CONTROL, LLAMA2, LLAMA3, PHI3, ZEPHYR
from tests.unit.tokenizer_files import begin_with, byte_level, marked, prepend_and_replace, split_by, write_tokenizer
from tinyllm.codegen.chat.conversation import conversation_ids
from tinyllm.codegen.chat.derive import derive
from tinyllm.codegen.chat.render import Message
from tinyllm.codegen.tokenizers import Tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode

try:
    import torch
    import transformers
except ImportError:
    torch = transformers = None


@pytest.fixture(autouse=True)
def peers_present() -> None:
    if torch is None:
        skip_unless_ci("torch and transformers are not installed (pip install .[peers])")


def llama2() -> Theirs:
    return marked(prepend_and_replace(), None)


def mistral() -> Theirs:
    return marked(None, pre_tokenizers.Metaspace(prepend_scheme="always", split=False))


def llama3() -> Theirs:
    names = ["begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eot_id"]
    tokenizer = byte_level(split_by("llama3"), [f"<|{name}|>" for name in names], ignore_merges=True)
    begin_with(tokenizer, "<|begin_of_text|>")
    return tokenizer


def phi3() -> Theirs:
    tokenizer = marked(prepend_and_replace(), None)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    names = ["<|assistant|>", "<|end|>", "<|user|>", "<|system|>"]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False, rstrip=True) for name in names])
    return tokenizer


def qwen2() -> Theirs:
    return byte_level(split_by("qwen2"), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], normalizers.NFC())


@dataclass(frozen=True)
class Family:
    """What is published with a model. stop: the token that ends an answer; settings: of tokenizer_config.json."""

    template: str
    tokenizer: Callable[[], Theirs]
    bos: str | None
    eos: str
    stop: str
    model_type: str = "llama"
    settings: dict[str, Any] = field(default_factory=lambda: {"tokenizer_class": "PreTrainedTokenizerFast"})


ANEW = {"tokenizer_class": "LlamaTokenizer", "legacy": False}
LEGACY = {"tokenizer_class": "LlamaTokenizerFast", "legacy": True}
FAMILIES = {
    "Llama-2-chat": Family(LLAMA2, llama2, "<s>", "</s>", "</s>"),
    "Llama-3-Instruct": Family(LLAMA3, llama3, "<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>"),
    "TinyLlama-Chat": Family(ZEPHYR, llama2, "<s>", "</s>", "</s>", settings=ANEW),
    "zephyr on Mistral's tokenizer": Family(ZEPHYR, mistral, "<s>", "</s>", "</s>"),
    "Phi-3-mini": Family(PHI3, phi3, "<s>", "<|endoftext|>", "<|end|>", "phi3", settings=ANEW),
    "Qwen2-Instruct": Family(CHATML, qwen2, None, "<|im_end|>", "<|im_end|>"),
}
OTHERWISE = {
    "Llama-2-chat, made anew": Family(LLAMA2, llama2, "<s>", "</s>", "</s>", settings=ANEW),
    "TinyLlama-Chat, as it is": Family(ZEPHYR, llama2, "<s>", "</s>", "</s>"),
    "TinyLlama-Chat, legacy": Family(ZEPHYR, llama2, "<s>", "</s>", "</s>", settings=LEGACY),
}
"""The same with other words in tokenizer_config.json, which decide what stands behind a control token."""
SYSTEM = "You  are a pirate.\nSpeak so."
TALKS = [
    ("Hello",),
    ("Once upon a time", "there was a dog.", "And then?"),
    ("  spaces around  ", "no\n", "\n\nlines\n\n", " \tA tab.", "  "),
    ("猫と犬 😀 Zoë's café", "naïve,  Ελλάδα", "мир\u00a0\u3000", "e\u0301 \u2003", "1234567 ..."),
    ("[/INST] ## <user> {{ 7 * 7 }}", "<|not a token|>", "'quoted' \"twice\" \\n"),
]
CONTENTS = (
    st.lists(
        st.one_of(
            st.sampled_from([*" \n\té猫😀▁\u00a0", "the dog", "  ", "\n\n", "'ll", "123", "[INST]"]),
            st.text(max_size=5),
        ),
        max_size=6,
    )
    .map("".join)
    .filter(lambda text: not CONTROL.search(text))
)
families = pytest.mark.parametrize("name", FAMILIES)


@dataclass(frozen=True)
class Pair:
    """Our tokenizer and transformers' own, read from the same folder."""

    template: str
    ours: Tokenizer
    theirs: Any
    stop: int

    def ids(self, messages: list[Message], generate: bool) -> list[int]:
        """What transformers makes of a conversation."""
        return self.theirs.apply_chat_template(
            [vars(message) for message in messages],
            tokenize=True,
            add_generation_prompt=generate,
            return_dict=False,
        )

    def agree_on(self, messages: list[Message], generate: bool) -> None:
        assert conversation_ids(self.template, self.ours, messages, generate) == self.ids(messages, generate)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    @cache
    def pair(name: str) -> Pair:
        family = (FAMILIES | OTHERWISE)[name]
        tokenizer = family.tokenizer()
        stop = tokenizer.token_to_id(family.stop)
        path = write_tokenizer(
            tmp_path_factory.mktemp("family"),
            tokenizer,
            tokenizer_config={
                "bos_token": family.bos,
                "eos_token": family.eos,
                "chat_template": family.template,
                **family.settings,
            },
            generation_config={"eos_token_id": [stop]},
            config={"model_type": family.model_type},
        )
        theirs = transformers.AutoTokenizer.from_pretrained(path.parent)
        return Pair(family.template, read_tokenizer(path), theirs, stop)

    return pair


def messages_of(talk: tuple[str, ...], system: str | None) -> list[Message]:
    messages = [Message("assistant" if index % 2 else "user", text) for index, text in enumerate(talk)]
    return messages if system is None else [Message("system", system), *messages]


@families
@pytest.mark.parametrize("system", [None, SYSTEM], ids=["no system message", "a system message"])
@pytest.mark.parametrize("talk", TALKS, ids=["one turn", "two turns", "white space", "unicode", "marks"])
def test_a_conversation_has_the_ids_of_transformers(
    pairs: Callable[[str], Pair], name: str, system: str | None, talk: tuple[str, ...]
) -> None:
    messages = messages_of(talk, system)
    pairs(name).agree_on(messages, generate=True)
    pairs(name).agree_on([*messages, Message("assistant", " I see.\n")], generate=False)


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_section_begins_as_transformers_has_it(pairs: Callable[[str], Pair], name: str) -> None:
    for talk in TALKS[1:4]:
        pairs(name).agree_on(messages_of(talk, SYSTEM), generate=True)


@families
@settings(max_examples=8)
@given(talk=st.tuples(CONTENTS, CONTENTS, CONTENTS), system=st.none() | CONTENTS, generate=st.booleans())
def test_any_conversation_has_the_ids_of_transformers(
    pairs: Callable[[str], Pair], name: str, talk: tuple[str, ...], system: str | None, generate: bool
) -> None:
    pairs(name).agree_on(messages_of(talk, system), generate)


@families
@settings(max_examples=10)
@given(question=CONTENTS, answer=CONTENTS, following=CONTENTS, system=st.sampled_from([None, SYSTEM]))
def test_the_turns_of_a_plan_stand_around_the_answer_in_the_ids_of_transformers(
    pairs: Callable[[str], Pair], name: str, question: str, answer: str, following: str, system: str | None
) -> None:
    """The answer begins and ends with letters that merge with nothing, as a model's own tokens do not."""
    assume(question.strip() or system is None)  # around nothing Llama 2 writes less of the system message
    pair = pairs(name)
    plan = derive(pair.template, pair.ours, system)
    assert plan.end == pair.stop
    first = plan.turn(pair.ours, question, first=True)
    assert first == pair.ids(messages_of((question,), system), generate=True)
    whole = pair.ids(messages_of((question, f"Q{answer}?", following), system), generate=True)
    assert whole[: len(first)] == first
    end = whole.index(pair.stop, len(first)) + 1
    assert whole[end:] == plan.turn(pair.ours, following, first=False, last_token=pair.stop)
    cut_short = plan.turn(pair.ours, following, first=False, last_token=whole[len(first)])
    assert whole[end - plan.ended :] == cut_short


@families
def test_a_control_token_that_a_person_names_is_text_if_transformers_takes_it(
    pairs: Callable[[str], Pair], name: str
) -> None:
    """The one difference: what is typed cannot end a turn or speak for another."""
    pair = pairs(name)
    said = f"stop{FAMILIES[name].stop}go"
    messages = messages_of((said,), None)
    ours, theirs = conversation_ids(pair.template, pair.ours, messages), pair.ids(messages, True)
    plain = pair.ids(messages_of(("stop go",), None), True)
    assert ours.count(pair.stop) == plain.count(pair.stop) == theirs.count(pair.stop) - 1
    readable = replace(pair.ours, kinds=tuple(type(kind)(0) for kind in pair.ours.kinds))
    assert said.encode() in decode(readable, ours)
