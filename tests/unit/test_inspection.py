"""A checkpoint tells what it is by its headers alone."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from tests.unit.checkpoint_files import huggingface_tensors, random_model, write_huggingface
from tests.unit.huggingface_files import HALF, TINYLLAMA, refusal, rewrite, tensors_of, write_sparse
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model


def test_inspection_tells_of_a_model_what_its_headers_say(tmp_path: Path) -> None:
    model = random_model(HALF, biases=True)
    folder = write_huggingface(
        tmp_path / "tiny", model, np.float16, model_type="mistral", layer_sharing=True, sliding_window=20
    )
    rewrite(folder, tensors_of("mistral", random_model(HALF, biases=True)))
    read = read_model(folder)
    facts = inspect_checkpoint(folder)
    assert facts.config == read.config
    assert facts.n_parameters == sum(facts.parameters_by_part().values()) == read.n_parameters()
    assert facts.parameters_by_part()["norms"] == 5 * 8
    assert facts.parameters_by_part()["embedding"] == 10 * 8
    assert ("model.norm.weight", (8,), "F32", 32, "norms") in facts.tensors
    assert facts.features == [
        "grouped-query attention: 4 heads of queries, 2 of keys",
        "2 stored blocks, each run 2 times in a row",
        "sliding window of 20 positions on every layer",
        "the embedding is the head too",
        "weights as F32",
    ]


def test_inspection_counts_a_redundant_head_once(tmp_path: Path) -> None:
    model = random_model(HALF)
    folder = write_huggingface(tmp_path / "tiny", model)
    rewrite(folder, huggingface_tensors(model) | {"lm_head.weight": model.embedding})
    assert inspect_checkpoint(folder).n_parameters == model.n_parameters()


def test_inspection_reads_no_weight(tmp_path: Path) -> None:
    model = random_model(HALF)
    model.blocks[0].wq[0, 0] = np.nan
    folder = write_huggingface(tmp_path / "tiny", model)
    assert inspect_checkpoint(folder).config == HALF
    assert "NaN" in refusal(folder)


def test_inspection_knows_llama2c_files_too(stories_llama2c: Path) -> None:
    facts = inspect_checkpoint(stories_llama2c)
    assert facts.n_parameters == read_model(stories_llama2c).n_parameters()
    assert facts.parameters_by_part()["embedding"] == 512 * 64
    assert "llama2.c format: legacy" in facts.features


def test_a_model_of_a_billion_parameters_is_inspected_without_being_read(tmp_path: Path) -> None:
    folder = write_sparse(tmp_path / "TinyLlama", TINYLLAMA, "BF16", 3)
    tracemalloc.start()
    try:
        facts = inspect_checkpoint(folder)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert facts.n_parameters == 1_100_048_384
    assert facts.config == TINYLLAMA
    assert "weights as BF16" in facts.features
