"""How a program fills each memory of a board: the bytes of every part, the bytes left, and the bytes lacking."""

from __future__ import annotations

from dataclasses import dataclass

from tinyllm.boards.description import Board
from tinyllm.codegen.memory.plan import (
    CODE_BYTES,
    FLASH,
    FLASH_BESIDE,
    PARTITION,
    PSRAM,
    PSRAM_RESERVE,
    SRAM,
    MemoryNeeds,
    room,
)


@dataclass(frozen=True)
class MemoryParts:
    """One memory. bytes: its size for programs. parts: bytes of each part by name, the board's core first.

    bounds: the parts whose bytes are upper bounds. The core's bytes come from the board's file, which names their
    source. All others are counted.
    """

    memory: str
    bytes: int
    parts: dict[str, int]

    bounds = frozenset({"program", "variables"})

    @property
    def taken(self) -> int:
        return sum(self.parts.values())

    @property
    def free(self) -> int:
        return max(self.bytes - self.taken, 0)

    @property
    def lacking(self) -> int:
        return max(self.taken - self.bytes, 0)


def memory_parts(needs: MemoryNeeds, board: Board) -> list[MemoryParts]:
    """Flash and SRAM, flash for weights if they lie beside the program, and PSRAM if the board has some.

    Empty if the board has no known limit of memory.
    """
    space, memory = room(board, needs.weights_in), board.memory
    if space is None or memory is None:
        return []
    plan, placed, reserve = needs.plan, needs.placed, board.reserve
    state = {"KV cache": (needs.cache_in, plan.ram["kv_cache"])}
    state["state"] = (needs.state_in, plan.state_bytes - plan.ram["kv_cache"])

    def held(where: str) -> dict[str, int]:
        return {name: size for name, (lies_in, size) in state.items() if lies_in == where}

    flash = {"core": reserve.flash if reserve else 0, "program": CODE_BYTES, **plan.flash}
    beside = {"weights": flash.pop("weights")} if needs.weights_in == PARTITION else {}
    sram = {
        "core": reserve.ram if reserve else 0,
        "program": needs.code_in_ram,
        "variables": plan.variables,
        **held("RAM"),
        "hot code": placed.hot_bytes,
        "tables": placed.table_bytes,
    }
    found = [
        MemoryParts(FLASH, space.flash + flash["core"], _some(flash)),
        MemoryParts(SRAM, space.ram + sram["core"], _some(sram)),
    ]
    if beside:
        found.insert(1, MemoryParts(FLASH_BESIDE, space.weights, beside))
    if memory.psram:
        psram = {"core": PSRAM_RESERVE, **held("PSRAM"), "tables": sum(placed.psram.values())}
        found.append(MemoryParts(PSRAM, space.psram + PSRAM_RESERVE, _some(psram)))
    return found


def _some(parts: dict[str, int]) -> dict[str, int]:
    return {name: size for name, size in parts.items() if size}
