"""Groups boards by family, which is their chip, and by what counts for a model."""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.boards.board import Board

NAMES = {
    "rp2040": "RP2040",
    "rp2350": "RP2350",
    "esp32": "ESP32",
    "esp32s2": "ESP32-S2",
    "esp32s3": "ESP32-S3",
    "esp32c3": "ESP32-C3",
    "esp32c6": "ESP32-C6",
    "esp32p4": "ESP32-P4",
    "imxrt1062": "i.MX RT1062",
    "host": "this computer",
}
"""The chips of our boards: name in a TOML -> name for people, in the order in which they are shown."""


def families(boards: Sequence[Board]) -> dict[str, list[Board]]:
    """Name of a family -> its boards. Chips that are not in NAMES come last, under their own names."""
    order = list(NAMES)
    chips = sorted(
        {board.chip for board in boards}, key=lambda chip: (order.index(chip) if chip in NAMES else 99, chip)
    )
    return {NAMES.get(chip, chip): [board for board in boards if board.chip == chip] for chip in chips}


def kinds(boards: Sequence[Board]) -> list[list[Board]]:
    """Groups of boards that are equal for a model: the same chip, memories, speeds and power."""
    found: dict[object, list[Board]] = {}
    for board in boards:
        found.setdefault(_for_a_model(board), []).append(board)
    return list(found.values())


def _for_a_model(board: Board) -> object:
    reserve, speeds = board.reserve, board.bandwidth
    return (
        (board.chip, board.instruction_set, board.cores, board.clock_mhz),
        (board.memory, board.weights, board.cycles, board.power),
        reserve and (reserve.flash, reserve.ram),
        speeds and (speeds.flash, speeds.sram, speeds.psram),
    )


def one_of_each_chip(boards: Sequence[Board]) -> list[Board]:
    """The first board of each chip, as examples for a message."""
    found: dict[str, Board] = {}
    for board in boards:
        found.setdefault(board.chip, board)
    return list(found.values())
