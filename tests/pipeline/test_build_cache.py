"""PlatformIO's build cache: an object is taken only by a project in which every header that it includes is the same."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.conftest import BASE, random_model
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.host.build.platformio import run

FOLDERS = ("src", "src/engine", "src/kernels", "src/console", "src/port")


def includes(project: Path, source: str) -> set[str]:
    """A source and the project's headers that it includes, as the compiler finds them."""
    command = ["cc", "-MM", *(part for folder in FOLDERS for part in ("-iquote", folder)), source]
    rule = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    return {Path(name).as_posix() for name in rule.replace("\\\n", " ").split(":", 1)[1].split()}


def test_what_includes_a_header_of_another_model_is_compiled(
    stories_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORMIO_BUILD_CACHE_DIR", str(tmp_path / "objects"))

    def project(name: str, dim: int) -> Project:
        model = random_model(replace(BASE, name=name, dim=dim))
        return emit_project(quantize(model), stories_tokenizer, load_board("host"))

    one, other = project("one", 24), project("other", 48)
    for emitted in (one, other):
        write_project(emitted, tmp_path / emitted.manifest.model)
    run(tmp_path / "one", "host")
    log = run(tmp_path / "other", "host").log.read_text("utf-8")
    compiled = {f"{line.split()[1].removesuffix('.o')}.c" for line in log.splitlines() if "Compiling" in line}
    sources = {name for name in other.files if name.startswith("src/") and name.endswith(".c")}
    changed = {name for name in other.files if one.files[name] != other.files[name]}
    assert "src/model.h" in changed
    needed = {source for source in sources if includes(tmp_path / "other", source) & changed}
    assert {name.removeprefix(".pio/build/host/") for name in compiled} == needed
    assert needed < sources
