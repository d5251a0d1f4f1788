"""What is trained computes what the float reference computes of the folder that comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")

from tinyllm.codegen.arithmetic.float_forward import FloatForward  # noqa: E402
from tinyllm.codegen.arithmetic.float_model import Block, Model, ModelConfig, Rope  # noqa: E402
from tinyllm.errors import UserError  # noqa: E402
from tinyllm.models.training.network import logits, weights_of  # noqa: E402
from tinyllm.models.training.shape import PRESETS, Shape, shape_from, shape_of  # noqa: E402

SHAPE = Shape(dim=24, hidden_dim=32, blocks=2, n_heads=4, n_kv_heads=2, head_dim=8, vocab_size=50, context=64)
CONFIG = SHAPE.model_config()

LONG = Rope(base=500.0, rotary_dim=4, factors=(1.0, 3.0), attention_scaling=1.2)

CONFIGS = {
    "as trained": CONFIG,
    "shared blocks": replace(CONFIG, schedule=(0, 0, 1, 1)),
    "own head": replace(CONFIG, tied_head=False),
    "interleaved": replace(CONFIG, rope=Rope(rotary_dim=8, pairing="interleaved")),
    "partial and scaled": replace(CONFIG, rope=LONG),
    "partial and interleaved": replace(CONFIG, rope=replace(LONG, pairing="interleaved")),
    "windows": replace(CONFIG, windows=(5, None)),
    "every head has keys": replace(CONFIG, n_kv_heads=4),
    "biases": replace(CONFIG, name="biases"),
}


def random_model(config: ModelConfig) -> Model:
    rng = np.random.default_rng(5)

    def matrix(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    def block() -> Block:
        biases = {"bq": matrix(config.q_dim), "bk": matrix(config.kv_dim), "bv": matrix(config.kv_dim)}
        biases["bo"] = matrix(config.dim)
        return Block(
            attn_norm=1 + matrix(config.dim),
            wq=matrix(config.q_dim, config.dim),
            wk=matrix(config.kv_dim, config.dim),
            wv=matrix(config.kv_dim, config.dim),
            wo=matrix(config.dim, config.q_dim),
            ffn_norm=1 + matrix(config.dim),
            w_gate=matrix(config.hidden_dim, config.dim),
            w_up=matrix(config.hidden_dim, config.dim),
            w_down=matrix(config.dim, config.hidden_dim),
            **(biases if config.name == "biases" else {}),
        )

    head = None if config.tied_head else matrix(config.vocab_size, config.dim)
    blocks = [block() for _ in set(config.schedule)]
    return Model(config, matrix(config.vocab_size, config.dim), blocks, 1 + matrix(config.dim), head)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_logits_are_those_of_the_float_reference(config: ModelConfig) -> None:
    model = random_model(config)
    tokens = np.random.default_rng(1).integers(0, config.vocab_size, 40)
    ours = logits(weights_of(model), config, torch.from_numpy(tokens)[None])[0].numpy()
    assert np.abs(ours - FloatForward(model).forward(tokens)).max() < 2e-4


def test_a_conversation_in_a_packed_row_sees_nothing_of_the_others() -> None:
    weights = weights_of(random_model(CONFIG))
    row = torch.randint(0, 50, (1, 30), generator=torch.Generator().manual_seed(1))
    documents = torch.tensor([[1] * 12 + [2] * 15 + [0] * 3])
    together = logits(weights, CONFIG, row, documents)
    for place in (slice(0, 12), slice(12, 27)):
        assert torch.allclose(together[:, place], logits(weights, CONFIG, row[:, place]), atol=1e-5)


def test_presets_are_as_large_as_their_names_say() -> None:
    for name, shape in PRESETS.items():
        said = float(name[:-1]) * (1e3 if name.endswith("k") else 1e6)
        assert 0.93 * said < shape.n_parameters < 1.1 * said


def test_a_shape_is_found_again_from_what_the_readers_say() -> None:
    for shape in (SHAPE, replace(SHAPE, shared=True), replace(SHAPE, tied=False)):
        assert shape_from(shape.model_config("a name")) == shape


@pytest.mark.parametrize("config", [CONFIGS["windows"], CONFIGS["interleaved"]], ids=["windows", "interleaved"])
def test_a_model_that_the_trainer_does_not_make_has_no_shape(config: ModelConfig) -> None:
    with pytest.raises(UserError, match="give it as --teacher"):
        shape_from(config)


@pytest.mark.parametrize("field", [{"n_kv_heads": 3}, {"head_dim": 7}, {"dim": 0}])
def test_dimensions_that_no_model_has_are_refused(field: dict[str, int]) -> None:
    with pytest.raises(UserError, match="expected"):
        shape_of("260k", **field)


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="--preset huge: expected one of 50k, 120k, 260k"):
        shape_of("huge")
