"""Turns the metadata of a GGUF model into a ModelConfig.

Keys: gguf-py/gguf/constants.py of github.com/ggml-org/llama.cpp. A feature that ModelConfig cannot express is never
ignored: it is refused, by the name of its key, before any weight is read.
"""

from __future__ import annotations

import warnings

from tinyllm.codegen.arithmetic.float_model import ModelConfig, Rope, RopePairing
from tinyllm.codegen.checkpoints.checks import LIMITS, require_consistent, require_dimension, require_even_split
from tinyllm.codegen.checkpoints.gguf.file import Gguf
from tinyllm.codegen.checkpoints.gguf.tensors import StoredTensor, decode_tensor, require_tensor
from tinyllm.errors import CheckpointWarning, UserError
from tinyllm.text import harmless_name, shown

PAIRINGS: dict[str, RopePairing] = {"llama": "interleaved", "phi3": "half", "qwen2": "half"}
"""The supported architectures, and which elements of a head rotate together.

For a llama, the converter permutes the rows of q and k so that the elements of a pair are neighbours, as in Llama's own
weights and in llama2.c. The others keep Hugging Face's order: a pair has one element in each half of the head.
"""

FALLBACK_CONTEXT = 512
"""The context of a model that does not say it: fewer positions than any model was trained for."""
FACTORS = (1e-3, 1e6)
"""The least and the largest divisor of a frequency; with others an angle would be noise."""
FACTOR_TENSORS = ("rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight")

# Key (after the architecture's name) -> the feature that it asks for, and the values that mean it is not used.
UNSUPPORTED: dict[str, tuple[str, tuple[object, ...]]] = {
    "expert_count": ("a mixture of experts", (0,)),
    "attention.max_alibi_bias": ("ALiBi", (0.0,)),
    "attention.clamp_kqv": ("clamped attention", (0.0,)),
    "attention.sliding_window_pattern": ("windows on some layers only", ()),
    "attention.causal": ("attention to later positions", (True,)),
    "attention.scale": ("another attention scale", (0.0,)),
    "use_parallel_residual": ("parallel attention and feed-forward layers", (False,)),
    "attn_logit_softcapping": ("soft-capped attention", (0.0,)),
    "final_logit_softcapping": ("soft-capped logits", (0.0,)),
    "logit_scale": ("scaled logits", (0.0, 1.0)),
    "residual_scale": ("a scaled residual", (0.0, 1.0)),
    "embedding_scale": ("a scaled embedding", (0.0, 1.0)),
}


def warn(gguf: Gguf, found: str) -> None:
    """Issue a CheckpointWarning about the file."""
    warnings.warn(f"{gguf.path}: {found}", CheckpointWarning, stacklevel=3)


def read_config(gguf: Gguf, stored: dict[str, StoredTensor], context: int | None) -> tuple[ModelConfig, list[str]]:
    """The checked config of a model with these tensors, and its unusual features in words.

    context: as in read_gguf. Raises UserError naming the file and the key.
    """
    path, name = gguf.path, require_supported(gguf)

    def dimension(suffix: str, limit: str, default: int | None = None) -> int:
        value = gguf.scalar(f"{name}.{suffix}")
        return require_dimension(path, f"{name}.{suffix}", default if value is None else value, limit)

    rows = require_tensor(gguf, stored, "token_embd.weight").shape[0]
    vocab_size = require_dimension(path, "the number of rows of token_embd.weight", rows, "vocab_size")
    if gguf.scalar(f"{name}.vocab_size") not in (None, vocab_size):
        warn(gguf, f"{name}.vocab_size is not {vocab_size}, the number of rows of token_embd.weight; these count")
    dim = dimension("embedding_length", "dim")
    n_heads = dimension("attention.head_count", "n_heads")
    if gguf.scalar(f"{name}.attention.key_length") is None:
        head_dim = require_even_split(path, f"{name}.embedding_length", dim, f"{name}.attention.head_count", n_heads)
    else:
        head_dim = dimension("attention.key_length", "head_dim")
    if dimension("attention.value_length", "head_dim", head_dim) != head_dim:
        raise UserError(
            f"{path}: {name}.attention.value_length differs from the key's {head_dim}, expected the same;"
            " choose another model"
        )
    trained = _trained(gguf, name, context)
    rope, reach, features = _rope(gguf, name, stored, head_dim, trained, context)
    schedule = tuple(range(dimension("block_count", "n_layers")))
    window = _window(gguf, name)
    config = ModelConfig(
        name=harmless_name(path.stem),
        family=name,
        dim=dim,
        hidden_dim=dimension("feed_forward_length", "hidden_dim"),
        n_heads=n_heads,
        n_kv_heads=dimension("attention.head_count_kv", "n_kv_heads", n_heads),
        head_dim=head_dim,
        vocab_size=vocab_size,
        context=reach,
        schedule=schedule,
        rope=rope,
        norm_epsilon=gguf.real(f"{name}.attention.layer_norm_rms_epsilon", None, 1e-12, 1.0),
        tied_head="output.weight" not in stored,
        chat_template=gguf.text("tokenizer.chat_template"),
        windows=(window,) * len(schedule) if window else (),
    )
    return require_consistent(path, config), features


def require_supported(gguf: Gguf) -> str:
    """The architecture. Raises UserError for one that is not in PAIRINGS, and for a feature that is not supported."""
    name = gguf.text("general.architecture")
    if name not in PAIRINGS:
        raise UserError(
            f"{gguf.path}: general.architecture is {'missing' if name is None else repr(name[:40])},"
            f" expected one of {', '.join(PAIRINGS)}; choose another model"
        )
    kind = gguf.text("general.type")
    if kind not in (None, "model"):
        advice = "merge it first, with llama-export-lora" if kind == "adapter" else "give the model itself"
        raise UserError(f"{gguf.path}: general.type is {kind[:40]!r}, expected 'model'; {advice}")
    parts = gguf.scalar("split.count")
    if parts not in (None, 0, 1):
        raise UserError(
            f"{gguf.path}: split.count is {shown(parts)}, expected a whole model;"
            " join the parts with llama-gguf-split --merge"
        )
    for suffix, (feature, unused) in UNSUPPORTED.items():
        value = gguf.scalar(f"{name}.{suffix}")
        if value is not None and value not in unused:
            raise UserError(f"{gguf.path}: {name}.{suffix} asks for {feature}, which is not read; choose another model")
    return name


def _trained(gguf: Gguf, name: str, context: int | None) -> int:
    """How many positions the model was trained for. Raises UserError if `context` is larger."""
    key = f"{name}.context_length"
    trained = gguf.scalar(key)
    if not isinstance(trained, int) or isinstance(trained, bool) or not 1 <= trained <= LIMITS["context"]:
        found = "missing" if trained is None else f"{shown(trained)}, expected 1 to {LIMITS['context']:,}"
        trained = context or FALLBACK_CONTEXT
        warn(gguf, f"{key} is {found}; {trained} positions are assumed")
    if context is not None and not 1 <= context <= trained:
        raise UserError(
            f"{gguf.path}: a context of {context} positions is asked for, {key} is {trained};"
            f" ask for {trained} or fewer"
        )
    return trained


def _window(gguf: Gguf, name: str) -> int:
    """How many positions a token attends to on every layer, itself included; 0 if the model does not limit them."""
    key = f"{name}.attention.sliding_window"
    return require_dimension(gguf.path, key, gguf.scalar(key), "context") if gguf.scalar(key) else 0


def _rope(
    gguf: Gguf, name: str, stored: dict[str, StoredTensor], head_dim: int, trained: int, context: int | None
) -> tuple[Rope, int, list[str]]:
    """The rotary embedding, the number of positions that it is right for, and its unusual features in words.

    Each frequency is divided by the linear factor, and by its own factor in a tensor: Llama 3's, or one of longrope's
    two.
    """
    path = gguf.path
    rotary_key = f"{name}.rope.dimension_count"
    given = gguf.scalar(rotary_key)
    rotary_dim = require_dimension(path, rotary_key, head_dim if given is None else given, "head_dim")
    if rotary_dim % 2 or rotary_dim > head_dim:
        raise UserError(
            f"{path}: {rotary_key} is {rotary_dim}, expected an even number up to the head size {head_dim};"
            " convert the file again"
        )
    kind = gguf.text(f"{name}.rope.scaling.type") or "linear"
    if kind not in ("none", "linear", "longrope"):
        raise UserError(
            f"{path}: {name}.rope.scaling.type is {kind[:40]!r}, expected none, linear or longrope;"
            " choose another model"
        )
    features = []
    linear = 1.0
    if kind == "linear":
        # The second key is an older name of the first; 0 means that frequencies stay as they are.
        older = gguf.real(f"{name}.rope.scale_linear", 1.0, 0.0, FACTORS[1])
        linear = gguf.real(f"{name}.rope.scaling.factor", older, 0.0, FACTORS[1]) or 1.0
        if linear != 1.0:
            features.append(f"linear rope scaling by {linear:g}")
    factors = [linear] * (rotary_dim // 2)
    tensor, reach, feature = _factors(gguf, name, stored, trained, context)
    if tensor is None and kind == "longrope":
        raise UserError(
            f"{path}: tensor {FACTOR_TENSORS[1]} is missing, {name}.rope.scaling.type asks for it;"
            " convert the file again"
        )
    if tensor is not None:
        features.append(feature)
        if tensor.shape != (rotary_dim // 2,):
            raise UserError(
                f"{path}: tensor {tensor.name} has shape {tensor.shape}, expected {(rotary_dim // 2,)};"
                " convert the file again"
            )
        factors = [linear * factor for factor in decode_tensor(gguf, tensor).tolist()]
    if not all(FACTORS[0] <= factor <= FACTORS[1] for factor in factors):
        field = f"{name}.rope.scaling.factor" if tensor is None else f"tensor {tensor.name}"
        raise UserError(
            f"{path}: {field} gives rotary factors of {min(factors):g} to {max(factors):g},"
            f" expected {FACTORS[0]:g} to {FACTORS[1]:g}; convert the file again"
        )
    rope = Rope(
        base=gguf.real(f"{name}.rope.freq_base", 10000.0, 1.0, 1e12),
        pairing=PAIRINGS[name],
        rotary_dim=rotary_dim,
        factors=None if set(factors) == {1.0} else tuple(factors),
        attention_scaling=gguf.real(f"{name}.rope.scaling.attn_factor", 1.0, 1e-3, 1e3),
    )
    return rope, reach, features


def _factors(
    gguf: Gguf, name: str, stored: dict[str, StoredTensor], trained: int, context: int | None
) -> tuple[StoredTensor | None, int, str]:
    """The tensor of factors, if any, the number of positions that it is right for, and its name in words."""
    llama3, short, long = FACTOR_TENSORS
    if llama3 in stored:
        return stored[llama3], trained, "rope frequencies of its own, as llama3's"
    if short not in stored and long not in stored:
        return None, trained, ""
    key = f"{name}.rope.scaling.original_context_length"
    original = min(require_dimension(gguf.path, key, gguf.scalar(key), "context"), trained)
    beyond = context is not None and context > original
    return (
        require_tensor(gguf, stored, long if beyond else short),
        trained if beyond else original,
        f"longrope, {'long' if beyond else 'short'} factors (short up to {original} positions, long up to {trained})",
    )
