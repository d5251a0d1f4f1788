"""The verb build: from a model to a compiled project."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tinyllm.boards.loader import load_board
from tinyllm.codegen.stack import Stack
from tinyllm.host.building import Built, deepest_stack
from tinyllm.host.building import build as build_project
from tinyllm.host.choosing import AS_IT_IS, Reading, choose
from tinyllm.host.fitting import Bytes, room
from tinyllm.host.options import BoardOption, JsonOption, ModelArgument, VirtualOption, reads_model
from tinyllm.host.output import Output
from tinyllm.host.trimming import trimming_of


@reads_model
def build(
    model: ModelArgument = None,
    board: BoardOption = "host",
    virtual: VirtualOption = False,
    folder: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Where the project goes; default: the cache."),
    ] = None,
    reading: Reading = AS_IT_IS,
    as_json: JsonOption = False,
) -> None:
    """Write the C for a model and compile it; says how much flash, RAM and stack it takes."""
    output = Output(as_json)
    choice = choose(model, reading)
    target = load_board(board)
    if virtual:
        target = target.twin()
    with output.working(f"building {choice.name} for {target.name}") as step:
        built = build_project(choice, target, choice.context, folder, step, output.note)
        step("following the calls")
        stack = deepest_stack(built, target)
        step("measuring the perplexity")
        trimming = trimming_of(choice, reading.stories())
    if as_json:
        document = asdict(built) | {"stack": stack and asdict(stack)}
        output.document(document | {"trimming": trimming and asdict(trimming)})
        return
    for warning in built.warnings:
        output.note(warning, style="yellow")
    output.line(f"{built.model} for {built.board}, context {built.context}, build {built.build_id}", style="bold")
    output.table(["memory", "part", "bytes"], _memory_rows(built, stack, room(target)))
    for line in trimming.lines() if trimming else ():
        output.line(line)
    output.line(f"project: {built.project}")
    output.line(f"program: {built.program}")


def _memory_rows(built: Built, stack: Stack | None, space: Bytes | None) -> list[list[str]]:
    rows = []
    for memory, parts, whole, there in (
        ("flash", built.plan.flash, built.flash, space and space.flash),
        ("RAM", built.plan.ram, built.ram, space and space.ram),
    ):
        where = memory if memory == "flash" else built.state_in
        rows += [[where, part, f"{size:,}"] for part, size in parts.items()]
        if whole is not None:
            rows.append([memory, "whole program, counted", f"{whole:,}"])
        if there is not None:
            rows.append([memory, "the board has beside its core", f"{there:,}"])
    if stack is not None:
        rows.append(["RAM", "deepest stack, counted", f"{stack.bytes:,}"])
    return rows
