"""The catalogue of calls as C tables: call_tables.h, and call_tables.c if the model has a catalogue."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from tinyllm.codegen.actions.plan import LONGEST_RESULT, ActionPlan
from tinyllm.codegen.emit.render import render, rows


def call_files(plan: ActionPlan | None) -> dict[str, str]:
    """File name -> text of these files. plan: None for a model without a catalogue."""
    if plan is None:
        return {"call_tables.h": render("call_tables.h", plan=None)}
    states = plan.automaton.edges
    fields: dict[str, Any] = {
        "plan": plan,
        "longest_result": LONGEST_RESULT,
        "edge_rows": rows(f"{{{low}, {high}, {to}}}" for edges in states for low, high, to in edges),
        "first_rows": rows(accumulate(map(len, states), initial=0)),
    }
    return {name: render(name, **fields) for name in ("call_tables.h", "call_tables.c")}
