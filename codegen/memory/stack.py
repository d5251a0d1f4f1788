"""The most stack the firmware can take: gcc's frame sizes along the deepest chain of calls.

gcc writes a call graph with the frame of every function beside each object (`-fcallgraph-info=su`, VCG format, GCC
manual, "Developer Options"); our platform's builder asks for it. There is no recursion, and the functions that a call
through a pointer can reach are known. So the deepest chain bounds the stack of that very program; functions of the C
library count as zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tinyllm.errors import Failure

ENTRIES = ("tl_console_start", "tl_console_poll")
"""The functions that a port calls."""

LIBRARY_ENTRIES = ("tinyllm_begin", "tinyllm_ask", "tinyllm_complete", "tinyllm_step", "tinyllm_use")
"""The functions of a library that compute."""

LIBRARY_STACK = 2048
"""Bound of the stack under LIBRARY_ENTRIES at -O2 on any instruction set, in bytes; tests compare it with gcc's."""

PARTS = {"matmul_groups", "silu_measure_part", "silu_mul_part", "remember", "attend"}
"""The functions whose work the cores share."""

CALLBACKS = {
    "tl_answer_put_text": {"tl_frame_put", "tl_write_answer", "hand_over"},
    "tl_parallel": PARTS,
    "tl_parallel_other": PARTS,
}
"""For each function that calls its argument, the functions passed to it. Any other call through a pointer uses a table
in the caller's file, and reaches the static functions there that nobody calls by name."""

HANDLERS, REGISTERS = "tl_action_run", "tinyllm_action"
"""The function that calls the handlers of a model's calls, and the function that registers them."""

OF_A_SKETCH = {"hand_over"}
"""These functions call a maker's own code, whose stack comes on top."""

INDIRECT = "__indirect_call"

FLAG = "-fcallgraph-info=su"
"""The flag that makes gcc write the call graphs; firmware/platform/builder/main.py passes it."""

NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "[^"]*?\\n([^"]*?):\d+:\d+\\n(\d+) bytes \(([a-z,]+)\)')
EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


@dataclass(frozen=True)
class Stack:
    """Bytes of the deepest chain of calls, and the functions on it, outermost first."""

    bytes: int
    chain: tuple[str, ...]


def stack_depth(objects: Path, entries: Sequence[str] = ENTRIES) -> Stack:
    """Follow the calls from `entries` through the call graphs that lie beside the objects of an emitted project.

    objects: the folder of src/'s objects, with the subfolders of src/. The port's objects are left out, and with them
    its handlers of calls. Raises Failure if the compiler wrote no call graph of an entry, or if a function's frame or
    calls are not bounded.
    """
    frames: dict[str, int] = {}
    files: dict[str, str] = {}
    calls: dict[str, set[str]] = {}
    for graph in sorted(objects.rglob("*.ci")):
        if graph.parent.name != "port":
            _read_graph(graph.read_text(encoding="utf-8", errors="replace"), frames, files, calls)
    for entry in entries:
        if entry not in frames:
            raise Failure(f"{objects}: no call graph of {entry}; compile with gcc and {FLAG}")
    _resolve_pointers(files, calls)
    return max((deepest(entry, frames, calls) for entry in entries), key=lambda stack: stack.bytes)


def deepest(entry: str, frames: dict[str, int], calls: dict[str, set[str]]) -> Stack:
    """The deepest chain from `entry`. frames: bytes of each function. calls: who calls whom. Failure on recursion."""
    under_way: set[str] = set()

    @cache
    def below(function: str) -> Stack:
        if function in under_way:
            raise Failure(f"{function} calls itself, so the stack is not bounded")
        under_way.add(function)
        inner = max((below(callee) for callee in sorted(calls.get(function, ()))), key=lambda s: s.bytes, default=None)
        under_way.remove(function)
        own, chain = frames.get(function, 0), (function.rsplit(":", 1)[-1],)
        return Stack(own, chain) if inner is None else Stack(own + inner.bytes, chain + inner.chain)

    return below(entry)


def _resolve_pointers(files: dict[str, str], calls: dict[str, set[str]]) -> None:
    """Replace each call through a pointer by calls to all it can reach. files: the file of each function."""
    named = set().union(*calls.values())
    for caller, callees in calls.items():
        if INDIRECT not in callees:
            continue
        if caller.rsplit(":", 1)[-1] in OF_A_SKETCH:
            callees.remove(INDIRECT)
            continue
        if caller == HANDLERS:
            callees.remove(INDIRECT)
            files_of_handlers = {files[function] for function, called in calls.items() if REGISTERS in called}
            callees |= {name for name, file in files.items() if file in files_of_handlers and name not in named}
            continue
        table = {name for name, file in files.items() if file == files[caller] and ":" in name and name not in named}
        passed = CALLBACKS.get(caller)
        targets = table if passed is None else {name for name in files if name.rsplit(":", 1)[-1] in passed}
        if not targets:
            raise Failure(f"{caller} calls through a pointer that may hold anything, so the stack is not bounded")
        callees.remove(INDIRECT)
        callees |= targets


def _read_graph(text: str, frames: dict[str, int], files: dict[str, str], calls: dict[str, set[str]]) -> None:
    """Add one file's graph; a static function is named file:function in it."""
    for line in text.splitlines():
        if node := NODE.match(line):
            name, file, size, kind = node.groups()
            if kind == "dynamic":
                raise Failure(f"the stack frame of {name} is not bounded")
            frames[name], files[name] = int(size), file
        elif edge := EDGE.match(line):
            calls.setdefault(edge[1], set()).add(edge[2])
