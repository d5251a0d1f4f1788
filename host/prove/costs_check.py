"""Checks the costs that `tinyllm fit` uses against counts of real models, to which they were not fitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinyllm.boards.description import FOLDER, TWIN, load_board
from tinyllm.codegen.arithmetic.float_model import ModelConfig, Rope
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.memory.outline import outline
from tinyllm.host.prove.costs import all_costs
from tinyllm.host.prove.counted import CONTEXT, PREFILL, Counted

PROMPT = f"prompt of {PREFILL}"

_STORIES = ModelConfig(
    name="stories260K",
    family="llama",
    dim=64,
    hidden_dim=172,
    n_heads=8,
    n_kv_heads=4,
    head_dim=8,
    vocab_size=512,
    context=512,
    schedule=(0, 1, 2, 3, 4),
    rope=Rope(rotary_dim=8),
)
MODELS = {
    "stories260K": _STORIES,
    "tinystories-260k": replace(
        _STORIES,
        name="tinystories-260k",
        hidden_dim=176,
        n_heads=4,
        n_kv_heads=2,
        head_dim=16,
        rope=Rope(rotary_dim=16),
    ),
}
"""The dimensions of the models that are counted."""


@dataclass(frozen=True)
class CostCheck:
    """A count and its estimate, in instructions of a token. what: its positions, or PROMPT."""

    model: str
    board: str
    cores: int
    what: str
    counted: float
    estimated: float

    @property
    def error(self) -> float:
        """The relative error: 0.1 is an estimate 10% too high."""
        return self.estimated / self.counted - 1


def check_counted(counted: Mapping[str, Counted]) -> Iterator[CostCheck]:
    """Checks of benchmarks/counted.toml: the story model of the tests, with today's kernels."""
    for name, each in counted.items():
        board, _, rest = name.partition(", ")
        if each.unit == "instructions":
            cores = 2 if rest else 1
            for what, count in each.per_token.items():
                yield _check("tinystories-260k", board, cores, what, count, CONTEXT)


def check_records(records: Iterable[Mapping[str, Any]]) -> Iterator[CostCheck]:
    """Checks of records of `tinyllm bench`: those of MODELS that name their kernels and are counted in instructions."""
    for record in records:
        if record["model"] in MODELS and record["unit"] == "instructions" and "kernels" in record:
            board = record["board"].removesuffix(TWIN)
            counts = {place["positions"]: place["per_token"] for place in record["place"]}
            if prefill := record.get("prefill"):
                counts[f"prompt of {prefill['tokens']}"] = prefill["per_token"]
            for what, count in counts.items():
                yield _check(record["model"], board, record["cores"], what, count, record["context"])


def _check(model: str, board: str, cores: int, what: str, count: float, context: int) -> CostCheck:
    sketch = outline(replace(MODELS[model], context=context))
    return CostCheck(model, board, cores, what, count, estimated(sketch, board, cores, what))


def estimated(model: IntegerModel, board: str, cores: int, what: str) -> float:
    """Instructions of a token on a virtual board. what: a position, or a range or prompt over which it is the mean."""
    costs = all_costs()[load_board(board, FOLDER).instruction_set, cores]
    if what.startswith("prompt of "):
        n = int(what.removeprefix("prompt of "))
        batches = (n - 1) * sum(costs.of_prefill(model, (n - 2) / 2).values())
        return (batches + sum(costs.of_decode(model, n - 1).values())) / n
    first, _, last = what.partition("-")
    return sum(costs.of_decode(model, (int(first) + int(last or first)) / 2).values())
