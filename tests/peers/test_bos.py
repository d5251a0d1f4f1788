"""Whether a conversation begins with BOS, by every class of tokenizer that transformers reads a tokenizer.json with.

Tried with 4.57.6, 5.23.0 and 5.24.0. With 4.57 the classes of Llama, CodeLlama, Gemma, Cohere and GPT-NeoX follow
add_bos_token; with 5.23 and 5.24 none does. Every other class leaves it to the post-processor in all three.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import skip_unless_ci
from tests.unit.tokenizer_files import LLAMA_JSON, template, write_document
from tinyllm.codegen.tokenizers import read_tokenizer

try:
    import transformers
except ImportError:
    transformers = None

LLAMAS = ("LlamaTokenizer", "LlamaTokenizerFast")
OTHERS = (
    "PreTrainedTokenizerFast",
    "GPT2Tokenizer",
    "GPT2TokenizerFast",
    "Qwen2Tokenizer",
    "Qwen2TokenizerFast",
)
FOLLOW_IN_4 = ("GemmaTokenizer", "GemmaTokenizerFast", "CohereTokenizerFast")


@pytest.fixture(scope="module", autouse=True)
def peers() -> None:
    if transformers is None:
        skip_unless_ci("the extra `peers` (torch and transformers) is not installed")


def write(folder: Path, tokenizer_class: str, add_bos_token: bool | None, processor_adds: bool) -> Path:
    config = {"tokenizer_class": tokenizer_class, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config |= {} if add_bos_token is None else {"add_bos_token": add_bos_token}
    return write_document(folder, template(LLAMA_JSON, processor_adds), tokenizer_config=config)


def theirs(folder: Path) -> bool:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return tokenizer("the dog").input_ids[0] == tokenizer.bos_token_id


@pytest.mark.parametrize("processor_adds", [True, False])
@pytest.mark.parametrize("add_bos_token", [None, True, False])
@pytest.mark.parametrize("tokenizer_class", OTHERS + FOLLOW_IN_4)
def test_bos_is_added_as_transformers_adds_it(
    tokenizer_class: str, add_bos_token: bool | None, processor_adds: bool, tmp_path: Path
) -> None:
    if tokenizer_class in FOLLOW_IN_4 and transformers.__version__.startswith("4."):
        pytest.skip("a class that decides otherwise in transformers 4")
    path = write(tmp_path, tokenizer_class, add_bos_token, processor_adds)
    assert read_tokenizer(path).add_bos == theirs(tmp_path) == processor_adds


@pytest.mark.parametrize("agreed", [True, False])
@pytest.mark.parametrize("tokenizer_class", LLAMAS)
def test_llamas_own_class_adds_bos_as_transformers_adds_it(tokenizer_class: str, agreed: bool, tmp_path: Path) -> None:
    """If add_bos_token and post-processor say the same, which all versions follow."""
    path = write(tmp_path, tokenizer_class, agreed, agreed)
    assert read_tokenizer(path).add_bos == theirs(tmp_path) == agreed


@pytest.mark.parametrize("processor_adds", [True, False])
@pytest.mark.parametrize("tokenizer_class", LLAMAS)
def test_llamas_own_class_follows_one_of_two_that_contradict_each_other(
    tokenizer_class: str, processor_adds: bool, tmp_path: Path
) -> None:
    """That is add_bos_token for transformers 4 and for us, the post-processor for transformers 5."""
    path = write(tmp_path, tokenizer_class, not processor_adds, processor_adds)
    assert read_tokenizer(path).add_bos is not processor_adds
    assert theirs(tmp_path) is (processor_adds != transformers.__version__.startswith("4."))
