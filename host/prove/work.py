"""The work of a token, by part, in units that hold for any model. Its cost without a board is estimated from it.

The parts are those of host/virtual/parts.py. `costs.py` knows what a unit costs each kernel set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tinyllm.codegen.arithmetic.integer_model import IntegerBlock, IntegerMatrix, IntegerModel
from tinyllm.codegen.memory.plan import HEADS_AT_ONCE
from tinyllm.host.virtual.parts import Part

INT4_MACS = "int4 macs"
UNPACKED = "unpacked"
"""A unit: unpacked codes of an int4 KV cache."""
LONG_ROW = 96
"""Columns of the longest input that the vector registers of an ESP32-S3 hold; longer ones are loaded for each row."""

Work = dict[Part, dict[str, float]]
"""For each part, the number of units of each name."""


@dataclass(frozen=True)
class _Product:
    """Matrices that share an input: one call of matmul. adds: whether the outputs add to the residual stream."""

    matrices: tuple[IntegerMatrix, ...]
    adds: bool = False


def decode_work(model: IntegerModel, position: float) -> Work:
    """The work of a token at `position`, from 0, with its logits and a greedy choice among them."""
    blocks = [model.blocks[stored] for stored in model.config.schedule]
    products = [product for block in blocks for product in _products(block)]
    head = model.output_head
    done = _blocks_work(model, blocks, position, n_attending=len(blocks))
    done[Part.MATRICES] = _matrix_work([*products, _Product((head,))])
    done[Part.SAMPLING] = {"logits": head.rows}
    return done


def prefill_work(model: IntegerModel, position: float) -> Work:
    """The work of a token in a batch of a prompt: no logits, and the last block only stores its key and value."""
    blocks = [model.blocks[stored] for stored in model.config.schedule]
    last = blocks[-1]
    products = [product for block in blocks[:-1] for product in _products(block)]
    done = _blocks_work(model, blocks, position, n_attending=len(blocks) - 1)
    done[Part.MATRICES] = _matrix_work([*products, _Product((last.wk, last.wv))])
    return done


def _products(block: IntegerBlock) -> Iterable[_Product]:
    yield _Product((block.wk, block.wv, block.wq))
    yield _Product((block.wo,), adds=True)
    yield _Product((block.w_gate, block.w_up))
    yield _Product((block.w_down,), adds=True)


def _matrix_work(products: list[_Product]) -> dict[str, float]:
    matrices = [matrix for product in products for matrix in product.matrices]

    def total(count: Callable[[IntegerMatrix], int]) -> int:
        return sum(map(count, matrices))

    def macs(bits: int, columns: int = 0) -> int:
        """MACs of the matrices with weights of `bits` whose rows are longer than `columns`."""
        return total(lambda m: m.rows * m.columns if m.bits == bits and m.columns > columns else 0)

    return {
        "macs": macs(8),
        "macs of long rows": macs(8, LONG_ROW),
        INT4_MACS: macs(4),
        "rows": total(lambda matrix: matrix.rows),
        "added": sum(matrix.rows for product in products if product.adds for matrix in product.matrices),
        "inputs": sum(product.matrices[0].columns for product in products),
        "matrices": len(matrices),
        "products": len(products),
    }


def _blocks_work(model: IntegerModel, blocks: list[IntegerBlock], position: float, n_attending: int) -> Work:
    """All work but matrices and sampling. n_attending: passes that attend, the first ones; the rest only store."""
    config = model.config
    slots = [min(position + 1, held) for held in config.slots[:n_attending]]
    at_once = config.n_kv_heads * -(-(config.n_heads // config.n_kv_heads) // HEADS_AT_ONCE)
    n_norms = len(blocks) + n_attending + (n_attending == len(blocks))
    return {
        Part.ATTENTION: {
            "heads": n_attending * config.n_heads,
            "parts": n_attending * at_once,
            "outputs": n_attending * config.q_dim,
            "slots of heads": sum(slots) * config.n_heads,
            "slots of elements": sum(slots) * config.q_dim,
            "slots of keys": sum(slots) * at_once * config.head_dim,
            UNPACKED: sum(slots) * at_once * config.head_dim * (config.key_bits == 4)
            + sum(slots) * at_once * config.head_dim * (config.value_bits == 4),
        },
        Part.NORMS: {
            "normed": n_norms * config.dim,
            "quantized": n_attending * (config.q_dim + config.hidden_dim),
            "vectors": n_norms + 2 * n_attending,
        },
        Part.REST: {
            "gated": n_attending * config.hidden_dim,
            "turned": n_attending * config.q_dim + len(blocks) * config.kv_dim,
            "remembered": len(blocks) * config.kv_dim,
            "embedded": config.dim,
            "angles": len(model.rope_steps),
            "blocks": len(blocks),
        },
    }
