"""The wheel and the sdist hold the whole package, which runs where nothing else of this tree is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FOLDERS: dict[str, str] = PYPROJECT["tool"]["setuptools"]["package-dir"]
"""Of each package that is mapped its folder."""

STORY_TEST = """
def test_it_says_something(board):
    assert "".join(board.ask("Hello", max_tokens=4))
"""


def package_files(folder: str) -> list[Path]:
    """The files of a folder, relative to it, without what Python leaves there."""
    files = (path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(path for path in files if "__pycache__" not in path.parts)


BESIDE = ("docs", "tests")
"""Folders of the sdist that no wheel holds."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that this tree stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", PYPROJECT["project"]["readme"], "LICENSE", "MANIFEST.in", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source)
    for folder in (*FOLDERS.values(), *BESIDE):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def built_wheel(source: Path, target: Path) -> Path:
    """Without a network, from a folder."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", target, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(source, tmp_path_factory.mktemp("wheel"))


def held_by(wheel: Path) -> set[str]:
    """Its files but those about itself."""
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_pyproject_lists_every_package_of_the_tree() -> None:
    found = {
        ".".join((package, *path.parent.parts))
        for package, folder in FOLDERS.items()
        for path in package_files(folder)
        if path.name == "__init__.py"
    }
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    expected = {
        f"{package.replace('.', '/')}/{path.as_posix()}"
        for package, folder in FOLDERS.items()
        for path in package_files(folder)
    }
    assert held_by(wheel) == expected


def test_a_wheel_that_is_built_from_the_sdist_is_the_same(source: Path, wheel: Path, tmp_path: Path) -> None:
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=source, timeout=120)
    assert done.returncode == 0, done.stderr
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert all((unpacked / name).is_file() for name in ("CHANGELOG.md", "docs/boards.md", "tests/conftest.py"))
    (tmp_path / "wheel").mkdir()
    assert held_by(built_wheel(unpacked, tmp_path / "wheel")) == held_by(wheel)


def test_an_installed_wheel_runs_every_part(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own that borrows the dependencies of this one."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--no-deps", "--no-index", wheel], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    # Lines of a .pth file are only added to the path: what is installed for editing here is not seen there.
    (packages / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))

    def tinyllm(*arguments: str) -> str:
        done = subprocess.run(
            [tmp_path / "venv/bin/tinyllm", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "import sys, tinyllm.host; print(tinyllm.host.__path__[0])"
    assert subprocess.check_output([python, "-c", code], text=True, cwd=tmp_path).strip() == str(
        packages / "tinyllm/host"
    )
    assert PYPROJECT["project"]["version"] in tinyllm("--version")
    assert "pico2" in tinyllm("boards")
    said = ("run", "stories", "-p", "Once upon a time", "-n", "4", "--temperature", "0")
    assert tinyllm(*said).strip() == tinyllm(*said, "--board", "pico2", "--virtual").strip()
    (tmp_path / "test_story.py").write_text(STORY_TEST)
    pytest_there = [python, "-m", "pytest", "-q", "--tinyllm-board", "host", "test_story.py", "--basetemp", "temp"]
    done = subprocess.run(pytest_there, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
