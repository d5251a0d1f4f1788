"""Checkpoints of every format become the same model form, and bad ones are refused in words."""

from __future__ import annotations

import json
import math
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests.unit.checkpoint_files import (
    CONFIG,
    assert_same_model,
    configs,
    half_paired,
    huggingface_tensors,
    legacy_bytes,
    random_model,
    v1_bytes,
    v2_bytes,
    write_huggingface,
)
from tinyllm.boards.errors import UserError
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.model import Model, ModelConfig

LEGACY_FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "context")


def read_bytes(data: bytes) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.bin"
        path.write_bytes(data)
        return read_model(path)


def refusal(path: Path) -> str:
    """What a person is told of the model at `path`: short, and naming it."""
    with pytest.raises(UserError) as caught:
        read_model(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) <= 2
    assert caught.value.exit_code == 2
    return message


# llama2.c: reading back what was written


@settings(deadline=None, max_examples=30)
@given(configs(), st.integers(0, 99))
def test_a_legacy_checkpoint_reads_back_equal(config: ModelConfig, seed: int) -> None:
    model = random_model(config, seed=seed)
    assert_same_model(read_bytes(legacy_bytes(model)), model)


@settings(deadline=None, max_examples=30)
@given(configs(), st.integers(0, 99))
def test_a_version_1_checkpoint_reads_back_equal(config: ModelConfig, seed: int) -> None:
    model = random_model(config, seed=seed)
    assert_same_model(read_bytes(v1_bytes(model)), model)


@settings(deadline=None, max_examples=30)
@given(configs(), st.integers(0, 99), st.data())
def test_a_version_2_checkpoint_is_its_values_times_their_scales_exactly(
    config: ModelConfig, seed: int, data: st.DataObject
) -> None:
    group_size = data.draw(st.sampled_from([n for n in range(1, config.dim + 1) if config.dim % n == 0]))
    written, dequantized = v2_bytes(random_model(config, seed=seed), group_size)
    assert_same_model(read_bytes(written), dequantized)


def test_stories260k_is_the_model_its_card_describes(shared_data: Path) -> None:
    model = read_model(shared_data / "stories260K/stories260K.bin")
    config = model.config
    assert (config.name, config.family) == ("stories260K", "llama")
    assert (config.dim, config.hidden_dim, config.n_layers) == (64, 172, 5)
    assert (config.n_heads, config.n_kv_heads, config.head_dim) == (8, 4, 8)
    assert (config.vocab_size, config.context, config.tied_head) == (512, 512, True)
    assert (config.rope.pairing, config.rope.base, config.norm_epsilon) == ("interleaved", 10000.0, 1e-5)
    assert model.n_parameters() == 260_032


# llama2.c: refusals

FORMATS: dict[str, Callable[[Model], bytes]] = {
    "legacy": legacy_bytes,
    "v1": v1_bytes,
    "v2": lambda model: v2_bytes(model, 4)[0],
}
FIRST_NUMBER = {"legacy": 0, "v1": 8, "v2": 8}


@pytest.fixture(params=FORMATS)
def llama2c_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("change", [-1, -4, 1, 4, 4096])
def test_a_file_of_another_size_than_its_header_asks_for_is_refused_with_both_sizes(
    llama2c_format: str, change: int, tmp_path: Path
) -> None:
    data = FORMATS[llama2c_format](random_model())
    path = tmp_path / "tiny.bin"
    path.write_bytes(data[:change] if change < 0 else data + bytes(change))
    message = refusal(path)
    assert ("truncated" if change < 0 else "over-long") in message
    assert f"{len(data):,} bytes" in message
    assert f"{len(data) + change:,}" in message


@pytest.mark.parametrize("size", [0, 3, 27])
def test_a_file_shorter_than_a_header_is_refused(llama2c_format: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "tiny.bin"
    path.write_bytes(FORMATS[llama2c_format](random_model())[:size])
    assert "truncated" in refusal(path)


@pytest.mark.parametrize("start", [b"GGUF\x03\0\0\0", b"PK\x03\x04", b"ak42\x01\0\0\0", b'{"a"', b"\xff" * 8])
def test_a_foreign_file_is_said_to_be_no_llama2c_checkpoint(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.bin"
    path.write_bytes(start.ljust(300, b"\0"))
    message = refusal(path)
    assert "not a llama2.c checkpoint" in message
    assert repr(start[:4]) in message


@pytest.mark.parametrize("value", [0, -(2**25), 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("field", LEGACY_FIELDS)
def test_an_absurd_dimension_is_refused_by_name(llama2c_format: str, field: str, value: int, tmp_path: Path) -> None:
    data = bytearray(FORMATS[llama2c_format](random_model()))
    offset = FIRST_NUMBER[llama2c_format] + 4 * LEGACY_FIELDS.index(field)
    struct.pack_into("<i", data, offset, value)
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    message = refusal(path)
    assert field in message or (llama2c_format == "legacy" and field == "dim" and "not a llama2.c" in message)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_heads": 3}, "dim 8 is not a multiple of n_heads 3"),
        ({"n_kv_heads": 3}, "n_heads 4 is not a multiple of n_kv_heads 3"),
        ({"n_heads": 8, "n_kv_heads": 8}, "head size 1 is odd"),
        ({"dim": 12}, "head size 3 is odd"),
        ({"dim": 16}, "truncated"),
        ({"n_layers": 1}, "over-long"),
    ],
)
def test_a_header_that_contradicts_itself_or_the_file_is_refused(
    llama2c_format: str, changes: dict[str, int], words: str, tmp_path: Path
) -> None:
    data = bytearray(FORMATS[llama2c_format](random_model()))
    for field, value in changes.items():
        struct.pack_into("<i", data, FIRST_NUMBER[llama2c_format] + 4 * LEGACY_FIELDS.index(field), value)
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    assert words in refusal(path)


@pytest.mark.parametrize(
    ("offset", "raw", "words"),
    [
        (4, struct.pack("<i", 3), "version 3"),
        (36, b"\x02", "shared-classifier byte is 2"),
        (37, struct.pack("<i", 0), "group size 0"),
        (37, struct.pack("<i", -4), "group size -4"),
        (37, struct.pack("<i", 7), "not a multiple of group size 7"),
    ],
)
def test_flags_that_make_no_sense_are_refused(offset: int, raw: bytes, words: str, tmp_path: Path) -> None:
    data = bytearray(FORMATS["v2"](random_model()))
    data[offset : offset + len(raw)] = raw
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    assert words in refusal(path)


def set_in(model: Model, name: str, value: float) -> None:
    """Set the last element of the tensor called `name`, such as blocks[1].wq."""
    owner: Any = model
    if name.startswith("blocks["):
        owner, name = model.blocks[int(name[7])], name[10:]
    getattr(owner, name).flat[-1] = value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["embedding", "final_norm", "head", "blocks[0].attn_norm", "blocks[1].w_down"])
def test_a_weight_that_is_not_finite_is_refused_with_its_tensor(
    llama2c_format: str, name: str, value: float, tmp_path: Path
) -> None:
    model = random_model(replace(CONFIG, tied_head=False))
    set_in(model, name, value)
    path = tmp_path / "tiny.bin"
    with np.errstate(invalid="ignore"):
        path.write_bytes(FORMATS[llama2c_format](model))
    message = refusal(path)
    assert f"tensor {name} " in message
    assert "NaN or infinite" in message


def test_a_negative_scale_is_refused_with_its_tensor(tmp_path: Path) -> None:
    data = bytearray(FORMATS["v2"](random_model()))
    struct.pack_into("<f", data, len(data) - 4, -1.0)
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    assert "blocks[1].w_up has a negative scale" in refusal(path)


def test_a_header_that_promises_much_allocates_nothing(llama2c_format: str, tmp_path: Path) -> None:
    data = bytearray(FORMATS[llama2c_format](random_model())[:400])
    struct.pack_into(
        "<7i", data, FIRST_NUMBER[llama2c_format], 1 << 16, 1 << 18, 1 << 10, 1 << 10, 1 << 10, 1 << 20, 1 << 24
    )
    path = tmp_path / "tiny.bin"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert "truncated" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.bin")
    assert "config.json" in refusal(tmp_path)
    assert "not a regular file" in refusal(Path("/dev/null"))


# Hugging Face


@settings(deadline=None, max_examples=20)
@given(configs(), st.booleans(), st.sampled_from([np.float32, np.float16]))
def test_a_hugging_face_folder_reads_back_equal(config: ModelConfig, biases: bool, dtype: type) -> None:
    model = random_model(half_paired(config), biases=biases)
    with tempfile.TemporaryDirectory() as folder:
        found = read_model(write_huggingface(Path(folder) / "tiny", model, dtype))
    for owner in (model, *model.blocks):
        for field, tensor in vars(owner).items():
            if isinstance(tensor, np.ndarray):
                setattr(owner, field, tensor.astype(dtype).astype(np.float32))
    assert_same_model(found, model)


def test_hugging_face_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    config = replace(half_paired(CONFIG), n_kv_heads=4, tied_head=False)
    folder = write_huggingface(tmp_path / "tiny", random_model(config))
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    for key in ("head_dim", "num_key_value_heads", "rope_theta", "rms_norm_eps", "tie_word_embeddings", "hidden_act"):
        del fields[key]
    path.write_text(json.dumps(fields))
    assert read_model(folder).config == replace(config, norm_epsilon=1e-6)


def test_the_head_size_may_differ_from_the_width_divided_by_heads(tmp_path: Path) -> None:
    config = half_paired(replace(CONFIG, head_dim=6, rope=replace(CONFIG.rope, rotary_dim=6)))
    model = random_model(config)
    assert_same_model(read_model(write_huggingface(tmp_path / "tiny", model)), model)


def test_rope_theta_is_also_read_from_rope_parameters(tmp_path: Path) -> None:
    parameters = {"rope_type": "default", "rope_theta": 500000.0}
    folder = write_huggingface(tmp_path / "tiny", random_model(), rope_parameters=parameters)
    assert read_model(folder).config.rope.base == 500000.0


def test_the_chat_template_comes_from_the_tokenizer_config(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    assert read_model(folder).config.chat_template is None
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert read_model(folder).config.chat_template == "{{ messages }}"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2'"),
        ({"model_type": None}, "model_type is None"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling of type 'llama3'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling of type 'linear'"),
        ({"rope_scaling": 3}, "rope_scaling is 3"),
        ({"rope_theta": "much"}, "rope_theta is 'much'"),
        ({"rope_theta": 10**400}, "rope_theta is 1000"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ({"rms_norm_eps": math.nan}, "rms_norm_eps is nan"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'"),
        ({"hidden_size": 8.0}, "hidden_size is 8.0"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"hidden_size": 10**30}, "hidden_size is 1000"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"num_hidden_layers": 3}, "model.layers.2.input_layernorm.weight is missing"),
        ({"num_hidden_layers": 1}, "tensor 'model.layers.1."),
        ({"num_attention_heads": 3, "head_dim": None}, "hidden_size 8 is not a multiple of num_attention_heads 3"),
        ({"num_key_value_heads": 3}, "not a multiple of n_kv_heads 3"),
        ({"head_dim": 3}, "head size 3 is odd"),
        ({"vocab_size": 11}, "model.embed_tokens.weight has shape (10, 8), config.json asks for (11, 8)"),
        ({"tie_word_embeddings": False}, "lm_head.weight is missing"),
    ],
)
def test_what_a_config_asks_for_and_cannot_be_had_is_refused_by_name(
    overrides: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(), **overrides)
    assert words in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\0", "nan"])
def test_a_config_that_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(folder)


def with_tensor(name: str, tensor: Any) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        tensors[name] = tensor

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), "model.norm.weight is missing"),
        (with_tensor("model.norm.weight", np.ones((8, 1), np.float32)), "model.norm.weight has shape (8, 1)"),
        (with_tensor("model.norm.weight", np.ones(8, np.float64)), "model.norm.weight has dtype F64"),
        (with_tensor("model.norm.weight", np.full(8, np.inf, np.float16)), "model.norm.weight holds 8 values"),
        (with_tensor("model.layers.0.mlp.gate_proj.bias", np.ones(8, np.float32)), "gate_proj.bias"),
        (with_tensor("model.layers.0.self_attn.q_norm.weight", np.ones(2, np.float32)), "q_norm.weight"),
        (with_tensor("lm_head.weight", np.ones((10, 8), np.float32)), "lm_head.weight differs from the embedding"),
    ],
)
def test_a_tensor_that_is_missing_wrong_or_unknown_is_refused_by_name(
    change: Callable[[dict[str, Any]], None], words: str, tmp_path: Path
) -> None:
    model = random_model()
    folder = write_huggingface(tmp_path / "tiny", model)
    tensors = huggingface_tensors(model)
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    assert words in refusal(folder)


def test_a_stored_copy_of_a_tied_head_and_old_rotary_buffers_are_harmless(tmp_path: Path) -> None:
    model = random_model(half_paired(CONFIG))
    folder = write_huggingface(tmp_path / "tiny", model)
    tensors = huggingface_tensors(model) | {
        "lm_head.weight": model.embedding,
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(1, np.float32),
    }
    save_file(tensors, folder / "model.safetensors")
    assert_same_model(read_model(folder), model)


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}junk"])
def test_a_damaged_safetensors_file_is_refused(data: bytes, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    (folder / "model.safetensors").write_bytes(data)
    assert "model.safetensors" in refusal(folder)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    (folder / "model.safetensors").unlink()
    assert "no model.safetensors" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_one_file_of_a_folder_points_to_the_folder(name: str, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    assert f"give its folder, {folder}" in refusal(folder / name)
