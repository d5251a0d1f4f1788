"""Turns config.json of a Hugging Face folder into a ModelConfig.

A feature that ModelConfig cannot express is never ignored: it is refused, by the name of its field, before any weight
is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.checkpoints.checks import require_consistent, require_even_split
from tinyllm.codegen.checkpoints.huggingface.adapter import refuse_adapter
from tinyllm.codegen.checkpoints.huggingface.families import FAMILIES, Family
from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.checkpoints.huggingface.hub_cache import folder_name
from tinyllm.codegen.checkpoints.huggingface.rope import read_rope
from tinyllm.errors import UserError
from tinyllm.files import read_bytes, read_json_object

JSON_LIMIT = 16 << 20
JINJA_LIMIT = 1 << 20

UNSUPPORTED = {
    "quantization_config": "weights that are quantised already",
    "num_local_experts": "a mixture of experts",
    "num_experts": "a mixture of experts",
    "n_routed_experts": "a mixture of experts",
    "alibi": "ALiBi",
    "is_encoder_decoder": "cross attention to an encoder",
    "add_cross_attention": "cross attention",
    "cross_attention_layers": "cross attention",
    "dense_attention_every_n_layers": "block-sparse attention",
    "blocksparse_block_size": "block-sparse attention",
    "dual_chunk_attention_config": "dual chunk attention",
    "use_qk_norm": "normalised queries and keys",
    "qk_layernorm": "normalised queries and keys",
    "mlp_bias": "a bias in the feed-forward layer",
}
"""Fields that switch on a feature which is not supported; null, false, 0 and an empty value leave it off."""

LAYER_TYPES = ("full_attention", "sliding_attention")


@dataclass(frozen=True)
class Configuration:
    """What config.json says. biases: the bias fields of Block that the model has. features: unusual ones, in words."""

    config: ModelConfig
    family: Family
    biases: tuple[str, ...]
    features: tuple[str, ...]


def read_configuration(
    folder: Path,
    context: int | None = None,
    share_embedding: bool | None = None,
    layer_sharing: bool | None = None,
) -> Configuration:
    """The checked contents of config.json, with the chat template of the folder, if any.

    The arguments are those of read_huggingface. Raises UserError naming the file and the field.
    """
    refuse_adapter(folder)
    path = folder / "config.json"
    if not path.exists():
        files = sorted(file.name for pattern in ("*.gguf", "*.bin") for file in folder.glob(pattern))
        hint = f"a file of it, such as {folder / files[0]}" if files else "the path of a .gguf or llama2.c .bin file"
        raise UserError(f"{folder}: no config.json in it; give a Hugging Face model folder, or {hint}")
    fields = Fields(path, read_json_object(path, JSON_LIMIT))
    family = _require_supported(fields)
    fields = Fields(path, family.defaults | fields.values)

    dim = fields.dimension("hidden_size", "dim")
    n_heads = fields.dimension("num_attention_heads", "n_heads")
    if fields.get("head_dim") is None:
        head_dim = require_even_split(path, "hidden_size", dim, "num_attention_heads", n_heads)
    else:
        head_dim = fields.dimension("head_dim", "head_dim")
    given_kv_heads = fields.get("num_key_value_heads") is not None
    trained = fields.dimension("max_position_embeddings", "context")
    if context is not None and not 1 <= context <= trained:
        raise UserError(
            f"{path}: a context of {context} positions is asked for, max_position_embeddings is {trained};"
            f" ask for {trained} or fewer"
        )
    rope = read_rope(fields, head_dim, trained, context, family.partial_rotary)
    blocks = range(fields.dimension("num_hidden_layers", "n_layers"))
    windows = _windows(fields, family, len(blocks))
    passes = 2 if (fields.switch("layer_sharing", False) if layer_sharing is None else layer_sharing) else 1
    config = ModelConfig(
        name=folder_name(folder),
        family=fields.values["model_type"],
        dim=dim,
        hidden_dim=fields.dimension("intermediate_size", "hidden_dim"),
        n_heads=n_heads,
        n_kv_heads=fields.dimension("num_key_value_heads", "n_kv_heads") if given_kv_heads else n_heads,
        head_dim=head_dim,
        vocab_size=fields.dimension("vocab_size", "vocab_size"),
        context=rope.reach,
        schedule=tuple(block for block in blocks for _ in range(passes)),
        rope=rope.rope,
        norm_epsilon=fields.number("rms_norm_eps"),
        tied_head=_tied_head(fields) if share_embedding is None else share_embedding,
        chat_template=_chat_template(folder),
        windows=tuple(window for window in windows for _ in range(passes)),
    )
    require_consistent(path, config)
    biases = family.biases
    if family.optional_biases and fields.switch("attention_bias", False):
        biases = family.optional_biases
    return Configuration(config, family, biases, (rope.feature,) if rope.feature else ())


def _require_supported(fields: Fields) -> Family:
    for key, meaning in UNSUPPORTED.items():
        if fields.get(key):
            raise fields.refusal(key, f"none: {meaning} cannot be run", "choose another model")
    model_type = fields.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise fields.refusal("model_type", f"one of {', '.join(FAMILIES)}", "choose another model")
    if fields.get("hidden_act", "silu") not in ("silu", "swish"):
        raise fields.refusal("hidden_act", "'silu'", "choose another model")
    return FAMILIES[model_type]


def _tied_head(fields: Fields) -> bool:
    """Whether the embedding is the head too. MobileLLM has its own field for that: its tie_word_embeddings is false."""
    if fields.get("share_embedding") is not None:
        return fields.switch("share_embedding", False)
    if fields.values["model_type"] == "mobilellm":
        expected = "true or false (whether the embedding is the head too)"
        raise fields.refusal("share_embedding", expected, "add it, or give it as an option")
    return fields.switch("tie_word_embeddings", False)


def _windows(fields: Fields, family: Family, n_layers: int) -> tuple[int | None, ...]:
    """For each stored block, the number of positions that a token attends to, itself included; None for all positions.

    Empty if no block limits them. As in transformers, a query at q sees a key at k if q - k < sliding_window.
    """
    if family.windows == "none" or fields.get("sliding_window") is None:
        return ()
    if family.windows == "late" and not fields.switch("use_sliding_window", False):
        return ()
    window = fields.dimension("sliding_window", "context")
    layer_types = fields.get("layer_types")
    if layer_types is not None:
        if not isinstance(layer_types, list) or not all(kind in LAYER_TYPES for kind in layer_types):
            raise fields.refusal("layer_types", f"a list of {' and '.join(LAYER_TYPES)}", "choose another model")
        if len(layer_types) != n_layers:
            raise fields.refusal("layer_types", f"one for each of the {n_layers} layers")
        limited = [kind == "sliding_attention" for kind in layer_types]
    elif family.windows == "late":
        first = fields.number("max_window_layers", 0, 0)
        limited = [layer >= first for layer in range(n_layers)]
    else:
        limited = [True] * n_layers
    return tuple(window if limit else None for limit in limited) if any(limited) else ()


def _chat_template(folder: Path) -> str | None:
    """The chat template, None if there is none.

    Read from chat_template.jinja, or from chat_template in tokenizer_config.json: one template or a list of named ones,
    of which "default" is taken. Raises UserError if it is no text.
    """
    path = folder / "chat_template.jinja"
    if path.exists():
        try:
            return read_bytes(path, JINJA_LIMIT).decode()
        except UnicodeDecodeError:
            raise UserError(f"{path} is not UTF-8, expected a Jinja template; download it again") from None
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return None
    template = read_json_object(path, JSON_LIMIT).get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
        if not isinstance(template, str):
            raise UserError(
                f"{path}: chat_template is a list without a template named 'default'; keep one, as a string"
            )
    if template is not None and not isinstance(template, str):
        raise UserError(f"{path}: chat_template is not a string, expected one template; keep the one to be used")
    return template
