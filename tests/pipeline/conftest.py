"""Random models that use every feature of the Model form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyllm.codegen.arithmetic.float_model import Block, Model, ModelConfig, Rope
from tinyllm.codegen.arithmetic.int4 import GroupedCodes, round_to_nearest

MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")

BASE = ModelConfig(
    name="random",
    family="llama",
    dim=24,
    hidden_dim=40,
    n_heads=4,
    n_kv_heads=2,
    head_dim=6,
    vocab_size=512,
    context=32,
    schedule=(0, 1),
    rope=Rope(rotary_dim=6),
)

RANDOM_CONFIGS = {
    "grouped-query": BASE,
    "one kv head": replace(BASE, n_kv_heads=1),
    "shared blocks": replace(BASE, schedule=(0, 0, 1, 1)),
    "separate head": replace(BASE, tied_head=False),
    "interleaved pairs": replace(BASE, rope=Rope(pairing="interleaved", rotary_dim=6)),
    "partial rotary": replace(BASE, rope=Rope(rotary_dim=4, base=500.0, factors=(1.0, 4.0))),
    "attention scaling": replace(BASE, rope=Rope(rotary_dim=6, attention_scaling=1.2)),
    "heads wider than the stream": replace(BASE, head_dim=10, rope=Rope(rotary_dim=10)),
    "hidden narrower than the stream": replace(BASE, hidden_dim=20),
    "a window on every layer": replace(BASE, windows=(5, 5)),
    "windows of several sizes": replace(BASE, schedule=(0, 0, 1, 1), windows=(None, 7, 1, 31)),
    "no sinks": replace(BASE, context=12, sinks=0),
    "seven sinks in a cache of half the context": replace(BASE, cache_window=16, sinks=7),
    "a cache shorter than windows": replace(BASE, schedule=(0, 0, 1, 1), windows=(None, 7, 20, 11), cache_window=11),
    "long context": replace(BASE, context=1030, norm_epsilon=1e-6),
}


def random_model(config: ModelConfig, seed: int = 0, biases: bool = False, scale: float = 1.0) -> Model:
    """Weights of the size a trained model has, times `scale`."""
    random = np.random.default_rng(seed)

    def tensor(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * scale / np.sqrt(shape[-1])).astype(np.float32)

    def gain() -> np.ndarray:
        return random.uniform(0.2, 2.0, config.dim).astype(np.float32)

    def block() -> Block:
        return Block(
            attn_norm=gain(),
            wq=tensor(config.q_dim, config.dim),
            wk=tensor(config.kv_dim, config.dim),
            wv=tensor(config.kv_dim, config.dim),
            wo=tensor(config.dim, config.q_dim),
            ffn_norm=gain(),
            w_gate=tensor(config.hidden_dim, config.dim),
            w_up=tensor(config.hidden_dim, config.dim),
            w_down=tensor(config.dim, config.hidden_dim),
            bq=tensor(config.q_dim) if biases else None,
            bk=tensor(config.kv_dim) if biases else None,
            bv=tensor(config.kv_dim) if biases else None,
            bo=tensor(config.dim) if biases else None,
        )

    return Model(
        config=config,
        embedding=tensor(config.vocab_size, config.dim),
        blocks=[block() for _ in range(max(config.schedule) + 1)],
        final_norm=gain(),
        head=None if config.tied_head else tensor(config.vocab_size, config.dim),
    )


def nearest(model: Model, *fields: str) -> dict[tuple[int, str], GroupedCodes]:
    """These matrices of every block, or all, as int4 rounded to nearest: the argument `int4` of quantize."""
    return {
        (index, field): round_to_nearest(getattr(block, field))
        for index, block in enumerate(model.blocks)
        for field in fields or MATRICES
    }
