"""benchmarks/llama2c.py measures the program that the host board runs. llama2.c's own is not here to be measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from tests.conftest import STORY_MODEL
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.host.model.load import load_model

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/llama2c.py"


def test_what_is_measured_are_the_references_greedy_tokens(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("llama2c", SCRIPT)
    assert spec is not None and spec.loader is not None
    llama2c = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(llama2c)
    loaded = load_model(str(STORY_MODEL))
    prompt = encode(loaded.tokenizer, llama2c.PROMPT, bos=True)
    seconds, answer = llama2c.our_library(tmp_path / "ours", loaded).measure(prompt)
    logits = Reference(quantize(loaded.model, llama2c.CONTEXT)).forward([*prompt, *answer[:-1]])
    assert seconds > 0
    assert answer == np.argmax(logits[len(prompt) - 1 :], axis=-1).tolist()
