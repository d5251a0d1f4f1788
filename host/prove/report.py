"""A benchmark with all that is known of its model and board: what `tinyllm bench` shows, and what a record keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tinyllm.boards.description import TWIN, Board, load_board
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.memory.plan import memory_needs
from tinyllm.codegen.memory.traffic import Traffic, matrix_macs, prefill_traffic, traffic
from tinyllm.errors import UserError
from tinyllm.host.link.messages import HelloReply
from tinyllm.host.prove.benchmark import Benchmark, Place
from tinyllm.host.prove.estimate import Chip, Estimate, PrefillEstimate, estimate, estimate_prefill
from tinyllm.host.prove.expected_answers import Expected
from tinyllm.host.virtual.parts import PARTS


@dataclass(frozen=True)
class PlaceReport:
    """A place with what follows from it. moved: the bytes that the token moves; None if the model is not known.

    estimates: for the chip; () for a board that measures, and for one whose description lacks the figures.
    """

    place: Place
    moved: Traffic | None
    estimates: tuple[Estimate, ...]

    @property
    def parts(self) -> dict[str, float]:
        """Instructions or cycles of all cores by part; {} if they are not counted."""
        if not self.place.counts:
            return {}
        return {part.title: sum(sum(core.get(part, {}).values()) for core in self.place.counts) for part in PARTS}

    @property
    def by_core(self) -> list[float]:
        """Instructions or cycles of each core, all parts together."""
        return [sum(sum(row.values()) for row in core.values()) for core in self.place.counts]

    @property
    def functions(self) -> dict[str, dict[str, float]]:
        """Instructions or cycles of all cores by part and function, the largest first."""
        found: dict[str, dict[str, float]] = {}
        for core in self.place.counts:
            for part, row in core.items():
                functions = found.setdefault(part.title, {})
                for name, count in row.items():
                    functions[name] = functions.get(name, 0) + count
        return {part: dict(sorted(row.items(), key=lambda item: -item[1])) for part, row in found.items()}


@dataclass(frozen=True)
class Report:
    """A benchmark, its board, and what follows.

    macs: of the model's matrices, for a token; None if not known. prefill: of the long prompt; None as for a place.
    weights: the format of the blocks' matrices, as IntegerModel has it; None if the model is not known.
    """

    hello: HelloReply
    benchmark: Benchmark
    macs: int | None
    chip: Chip | None
    places: tuple[PlaceReport, ...]
    prefill: PrefillEstimate | None = None
    weights: str | None = None

    @property
    def cores(self) -> int:
        """How many cores computed, as far as known: only Unicorn's virtual boards report a second one."""
        return max(sum(1 for count in self.benchmark.executed if count), 1)

    @property
    def unit(self) -> str:
        return self.benchmark.answer.unit

    def document(self) -> dict[str, Any]:
        """The report for programs, as `tinyllm bench --json` prints it."""
        named = {name: getattr(self.hello, name) for name in IDENTITY}
        named["kernels_agree"] = bool(self.hello.kernels_agree)
        measured = asdict(self.benchmark)
        del measured["places"]
        if self.benchmark.prefill is not None:
            measured["prefill"]["share"] = self.benchmark.prefill.share
            if self.prefill is not None:
                estimated = {"read": asdict(self.prefill.read), "decoded": asdict(self.prefill.decoded)}
                measured["prefill"]["estimate"] = estimated | {"share": self.prefill.share}
        return (
            named
            | measured
            | {
                "cores": self.cores,
                "macs": self.macs,
                "weights": self.weights,
                "places": [self._place(place) for place in self.places],
                "estimated_from": None if self.chip is None else asdict(self.chip),
            }
        )

    def _place(self, report: PlaceReport) -> Mapping[str, Any]:
        place = report.place
        return {
            "positions": place.name,
            "per_token": place.per_token,
            "per_mac": None if self.macs is None else place.per_token / self.macs,
            "parts": report.parts,
            "by_core": report.by_core,
            "functions": report.functions,
            "bytes": None if report.moved is None else asdict(report.moved),
            "estimates": [asdict(each) | {"tokens_per_second": each.tokens_per_second} for each in report.estimates],
        }


IDENTITY = ("model", "model_hash", "board", "build_id", "context", "firmware", "kernels", "kernels_agree")
"""The fields of HELLO that a report keeps."""


def report(hello: HelloReply, benchmark: Benchmark, expected: Expected | None) -> Report:
    """The report of a benchmark. expected: the model that the board runs; None if its checkpoint is not known."""
    board = _described(hello.board)
    counted = benchmark.answer.unit != "microseconds"
    chip = Chip.of(board) if board and counted else None
    # The host board describes no memory: the bytes that it moves do not matter.
    needs = memory_needs(expected.model, expected.tokenizer, board) if expected and board and board.memory else None
    made = Report(hello, benchmark, matrix_macs(expected.model) if expected else None, chip, ())
    kernels = kernel_set_of(board)
    places = []
    for place in benchmark.places:
        moved = traffic(expected.model, needs, place.position, kernels) if expected and needs else None
        estimates = estimate(place, made.unit, made.cores, chip, moved) if chip and moved else []
        places.append(PlaceReport(place, moved, tuple(estimates)))
    prompt, prefill = benchmark.prefill, None
    if prompt and chip and expected and needs:
        position = (prompt.tokens - 1) / 2
        read = prefill_traffic(expected.model, needs, position, kernels)
        decoded = traffic(expected.model, needs, position, kernels)
        prefill = estimate_prefill(prompt, made.unit, made.cores, chip, read, decoded)
    weights = expected.model.weights if expected else None
    return replace(made, places=tuple(places), prefill=prefill, weights=weights)


def _described(name: str) -> Board | None:
    """The board of that name; for a virtual board, its real twin. None if there is no description of it here."""
    try:
        return load_board(name.removesuffix(TWIN))
    except UserError:
        return None
