"""Which package may import which, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tinyllm", "boards", "codegen", "firmware", "host", "models")
"""The folders of the package: tinyllm/ is its face, the others are packages under their own names."""

# Each room and the rooms that it may import, which stand above it. A room is a package; codegen and host have one for
# each folder or file in them. "tinyllm" stands for the modules of that folder that every layer uses; "tinyllm.api" for
# what `import tinyllm` and `python -m tinyllm` load.
MAY_IMPORT = {
    "tinyllm": "",
    "firmware": "",
    "models": "",
    "boards": "tinyllm",
    "codegen.arithmetic": "tinyllm",
    "codegen.checkpoints": "tinyllm codegen.arithmetic",
    "codegen.tokenizers": "tinyllm codegen.checkpoints",
    "codegen.actions": "tinyllm boards codegen.arithmetic codegen.tokenizers",
    "models.training": "tinyllm codegen.arithmetic codegen.checkpoints codegen.tokenizers",
    "models.pairs": "tinyllm boards codegen.actions",
    "codegen.calibration": "codegen.arithmetic codegen.tokenizers",
    "codegen.chat": "tinyllm codegen.tokenizers",
    "codegen.kernels": "tinyllm boards codegen.arithmetic",
    "codegen.memory": "tinyllm boards codegen.arithmetic codegen.tokenizers codegen.actions codegen.kernels",
    "codegen.emit": (
        "tinyllm boards codegen.arithmetic codegen.tokenizers codegen.actions codegen.chat codegen.kernels "
        "codegen.memory"
    ),
    "codegen.trim": "tinyllm codegen.arithmetic codegen.tokenizers codegen.chat codegen.memory",
    "codegen.verify": (
        "tinyllm boards codegen.arithmetic codegen.tokenizers codegen.actions codegen.kernels codegen.emit"
    ),
    "host.layout": "",
    "host.standard_streams": "tinyllm",
    "host.output": "tinyllm host.layout",
    "host.link": "tinyllm boards codegen.arithmetic",
    "host.hub": "tinyllm models",
    "host.model": (
        "tinyllm models boards codegen.arithmetic codegen.checkpoints codegen.tokenizers codegen.actions "
        "codegen.calibration codegen.chat codegen.memory codegen.trim codegen.verify host.hub"
    ),
    "host.virtual": "tinyllm codegen.verify",
    "host.build": "tinyllm boards codegen.arithmetic codegen.chat codegen.memory codegen.emit host.link host.model",
    "host.doctor": "tinyllm boards host.link host.virtual host.build",
    "host.monitor": "tinyllm host.link",
    "host.connect": "tinyllm boards host.output host.link host.model host.virtual host.build",
    "host.chat": "tinyllm codegen.tokenizers codegen.chat host.link host.model host.connect",
    "host.prove": (
        "tinyllm boards codegen.arithmetic codegen.tokenizers codegen.actions codegen.kernels codegen.memory "
        "codegen.emit host.output host.link host.model host.virtual host.build host.connect host.chat"
    ),
    "host.tools": "tinyllm codegen.actions host.link",
    "host.fit": (
        "tinyllm boards codegen.arithmetic codegen.tokenizers codegen.calibration codegen.kernels codegen.memory "
        "codegen.trim host.model host.virtual host.prove"
    ),
    "host.api": (
        "tinyllm boards codegen.arithmetic codegen.emit codegen.verify host.output host.link host.model host.build "
        "host.connect host.chat host.prove host.tools"
    ),
    "host.grade": (
        "tinyllm models.pairs codegen.arithmetic codegen.chat codegen.emit codegen.tokenizers codegen.verify host.model"
    ),
    "host.terminal": (
        "tinyllm codegen.arithmetic host.layout host.standard_streams host.output host.link host.chat host.api"
    ),
    "host.serve": "tinyllm codegen.actions host.link host.chat host.tools host.api",
    "host.web": (
        "tinyllm boards codegen.arithmetic codegen.emit codegen.memory host.link host.model host.build host.connect "
        "host.serve"
    ),
    "host.labgrid": "tinyllm host.model host.build host.connect host.api",
    "host.pytest_plugin": (
        "tinyllm boards codegen.arithmetic host.output host.link host.model host.connect host.api host.labgrid"
    ),
    "host.cli": (
        "tinyllm models models.training models.pairs boards codegen.arithmetic codegen.checkpoints codegen.tokenizers "
        "codegen.actions codegen.emit codegen.kernels codegen.memory codegen.verify host.standard_streams host.output "
        "host.link host.hub host.model host.virtual host.build host.doctor host.monitor host.connect host.prove "
        "host.fit host.tools host.api host.grade host.terminal host.serve host.web"
    ),
    "tinyllm.api": "tinyllm host.link host.tools host.api host.cli",
}
ROOMS = {room: frozenset(allowed.split()) for room, allowed in MAY_IMPORT.items()}
API = {"tinyllm", "tinyllm.__main__"}

# Modules that import inside a function, and why.
IMPORTS_INSIDE = {
    "codegen.chat.worker": "resource: Unix only",
    "host.cli.eval": "host.prove.pictures needs matplotlib: an extra",
    "host.prove.benchmarks_page": "host.prove.pictures needs matplotlib: an extra",
    "host.cli.fit": "host.fit.picture needs matplotlib: an extra",
    "host.cli.train": "models.training needs torch, host.prove.pictures matplotlib: extras",
    "host.cli.stories": "models.training needs torch: an extra",
    "host.cli.serve": "host.serve needs starlette: an extra",
    "host.cli.web": "host.web.app needs starlette: an extra",
    "codegen.checkpoints.gguf.tensors": "gguf is large",
}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name without "tinyllm.": of the face with it."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


def room_of(module: str) -> str:
    """The room of a module by its name in modules()."""
    parts = module.split(".")
    if parts[0] == "tinyllm":
        return "tinyllm.api" if module in API else "tinyllm"
    split = parts[0] in ("codegen", "host") or parts[1:2] in (["training"], ["pairs"])
    return ".".join(parts[:2]) if split else parts[0]


def imported(node: ast.AST) -> Iterator[str]:
    """The modules of this package that an import statement names."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return
    for name in names:
        top, _, rest = name.partition(".")
        if top == "tinyllm":
            # A face's module keeps its first name; a name that is no module belongs to the module that has it.
            found = rest if rest.split(".")[0] in FOLDERS else name
            yield found if found in modules() else found.rpartition(".")[0]


@cache
def arrows() -> dict[str, set[str]]:
    """Of each module the modules that it imports."""
    return {module: {name for node in ast.walk(tree) for name in imported(node)} for module, tree in modules().items()}


def test_the_table_goes_one_way() -> None:
    above: set[str] = set()
    for room, allowed in ROOMS.items():
        assert allowed <= above, f"{room} imports what does not stand above it: {sorted(allowed - above)}"
        above.add(room)


def test_every_room_stands_in_the_table() -> None:
    """A folder's own __init__ imports nothing, so it needs no row."""
    rooms = {room_of(module) for module in modules() if module not in ("codegen", "host")}
    assert rooms == set(ROOMS)
    for module in ("codegen", "host"):
        assert arrows()[module] == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_the_table_says(room: str) -> None:
    """No more, and no less: what is imported no longer goes out of the table."""
    found: dict[str, str] = {}
    for module, names in arrows().items():
        if room_of(module) == room:
            found |= {room_of(name): f"{module} imports {name}" for name in names}
    found.pop(room, None)
    beyond = {other: imports for other, imports in found.items() if other not in ROOMS[room]}
    assert not beyond, f"{room} may not import {beyond}"
    assert ROOMS[room] == set(found), f"{room} no longer imports {sorted(ROOMS[room] - set(found))}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter(arrows()).prepare()


def test_imports_stand_at_the_top_of_a_module() -> None:
    """But for those listed; a module that no longer needs its reason goes out of the list."""
    inside = {
        module
        for module, tree in modules().items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert inside - set(IMPORTS_INSIDE) == set(), "imports inside a function"
    assert set(IMPORTS_INSIDE) - inside == set(), "these import at the top and need no reason"
