"""The float forward pass against its definition: cache, grouped queries, schedules, rotary variants, biases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.checkpoint_files import CONFIG, random_model
from tinyllm.codegen.arithmetic.float_forward import FloatForward, generate_greedy, rotate, silu
from tinyllm.codegen.arithmetic.float_model import Block, Model, Rope
from tinyllm.codegen.tokenizers import PieceKind, Tokenizer
from tinyllm.codegen.verify.perplexity import evaluation_sequences, perplexity, split_stories, token_losses

ROPES = [
    Rope(pairing="interleaved", rotary_dim=6),
    Rope(pairing="half", rotary_dim=6),
    Rope(pairing="half", rotary_dim=4, base=500.0),
    Rope(pairing="half", rotary_dim=6, factors=(1.0, 2.0, 32.0), attention_scaling=1.2),
]
WIDE = replace(CONFIG, head_dim=6)


def turned(vector: list[float], position: int, rope: Rope) -> list[float]:
    """One head's vector after rotary embedding, pair by pair in double precision."""
    out = list(vector)
    n_pairs = rope.rotary_dim // 2
    for pair in range(n_pairs):
        angle = position * rope.base ** (-2 * pair / rope.rotary_dim) / (rope.factors[pair] if rope.factors else 1.0)
        first, second = (2 * pair, 2 * pair + 1) if rope.pairing == "interleaved" else (pair, pair + n_pairs)
        a, b = vector[first], vector[second]
        out[first] = rope.attention_scaling * (a * math.cos(angle) - b * math.sin(angle))
        out[second] = rope.attention_scaling * (a * math.sin(angle) + b * math.cos(angle))
    return out


def logits_by_definition(model: Model, tokens: list[int]) -> list[list[float]]:
    """The whole forward pass in plain loops and double precision."""
    config, rope = model.config, model.config.rope

    def normed(x: list[float], weight: np.ndarray) -> list[float]:
        scale = 1 / math.sqrt(sum(value * value for value in x) / len(x) + config.norm_epsilon)
        return [value * scale * float(w) for value, w in zip(x, weight, strict=True)]

    def matvec(weight: np.ndarray, x: list[float], bias: np.ndarray | None = None) -> list[float]:
        rows = [sum(float(w) * value for w, value in zip(row, x, strict=True)) for row in weight]
        return rows if bias is None else [row + float(b) for row, b in zip(rows, bias, strict=True)]

    def heads(flat: list[float]) -> list[list[float]]:
        return [flat[start : start + config.head_dim] for start in range(0, len(flat), config.head_dim)]

    keys: list[list[list[list[float]]]] = [[] for _ in config.schedule]
    values: list[list[list[list[float]]]] = [[] for _ in config.schedule]
    logits = []
    for position, token in enumerate(tokens):
        x = [float(value) for value in model.embedding[token]]
        for layer, stored in enumerate(config.schedule):
            block: Block = model.blocks[stored]
            h = normed(x, block.attn_norm)
            q = [turned(head, position, rope) for head in heads(matvec(block.wq, h, block.bq))]
            keys[layer].append([turned(head, position, rope) for head in heads(matvec(block.wk, h, block.bk))])
            values[layer].append(heads(matvec(block.wv, h, block.bv)))
            window = config.windows[layer] if config.windows else None
            first = 0 if window is None else max(position - window + 1, 0)
            mixed: list[float] = []
            for head, query in enumerate(q):
                shared = head // (config.n_heads // config.n_kv_heads)
                scores = [
                    sum(a * b for a, b in zip(query, past[shared], strict=True)) / math.sqrt(config.head_dim)
                    for past in keys[layer][first:]
                ]
                weights = [math.exp(score - max(scores)) for score in scores]
                for element in range(config.head_dim):
                    total = sum(
                        w * past[shared][element] for w, past in zip(weights, values[layer][first:], strict=True)
                    )
                    mixed.append(total / sum(weights))
            x = [a + b for a, b in zip(x, matvec(block.wo, mixed, block.bo), strict=True)]
            h = normed(x, block.ffn_norm)
            gate = [value / (1 + math.exp(-value)) for value in matvec(block.w_gate, h)]
            hidden = [a * b for a, b in zip(gate, matvec(block.w_up, h), strict=True)]
            x = [a + b for a, b in zip(x, matvec(block.w_down, hidden), strict=True)]
        logits.append(matvec(model.output_head, normed(x, model.final_norm)))
    return logits


@pytest.mark.parametrize("rope", ROPES, ids=lambda rope: f"{rope.pairing}-{rope.rotary_dim}")
@pytest.mark.parametrize("tied_head", [True, False], ids=["tied", "separate"])
@pytest.mark.parametrize("biases", [True, False], ids=["biases", "plain"])
def test_logits_are_those_of_the_definition(rope: Rope, tied_head: bool, biases: bool) -> None:
    config = replace(WIDE, rope=rope, tied_head=tied_head, schedule=(0, 0, 1, 1), norm_epsilon=1e-3)
    model = random_model(config, biases=biases)
    tokens = [1, 7, 3, 3, 9, 0]
    logits = FloatForward(model).forward(tokens)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, logits_by_definition(model, tokens), rtol=1e-4, atol=1e-4)


def test_a_window_hides_what_lies_as_many_positions_back() -> None:
    model = random_model(replace(WIDE, rope=ROPES[1], schedule=(0, 0, 1, 1), windows=(3, None, 1, 100)))
    tokens = [1, 7, 3, 3, 9, 0, 2, 5]
    windowed = FloatForward(model).forward(tokens)
    np.testing.assert_allclose(windowed, logits_by_definition(model, tokens), rtol=1e-4, atol=1e-4)
    model.config = replace(model.config, windows=())
    assert np.abs(FloatForward(model).forward(tokens) - windowed).max() > 0.01


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.lists(st.integers(1, 4), min_size=12, max_size=12))
def test_a_text_in_pieces_through_the_cache_gives_the_same_logits_as_at_once(
    tokens: list[int], lengths: list[int]
) -> None:
    model = FloatForward(random_model(replace(WIDE, rope=ROPES[1], schedule=(0, 0, 1), windows=(None, 3, 2))))
    cache = model.new_cache(len(tokens))
    pieces = []
    for length in lengths:
        if cache.length < len(tokens):
            pieces.append(model.forward(tokens[cache.length : cache.length + length], cache))
    np.testing.assert_allclose(np.concatenate(pieces), model.forward(tokens), rtol=1e-4, atol=1e-5)


def test_a_full_cache_refuses_more() -> None:
    model = FloatForward(random_model())
    cache = model.new_cache(2)
    model.forward([1, 2], cache)
    with pytest.raises(ValueError, match="3 positions, the cache has room for 2"):
        model.forward([3], cache)


def test_greedy_decoding_takes_the_lowest_id_of_equals_and_ends_at_a_stop_id() -> None:
    flat = random_model()
    flat.embedding[:] = flat.embedding[0]
    model = FloatForward(flat)
    assert generate_greedy(model, [5], 3) == [5, 0, 0, 0]
    assert generate_greedy(model, [5], 3, stop_ids=(0,)) == [5, 0]


def test_elements_beyond_the_rotary_ones_pass_through() -> None:
    heads = np.arange(12, dtype=np.float32).reshape(1, 2, 6)
    rotated = rotate(heads, np.array([3]), ROPES[2])
    np.testing.assert_array_equal(rotated[..., 4:], heads[..., 4:])
    assert not np.array_equal(rotated[..., :4], heads[..., :4])


def test_silu_holds_at_both_ends() -> None:
    with np.errstate(all="raise", under="ignore"):
        ends = silu(np.array([-1e4, 0.0, 1e4], np.float32))
    np.testing.assert_array_equal(ends, np.array([0.0, 0.0, 1e4], np.float32))


# Evaluation


def test_stories_are_split_at_their_separator_and_stripped() -> None:
    assert split_stories(" one \n<|endoftext|>\n\n<|endoftext|>two<|endoftext|>") == ["one", "two"]


def test_a_sequence_is_bos_and_the_first_tokens_of_a_story() -> None:
    kinds = (PieceKind.UNKNOWN, PieceKind.CONTROL, PieceKind.NORMAL, PieceKind.NORMAL)
    tokenizer = Tokenizer((b"<unk>", b"<s>", b"a", b"b"), kinds, (0,) * 4, 1, 1, (1,), False, False, "test")
    sequences = evaluation_sequences("abab<|endoftext|>b", tokenizer, max_tokens=4)
    assert [sequence.tolist() for sequence in sequences] == [[1, 2, 3, 2], [1, 3]]


def test_perplexity_is_the_size_of_the_vocabulary_for_a_model_that_knows_nothing() -> None:
    sequences = [np.array([1, 2, 3]), np.array([0]), np.array([1, 0])]
    assert perplexity(lambda tokens: np.zeros((len(tokens), 7), np.float32), sequences) == pytest.approx(7)
    with pytest.raises(ValueError, match="no token to predict"):
        perplexity(lambda tokens: np.zeros((1, 7), np.float32), [np.array([1])])


def test_a_loss_is_minus_the_logarithm_of_the_probability() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], np.float32))
    losses = token_losses(logits, np.array([0, 2, 1]))
    np.testing.assert_allclose(losses, [-math.log(0.25), -math.log(0.2)], rtol=1e-6)
