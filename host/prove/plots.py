"""The sources of docs/benchmarks.md: records, figures that others measured, negative results; and its plots."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinyllm.boards.description import TWIN
from tinyllm.files import read_bytes
from tinyllm.host.prove import counted
from tinyllm.host.prove.counted import Counted
from tinyllm.host.prove.published import Figure, published
from tinyllm.host.prove.records import FOLDER, LARGEST_FILE, all_records

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLOTS = Path("docs/plots")

ALIKE = ("model", "board", "cores", "context")
"""The fields that all records of a history share, besides their label_of."""

Record = dict[str, Any]
Key = tuple[str, str, str, int, int]


@dataclass(frozen=True)
class Plot:
    """A picture: stacked bars, bars beside each other, lines, or points.

    rows: label of a bar, line or point -> its values by part, series or x. For points x is a number of bytes; a point
    with an empty x is a level to compare the others with.
    """

    name: str
    title: str
    axis: str
    kind: str  # "stacked", "bars", "lines" or "points"
    rows: Mapping[str, Mapping[str, float]]

    @property
    def digest(self) -> str:
        """A hash of what is drawn. The picture holds it, so that an outdated picture is noticed."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def path(self) -> Path:
        return PLOTS / f"{self.name}.svg"


@dataclass(frozen=True)
class Sources:
    """The sources of the page.

    records: their models are named with their weights, unless those are int8. comparisons: of the host board with
    llama2.c's float program. counted: by case.
    """

    records: Sequence[Record]
    figures: Sequence[Figure]
    negative: Sequence[Mapping[str, Any]]
    comparisons: Sequence[Mapping[str, Any]] = ()
    counted: Mapping[str, Counted] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path = FOLDER) -> Sources:
        """Read the sources from a folder. Raises UserError as the readers."""

        def tables(file: str, kind: str) -> list[Mapping[str, Any]]:
            document = tomllib.loads(read_bytes(folder / file, LARGEST_FILE).decode("utf-8"))
            return list(document.get(kind, []))

        return cls(
            list(map(_with_its_weights, all_records(folder))),
            published(folder / "published.toml"),
            tables("negative.toml", "result"),
            tables("llama2c.toml", "comparison"),
            counted.read(folder / counted.FILE.name),
        )

    @property
    def latest(self) -> dict[Key, Record]:
        """The last record of each model, board, emulator, number of cores and context, in the order of their names."""
        found = {}
        for record in self.records:
            found[record["model"], label_of(record), record["board"], record["cores"], record["context"]] = record
        return dict(sorted(found.items()))


def _with_its_weights(record: Record) -> Record:
    weights = record.get("weights", "int8")  # older records do not say it
    return record if weights == "int8" else record | {"model": f"{record['model']}, {weights}"}


def label_of(record: Record) -> str:
    """The board, its emulator if that is not the usual one, and whether its kernels failed their check."""
    board = record["board"].removesuffix(TWIN)
    emulator = f" in {record['emulator']}" if record.get("emulator") else ""
    failed = "" if record.get("kernels_agree", True) else ", kernels failed"
    return f"{board}{emulator}{failed}"


def name_of(record: Record) -> str:
    """The board with its emulator and cores, as people write them."""
    cores = f", {record['cores']} cores" if record["cores"] > 1 else ""
    return f"{label_of(record)}{cores}"


def plots(sources: Sources) -> list[Plot]:
    """The plots of the model that most records have; none without records."""
    latest = list(sources.latest.values())
    models = [record["model"] for record in latest]
    if not models:
        return []
    model = max(sorted(set(models)), key=models.count)
    counted = [record for record in latest if record["model"] == model and record["place"][0].get("parts")]
    one_core = [record for record in counted if record["cores"] == 1]
    found = [
        Plot(
            "parts",
            f"{model}: what a token costs, one core, counted",
            "instructions or cycles per MAC",
            "stacked",
            {
                f"{name_of(record)} ({record['unit']})": {
                    part: count / record["macs"] for part, count in record["place"][0]["parts"].items()
                }
                for record in one_core
            },
        ),
        Plot(
            "history",
            f"{model}: a token's cost from record to record, one core, counted",
            "instructions or cycles per MAC",
            "lines",
            _history(sources.records, one_core),
        ),
        Plot(
            "positions",
            f"{model}: a token by its position, one core, counted",
            "instructions or cycles, thousands",
            "lines",
            {
                name_of(record): {
                    place["positions"]: place["per_token"] / 1000
                    for place in record["place"]
                    if place["positions"].isdecimal()
                }
                for record in one_core
            },
        ),
        Plot(
            "speed",
            f"{model}: tokens/s at the stock clock, estimated, and what others have measured",
            "tokens/s",
            "bars",
            dict(_speeds(counted, sources.figures)),
        ),
    ]
    return [plot for plot in found if any(plot.rows.values())]


def _history(saved: Sequence[Record], latest: Sequence[Record]) -> dict[str, dict[str, float]]:
    """The costs of each latest record and of those before it, numbered from 1; {} if none has one before it."""
    rows = {}
    for last in latest:
        alike = [
            record
            for record in saved
            if label_of(record) == label_of(last) and all(record[name] == last[name] for name in ALIKE)
        ]
        costs = [record["place"][0]["per_token"] / record["macs"] for record in alike]
        rows[name_of(last)] = {str(number): cost for number, cost in enumerate(costs, 1)}
    return rows if any(len(row) > 1 for row in rows.values()) else {}


def _speeds(saved: Sequence[Record], figures: Sequence[Figure]) -> Iterator[tuple[str, dict[str, float]]]:
    for record, estimate in estimates_of(saved):
        cores = "2 cores" if estimate["cores"] == 2 else "1 core"
        yield f"{label_of(record)}, {cores}", {"estimated": estimate["tokens_per_second"]}
    for figure in figures:
        yield figure.name, {"measured by others": figure.tokens_per_second}


def estimates_of(saved: Sequence[Record]) -> Iterator[tuple[Record, Mapping[str, Any]]]:
    """For each model and board an estimate for one core and one for two, from the record counted on that many cores.

    If no record was counted on two cores, the estimate for two assumes half.
    """
    both = {(record["model"], record["board"]) for record in saved if record["cores"] == 2}
    for record in saved:
        for estimate in record["place"][0].get("estimate", []):
            assumed = estimate["half_assumed"] and (record["model"], record["board"]) not in both
            if estimate["cores"] == record["cores"] or assumed:
                yield record, estimate
