"""What a token moves and multiplies: bytes of each memory, and the matrices' multiplications."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from tinyllm.codegen.arithmetic.integer_model import IntegerMatrix, IntegerModel
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.kernels.kernel_set import KernelSet
from tinyllm.codegen.memory.placement import tables
from tinyllm.codegen.memory.plan import MemoryNeeds


@dataclass(frozen=True)
class Traffic:
    """Bytes that one token with logits moves, each counted once however often the kernels load it.

    weights: bytes read, of rows as they are emitted. copied, copied_to_psram: how many of these are read from copies in
    SRAM and in PSRAM. cache_read, cache_written: keys, values and their scales. weights_in, cache_in: the memory of the
    weights that are not copied, and of the KV cache.
    """

    weights: int
    copied: int
    copied_to_psram: int
    cache_read: int
    cache_written: int
    weights_in: str
    cache_in: str

    @property
    def by_memory(self) -> dict[str, int]:
        """Bytes of each memory, "flash", "SRAM" or "PSRAM"."""
        moved = self.weights_by_memory
        moved[self.cache_in] = moved.get(self.cache_in, 0) + self.cache_read + self.cache_written
        return moved

    @property
    def weights_by_memory(self) -> dict[str, int]:
        """Bytes of weights in each memory that has some."""
        rest = self.weights - self.copied - self.copied_to_psram
        found = {self.weights_in: rest, "SRAM": self.copied, "PSRAM": self.copied_to_psram}
        return {memory: size for memory, size in found.items() if size or memory == self.weights_in}


def matrix_macs(model: IntegerModel) -> int:
    """Multiplications of codes in the matrices of one token with logits."""
    return sum(matrix.rows * matrix.columns for matrix in _read(model))


def traffic(model: IntegerModel, needs: MemoryNeeds, position: float, kernels: KernelSet = GENERIC) -> Traffic:
    """The traffic of a token at `position`, from 0, or the mean of tokens with that mean position.

    kernels: the weights' layout. A layer with a window reads no more positions than the window has.
    """
    config = model.config
    row = (config.key_bytes + config.value_bytes + 4) * config.n_kv_heads
    vectors = 2 * config.dim * (2 * config.n_layers + 1) + model.k_shift.size + config.dim + 2
    biases = sum(
        4 * bias.size
        for stored in config.schedule
        for bias in (getattr(model.blocks[stored], name) for name in ("bq", "bk", "bv", "bo"))
        if bias is not None
    )

    def packed(matrix: IntegerMatrix) -> int:
        return kernels.layout(matrix.bits).matrix_bytes(matrix.rows, matrix.columns) + 2 * matrix.rows

    def read_of(names: Collection[str]) -> int:
        return sum(table.reads * table.read for table in tables(model, kernels) if table.name in names)

    return Traffic(
        weights=sum(map(packed, _read(model))) + vectors + biases,
        copied=read_of(needs.placed.tables),
        copied_to_psram=read_of(needs.placed.psram),
        cache_read=round(sum(row * min(position + 1, slots) for slots in config.slots)),
        cache_written=row * config.n_layers,
        weights_in="flash",
        cache_in="PSRAM" if needs.cache_in == "PSRAM" else "SRAM",
    )


def prefill_traffic(model: IntegerModel, needs: MemoryNeeds, position: float, kernels: KernelSet = GENERIC) -> Traffic:
    """The traffic of a token of a prompt, at that mean position. The tokens of a batch share the reading of weights.

    Its logits are not needed: the head is not read, and of the last block's matrices only wk and wv are.
    """
    whole, batch = traffic(model, needs, position, kernels), needs.plan.batch
    last = model.config.schedule[-1]
    head = "embedding" if model.head is None else "head"
    unread = [head, *(f"block_{last}_{name}" for name in ("wq", "wo", "w_gate", "w_up", "w_down"))]
    names = {f"{name}_{array}" for name in unread for array in ("codes", "mantissa")}
    sizes = {table.name: table.read for table in tables(model, kernels) if table.name in names}
    row = (model.config.key_bytes + model.config.value_bytes + 4) * model.config.n_kv_heads

    def unread_of(placed: Collection[str]) -> int:
        return sum(size for name, size in sizes.items() if name in placed)

    return replace(
        whole,
        weights=(whole.weights - sum(sizes.values())) // batch,
        copied=(whole.copied - unread_of(needs.placed.tables)) // batch,
        copied_to_psram=(whole.copied_to_psram - unread_of(needs.placed.psram)) // batch,
        cache_read=whole.cache_read - round(row * min(position + 1, model.config.slots[-1])),
    )


def _read(model: IntegerModel) -> list[IntegerMatrix]:
    """The matrices that a token goes through, in order; a shared block is read each time."""
    blocks = (model.blocks[stored] for stored in model.config.schedule)
    matrices = [
        matrix
        for block in blocks
        for matrix in (block.wq, block.wk, block.wv, block.wo, block.w_gate, block.w_up, block.w_down)
    ]
    return [*matrices, model.output_head]
