"""Estimates the speed of a chip from counted instructions, the cycles of one, and the bytes that a token moves.

    seconds = instructions * cycles per instruction / clock + bytes / bandwidth, of each memory but SRAM

The cycles of an instruction include its load from SRAM. A core waits for flash and PSRAM: no data is assumed to be
fetched ahead of its use. The wait for instructions that are fetched from flash is left out. Two cores compute side by
side, but share each memory. `published.py` has the error of this estimate against what others have measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinyllm.boards.board import Bandwidth, Board
from tinyllm.codegen.memory.traffic import Traffic
from tinyllm.host.prove.benchmark import Place, Prefill
from tinyllm.host.virtual.parts import PARTS, SPLIT, Part


@dataclass(frozen=True)
class Estimate:
    """Milliseconds of one token on `cores` cores. compute_ms: of the core that executes more. transfer_ms: waiting for
    memories.

    half_assumed: the two cores are not counted apart. The one that executes more is assumed to do half of the parts
    that cores divide, and all of the others.
    """

    cores: int
    compute_ms: float
    transfer_ms: float
    half_assumed: bool = False

    @property
    def ms(self) -> float:
        return self.compute_ms + self.transfer_ms

    @property
    def tokens_per_second(self) -> float:
        return 1000 / self.ms


@dataclass(frozen=True)
class Chip:
    """The figures of a board's description that an estimate needs."""

    clock_mhz: int
    cycles_per_instruction: float
    bandwidth: Bandwidth
    cores: int
    cycles_source: str

    @classmethod
    def of(cls, board: Board, clock_mhz: int | None = None) -> Chip | None:
        """The chip of a board, at its own clock or another; None if the description lacks a needed figure."""
        clock_mhz = clock_mhz or board.clock_mhz
        if clock_mhz is None or board.cycles is None or board.bandwidth is None:
            return None
        cores = min(board.cores, 2)
        return cls(clock_mhz, board.cycles.per_instruction, board.bandwidth, cores, board.cycles.source)

    def compute_ms(self, count: float, unit: str) -> float:
        """Milliseconds of `count` instructions or cycles on one core."""
        return count * (1 if unit == "cycles" else self.cycles_per_instruction) / (1000 * self.clock_mhz)

    def transfer_ms(self, moved: dict[str, int]) -> float:
        """Milliseconds for bytes by memory; SRAM costs nothing beside the instructions that load from it."""
        return sum(size / (1000 * speed) for memory, size in moved.items() if (speed := self._speeds.get(memory)))

    def lacks_speed_of(self, moved: dict[str, int]) -> bool:
        """Whether bytes move in a memory whose bandwidth the board's description lacks."""
        return any(size and memory in self._speeds and self._speeds[memory] is None for memory, size in moved.items())

    @property
    def _speeds(self) -> dict[str, int | None]:
        """MB/s of the memories that a core waits for."""
        return {"flash": self.bandwidth.flash, "PSRAM": self.bandwidth.psram}


def longer_way(parts: Mapping[Part, float]) -> float:
    """What the busier of two cores does: half of the divided parts, all of the rest. parts: counted on one core."""
    return sum(parts.values()) - sum(parts.get(part, 0.0) for part in SPLIT) / 2


@dataclass(frozen=True)
class PrefillEstimate:
    """A token of a prompt of `tokens`, and the same token generated, both on as many cores as counted."""

    tokens: int
    read: Estimate
    decoded: Estimate

    @property
    def share(self) -> float:
        """The time of the token that is read, as a fraction of that of the generated one."""
        return self.read.ms / self.decoded.ms


def estimate_prefill(
    prefill: Prefill, unit: str, cores: int, chip: Chip, read: Traffic, decoded: Traffic
) -> PrefillEstimate:
    """The estimate of a long prompt. read, decoded: the traffic of one of its tokens, read and generated."""

    def of(count: float, moved: Traffic) -> Estimate:
        return Estimate(cores, chip.compute_ms(count, unit), chip.transfer_ms(moved.by_memory))

    return PrefillEstimate(prefill.tokens, of(prefill.per_token, read), of(prefill.decoded, decoded))


def estimate(place: Place, unit: str, counted_cores: int, chip: Chip, traffic: Traffic) -> list[Estimate]:
    """Estimates for one core and, if the board has more, for two.

    place: counted in `unit`, instructions or cycles, by a virtual board that computes on `counted_cores`.
    """
    waits = chip.transfer_ms(traffic.by_memory)
    parts = {part: float(sum(sum(core.get(part, {}).values()) for core in place.counts)) for part in PARTS}
    found = []
    if counted_cores == 1:
        found.append(Estimate(1, chip.compute_ms(place.per_token, unit), waits))
    elif place.counts:
        found.append(Estimate(1, chip.compute_ms(sum(parts.values()), unit), waits))
    if chip.cores == 2 and counted_cores == 2:
        found.append(Estimate(2, chip.compute_ms(place.per_token, unit), waits))
    elif chip.cores == 2 and place.counts:
        rest = place.per_token - sum(parts.values())
        found.append(Estimate(2, chip.compute_ms(rest + longer_way(parts), unit), waits, half_assumed=True))
    return found
