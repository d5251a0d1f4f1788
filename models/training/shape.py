"""The shape of a model: presets by size, and a switch for each ingredient of MobileLLM (arXiv 2402.14905).

MobileLLM found that a small model is better if it is deep and thin, has SwiGLU, uses the embedding as its head, has few
heads of keys and values, and runs each block twice in a row. Dimensions are multiples of 16, so that rows of int8
weights fill SIMD registers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tinyllm.codegen.arithmetic.float_model import ModelConfig, Rope
from tinyllm.errors import UserError

ROPE_BASE = 10000.0
NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Shape:
    """Dimensions and switches of a model.

    blocks: stored blocks. shared: each block runs twice in a row. tied: the embedding is the head too. gated: SwiGLU;
    else silu between two matrices, which is here only for comparison: no board computes it.
    """

    dim: int = 64
    hidden_dim: int = 176
    blocks: int = 5
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 16
    vocab_size: int = 512
    context: int = 512
    shared: bool = False
    tied: bool = True
    gated: bool = True

    def __post_init__(self) -> None:
        """Raises UserError for dimensions that no model can have."""
        for name, value in vars(self).items():
            if not isinstance(value, bool) and value < 1:
                raise UserError(f"{name} is {value}; expected at least 1")
        if self.n_heads % self.n_kv_heads:
            raise UserError(f"{self.n_heads} heads and {self.n_kv_heads} of keys; expected a multiple of the latter")
        if self.head_dim % 2:
            raise UserError(f"heads of {self.head_dim} numbers; expected an even number, for the rotary embedding")

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of the checkpoint; matrices are (outputs, inputs)."""
        q_dim, kv_dim = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, self.dim)}
        for index in range(self.blocks):
            block = {
                "input_layernorm": (self.dim,),
                "self_attn.q_proj": (q_dim, self.dim),
                "self_attn.k_proj": (kv_dim, self.dim),
                "self_attn.v_proj": (kv_dim, self.dim),
                "self_attn.o_proj": (self.dim, q_dim),
                "post_attention_layernorm": (self.dim,),
                "mlp.gate_proj": (self.hidden_dim, self.dim),
                "mlp.up_proj": (self.hidden_dim, self.dim),
                "mlp.down_proj": (self.dim, self.hidden_dim),
            }
            if not self.gated:
                del block["mlp.up_proj"]
            tensors |= {f"model.layers.{index}.{name}.weight": size for name, size in block.items()}
        tensors["model.norm.weight"] = (self.dim,)
        return tensors if self.tied else tensors | {"lm_head.weight": (self.vocab_size, self.dim)}

    @property
    def n_parameters(self) -> int:
        return sum(size[0] * (size[1] if len(size) > 1 else 1) for size in self.tensors().values())

    def model_config(self, name: str = "model") -> ModelConfig:
        """The ModelConfig that the readers would give for the model's folder."""
        passes = 2 if self.shared else 1
        return ModelConfig(
            name=name,
            family="mobilellm" if self.shared else "llama",
            dim=self.dim,
            hidden_dim=self.hidden_dim,
            n_heads=self.n_heads,
            n_kv_heads=self.n_kv_heads,
            head_dim=self.head_dim,
            vocab_size=self.vocab_size,
            context=self.context,
            schedule=tuple(block for block in range(self.blocks) for _ in range(passes)),
            rope=Rope(base=ROPE_BASE, rotary_dim=self.head_dim),
            norm_epsilon=NORM_EPSILON,
            tied_head=self.tied,
        )

    def config(self, bos: int, eos: int) -> dict[str, Any]:
        """The content of config.json: of a llama, or with shared blocks of a mobilellm: it alone can declare them."""
        sharing = {"layer_sharing": True, "share_embedding": self.tied} if self.shared else {}
        return {
            "architectures": ["MobileLLMForCausalLM" if self.shared else "LlamaForCausalLM"],
            "model_type": "mobilellm" if self.shared else "llama",
            "hidden_size": self.dim,
            "intermediate_size": self.hidden_dim,
            "num_hidden_layers": self.blocks,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.context,
            "rope_theta": ROPE_BASE,
            "rms_norm_eps": NORM_EPSILON,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": self.tied,
            **sharing,
            "bos_token_id": bos,
            "eos_token_id": eos,
            "torch_dtype": "float16",
        }


PRESETS = {
    "50k": Shape(32, 96, 3, 2, 1, 16, 512),
    "120k": Shape(48, 128, 4, 3, 1, 16, 512),
    "260k": Shape(64, 176, 5, 4, 2, 16, 512),
    "500k": Shape(80, 208, 7, 5, 1, 16, 512),
    "1m": Shape(96, 256, 10, 6, 2, 16, 1024),
    "2m": Shape(128, 352, 11, 8, 2, 16, 1024),
    "4m": Shape(160, 448, 13, 5, 1, 32, 1024),
    "8m": Shape(224, 608, 14, 7, 1, 32, 2048),
    "15m": Shape(288, 768, 16, 9, 3, 32, 4096),
}
"""The presets, named by their rough number of parameters. 260k is the bundled model's."""


def shape_of(preset: str, **changed: Any) -> Shape:
    """A preset, changed in the fields that are not None. Raises UserError for an unknown preset or a wrong value."""
    if preset not in PRESETS:
        raise UserError(f"--preset {preset}: expected one of {', '.join(PRESETS)}")
    return replace(PRESETS[preset], **{name: value for name, value in changed.items() if value is not None})


def shape_from(config: ModelConfig) -> Shape:
    """The shape of a model that was trained here, from its ModelConfig. Raises UserError for any other model."""
    passes = 2 if config.n_layers > len(set(config.schedule)) else 1
    shape = Shape(
        dim=config.dim,
        hidden_dim=config.hidden_dim,
        blocks=config.n_layers // passes,
        n_heads=config.n_heads,
        n_kv_heads=config.n_kv_heads,
        head_dim=config.head_dim,
        vocab_size=config.vocab_size,
        context=config.context,
        shared=passes == 2,
        tied=config.tied_head,
    )
    known = shape.model_config(config.name)
    if replace(config, family=known.family, chat_template=None) != known:
        raise UserError(
            f"{config.name}: its rotary embedding, norm or windows are not those of a model that was trained here; "
            "give it as --teacher instead"
        )
    return shape
