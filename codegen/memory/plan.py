"""Count every byte before anything is emitted: tables in flash, the static state in RAM or PSRAM.

The tables and the state are counted, exactly as the templates declare them. The bytes of engine and console are
bounded; tests compare the bounds with the cross-compilers' objects. The board's description gives its framework's
bytes, and names their source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

from tinyllm.boards.chips import CHIPS, HEAP, Chip
from tinyllm.boards.description import Board
from tinyllm.codegen.actions.plan import ActionPlan, actions_of
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_model import IntegerGain, IntegerMatrix, IntegerModel
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.kernels.kernel_set import ALIGNMENT, KernelSet, padded
from tinyllm.codegen.memory.placement import SLACK, Placement, part_tables, place, structure_bytes
from tinyllm.codegen.memory.weights_image import image_bytes
from tinyllm.codegen.tokenizers.tables import lay_out
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

PROGRAM, PARTITION = "program", "partition"
"""Where the weights are: in C tables of the program, or in an image beside it."""

FLASH, SRAM, PSRAM, FLASH_BESIDE = "flash", "SRAM", "PSRAM", "flash for weights"
"""The memories of a board, by the names that people see. FLASH_BESIDE: for weights beside the program."""

MOST_BATCH = 8
"""Tokens of a prompt that go through the model at once, at most."""

BATCH_SHARE = 16
"""The vectors of a batch take at most 1 / BATCH_SHARE of a board's RAM."""

HEADS_AT_ONCE = 2
"""Query heads that attention's kernels take at once."""

SLOTS_AT_ONCE = 32
"""Slots of an int4 cache that attention unpacks at once."""

SCALE_BYTES = 8
"""sizeof(struct tl_scale)"""

CODE_BYTES = 50 * 1024
"""Bound of the code and small constants of engine, console and port, on any instruction set at -O2."""

SMALL_VARIABLES = 1536
"""Bound of the variables of engine, console and port whose size does not depend on the model."""

CALL_CODE_BYTES = 8 * 1024
"""Bound of the code that only a model that makes calls has."""

CALL_VARIABLES = 2048
"""Bound of the variables of that code: the longest call, its result, and a handler for each call."""

INDEX_BYTES = 16
"""Flash for each table of a weights image: where the pointer to it is, its bytes, where an exponent goes."""

PSRAM_RESERVE = 64 * 1024
"""PSRAM for the framework's heap: estimated."""


@dataclass(frozen=True)
class Plan:
    """Bytes by name.

    flash: constant tables, including "weights" that are an image beside the program. ram: the KV cache, and the parts
    of the state, padding included. variables: bound of the static variables of engine, console and port. text_max:
    bytes of one prompt. batch: tokens of a prompt that go through the model at once.
    """

    flash: dict[str, int]
    ram: dict[str, int]
    variables: int
    text_max: int
    batch: int

    @property
    def state_bytes(self) -> int:
        """sizeof(struct tl_cache) + sizeof(struct tl_state)."""
        return sum(self.ram.values())


@dataclass(frozen=True)
class Bytes:
    """An amount of each memory: flash of the program, RAM for static variables, PSRAM, flash beside the program."""

    flash: int
    ram: int
    psram: int = 0
    weights: int = 0

    def fits(self, room: Bytes) -> bool:
        """Whether each memory has room for its amount."""
        return (
            self.flash <= room.flash
            and self.ram <= room.ram
            and self.psram <= room.psram
            and self.weights <= room.weights
        )

    @property
    def by_memory(self) -> dict[str, int]:
        """The amounts by the memories' names."""
        return {FLASH: self.flash, SRAM: self.ram, PSRAM: self.psram, FLASH_BESIDE: self.weights}

    def fullest(self, room: Bytes) -> tuple[str, float]:
        """The memory that it fills most, and its amount there divided by the room."""
        pairs = zip(self.by_memory.items(), room.by_memory.values(), strict=True)
        return max(((name, size / max(there, 1)) for (name, size), there in pairs), key=lambda each: each[1])


@dataclass(frozen=True)
class MemoryNeeds:
    """The bytes that a model takes on one board.

    total: of the whole program without the board's framework. cache_in, state_in: the memory that the KV cache and the
    rest of the state lie in, "RAM" or "PSRAM". placed: what is copied into the free RAM and PSRAM when the program
    starts; total does not include it. weights_in: PROGRAM or PARTITION. code_in_ram: bound of the code and small
    constants that run from RAM, on a chip whose linker script copies them there; total includes it.
    """

    plan: Plan
    total: Bytes
    cache_in: str = "RAM"
    state_in: str = "RAM"
    placed: Placement = field(default_factory=Placement)
    weights_in: str = PROGRAM
    code_in_ram: int = 0

    def fits(self, board: Board) -> bool:
        """Whether the board has room for all of it."""
        space = room(board, self.weights_in)
        return space is None or self.total.fits(space)

    def times(self, board: Board) -> float:
        """The bytes of its fullest memory divided by the room there; more than 1 if it does not fit."""
        space = room(board, self.weights_in)
        return 0.0 if space is None else self.total.fullest(space)[1]

    @property
    def ram_with_copies(self) -> int:
        """The RAM of total and of the copies, in bytes."""
        return self.total.ram + self.placed.ram


def plan_memory(
    model: IntegerModel,
    tokenizer: Tokenizer,
    board: Board | None = None,
    batch: int | None = None,
    weights_in: str = PROGRAM,
) -> Plan:
    """Count the emitted tables and state for a board, exactly as the templates declare them.

    board None: for the portable kernels on one core. batch None: as many tokens as the board has room for.
    """
    apart = weights_in == PARTITION
    config, kernels, cores = model.config, kernel_set_of(board), 1 if board is None else board.cores
    batch = _batch(model, kernels, board) if batch is None else batch
    vectors = 2 * config.dim  # the final norm's gain
    for block, times in model.different_blocks:
        biases = sum(bias.size for bias in (block.bq, block.bk, block.bv, block.bo) if bias is not None)
        vectors += times * (2 * 2 * config.dim + 4 * biases)
    rows = config.n_kv_heads * sum(config.slots)
    cache = padded(rows * config.key_bytes) + padded(rows * config.value_bytes + 2 * 2 * rows)
    logits = 4 * kernels.whole_groups(config.vocab_size)
    angles = 2 * 2 * len(model.rope_steps)
    tops = 2 * config.n_layers * config.n_kv_heads
    # The residual streams come first. The tops are the last part that needs no alignment; the codes after them start at
    # a multiple of 16 again.
    middle = padded(batch * _token_bytes(config, kernels, angles) + logits + angles + tops)
    widest = widest_codes(config)
    codes = padded(batch * widest) + padded(batch * kernels.input_bytes(widest, model.has_int4))
    scores = cores * HEADS_AT_ONCE * 4 * max(config.slots)
    # For each core: the turns of a head, and the sums and the codes of all heads taken at once.
    heads = 4 * 2 * config.head_dim + 4 * HEADS_AT_ONCE * config.head_dim + 3 * 2 * config.head_dim
    scratch = cores * padded(HEADS_AT_ONCE * 4 * max(config.slots) + heads + _unpacked_bytes(config))
    # About four bytes of text make a token, so this is as much as fits the context.
    text_max = min(max(4 * config.context, 512), 4096)
    if apart:
        sizes = _image_tables(model, kernels)
        flash = {"weights": image_bytes(sizes), "index": INDEX_BYTES * len(sizes) + structure_bytes(model)}
    else:
        flash = {
            "weights": sum(times * matrix_bytes(matrix, kernels) for matrix, times in _counted_matrices(model))
            + vectors
            + model.k_shift.size
        }
        if config.prefix:
            flash["prefix"] = _prefix_bytes(config)
    calls = actions_of(config.actions, tokenizer)
    if calls is not None:
        flash["calls"] = call_bytes(calls)
    # Copies of an image's tables are padded to whole vectors.
    variables = structure_bytes(model) + ALIGNMENT * len(sizes) if apart else 0
    return Plan(
        flash=flash | {"vocabulary": sum(lay_out(tokenizer).sizes.values())},
        ram={
            "kv_cache": cache,
            "logits": logits,
            "scores": scores,
            "activations": middle - logits + codes + scratch - scores,
        },
        variables=variables + _variable_bytes(model, tokenizer, text_max) + (0 if calls is None else CALL_VARIABLES),
        text_max=text_max,
        batch=batch,
    )


def call_bytes(plan: ActionPlan) -> int:
    """Bytes of the automaton's edges, of the first edge of each state and the end, and of the names with pointers."""
    edges = plan.automaton.edges
    names = sum(8 + len(name) + 1 for name in plan.catalogue.calls)
    return 4 * sum(map(len, edges)) + 2 * (len(edges) + 1) + names


def _unpacked_bytes(config: ModelConfig) -> int:
    """Bytes per core for unpacking an int4 cache: some codes as int8, and sums of their values; 0 if it is int8."""
    if (config.key_bits, config.value_bits) == (8, 8):
        return 0
    return SLOTS_AT_ONCE * config.head_dim + 16 + 4 * HEADS_AT_ONCE * config.head_dim


def _prefix_tables(config: ModelConfig) -> list[int]:
    """Bytes of the tokens of the prefix, of its cache's codes and scales, and of its largest exponents."""
    n = len(config.prefix)
    rows = config.n_kv_heads * sum(min(n, slots) for slots in config.slots)
    tops = config.n_layers * config.n_kv_heads
    return [4 * n, rows * config.key_bytes, rows * config.value_bytes, *[2 * rows] * 2, *[tops] * 2]


def _prefix_bytes(config: ModelConfig) -> int:
    """Bytes of the prefix's tokens and cache, as constants."""
    return sum(_prefix_tables(config))


def _image_tables(model: IntegerModel, kernels: KernelSet) -> list[int]:
    """Bytes of each table of an image, in any order."""
    counted: list[tuple[Any, int]] = [(part, 1) for part in (model.embedding, model.final_norm, model.head)]
    counted += [(part, times) for block, times in model.different_blocks for part in vars(block).values()]
    parts = [(part, times) for part, times in counted if part is not None]
    sizes = [table.bytes for part, times in parts for table in part_tables("", part, 1, kernels) for _ in range(times)]
    # A gain has an exponent; a matrix has an exponent and its largest sum.
    numbers = sum({IntegerGain: 1, IntegerMatrix: 2}.get(type(part), 0) * times for part, times in parts)
    prefix = _prefix_tables(model.config) if model.config.prefix else []
    return [*sizes, *prefix, model.k_shift.size, 4 * numbers]


def _token_bytes(config: ModelConfig, kernels: KernelSet, angles: int) -> int:
    """Bytes of a token's vectors in a batch, with its scale and its position's angles, without its codes and input."""
    q, kv = kernels.whole_groups(config.q_dim), kernels.whole_groups(config.kv_dim)
    hidden = kernels.whole_groups(max(config.hidden_dim, config.dim))
    return 4 * (config.dim + q + 2 * kv + 2 * hidden) + SCALE_BYTES + angles


def _batch(model: IntegerModel, kernels: KernelSet, board: Board | None) -> int:
    """Tokens that go through the model at once: a multiple of the kernels' tokens for which there is room, or 1."""
    config = model.config
    space = None if board is None else room(board)
    if space is None:
        most = MOST_BATCH
    else:
        widest = widest_codes(config)
        token = _token_bytes(config, kernels, 2 * config.head_dim) + widest
        token += kernels.input_bytes(widest, model.has_int4)
        most = min(space.ram // BATCH_SHARE // token, MOST_BATCH)
    return max(most - most % kernels.tokens, 1)


def memory_needs(
    model: IntegerModel, tokenizer: Tokenizer, board: Board | None = None, weights_in: str | None = None
) -> MemoryNeeds:
    """The bytes of the program on a board, without its framework; board None: a board with enough RAM.

    weights_in: PROGRAM, PARTITION, or None for the first of them that fits; if neither fits, the nearest to fitting.
    """
    needs = _without_copies(model, tokenizer, board, weights_in)
    space = None if board is None else room(board, needs.weights_in)
    if space is None or not needs.total.fits(space):
        return needs
    chip = None if board is None else CHIPS.get(board.chip)
    hot_code = None if chip is None else chip.hot_code
    faster = space.psram - needs.total.psram if board is not None and _psram_is_faster(board) else 0
    left = space.ram - needs.total.ram - (HEAP if chip is None else chip.heap)
    return replace(needs, placed=place(model, kernel_set_of(board), left, hot_code, faster))


def fits_board(model: IntegerModel, tokenizer: Tokenizer, board: Board, weights_in: str | None = None) -> bool:
    """Whether a board has room for a model; also True if its memories are unknown. Arguments as of memory_needs."""
    return _without_copies(model, tokenizer, board, weights_in).fits(board)


def _without_copies(
    model: IntegerModel, tokenizer: Tokenizer, board: Board | None, weights_in: str | None
) -> MemoryNeeds:
    """memory_needs without what is copied when the program starts."""
    if weights_in is None and board is not None and board.weights is not None and board.memory is not None:
        inside = _without_copies(model, tokenizer, board, PROGRAM)
        if inside.fits(board):
            return inside
        return min(inside, _without_copies(model, tokenizer, board, PARTITION), key=lambda needs: needs.times(board))
    kept = weights_in or PROGRAM
    space = None if board is None else room(board, kept)
    chip = None if board is None else CHIPS.get(board.chip)
    needs = _lay_out(plan_memory(model, tokenizer, board, None, kept), space, kept, chip)
    if space is not None and not needs.total.fits(space):
        needs = _lay_out(plan_memory(model, tokenizer, board, 1, kept), space, kept, chip)
    return needs


def _psram_is_faster(board: Board) -> bool:
    """Whether weights are read faster from PSRAM than from flash."""
    speeds = board.bandwidth
    return speeds is not None and (speeds.psram or 0) > (speeds.flash or 0)


def _lay_out(plan: Plan, space: Bytes | None, weights_in: str, chip: Chip | None) -> MemoryNeeds:
    """Put all in RAM if there is room for it, or if there is no PSRAM.

    Otherwise the KV cache goes to PSRAM first: a token reads each byte of it once, and none beyond its own position.
    Then the rest of the state goes, which is written and read several times. Other variables are always in RAM.
    """
    cache, state = plan.ram["kv_cache"], plan.state_bytes
    beside = plan.flash["weights"] if weights_in == PARTITION else 0
    code = CODE_BYTES + (CALL_CODE_BYTES if "calls" in plan.flash else 0)
    flash = sum(plan.flash.values()) + code - beside
    in_ram = code if chip is not None and chip.runs_from_ram else 0

    def layout(ram: int, psram: int = 0, cache_in: str = "RAM", state_in: str = "RAM") -> MemoryNeeds:
        total = Bytes(flash, plan.variables + in_ram + ram, psram, beside)
        return MemoryNeeds(plan, total, cache_in, state_in, weights_in=weights_in, code_in_ram=in_ram)

    layouts = [layout(state)]
    if space is not None and space.psram:
        layouts.append(layout(state - cache, cache, "PSRAM"))
        layouts.append(layout(0, state, "PSRAM", "PSRAM"))
    return next((needs for needs in layouts if space is None or needs.total.ram <= space.ram), layouts[-1])


def room(board: Board, weights_in: str = PROGRAM) -> Bytes | None:
    """The bytes of a board for a program and its static variables, without its framework's; None if no limit is known.

    weights_in: PROGRAM or PARTITION; a partition for weights leaves the program less flash.
    """
    memory, reserve, apart = board.memory, board.reserve, board.weights
    if memory is None:
        return None
    program = memory.app if weights_in == PROGRAM or apart is None else min(memory.app, apart.program)
    return Bytes(
        flash=max(program - (reserve.flash if reserve else 0), 0),
        ram=max(memory.static - (reserve.ram if reserve else 0), 0),
        psram=max(memory.psram - PSRAM_RESERVE, 0),
        weights=apart.size if apart is not None else 0,
    )


def matrix_bytes(matrix: IntegerMatrix, kernels: KernelSet = GENERIC) -> int:
    """Bytes of a matrix: packed codes, slack and the row mantissas."""
    return kernels.layout(matrix.bits).matrix_bytes(matrix.rows, matrix.columns) + SLACK + 2 * matrix.rows


def widest_codes(config: ModelConfig) -> int:
    """Bytes of the codes of the longest input of a matrix."""
    return padded(max(config.dim, config.q_dim, config.hidden_dim))


def kv_bytes_per_token(model: IntegerModel) -> int:
    """Bytes of a token's keys and values in all layers, each head's key and value with a 16-bit scale."""
    config = model.config
    return config.n_layers * config.n_kv_heads * (config.key_bytes + config.value_bytes + 4)


@dataclass(frozen=True)
class WeightBytes:
    """Bytes of all weights as C tables. int8, int4: counted, as emitted; with int4, embedding and head stay int8.

    fp16: estimated, because no kernel reads it; its rows are padded like those of int8.
    """

    fp16: int
    int8: int
    int4: int


def weight_bytes(model: IntegerModel, planned: int) -> WeightBytes:
    """The weights in several formats. planned: Plan.flash["weights"] of this int8 model with the portable kernels."""
    matrices = list(_matrices(model))
    rest = planned - sum(matrix_bytes(matrix) for matrix in matrices)
    heads = sum(matrix_bytes(matrix) for matrix in matrices[: 1 if model.head is None else 2])
    blocks = matrices[1 if model.head is None else 2 :]
    int4 = sum(GENERIC.int4.matrix_bytes(matrix.rows, matrix.columns) + SLACK + 2 * matrix.rows for matrix in blocks)
    fp16 = sum(matrix.rows * padded(2 * matrix.columns) + SLACK for matrix in matrices)
    return WeightBytes(fp16=rest + fp16, int8=planned, int4=rest + heads + int4)


def _variable_bytes(model: IntegerModel, tokenizer: Tokenizer, text_max: int) -> int:
    """Bound of the static variables of engine, console and port, in bytes.

    Those that grow with the model: the frame or line that is received, the encoder's scratch memory, the tokens of a
    prompt and of the session's history, a bit for each token of the vocabulary, and a second text for a chat template.
    """
    context, tables = model.config.context, lay_out(tokenizer)
    template = 0 if model.config.chat_template is None else text_max
    growing = max(text_max, 4 * context) + tables.scratch(text_max) + 2 * tables.token_bytes * context + template
    return growing + tokenizer.vocab_size // 8 + SMALL_VARIABLES


def _matrices(model: IntegerModel) -> Iterator[IntegerMatrix]:
    for matrix, times in _counted_matrices(model):
        yield from repeat(matrix, times)


def _counted_matrices(model: IntegerModel) -> Iterator[tuple[IntegerMatrix, int]]:
    """The matrices, embedding and head first, each with how often it occurs."""
    yield model.embedding, 1
    if model.head is not None:
        yield model.head, 1
    for block, times in model.different_blocks:
        yield from ((part, times) for part in vars(block).values() if isinstance(part, IntegerMatrix))
