"""The JSON document of the verb fit: every figure with its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tinyllm.codegen.memory.parts import MemoryParts
from tinyllm.host.fit.batteries import BATTERIES
from tinyllm.host.fit.fits import PROMPT, BoardFit, Fit, Speed
from tinyllm.host.fit.largest import largest_models
from tinyllm.host.fit.remedies import Remedy
from tinyllm.host.fit.weights import mixture_of
from tinyllm.host.model.sketch import Sketch
from tinyllm.host.prove.costs import INT4_MAC


def document(sketch: Sketch, boards: Sequence[BoardFit], changes: Sequence[Remedy] | None = None) -> dict[str, Any]:
    """The document for a model on boards. changes: those for a single board in detail; None for a table of boards."""
    found: dict[str, Any] = {
        "model": sketch.config.name,
        "path": str(sketch.path),
        "parameters": sketch.n_parameters,
        "context": sketch.context,
        "trained_context": sketch.config.context,
        "prompt": PROMPT,
        "tokenizer": sketch.tokenizer_path and str(sketch.tokenizer_path),
        "no_tokenizer": sketch.no_tokenizer,
        "mixed_bytes": "counted" if mixture_of(sketch).counted else "estimated",
        "batteries": [asdict(battery) for battery in BATTERIES],
        "boards": [_board(sketch, each) for each in boards],
    }
    if changes is not None:
        found["changes"] = [{"change": each.change, "board": each.board.name} | _fit(each.fit) for each in changes]
    return found


def _board(sketch: Sketch, each: BoardFit) -> dict[str, Any]:
    chip, costs, power = each.chip, each.costs, each.board.power
    return {
        "board": each.board.name,
        "description": each.board.description,
        "unknown": each.unknown,
        "inputs": {
            "clock_mhz": each.board.clock_mhz,
            "cycles": each.board.cycles and asdict(each.board.cycles),
            "bandwidth": each.board.bandwidth and asdict(each.board.bandwidth),
            "power": power and asdict(power),
            "cores": chip and chip.cores,
            "kernels": each.board.instruction_set,
            "instructions": costs
            and {
                "fitted_to": f"counts of random models on the virtual {costs.board}",
                "half_assumed": costs.half_assumed,
                "int4_mac_assumed": INT4_MAC if costs.int4_assumed else None,
            },
        },
        "formats": {name: _fit(fit) for name, fit in each.formats.items()},
        "largest": {name: found and asdict(found) for name, found in largest_models(sketch, each).items()},
    }


def _fit(fit: Fit) -> dict[str, Any]:
    memory, times = fit.fullest or (None, None)
    return {
        "weights": fit.weights,
        "fits": fit.fits if fit.known else None,
        "context": fit.context,
        "longest_context": fit.longest_context,
        "needed": asdict(fit.needs.total),
        "room": fit.room and asdict(fit.room),
        "fullest": memory,
        "times_its_room": times,
        "memories": [_memory(each) for each in fit.parts],
        "batch": fit.needs.plan.batch,
        "decode": _speed(fit.decode),
        "prefill": _speed(fit.prefill),
    }


def _memory(each: MemoryParts) -> dict[str, Any]:
    return {
        "memory": each.memory,
        "bytes": each.bytes,
        "parts": each.parts,
        "bounds": sorted(each.bounds & set(each.parts)),
        "free": each.free,
        "lacking": each.lacking,
    }


def _speed(speed: Speed | None) -> dict[str, Any] | None:
    if speed is None:
        return None
    return {
        "kind": "estimated",
        "tokens_per_second": speed.tokens_per_second,
        "position": speed.position,
        "batch": speed.batch,
        "compute_ms": speed.estimate.compute_ms,
        "transfer_ms": speed.estimate.transfer_ms,
        "cores": speed.estimate.cores,
        "half_assumed": speed.estimate.half_assumed,
        "instructions": speed.instructions,
        "parts": {part.title: count for part, count in speed.parts.items()},
        "bytes": speed.bytes,
        "millijoules": speed.millijoules,
        "tokens_per_charge": speed.tokens_per_charge,
    }
