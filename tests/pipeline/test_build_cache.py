"""What builds share and leave: an object is taken only by a project in which every file that it is made of is the same,
and a build that was killed stands in the way of no other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.conftest import BASE, random_model
from tests.pipeline.killed import killed_at
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.host.build import cache
from tinyllm.host.build.build import compile_project
from tinyllm.host.build.cache import RECORD, builds_folder, find_build, lock_of, place_of, remove_abandoned
from tinyllm.host.build.lock import one_at_a_time
from tinyllm.host.build.objects import mend_objects
from tinyllm.host.build.platformio import run

CONTEXTS = (64, 72)
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
    objects = {line.split()[1] for line in log.splitlines() if "Compiling" in line}
    compiled = {f"{name.removeprefix('.pio/build/host/').removesuffix('.o')}.c" for name in objects}
    sources = {name for name in other.files if name.startswith("src/") and name.endswith(".c")}
    changed = {name for name in other.files if one.files[name] != other.files[name]}
    assert "src/model.h" in changed
    needed = {source for source in sources if includes(tmp_path / "other", source) & changed}
    # SCons also reads includes that the compiler skips.
    assert needed <= compiled < sources
    assert not {"src/vocabulary.c", "src/engine/pieces.c", "src/engine/sampler.c"} & compiled, (
        "the tokenizer is the same"
    )


@pytest.fixture(scope="module")
def emissions(stories_tokenizer: Tokenizer) -> list[Project]:
    """One small model for two contexts."""
    model = random_model(BASE)
    return [
        emit_project(
            quantize(replace(model, config=replace(model.config, context=context))),
            stories_tokenizer,
            load_board("host"),
        )
        for context in CONTEXTS
    ]


def test_a_project_is_compiled_from_its_own_files_whatever_another_was_compiled_from(
    emissions: list[Project], tmp_path: Path
) -> None:
    """SCons would take an old object for new if the memory of what objects are made of were shared."""
    first, second = emissions
    programs = [
        compile_project(project, tmp_path / folder).program.read_bytes()
        for project, folder in ((first, "a"), (second, "b"), (second, "a"))
    ]
    assert programs[2] == programs[1] != programs[0]
    # A build that was killed may have made objects that SCons knows nothing of.
    (tmp_path / "a/.pio/host.unfinished").touch()
    for name in ("model.o", "weights.o"):
        (tmp_path / "a/.pio/build/host/src" / name).write_bytes(b"half of it")
    assert compile_project(second, tmp_path / "a").program.read_bytes() == programs[1]


def test_what_a_killed_build_left_of_the_files_of_scons_stands_in_the_way_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORMIO_BUILD_CACHE_DIR", str(tmp_path))
    (tmp_path / "config.lock").touch()
    (tmp_path / "config").touch()
    mend_objects()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "config").write_text('{"prefix_len": 2}')
    mend_objects()
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def test_a_build_that_was_killed_leaves_nothing_in_the_cache_after_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for one that is still at work."""
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    for name in ("new-host-1", "new-host-2", "new-8sd7f6x", "half-removed", "host-3"):
        (builds_folder() / name).mkdir(parents=True)
    (builds_folder() / "host-3" / RECORD).touch()
    with one_at_a_time(lock_of(builds_folder() / "host-2"), "", lambda line: None):
        remove_abandoned()
    assert {path.name for path in builds_folder().iterdir()} == {"new-host-2", "host-3"}


def test_a_build_whose_removal_was_killed_is_not_used_and_goes(
    emissions: list[Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
    project, place = emissions[0], place_of(emissions[0])
    compile_project(project)
    shutil.copytree(place, tmp_path / "build")
    monkeypatch.setattr(cache, "KEPT_BUILDS", 1)
    halves = 0
    for change in range(9):
        if not place.exists():
            shutil.copytree(tmp_path / "build", place)
        if not killed_at(change, lambda: cache._prune(builds_folder() / "host-another")):
            break
        whole = (place / RECORD).is_file()
        halves += place.exists() and not whole
        assert (find_build(project) is not None) == whole
        remove_abandoned()
        assert place.exists() == whole
    assert halves and not place.exists()


def test_a_build_is_kept_though_the_clock_was_set_back(
    emissions: list[Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others seem to have been used later."""
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "KEPT_BUILDS", 2)
    for year in (2090, 2091, 2092):
        folder = builds_folder() / f"host-{year}"
        folder.mkdir(parents=True)
        (folder / RECORD).touch()
        os.utime(folder, times=(0, (year - 1970) * 365 * 86400))
    assert compile_project(emissions[0]).program.is_file()
    assert {path.name for path in builds_folder().glob("host-209*")} == {"host-2092"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at the processes of Linux")
def test_a_build_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    """Killed, it cannot end the compiler itself, and another build would begin in the same folder."""
    compiler, begun = tmp_path / "cc", tmp_path / "begun"
    compiler.write_text(f'#!/bin/sh\necho $$ > "{begun}.new"; mv "{begun}.new" "{begun}"\nexec sleep 60\n')
    compiler.chmod(0o755)
    variables = {"TINYLLM_HOME": str(tmp_path / "home"), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tinyllm", "build", "--context", "64"],
        env=os.environ | variables | {"PLATFORMIO_BUILD_CACHE_DIR": str(tmp_path / "objects")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(begun.exists)
    compiling = Path("/proc") / begun.read_text().strip() / "stat"
    assert compiling.exists()
    process.kill()
    process.wait()
    wait_until(lambda: not compiling.exists() or ") Z " in compiling.read_text())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
