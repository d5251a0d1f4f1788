"""What every test folder shares: the bundled model, the project's own stories, and data that lies outside."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.unit.checkpoint_files import legacy_bytes, rotating_neighbours
from tests.unit.tokenizer_files import llama2c_bytes
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.tokenizers import Tokenizer, read_tokenizer
from tinyllm.files import write_file
from tinyllm.host.model.load import DEFAULT_MODEL
from tinyllm.host.prove.expected_answers import Answers, Expected

# A busy machine must not fail a property: timing is never asserted. CI draws the same examples each time, so that a
# failure comes from the change; everybody else's runs explore.
settings.register_profile("tinyllm", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=30)
settings.register_profile("thorough", settings.get_profile("tinyllm"), max_examples=200)
settings.load_profile("tinyllm")

TESTS = Path(__file__).resolve().parent
SHARED_DATA = Path(os.environ.get("TINYLLM_TEST_DATA", TESTS.parents[0] / "../shared/data"))
"""Checkpoints, golden outputs and texts of others, for the tests of accuracy alone."""

CCACHE = ("/usr/lib/ccache", "/usr/lib64/ccache", "/opt/homebrew/opt/ccache/libexec", "/usr/local/opt/ccache/libexec")
"""Where ccache stands in for the compilers, on Debian, Fedora and macOS."""

LONGEST_NAME = 80
"""Letters or bytes of a value that stands in the name of its test."""

STORY_MODEL = TESTS / "data/tinystories-260k"
"""A small model that stays as it is, so that the right values in tests do too: the default of every verb here."""


CACHE = TESTS.parent / ".pytest_cache"
OBJECTS = CACHE / "objects"
"""What PlatformIO compiled, for every test that does not look at this cache itself."""


def pytest_configure() -> None:
    """One home of the tool for every file, worker and run: what one of them built the others take as it is.

    A build lies there under the hash of all its files. Tests of the home itself and of builds have their own, and share
    what was compiled. If ccache is installed, they share what they compile without PlatformIO too.
    """
    os.environ["TINYLLM_HOME"] = str(CACHE / "tinyllm")
    os.environ["PLATFORMIO_BUILD_CACHE_DIR"] = str(OBJECTS)
    os.environ[DEFAULT_MODEL] = str(STORY_MODEL)
    if folder := next((name for name in CCACHE if Path(name).is_dir()), None):
        # The compilers themselves are looked for without what a test puts before them. Another folder is another object
        # only through its debug information, which no test reads.
        os.environ.setdefault("CCACHE_PATH", os.environ["PATH"])
        os.environ.update(CCACHE_DIR=str(CACHE / "ccache"), CCACHE_NOHASHDIR="1", CCACHE_BASEDIR=tempfile.gettempdir())
        os.environ["PATH"] = os.pathsep.join([folder, os.environ["PATH"]])


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long texts and bytes are named after their argument.

    A name must fit the environment of a process, and be the same in every worker: an archive has the time in it.
    """
    return argname if isinstance(val, str | bytes) and len(val) > LONGEST_NAME else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups for --dist loadgroup, before xdist looks for them.

    A board's tests, so that it is started once, and else a file's, for its fixtures.
    """
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        board = parameters.get("tinyllm_board_request")
        group = item.path.name
        if hasattr(board, "options"):  # a target of labgrid has none
            group = f"{board.board} {board.emulator} {Path(board.model or STORY_MODEL).name} {board.options.context}"
            group += f" {board.options.weights or 'int8'}"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def _answers_are_computed_once() -> Iterator[None]:
    """The workers of one run share what they compute of the reference's answers: every board must give the same."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        yield
        return
    folder = Path(os.environ["TINYLLM_HOME"]) / "answers" / run
    folder.mkdir(parents=True, exist_ok=True)
    compute = Expected._compute

    def shared(self: Expected, *question: object) -> Answers:
        model = self.model
        key = hashlib.sha256(repr((model.digest(), model.config, question)).encode()).hexdigest()
        path = folder / f"{key}.json"
        with FileLock(folder / f"{key}.lock"):
            if not path.exists():
                write_file(path, json.dumps(compute(self, *question)))
        return tuple(map(tuple, json.loads(path.read_text())))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Expected, "_compute", shared)
        yield


def skip_unless_ci(reason: str) -> None:
    """Skip on a person's machine; in CI a missing tool or folder is a failure, not a skip."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of SHARED_DATA."""
    if not SHARED_DATA.is_dir():
        skip_unless_ci(f"no accuracy data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def stories_text() -> str:
    """64 short stories, divided by <|endoftext|>; tests/data/README.md says where they come from."""
    return (TESTS / "data/stories.txt").read_text("utf-8")


@pytest.fixture(scope="session")
def stories() -> Model:
    """The bundled model; read it anew to change it."""
    return read_model(STORY_MODEL)


@pytest.fixture(scope="session")
def stories_tokenizer() -> Tokenizer:
    """The tokenizer of the bundled model."""
    return read_tokenizer(STORY_MODEL / "tokenizer.model")


@pytest.fixture(scope="session")
def stories_llama2c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as a llama2.c file; tok512.bin and tok512.model beside it are its tokenizer."""
    folder = tmp_path_factory.mktemp("llama2c")
    (folder / "stories.bin").write_bytes(legacy_bytes(rotating_neighbours(read_model(STORY_MODEL))))
    (folder / "tok512.model").write_bytes((STORY_MODEL / "tokenizer.model").read_bytes())
    (folder / "tok512.bin").write_bytes(llama2c_bytes(STORY_MODEL / "tokenizer.model"))
    return folder / "stories.bin"
