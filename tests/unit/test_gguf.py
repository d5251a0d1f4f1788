"""GGUF files become the model and the tokenizer that they were converted from, and bad ones are refused in words."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import huggingface_files
from tests.unit.checkpoint_files import (
    CONFIG,
    assert_same_model,
    configs,
    half_paired,
    random_model,
    write_huggingface,
)
from tests.unit.gguf_files import (
    metadata_of,
    permuted,
    random_blocks,
    sentencepiece_metadata,
    tensors_of,
    write_gguf,
    write_model,
)
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic import quantize as to_integers
from tinyllm.codegen.arithmetic.float_forward import FloatForward
from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig, Rope
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.codegen.checkpoints.gguf import tensors as gguf_tensors
from tinyllm.codegen.checkpoints.gguf.file import open_gguf
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.tokenizers import Tokenizer, find_tokenizer, read_tokenizer
from tinyllm.errors import CheckpointWarning, UserError
from tinyllm.host.cli import app as cli

PHI3 = replace(half_paired(CONFIG), family="phi3", head_dim=6, rope=Rope(pairing="half", rotary_dim=4))
QWEN2 = replace(half_paired(CONFIG), family="qwen2")
FACTORS = {
    "rope_factors_short.weight": np.array([1.0, 1.5], np.float32),
    "rope_factors_long.weight": np.array([2.0, 4.0], np.float32),
}


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Any:
    """What is not expected to be reported must not be."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def refusal(path: Path, reader: Callable[[Path], object] = read_model) -> str:
    """What a person is told of the file at `path`: short, and naming it."""
    with pytest.raises(UserError) as caught:
        reader(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) <= 2
    assert len(message) < len(str(path)) + 500
    return message


# --- The same model, whatever file it came from -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def stories_gguf(stories_llama2c: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the llama2.c file and its tokenizer as one GGUF file."""
    model = read_model(stories_llama2c)
    path = tmp_path_factory.mktemp("gguf") / "stories.gguf"
    metadata = metadata_of(model) | sentencepiece_metadata(stories_llama2c.parent / "tok512.model")
    return write_gguf(path, "llama", metadata, tensors_of(model))


def test_a_gguf_file_gives_the_same_model_and_the_same_c_as_the_llama2c_file(
    stories_gguf: Path, stories_llama2c: Path, stories_tokenizer: Tokenizer
) -> None:
    expected, found = read_model(stories_llama2c), read_model(stories_gguf)
    assert_same_model(found, expected)
    integers, expected_integers = to_integers.quantize(found, 256), to_integers.quantize(expected, 256)
    assert integers.digest() == expected_integers.digest()
    emitted = emit_project(integers, read_tokenizer(find_tokenizer(stories_gguf, 512)), load_board("host"))
    assert emitted == emit_project(expected_integers, stories_tokenizer, load_board("host"))


# For each architecture that keeps Hugging Face's rows: config.json, the metadata beside it, and contexts asked for.
LONGROPE = {"type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0]}
TWICE = {
    "phi3": (
        {
            "rope_scaling": LONGROPE,
            "original_max_position_embeddings": 16,
            "partial_rotary_factor": 4 / 6,
            "sliding_window": 12,
        },
        {
            "rope__scaling__original_context_length": 16,
            "rope__scaling__attn_factor": math.sqrt(1 + math.log(4) / math.log(16)),
            "attention__sliding_window": 12,
        },
        (None, 16, 64),
    ),
    "qwen2": ({"rope_theta": 1000000.0}, {"rope__freq_base": 1000000.0}, (None, 64)),
}


@pytest.mark.parametrize("architecture", TWICE)
def test_a_gguf_file_gives_the_same_model_and_the_same_c_as_the_folder_it_was_converted_from(
    architecture: str, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    fields, keys, contexts = TWICE[architecture]
    config = replace(PHI3 if architecture == "phi3" else QWEN2, vocab_size=512, context=64, tied_head=False)
    model = random_model(config, biases=True)
    folder = write_huggingface(tmp_path / "tiny", model, model_type=architecture, **fields)
    huggingface_files.rewrite(folder, huggingface_files.tensors_of(architecture, model))
    for block in model.blocks:
        block.bo = None
        if architecture == "phi3":
            block.bq = block.bk = block.bv = None
    factors = FACTORS if architecture == "phi3" else {}
    renamed = {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}
    metadata = metadata_of(model, architecture) | renamed
    path = write_gguf(tmp_path / "tiny.gguf", architecture, metadata, tensors_of(model, architecture) | factors)
    for context in contexts:
        found, expected = read_model(path, context=context), read_model(folder, context=context)
        assert found.config.windows == ((12, 12) if architecture == "phi3" else ())
        scaling = found.config.rope.attention_scaling
        assert scaling == pytest.approx(expected.config.rope.attention_scaling, rel=1e-7)
        # A float32 in the metadata, computed in double precision from config.json.
        rope = replace(found.config.rope, attention_scaling=expected.config.rope.attention_scaling)
        found.config = replace(found.config, rope=rope)
        assert_same_model(found, expected)
        emitted = [
            emit_project(to_integers.quantize(read), stories_tokenizer, load_board("host"))
            for read in (found, expected)
        ]
        assert emitted[0] == emitted[1]


def test_the_verbs_take_a_gguf_file(
    stories_gguf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    assert cli.run(["inspect", str(stories_gguf), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["config"]["name"], shown["parameters"]) == ("stories", read_model(stories_gguf).n_parameters())
    assert shown["tokenizer"]["path"] == str(stories_gguf)
    assert cli.run(["verify", str(stories_gguf), "--positions", "8", "--build", "O0"]) == 0
    assert "host      O0      8/8             8/8\nbit-exact: " in capsys.readouterr().out


def read_back(model: Model, architecture: str, tensors: dict[str, Any] | None = None) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        written = tensors_of(model, architecture) if tensors is None else tensors
        return read_model(write_gguf(path, architecture, metadata_of(model, architecture), written))


@settings(deadline=None, max_examples=20)
@given(configs(), st.booleans(), st.sampled_from(["llama", "phi3", "qwen2"]))
def test_a_model_of_any_architecture_reads_back_equal(config: ModelConfig, biases: bool, architecture: str) -> None:
    config = replace(config if architecture == "llama" else half_paired(config), family=architecture)
    model = random_model(config, biases=architecture == "qwen2" or (biases and architecture == "llama"))
    assert_same_model(read_back(model, architecture), model)


def test_a_llama_with_permuted_rows_computes_as_the_hugging_face_model_it_was_converted_from() -> None:
    config = replace(half_paired(CONFIG), head_dim=8, rope=Rope(pairing="half", rotary_dim=8), context=64)
    model = random_model(config, biases=True)
    tensors = tensors_of(model)
    for name, tensor in tensors.items():
        if "attn_q." in name or "attn_k." in name:
            tensors[name] = permuted(tensor, config.n_heads if "attn_q." in name else config.n_kv_heads)
    found = read_back(model, "llama", tensors)
    assert found.config.rope.pairing == "interleaved"
    tokens = np.arange(40) % config.vocab_size
    logits, expected = FloatForward(found, np.float64).forward(tokens), FloatForward(model, np.float64).forward(tokens)
    np.testing.assert_allclose(logits, expected, rtol=1e-9, atol=1e-9)
    assert to_integers.quantize(found).digest() == to_integers.quantize(model).digest()


# --- Types of tensors -------------------------------------------------------------------------------------------------


def tensor_file(path: Path, values: Any, kind: GGMLQuantizationType) -> tuple[Any, Any]:
    """A file with one tensor x of a type, opened, and its table."""
    gguf = open_gguf(write_gguf(path, "llama", {}, {"x": (values, kind)}))
    return gguf, gguf_tensors.read_tensor_table(gguf)["x"]


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize("name", gguf_tensors.TYPES)
def test_every_type_is_decoded_exactly_as_the_gguf_package_does(
    name: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_tensors, "CHUNK", chunk)
    kind = GGMLQuantizationType[name]
    block, block_bytes = GGML_QUANT_SIZES[kind]
    stored = random_blocks(kind, 37, 3 * block_bytes, block_bytes)
    gguf, tensor = tensor_file(tmp_path / "x.gguf", stored, kind)
    assert tensor.shape == (37, 3 * block)
    found = gguf_tensors.decode_tensor(gguf, tensor)
    assert found.dtype == np.float32
    assert np.unique(found).size > found.size // 100
    np.testing.assert_array_equal(found, dequantize(stored, kind))


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "F16", "BF16"])
def test_what_is_quantized_comes_back_within_its_step(name: str, tmp_path: Path) -> None:
    kind = GGMLQuantizationType[name]
    values = np.random.default_rng(1).uniform(-1, 1, (5, 64)).astype(np.float32)
    steps = {"Q8_0": 1 / 127, "Q4_0": 1 / 7, "Q4_1": 1 / 7, "Q5_0": 1 / 15, "Q5_1": 1 / 15, "F16": 2e-3, "BF16": 1e-2}
    gguf, tensor = tensor_file(tmp_path / "x.gguf", quantize(values, kind), kind)
    np.testing.assert_allclose(gguf_tensors.decode_tensor(gguf, tensor), values, atol=steps[name])


def test_a_quantized_model_is_its_dequantized_one(tmp_path: Path) -> None:
    config = replace(CONFIG, dim=64, hidden_dim=32, head_dim=16, rope=replace(CONFIG.rope, rotary_dim=16))
    model = random_model(config)
    tensors = tensors_of(model)
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            kind = GGMLQuantizationType.Q4_0 if "ffn" in name else GGMLQuantizationType.Q8_0
            tensors[name] = (quantize(tensor, kind), kind)
    found = read_model(write_gguf(tmp_path / "tiny.gguf", "llama", metadata_of(model), tensors))
    np.testing.assert_array_equal(found.embedding, dequantize(*tensors["token_embd.weight"]))
    np.testing.assert_array_equal(found.blocks[1].w_down, dequantize(*tensors["blk.1.ffn_down.weight"]))
    np.testing.assert_array_equal(found.blocks[1].attn_norm, model.blocks[1].attn_norm)


def test_decoding_needs_little_more_than_the_result(tmp_path: Path) -> None:
    kind = GGMLQuantizationType.Q4_K
    block, block_bytes = GGML_QUANT_SIZES[kind]
    gguf, tensor = tensor_file(tmp_path / "x.gguf", random_blocks(kind, 8192, 8 * block_bytes, block_bytes), kind)
    tracemalloc.start()
    try:
        values = gguf_tensors.decode_tensor(gguf, tensor)
        assert values.nbytes == 4 * 8192 * 8 * block
        # One byte a value to tell finite from not, and what a chunk needs.
        assert tracemalloc.get_traced_memory()[1] < 1.25 * values.nbytes + (40 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0", "Q6_K"])
def test_a_weight_or_scale_that_is_not_finite_is_refused_with_its_tensor(name: str, tmp_path: Path) -> None:
    kind = GGMLQuantizationType[name]
    _, block_bytes = GGML_QUANT_SIZES[kind]
    stored = random_blocks(kind, 2, 4 * block_bytes, block_bytes)
    stored[1, -block_bytes:] = 0xFF
    gguf, tensor = tensor_file(tmp_path / "x.gguf", stored, kind)
    with pytest.raises(UserError, match=r"tensor x holds .* NaN or infinite"):
        gguf_tensors.decode_tensor(gguf, tensor)


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "IQ4_NL", "I32", "F64"])
def test_a_type_that_is_not_read_is_refused_by_name(name: str, tmp_path: Path) -> None:
    kind = GGMLQuantizationType[name]
    tensors = tensors_of(random_model()) | {
        "blk.0.attn_q.weight": (np.zeros((8, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    }
    path = write_gguf(tmp_path / "tiny.gguf", "llama", metadata_of(random_model()), tensors)
    assert f"blk.0.attn_q.weight is stored as {name}" in refusal(path)


# --- Metadata ---------------------------------------------------------------------------------------------------------


def test_keys_that_may_be_left_out_have_the_defaults_of_llama_cpp(tmp_path: Path) -> None:
    model = random_model(replace(CONFIG, n_kv_heads=4))
    path = write_model(
        tmp_path / "tiny.gguf",
        model,
        attention__head_count_kv=None,
        attention__key_length=None,
        attention__value_length=None,
        rope__dimension_count=None,
        rope__freq_base=None,
        vocab_size=None,
    )
    assert_same_model(read_model(path), model)


def test_a_float32_of_the_metadata_is_the_decimal_it_was_written_from(tmp_path: Path) -> None:
    config = replace(CONFIG, norm_epsilon=1e-6, rope=replace(CONFIG.rope, base=12345.6))
    assert read_model(write_model(tmp_path / "tiny.gguf", random_model(config))).config == config


def test_the_chat_template_is_read(tmp_path: Path) -> None:
    model = random_model()
    metadata = metadata_of(model) | {"tokenizer.chat_template": "{{ messages }}"}
    path = write_gguf(tmp_path / "tiny.gguf", "llama", metadata, tensors_of(model))
    assert read_model(path).config.chat_template == "{{ messages }}"


@pytest.mark.parametrize(
    ("given", "words"),
    [(None, "is missing"), (0, "is 0"), (2**31, "is 2147483648"), ("long", "is b'long'"), (-1.5, "is -1.5")],
)
def test_a_context_length_that_is_missing_or_absurd_is_reported_and_a_safe_one_assumed(
    given: Any, words: str, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "tiny.gguf", random_model(), context_length=given)
    with pytest.warns(CheckpointWarning, match=f"llama.context_length {words}.* 512 positions") as caught:
        assert read_model(path).config.context == 512
    assert len(caught) == 1
    assert str(path) in str(caught[0].message)
    with pytest.warns(CheckpointWarning, match="64 positions are assumed"):
        assert read_model(path, context=64).config.context == 64


def test_a_head_that_repeats_the_embedding_is_reported_and_tied(tmp_path: Path) -> None:
    model = random_model()
    tensors = tensors_of(model) | {"output.weight": model.embedding}
    path = write_gguf(tmp_path / "tiny.gguf", "llama", metadata_of(model), tensors)
    with pytest.warns(CheckpointWarning, match=r"output\.weight repeats token_embd\.weight"):
        assert_same_model(read_model(path), model)


def test_a_vocab_size_that_is_not_the_embeddings_is_reported(tmp_path: Path) -> None:
    model = random_model()
    with pytest.warns(CheckpointWarning, match=r"llama\.vocab_size is not 10"):
        assert_same_model(read_model(write_model(tmp_path / "tiny.gguf", model, vocab_size=32000)), model)


def phi3_file(path: Path, **changes: Any) -> Path:
    model = random_model(replace(PHI3, context=64))
    keys = {"rope.scaling.original_context_length": 16, "rope.scaling.attn_factor": 1.25} | changes
    metadata = metadata_of(model, "phi3") | {f"phi3.{key}": value for key, value in keys.items()}
    return write_gguf(path, "phi3", metadata, tensors_of(model, "phi3") | FACTORS)


@pytest.mark.parametrize(
    ("context", "factors", "reach"),
    [(None, (1.0, 1.5), 16), (16, (1.0, 1.5), 16), (17, (2.0, 4.0), 64), (64, (2.0, 4.0), 64)],
)
def test_longrope_takes_the_long_factors_beyond_the_original_context(
    context: int | None, factors: tuple[float, ...], reach: int, tmp_path: Path
) -> None:
    config = read_model(phi3_file(tmp_path / "phi.gguf"), context=context).config
    assert config.rope == Rope(10000.0, "half", 4, factors, 1.25)
    assert config.context == reach


def test_a_sliding_window_is_one_on_every_layer(tmp_path: Path) -> None:
    path = phi3_file(tmp_path / "phi.gguf", **{"attention.sliding_window": 12})
    assert read_model(path, context=64).config.windows == (12, 12)
    assert read_model(path, context=64).config.context == 64
    none = phi3_file(tmp_path / "none.gguf", **{"attention.sliding_window": 0})
    assert read_model(none).config.windows == ()


def test_a_context_beyond_what_the_model_was_trained_for_is_refused(tmp_path: Path) -> None:
    path = phi3_file(tmp_path / "phi.gguf")
    assert "phi3.context_length is 64" in refusal(path, lambda path: read_model(path, context=65))


@pytest.mark.parametrize(
    ("changes", "factors"),
    [
        ({"rope__scaling__type": "linear", "rope__scaling__factor": 4.0}, (4.0,)),
        ({"rope__scaling__factor": 4.0}, (4.0,)),
        ({"rope__scale_linear": 4.0}, (4.0,)),
        ({"rope__scaling__type": "none", "rope__scaling__factor": 4.0}, None),
        ({"rope__scaling__factor": 0.0}, None),
        ({}, None),
    ],
)
def test_linear_scaling_divides_every_frequency(
    changes: dict[str, Any], factors: tuple[float, ...] | None, tmp_path: Path
) -> None:
    assert read_model(write_model(tmp_path / "tiny.gguf", random_model(), **changes)).config.rope.factors == factors


def test_the_frequency_factors_of_llama_3_are_read_from_their_tensor(tmp_path: Path) -> None:
    model = random_model(replace(CONFIG, head_dim=4, rope=replace(CONFIG.rope, rotary_dim=4)))
    tensors = tensors_of(model) | {"rope_freqs.weight": np.array([1.0, 8.0], np.float32)}
    found = read_model(write_gguf(tmp_path / "tiny.gguf", "llama", metadata_of(model), tensors))
    assert found.config.rope.factors == (1.0, 8.0)


def test_inspecting_tells_what_reading_gives_and_reads_no_weight(tmp_path: Path) -> None:
    path = phi3_file(tmp_path / "phi.gguf", **{"attention.sliding_window": 12})
    facts, model = inspect_checkpoint(path), read_model(path)
    assert facts.config == model.config
    assert facts.n_parameters == model.n_parameters()
    for words in (
        "longrope, short factors",
        "sliding window of 12 positions on every layer",
        "partial rotary",
        "weights as F32",
    ):
        assert any(words in feature for feature in facts.features)
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, gguf_tensors.read_tensor_table(open_gguf(path))["output_norm.weight"].offset, np.nan)
    path.write_bytes(data)
    assert inspect_checkpoint(path) == facts
    assert "NaN" in refusal(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embedding_length": None}, "llama.embedding_length is missing"),
        ({"embedding_length": 0}, "llama.embedding_length is 0"),
        ({"embedding_length": 8.0}, "llama.embedding_length is 8.0"),
        ({"embedding_length": True}, "llama.embedding_length is True"),
        ({"embedding_length": 16}, "token_embd.weight has shape (10, 8), the metadata ask for (10, 16)"),
        ({"block_count": 0}, "llama.block_count is 0"),
        ({"block_count": 2**32 - 1}, "llama.block_count is 4294967295"),
        ({"block_count": 3}, "blk.2.attn_norm.weight is missing"),
        ({"block_count": 1}, "tensor blk.1."),
        ({"feed_forward_length": [12, 12]}, "llama.feed_forward_length is an array of 2"),
        ({"attention__head_count": 3}, "n_heads 3 is not a multiple"),
        (
            {"attention__head_count": 3, "attention__key_length": None},
            "is not a multiple of llama.attention.head_count",
        ),
        ({"attention__head_count_kv": 3}, "n_heads 4 is not a multiple of n_kv_heads 3"),
        ({"attention__key_length": 3, "attention__value_length": 3, "rope__dimension_count": 2}, "head size 3 is odd"),
        ({"attention__value_length": 4}, "llama.attention.value_length differs"),
        ({"attention__layer_norm_rms_epsilon": None}, "llama.attention.layer_norm_rms_epsilon is missing"),
        ({"attention__layer_norm_rms_epsilon": float("nan")}, "layer_norm_rms_epsilon is nan"),
        ({"rope__freq_base": 0.0}, "llama.rope.freq_base is 0"),
        ({"rope__freq_base": "much"}, "llama.rope.freq_base is b'much'"),
        ({"rope__dimension_count": 4}, "llama.rope.dimension_count is 4"),
        ({"rope__dimension_count": 1}, "llama.rope.dimension_count is 1"),
        ({"rope__scaling__type": "yarn"}, "llama.rope.scaling.type is 'yarn'"),
        ({"rope__scaling__type": "longrope"}, "rope_factors_short.weight is missing"),
        ({"rope__scaling__factor": 1e-9}, "llama.rope.scaling.factor gives rotary factors of 1e-09"),
        ({"rope__scaling__attn_factor": float("inf")}, "llama.rope.scaling.attn_factor is inf"),
        ({"expert_count": 8}, "llama.expert_count asks for a mixture of experts"),
        ({"attention__max_alibi_bias": 8.0}, "ALiBi"),
        ({"attention__sliding_window_pattern": 2}, "windows on some layers only"),
        ({"attention__causal": False}, "llama.attention.causal"),
        ({"logit_scale": 0.25}, "llama.logit_scale asks for scaled logits"),
    ],
)
def test_metadata_that_are_wrong_missing_or_ask_for_too_much_are_refused_by_key(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in refusal(write_model(tmp_path / "tiny.gguf", random_model(), **changes))


@pytest.mark.parametrize(
    ("architecture", "metadata", "words"),
    [
        ("gemma", {}, "general.architecture is 'gemma', expected one of llama, phi3, qwen2"),
        ("llama", {"general.type": "adapter"}, "general.type is 'adapter'"),
        ("llama", {"split.count": 3}, "split.count is 3"),
        ("llama", {"general.alignment": 24}, "general.alignment is 24"),
        ("llama", {"general.alignment": "wide"}, "general.alignment is b'wide'"),
        ("llama", {"tokenizer.chat_template": 4}, "tokenizer.chat_template is 4"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_key(
    architecture: str, metadata: dict[str, Any], words: str, tmp_path: Path
) -> None:
    model = random_model()
    path = write_gguf(tmp_path / "x.gguf", architecture, metadata_of(model) | metadata, tensors_of(model))
    assert words in refusal(path)


@pytest.mark.parametrize(
    ("architecture", "changes", "words"),
    [
        ("llama", {"output_norm.weight": None}, "output_norm.weight is missing"),
        ("llama", {"token_embd.weight": None}, "token_embd.weight is missing"),
        ("llama", {"output_norm.weight": np.ones((8, 1), np.float32)}, "output_norm.weight has shape (8, 1)"),
        ("llama", {"blk.0.ffn_gate.bias": np.ones(12, np.float32)}, "blk.0.ffn_gate.bias is none that"),
        ("llama", {"blk.0.ffn_gate_inp.weight": np.ones(12, np.float32)}, "blk.0.ffn_gate_inp.weight is none that"),
        ("llama", {"rope_freqs.weight": np.ones(3, np.float32)}, "rope_freqs.weight has shape (3,), expected (1,)"),
        ("llama", {"rope_freqs.weight": np.zeros(1, np.float32)}, "rope_freqs.weight gives rotary factors of 0"),
        ("qwen2", {"blk.1.attn_k.bias": None}, "blk.1.attn_k.bias is missing"),
        ("phi3", FACTORS, "phi3.rope.scaling.original_context_length is missing"),
        ("phi3", {"blk.0.attn_qkv.weight": np.ones((8, 8), np.float32)}, "attn_qkv.weight has shape (8, 8)"),
    ],
)
def test_a_tensor_that_is_missing_wrong_or_unknown_is_refused_by_name(
    architecture: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    config = {"llama": CONFIG, "phi3": PHI3, "qwen2": QWEN2}[architecture]
    model = random_model(config, biases=architecture == "qwen2")
    tensors = tensors_of(model, architecture)
    tensors.pop("blk.0.attn_output.bias", None)
    tensors = {name: tensor for name, tensor in (tensors | changes).items() if tensor is not None}
    assert words in refusal(write_gguf(tmp_path / "x.gguf", architecture, metadata_of(model, architecture), tensors))


# --- Files ------------------------------------------------------------------------------------------------------------


def test_a_gguf_file_is_known_by_its_content_too(tmp_path: Path) -> None:
    model = random_model()
    path = write_model(tmp_path / "tiny.gguf", model).rename(tmp_path / "tiny")
    assert_same_model(read_model(path), model)
    assert "no such file" in refusal(tmp_path / "absent.gguf")


def test_the_command_line_starts_without_loading_the_gguf_package() -> None:
    program = "import sys, tinyllm.host.cli.app; sys.exit('gguf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
