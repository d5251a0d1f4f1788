"""A disk that is full: one line says so, and no file is left half written."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tinyllm.errors import Failure, UserError
from tinyllm.files import StagedFiles, write_file

if sys.platform != "win32":
    import resource

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and file systems of POSIX")

WEIGHTS, PORT = 100_000, 4_000
"""Bytes of a file; the emitted weights and the port of a Pico are more."""


def build(home: Path, *arguments: str, before: Callable[[], None] | None = None, **more: str) -> tuple[int, list[str]]:
    """Exit code and stderr of `tinyllm build` in a process of its own, with `more` in its environment."""
    command = [sys.executable, "-m", "tinyllm.host.cli.app", "build", "--context", "64", *arguments]
    variables = os.environ | {"TINYLLM_HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:9"} | more
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, preexec_fn=before)
    return done.returncode, done.stderr.splitlines()


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def unwritable(folder: Path, why: str) -> str:
    return f"error: {folder}: cannot write the project: {why}. Make room there, or give another folder."


def test_a_project_that_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    code, err = build(tmp_path / "home", "-o", str(tmp_path / "story"), before=partial(limit_files, WEIGHTS))
    assert code == UserError.exit_code
    assert err[-1] == unwritable(tmp_path / "story", "File too large")
    assert not (tmp_path / "story").exists()


def test_a_project_that_is_there_is_untouched_if_a_new_one_cannot_be_written_whole(tmp_path: Path) -> None:
    story = tmp_path / "story"
    assert build(tmp_path / "home", "-o", str(story))[0] == 0
    before = {path: path.read_bytes() for path in story.rglob("*") if path.is_file()}
    code, err = build(tmp_path / "home", "--board", "pico", "-o", str(story), before=partial(limit_files, PORT))
    assert code == UserError.exit_code
    assert err[-1] == unwritable(story, "File too large")
    assert {path: path.read_bytes() for path in story.rglob("*") if path.is_file()} == before


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A file system at `folder` while the context lasts; the test is skipped if this user may not mount one."""
    if subprocess.run(["mount", *options, folder], capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        yield
    finally:
        # A compiler that was started beside the one that failed may still be there.
        subprocess.run(["umount", "--lazy", folder], check=True)


def small_disk(folder: Path, size: str) -> contextlib.AbstractContextManager[None]:
    """A file system of that size at `folder`, as mounted."""
    return mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


@pytest.mark.parametrize("size", ["700k", "3m", pytest.param("6m", marks=pytest.mark.sweep)])
def test_a_cache_on_a_full_disk_is_told_in_one_line(size: str, tmp_path: Path) -> None:
    """With 700 KB the project does not fit, with more PlatformIO's SCons does not."""
    with small_disk(tmp_path, size):
        code, err = build(tmp_path / "home")
        assert code != 0
        assert len(err) < 6 and max(map(len, err)) < 250
        (told,) = (line for line in err if line.startswith("error: "))
        assert "No space left on device" in told and "TINYLLM_HOME" in told
        assert "new-" not in told, "it names a folder that is there"
        assert not [path.name for path in (tmp_path / "home").rglob("*") if ".tmp" in path.name or "new-" in path.name]


def test_a_project_on_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "700k"):
        code, err = build(tmp_path / "home", "-o", str(disk / "story"))
        assert code == UserError.exit_code
        assert err[-1] == unwritable(disk / "story", "No space left on device")
        assert not list(disk.iterdir())


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PlatformIO's folder, filled by a build."""
    folder = tmp_path_factory.mktemp("core")
    assert build(folder / "home", PLATFORMIO_CORE_DIR=str(folder / "core"))[0] == 0
    return folder / "core"


@pytest.mark.parametrize(
    "size", ["1900k", pytest.param("1500k", marks=pytest.mark.sweep), pytest.param("2200k", marks=pytest.mark.sweep)]
)
def test_a_disk_that_fills_up_while_compilers_write_is_told_as_that(size: str, core: Path, tmp_path: Path) -> None:
    """Within PlatformIO's log, the object file of the weights, or the program."""
    disk = tmp_path / "disk"
    disk.mkdir()
    for folder in ([], ["-o", str(disk / "story")]):
        with small_disk(disk, size):
            objects = str(disk / "objects")
            code, err = build(disk / "home", *folder, PLATFORMIO_CORE_DIR=str(core), PLATFORMIO_BUILD_CACHE_DIR=objects)
        assert code == UserError.exit_code
        told = next(line for line in err if line.startswith("error: "))
        assert "No space left on device" in told and "No such file" not in told


def test_an_assembler_that_finds_the_disk_full_is_told_in_its_first_words(
    core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = "/tmp/c.s: Fatal error: can't write 38 bytes to section .rodata of src/weights.o: 'No space left on device'"
    compiler = tmp_path / "cc"
    then = "/tmp/c.s: Fatal error: src/weights.o: No such file or directory"
    compiler.write_text(f'#!/bin/sh\necho "{full}" >&2\necho "{then}" >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    code, err = build(tmp_path / "home", PLATFORMIO_CORE_DIR=str(core))
    assert code == UserError.exit_code
    assert err[-1] == f"error: a disk is full, make room on it: {full}"


def test_a_build_that_is_in_a_cache_that_may_only_be_read_is_taken(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert build(home)[0] == 0
    with mounted(home, "--bind", str(home)):
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        assert build(home)[0] == 0
        code, err = build(home, "--board", "pico", "--virtual")
    assert code == UserError.exit_code
    assert err[-1] == (
        f"error: {home}/locks: cannot be written (Read-only file system). Set TINYLLM_HOME to a folder of yours."
    )


def test_a_verb_that_finds_no_room_for_what_it_compiles_says_so_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tinyllm.host.cli.app", "verify", "--positions", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, preexec_fn=partial(limit_files, WEIGHTS)
    )
    assert done.returncode == Failure.exit_code
    assert re.fullmatch(
        r"error: \S+weights.c\S*: File too large\. .* make room and try again\.", done.stderr.splitlines()[-1]
    )


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("as it was")
    (tmp_path / "new").mkdir()
    with pytest.raises(OSError, match="directory"), StagedFiles() as staged:
        staged.add(tmp_path / "fresh/deep/file", "never seen")
        staged.add(tmp_path / "old", "half of it")
        staged.add(tmp_path / "old/impossible", "not below a file")
        staged.put_in_place()
    assert (tmp_path / "old").read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    write_file(tmp_path / "fresh/deep/file", "text of é")
    assert (tmp_path / "fresh/deep/file").read_bytes() == "text of é".encode()
    assert [path.name for path in (tmp_path / "fresh/deep").iterdir()] == ["file"]
