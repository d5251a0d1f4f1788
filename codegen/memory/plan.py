"""Where every byte goes: the tables in flash and the one static struct in RAM, counted before anything is emitted."""

from __future__ import annotations

from dataclasses import dataclass

from tinyllm.codegen.arithmetic.integer_model import IntegerMatrix, IntegerModel
from tinyllm.codegen.tokenizers.tables import lay_out
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

ALIGNMENT = 16
"""Rows of weight tables start at multiples of this many bytes: vector loads of the ESP32-S3 ignore lower bits."""

SLACK = 16
"""Readable bytes after the last row: pipelined vector loads read ahead."""


def padded(size: int) -> int:
    """`size` rounded up to whole vectors."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Plan:
    """Bytes by name. flash: constant tables; ram: members of the state struct, padding included.

    text_max: bytes of one prompt.
    """

    flash: dict[str, int]
    ram: dict[str, int]
    text_max: int

    @property
    def state_bytes(self) -> int:
        """sizeof(struct tl_state)."""
        return sum(self.ram.values())


def plan_memory(model: IntegerModel, tokenizer: Tokenizer) -> Plan:
    """Count the emitted tables and state, exactly as the templates declare them."""
    config = model.config
    matrices = [model.embedding] + ([] if model.head is None else [model.head])
    vectors = 2 * config.dim  # the final norm's gain
    for block in model.blocks:
        matrices += [part for part in vars(block).values() if isinstance(part, IntegerMatrix)]
        biases = sum(bias.size for bias in (block.bq, block.bk, block.bv, block.bo) if bias is not None)
        vectors += 2 * 2 * config.dim + 4 * biases
    rows = config.n_kv_heads * sum(config.slots)
    codes = rows * config.head_dim
    cache = padded(codes) + padded(codes + 2 * 2 * rows)
    words = config.dim + config.q_dim + 2 * config.kv_dim + 2 * max(config.hidden_dim, config.dim) + config.head_dim
    scores, logits = 4 * max(config.slots), 4 * config.vocab_size
    # The angles come last of what needs no alignment; the codes after them start at a multiple of 16 again.
    middle = padded(4 * words + scores + logits + 2 * 2 * len(model.rope_steps))
    vectors_s8 = padded(max(config.dim, config.q_dim, config.hidden_dim)) + padded(config.head_dim)
    return Plan(
        flash={
            "weights": sum(matrix_bytes(matrix) for matrix in matrices) + vectors + model.k_shift.size,
            "vocabulary": vocabulary_bytes(tokenizer),
        },
        ram={
            "kv_cache": cache,
            "logits": logits,
            "scores": scores,
            "activations": middle - scores - logits + vectors_s8,
        },
        # About four bytes of text make a token, so this is as much as fits the context.
        text_max=min(max(4 * config.context, 512), 4096),
    )


def matrix_bytes(matrix: IntegerMatrix) -> int:
    """Padded rows, slack and the row mantissas."""
    return matrix.rows * padded(matrix.columns) + SLACK + 2 * matrix.rows


def vocabulary_bytes(tokenizer: Tokenizer) -> int:
    """All tables of vocabulary.c."""
    return sum(lay_out(tokenizer).sizes().values())
