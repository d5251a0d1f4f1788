"""Hugging Face folders of every model type become the same model form, and bad ones are refused in words."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.checkpoint_files import (
    assert_same_model,
    configs,
    half_paired,
    huggingface_tensors,
    random_model,
    write_huggingface,
)
from tests.unit.huggingface_files import (
    ABSENT,
    HALF,
    archive,
    bfloat16_bytes,
    edit,
    refusal,
    rewrite,
    tensors_of,
    torch_entries,
    write_shards,
)
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.tokenizers import Tokenizer, read_tokenizer
from tinyllm.errors import UserError

# Reading back what was written


@settings(deadline=None, max_examples=20)
@given(configs(), st.booleans(), st.sampled_from([np.float32, np.float16]))
def test_a_folder_reads_back_equal(config: ModelConfig, biases: bool, dtype: type) -> None:
    model = random_model(half_paired(config), biases=biases)
    with tempfile.TemporaryDirectory() as folder:
        found = read_model(write_huggingface(Path(folder) / "tiny", model, dtype, attention_bias=biases))
    for owner in (model, *model.blocks):
        for field, tensor in vars(owner).items():
            if isinstance(tensor, np.ndarray):
                setattr(owner, field, tensor.astype(dtype).astype(np.float32))
    assert_same_model(found, model)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99))
def test_bfloat16_is_the_upper_half_of_a_float32(seed: int) -> None:
    model = random_model(HALF, seed=seed)
    for owner in (model, *model.blocks):
        for field, tensor in vars(owner).items():
            if isinstance(tensor, np.ndarray):
                setattr(owner, field, (tensor.view(np.uint32) & 0xFFFF0000).view(np.float32))
    with tempfile.TemporaryDirectory() as name:
        folder = write_huggingface(Path(name) / "tiny", model)
        (folder / "model.safetensors").write_bytes(bfloat16_bytes(huggingface_tensors(model)))
        assert_same_model(read_model(folder), model)


def test_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    config = replace(HALF, n_kv_heads=4, tied_head=False)
    folder = write_huggingface(tmp_path / "tiny", random_model(config))
    names = ("head_dim", "num_key_value_heads", "rope_theta", "rms_norm_eps", "tie_word_embeddings", "hidden_act")
    edit(folder / "config.json", **dict.fromkeys(names, ABSENT))
    assert read_model(folder).config == replace(config, norm_epsilon=1e-6)


@pytest.mark.parametrize(
    ("model_type", "epsilon", "context"), [("phi3", 1e-5, 6), ("qwen2", 1e-6, 6), ("mistral", 1e-6, 6)]
)
def test_each_model_type_has_the_defaults_of_its_own(
    model_type: str, epsilon: float, context: int, tmp_path: Path
) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(HALF), model_type=model_type)
    edit(folder / "config.json", rms_norm_eps=ABSENT)
    rewrite(folder, tensors_of(model_type, random_model(HALF, biases=True)))
    found = read_model(folder)
    assert (found.config.family, found.config.norm_epsilon, found.config.context) == (model_type, epsilon, context)


@pytest.mark.parametrize("model_type", ["llama", "phi3", "qwen2", "mistral"])
def test_each_model_type_has_tensors_of_its_own(model_type: str, tmp_path: Path) -> None:
    model = random_model(HALF, biases=True)
    folder = write_huggingface(tmp_path / "tiny", model, model_type=model_type)
    rewrite(folder, tensors_of(model_type, model))
    for block in model.blocks:
        for bias in ("bq", "bk", "bv", "bo"):
            if model_type != "qwen2" or bias == "bo":
                setattr(block, bias, None)
    model.config = replace(model.config, family=model_type, windows=(4096,) * 2 if model_type == "mistral" else ())
    assert_same_model(read_model(folder), model)


def test_the_head_size_may_differ_from_the_width_divided_by_heads(tmp_path: Path) -> None:
    config = replace(HALF, head_dim=6, rope=replace(HALF.rope, rotary_dim=6))
    model = random_model(config)
    assert_same_model(read_model(write_huggingface(tmp_path / "tiny", model)), model)


def test_the_chat_template_comes_from_the_tokenizer_config(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    assert read_model(folder).config.chat_template is None
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert read_model(folder).config.chat_template == "{{ messages }}"


def test_a_chat_template_in_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (folder / "chat_template.jinja").write_text("{{ messages | length }}\n")
    assert read_model(folder).config.chat_template == "{{ messages | length }}\n"
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"chat_template\.jinja is not UTF-8"):
        read_model(folder)


def test_of_several_chat_templates_the_default_is_taken(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    named = [{"name": "tool_use", "template": "{{ tools }}"}, {"name": "default", "template": "{{ messages }}"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert read_model(folder).config.chat_template == "{{ messages }}"
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named[:1]}))
    with pytest.raises(UserError, match="a list without a template named 'default'"):
        read_model(folder)


def test_a_stored_copy_of_a_tied_head_and_old_rotary_buffers_are_harmless(tmp_path: Path) -> None:
    model = random_model(HALF)
    folder = write_huggingface(tmp_path / "tiny", model)
    extra = {
        "lm_head.weight": model.embedding,
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(1, np.float32),
    }
    rewrite(folder, huggingface_tensors(model) | extra)
    assert_same_model(read_model(folder), model)


def as_huggingface_rotates(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """Rows of q or k whose neighbours rotate together, reordered so that the halves of a head do."""
    heads = rows.reshape(-1, head_dim // 2, 2, rows.shape[1])
    return heads.swapaxes(1, 2).reshape(rows.shape)


@pytest.mark.parametrize("form", ["safetensors", "shards", "torch"])
def test_a_folder_gives_the_same_integers_and_the_same_c_as_the_llama2c_file(
    form: str, stories_llama2c: Path, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = read_model(stories_llama2c)
    expected = quantize(model)
    model.config = half_paired(model.config)
    for block in model.blocks:
        block.wq = as_huggingface_rotates(block.wq, model.config.head_dim)
        block.wk = as_huggingface_rotates(block.wk, model.config.head_dim)
    folder = write_huggingface(tmp_path / "stories", model)
    if form == "shards":
        write_shards(folder, model, 3)
    elif form == "torch":
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(archive(torch_entries(huggingface_tensors(model))))
    found = quantize(read_model(folder))
    assert found.digest() == expected.digest()
    board = load_board("host")
    assert emit_project(found, stories_tokenizer, board) == emit_project(expected, stories_tokenizer, board)


# MobileLLM's switches


@pytest.mark.parametrize("in_config", [True, False])
@pytest.mark.parametrize("model_type", ["llama", "mobilellm"])
def test_layer_sharing_runs_every_stored_block_twice_in_a_row(model_type: str, in_config: bool, tmp_path: Path) -> None:
    model = random_model(HALF)
    switches = {"share_embedding": True, "layer_sharing": True}
    folder = write_huggingface(
        tmp_path / "tiny", model, model_type=model_type, **(switches if in_config else {}), tie_word_embeddings=False
    )
    found = read_model(folder, **({} if in_config else switches))
    model.config = replace(HALF, family=model_type, schedule=(0, 0, 1, 1))
    assert_same_model(found, model)


def test_a_mobilellm_shares_its_embedding_unless_it_says_otherwise(tmp_path: Path) -> None:
    """As the configuration class beside its weights has it."""
    model = random_model(HALF)
    folder = write_huggingface(tmp_path / "tiny", model, model_type="mobilellm", tie_word_embeddings=False)
    model.config = replace(HALF, family="mobilellm")
    assert_same_model(read_model(folder), model)


def test_an_option_overrides_the_config(tmp_path: Path) -> None:
    model = random_model(replace(HALF, tied_head=False))
    folder = write_huggingface(
        tmp_path / "tiny", model, model_type="mobilellm", share_embedding=True, layer_sharing=True
    )
    model.config = replace(model.config, family="mobilellm")
    assert_same_model(read_model(folder, share_embedding=False, layer_sharing=False), model)
    assert "lm_head.weight differs" in refusal(folder)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"model_type": "mobilellm", "share_embedding": None}, "share_embedding is null, expected true or false"),
        ({"share_embedding": 1}, "share_embedding is 1, expected true or false"),
        ({"layer_sharing": "yes"}, "layer_sharing is 'yes', expected true or false"),
        ({"share_embedding": False}, "lm_head.weight is missing, config.json asks for it; set tie_word_embeddings"),
    ],
)
def test_switches_that_are_missing_or_none_are_refused(overrides: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert words in refusal(write_huggingface(tmp_path / "tiny", random_model(), **overrides))


def test_switches_are_not_for_other_files(tmp_path: Path) -> None:
    path = tmp_path / "tiny.bin"
    path.write_bytes(bytes(300))
    assert "are for Hugging Face folders" in refusal(path, layer_sharing=True)


# What is not supported, or no config


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2', expected one of llama, mobilellm, phi3, qwen2, mistral"),
        ({"model_type": None}, "model_type is null"),
        ({"model_type": ["llama"]}, "model_type is ['llama']"),
        (
            {"model_type": "mixtral", "num_local_experts": 8},
            "num_local_experts is 8, expected none: a mixture of experts",
        ),
        ({"model_type": "qwen2_moe", "num_experts": 60}, "num_experts is 60, expected none: a mixture of experts"),
        ({"model_type": "deepseek_v3", "n_routed_experts": 256}, "n_routed_experts is 256"),
        ({"model_type": "falcon", "alibi": True}, "alibi is True, expected none: ALiBi cannot be run"),
        (
            {"model_type": "t5", "is_encoder_decoder": True},
            "is_encoder_decoder is True, expected none: cross attention",
        ),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"model_type": "mllama_text_model", "cross_attention_layers": [3, 8]}, "cross_attention_layers is [3, 8]"),
        (
            {"model_type": "phi3small", "dense_attention_every_n_layers": 2, "hidden_act": "gegelu"},
            "dense_attention_every_n_layers is 2, expected none: block-sparse attention cannot be run",
        ),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantization_config is {"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"rope_theta": "much"}, "rope_theta is 'much'"),
        ({"rope_theta": 10**400}, "rope_theta is 1000"),
        ({"rope_theta": 0.5}, "rope_theta is 0.5"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ({"rms_norm_eps": math.nan}, "rms_norm_eps is nan"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'"),
        ({"attention_bias": "yes"}, "attention_bias is 'yes'"),
        ({"attention_bias": True}, "model.layers.0.self_attn.q_proj.bias is missing"),
        ({"model_type": "mistral", "sliding_window": 0}, "sliding_window is 0"),
        ({"model_type": "phi3", "sliding_window": -1}, "sliding_window is -1"),
        ({"model_type": "qwen2", "use_sliding_window": 1}, "use_sliding_window is 1"),
        ({"model_type": "mistral", "layer_types": ["chunked_attention"]}, "layer_types is ['chunked_attention']"),
        ({"model_type": "mistral", "layer_types": "full_attention"}, "layer_types is 'full_attention'"),
        ({"model_type": "mistral", "layer_types": ["full_attention"]}, "expected one for each of the 2 layers"),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": "all"},
            "max_window_layers is 'all'",
        ),
        ({"hidden_size": 8.0}, "hidden_size is 8.0"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": None}, "hidden_size is null"),
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


@pytest.mark.parametrize("field", ["hidden_size", "max_position_embeddings", "vocab_size", "rms_norm_eps"])
def test_null_is_no_default_and_no_damage(field: str, tmp_path: Path) -> None:
    message = refusal(write_huggingface(tmp_path / "tiny", random_model(), **{field: None}))
    assert f"{field} is null, expected " in message
    assert "damaged" not in message


def test_the_config_is_refused_before_the_weights_are_looked_at(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(), num_experts=4)
    (folder / "model.safetensors").unlink()
    assert "num_experts is 4" in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\0", "nan"])
def test_a_config_that_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(folder)


def test_a_folder_that_holds_a_checkpoint_in_one_file_leads_to_that_file(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("or the path of a .gguf or llama2.c .bin file")
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    assert refusal(tmp_path).endswith(f"or a file of it, such as {tmp_path / 'tiny.gguf'}")


# Tensors that do not fit the config


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
        (with_tensor("model.layers.0.self_attn.q_proj.bias", np.ones(8, np.float32)), "q_proj.bias"),
        (with_tensor("model.layers.0.self_attn.q_norm.weight", np.ones(2, np.float32)), "q_norm.weight"),
        (with_tensor("lm_head.weight", np.ones((10, 8), np.float32)), "lm_head.weight differs from the embedding"),
        (with_tensor("lm_head.weight", np.ones((9, 8), np.float32)), "lm_head.weight has shape (9, 8)"),
    ],
)
def test_a_tensor_that_is_missing_wrong_or_unknown_is_refused_by_name(
    change: Callable[[dict[str, Any]], None], words: str, tmp_path: Path
) -> None:
    model = random_model()
    folder = write_huggingface(tmp_path / "tiny", model)
    tensors = huggingface_tensors(model)
    change(tensors)
    assert words in refusal(rewrite(folder, tensors))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    (folder / "model.safetensors").unlink()
    assert "no model.safetensors or pytorch_model.bin" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_one_file_of_a_folder_points_to_the_folder(name: str, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model())
    assert f"give its folder, {folder}" in refusal(folder / name)


# What else a folder may be


def test_the_names_that_wrappers_of_pytorch_change_are_read_as_they_were(tmp_path: Path) -> None:
    model = random_model(HALF)
    tensors = huggingface_tensors(model)
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "_fsdp_wrapped_module."):
        folder = write_huggingface(tmp_path / "tiny", model)
        assert_same_model(read_model(rewrite(folder, {prefix + name: tensors[name] for name in tensors})), model)
        assert inspect_checkpoint(folder).n_parameters == model.n_parameters()


def test_blocks_that_were_compiled_one_by_one_are_read(tmp_path: Path) -> None:
    model = random_model(HALF)
    folder = write_shards(tmp_path / "tiny", model, 2)
    (folder / "model.safetensors.index.json").unlink()
    tensors = huggingface_tensors(model)
    rewrite(folder, {re.sub(r"layers\.(\d+)\.", r"layers.\1._orig_mod.", name): tensors[name] for name in tensors})
    assert_same_model(read_model(folder), model)


def test_two_tensors_that_a_wrapper_alone_tells_apart_are_refused(tmp_path: Path) -> None:
    model = random_model(HALF)
    tensors = huggingface_tensors(model)
    folder = write_huggingface(tmp_path / "tiny", model)
    rewrite(folder, tensors | {"module.model.norm.weight": tensors["model.norm.weight"]})
    message = refusal(folder)
    assert "'module.model.norm.weight'" in message and "are both 'model.norm.weight'" in message


@pytest.mark.parametrize("files", [("adapter_config.json", "adapter_model.safetensors"), ("adapter_model.bin",)])
@pytest.mark.parametrize("beside_a_model", [True, False])
def test_a_lora_adapter_is_to_be_merged_first(files: tuple[str, ...], beside_a_model: bool, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    if beside_a_model:
        write_huggingface(folder, random_model(HALF))
    folder.mkdir(exist_ok=True)
    for name in files:
        (folder / name).write_text(json.dumps({"base_model_name_or_path": "owner/base", "r": 8}))
    for path in (folder, folder / files[-1]):
        message = refusal(path)
        assert f"{path} is a LoRA adapter" in message
        assert ("for 'owner/base'" in message) == ("adapter_config.json" in files)
        assert message.endswith('.merge_and_unload().save_pretrained("merged")')


def test_weights_that_were_saved_with_their_adapter_apart_are_to_be_merged_first(tmp_path: Path) -> None:
    tensors = huggingface_tensors(random_model(HALF))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"
    folder = rewrite(write_huggingface(tmp_path / "tiny", random_model(HALF)), tensors | {name: np.ones((2, 8))})
    assert "a model with a LoRA adapter beside its weights ('base_model.model.model.layers.0" in refusal(folder)


LFS_POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 17280\n"
)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin", "tokenizer_config.json"])
def test_a_file_of_a_folder_that_git_lfs_has_not_fetched_is_named(name: str, tmp_path: Path) -> None:
    folder = write_huggingface(tmp_path / "tiny", random_model(HALF))
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    (folder / name).write_text(LFS_POINTER)
    message = refusal(folder)
    assert f"{folder / name} is a Git LFS pointer of 130 bytes, not the file itself; run `git lfs pull`" in message


@pytest.mark.parametrize("name", ["tiny.bin", "tiny.gguf"])
def test_a_checkpoint_in_one_file_that_git_lfs_has_not_fetched_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(LFS_POINTER)
    assert "is a Git LFS pointer" in refusal(tmp_path / name)
    assert "`git lfs pull`" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "tok512.bin", "qwen.tiktoken"])
def test_a_tokenizer_that_git_lfs_has_not_fetched_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(LFS_POINTER)
    with pytest.raises(UserError, match=f"{name} is a Git LFS pointer .* `git lfs pull`"):
        read_tokenizer(tmp_path / name)
