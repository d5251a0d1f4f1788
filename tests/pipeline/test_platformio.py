"""PlatformIO builds what is emitted: a small C project with a copy of our development platform beside it."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files
from pathlib import Path

import platformio
import pytest

from tests.conftest import OBJECTS
from tests.pipeline.two_processes import run_both
from tinyllm.boards.description import load_board
from tinyllm.cache_folder import home_path
from tinyllm.codegen.emit.project import hash_of
from tinyllm.errors import Failure, UserError
from tinyllm.host.build import core_folder as toolchain
from tinyllm.host.build import registry
from tinyllm.host.build.build import build
from tinyllm.host.build.platformio import run
from tinyllm.host.build.program import ProgramSize, program_size
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.link import Link
from tinyllm.host.model.load import load_model

HELLO = """\
#include <stdio.h>
#include "engine/answer.h"

int main(void)
{
    printf("the answer is %d\\n", answer());
    return 0;
}
"""
SOURCES = {
    "main.c": HELLO,
    "engine/answer.h": "int answer(void);\n",
    "engine/deep/answer.c": '#include "engine/answer.h"\n\nint answer(void)\n{\n    return 42;\n}\n',
}
INI = """\
[env:host]
platform = symlink://${PROJECT_DIR}/platform
board = host
"""
NOBODY_LISTENS = "http://127.0.0.1:9"


def write_project(folder: Path, sources: dict[str, str] = SOURCES, options: str = "", board_flags: str = "") -> Path:
    for name, text in sources.items():
        file = folder / "src" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "platformio.ini").write_text(INI + options)
    with as_file(files("tinyllm.firmware") / "platform") as platform:
        shutil.copytree(platform, folder / "platform")
    board_file = folder / "platform" / "boards" / "host.json"
    board = json.loads(board_file.read_text())
    board["build"]["extra_flags"] += board_flags
    board_file.write_text(json.dumps(board))
    return folder


def output_of(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True, timeout=60).stdout


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A proxy that refuses at once: the same answer with and without a network."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, NOBODY_LISTENS)
    for name in ("PLATFORMIO_CORE_DIR", "PLATFORMIO_BUILD_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    registry.registry_trouble.cache_clear()
    yield
    registry.registry_trouble.cache_clear()


@pytest.fixture
def shared_objects(offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The objects of all tests: only what depends on the context is compiled."""
    monkeypatch.setenv("PLATFORMIO_BUILD_CACHE_DIR", str(OBJECTS))


@pytest.fixture(scope="module")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def home(prepared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TINYLLM_HOME that the tests share, so that SCons is laid down once."""
    monkeypatch.setenv("TINYLLM_HOME", str(prepared_home))
    return prepared_home


def test_a_project_builds_without_a_warning_and_its_program_prints(home: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    result = run(write_project(tmp_path), "host", progress=steps.append)
    assert output_of(result.program) == "the answer is 42\n"
    assert result.warnings == ()
    assert sum(step.startswith("Compiling") for step in steps) == 2
    assert steps[-1].startswith("Linking")
    assert "Linking" in result.log.read_text()
    if sys.platform == "linux" and shutil.which("size"):
        told = subprocess.run(["size", result.program], capture_output=True, text=True, check=True).stdout
        text, data, bss = (int(number) for number in told.splitlines()[1].split()[:3])
        assert program_size(result.program, None) == ProgramSize(flash=text + data, ram=data + bss)


def test_in_a_path_of_spaces_and_signs_the_projects_flags_overrule_the_boards(home: Path, tmp_path: Path) -> None:
    sources = {"main.c": '#include <stdio.h>\nint main(void) { printf("%ld", __STDC_VERSION__); return 0; }\n'}
    project = write_project(tmp_path / "a b@c=d+ü'e", sources, "build_flags = -std=c11\n", board_flags=" -std=c99")
    assert output_of(run(project, "host").program) == "201112"


def test_a_path_that_platformio_cannot_build_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a \$ in its path; move the project"):
        run(write_project(tmp_path / "us$"), "host")
    with pytest.raises(UserError, match="a space at the end of its name; move the project"):
        run(write_project(tmp_path / "us "), "host")


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode here")
def test_a_path_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a name that is not UTF-8; move the project"):
        run(write_project(tmp_path / os.fsdecode(b"us\xff")), "host")


def test_the_compilers_warnings_are_reported_once_each(home: Path, tmp_path: Path) -> None:
    header = "static inline int twice(int x) { int idle; return 2 * x; }\n"
    use = '#include "twice.h"\nint NAME(void);\nint NAME(void) { return twice(1); }\n'
    sources = {
        "twice.h": header,
        "a.c": use.replace("NAME", "a"),
        "b.c": use.replace("NAME", "b"),
        "main.c": "int main(void) { return 0; }\n",
    }
    result = run(write_project(tmp_path, sources, "build_flags = -Wall\n"), "host")
    assert len(result.warnings) == 1
    assert "twice.h:1:" in result.warnings[0]
    assert "idle" in result.warnings[0]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("int main(void) { return nothing; }\n", "src/main.c:1:"),
        ("int absent(void);\nint main(void) { return absent(); }\n", "absent"),
    ],
    ids=["compiler", "linker"],
)
def test_an_error_in_the_code_is_a_failure_that_names_it_and_the_log(
    home: Path, tmp_path: Path, source: str, told: str
) -> None:
    with pytest.raises(Failure) as failure:
        run(write_project(tmp_path, {"main.c": source}), "host")
    message = str(failure.value)
    assert told in message.splitlines()[0]
    assert len(message.splitlines()) <= 3
    log = tmp_path / ".pio" / "host.log"
    assert str(log) in message
    assert message.splitlines()[0] in log.read_text()


@pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script")
def test_the_log_of_a_build_in_the_cache_that_failed_is_where_the_error_says(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'src/model.c:1:1: error: out of ideas' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(Failure, match="out of ideas") as failure:
        build(load_model(None), load_board("host"), 24)
    told = re.search(r"the whole log is (.+)$", str(failure.value))
    assert told is not None
    assert "out of ideas" in Path(told[1]).read_text()
    assert Path(told[1]).is_relative_to(home)
    assert [path.name for path in (home / "builds").iterdir()] == ["failed.log"]


def test_without_a_compiler_the_project_that_was_written_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    folder = tmp_path / "story"
    with pytest.raises(UserError) as error:
        build(load_model(None), load_board("host"), 24, folder)
    missing, whole = str(error.value).splitlines()
    assert "no C compiler on PATH" in missing
    assert whole == f"The project in {folder} is written and whole: run `pio run` in it when that is mended."
    assert all((folder / name).is_file() for name in json.loads((folder / ".tinyllm.json").read_text())["files"])


def test_without_a_compiler_the_user_is_told_what_to_install(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"no C compiler on PATH .*cc, gcc, clang.*; to get one: .*install"):
        run(write_project(tmp_path), "host")


def test_a_custom_upload_command_is_run_on_the_program(home: Path, tmp_path: Path) -> None:
    receiver = tmp_path / "receive.py"
    receiver.write_text(f"import sys\nopen({str(tmp_path / 'received')!r}, 'w').write(sys.argv[1])\n")
    options = f"upload_protocol = custom\nupload_command = $PYTHONEXE {receiver} $SOURCE\n"
    run(write_project(tmp_path, options=options), "host", targets=["upload"])
    assert (tmp_path / "received").read_text() == str(Path(".pio/build/host/program"))


def test_an_upload_that_fails_is_a_failure(home: Path, tmp_path: Path) -> None:
    options = 'upload_protocol = custom\nupload_command = $PYTHONEXE -c "raise SystemExit(3)"\n'
    with pytest.raises(Failure, match=r"(?s)Error 3.*host: build and upload failed"):
        run(write_project(tmp_path, options=options), "host", targets=["upload"])


@pytest.mark.parametrize(
    ("options", "told"),
    [("", "has no upload of its own"), ("upload_protocol = custom\n", "needs an upload_command in platformio.ini")],
)
def test_an_upload_nobody_described_is_refused(home: Path, tmp_path: Path, options: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        run(write_project(tmp_path, options=options), "host", targets=["upload"])


def test_a_folder_without_a_project_or_an_unknown_environment_is_the_users_mistake(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a PlatformIO project"):
        run(tmp_path, "host")
    project = write_project(tmp_path)
    with pytest.raises(UserError, match=r"platformio.ini: no environment 'pico'; it has host"):
        run(project, "pico")
    for hostile, environment in [(b"[env:host\n", "host"), (b"[env:host]\n\xff", "host"), (b"[env:../x]\n", "../x")]:
        (project / "platformio.ini").write_bytes(hostile)
        with pytest.raises(UserError, match=r"platformio.ini: PlatformIO cannot read it"):
            run(project, environment)
    assert not (project / ".pio").exists()


def test_what_was_compiled_once_is_not_compiled_again_for_another_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call graph comes with it, so that the stack's depth is known."""
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
    results = [run(write_project(tmp_path / name), "host") for name in ("first", "second")]
    first, second = (result.log.read_text("utf-8") for result in results)
    assert "Compiling" in first
    assert "Compiling" not in second
    graphs = [{path.name: path.read_bytes() for path in result.objects.rglob("*.ci")} for result in results]
    assert graphs[0]
    assert graphs[0] == graphs[1]


def test_nothing_is_written_outside_the_project_and_the_tools_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere, scratch = (tmp_path / name for name in ("home", "elsewhere", "scratch"))
    for folder in (home, elsewhere, scratch):
        folder.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("TINYLLM_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("PLATFORMIO_BUILD_DIR", str(elsewhere / "build"))
    monkeypatch.chdir(elsewhere)
    project = write_project(tmp_path / "project")
    before = files_below(project)
    said: list[str] = []
    run(project, "host", progress=said.append)
    assert toolchain.core_dir().is_relative_to(home_path())
    assert home_path().is_relative_to(home)
    assert said.count(toolchain.OFFLINE) == 1
    assert all(file.is_relative_to(home_path()) for file in files_below(tmp_path) - files_below(project))
    assert all(file.is_relative_to(project / ".pio") for file in files_below(project) - before)
    said.clear()
    run(project, "host", progress=said.append)
    assert said == []


def test_a_build_leaves_the_users_home_alone_until_it_has_ended(tmp_path: Path) -> None:
    """Of a real board, which takes the most of PlatformIO into our own process."""
    home = tmp_path / "home"
    home.mkdir()
    mine = {"HOME": str(home), "USERPROFILE": str(home), "TINYLLM_HOME": str(tmp_path / "mine")}
    command = [sys.executable, "-m", "tinyllm.host.cli.app", "build", "--board", "pico", "--context", "24"]
    done = subprocess.run(command, env=os.environ | mine, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2].startswith("error: pico needs a platform")
    assert not list(home.iterdir())


def test_two_builds_at_once_in_a_fresh_core_folder_get_each_its_own_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
    sources = {"main.c": '#include <stdio.h>\nint main(void) { printf("%d", WHO); return 0; }\n'}
    projects = [write_project(tmp_path / f"checkout{n}", sources, board_flags=f" -DWHO={n}") for n in range(2)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda project: run(project, "host"), projects))
    assert [output_of(result.program) for result in results] == ["0", "1"]
    core = tmp_path / "home" / "platformio"
    assert [path.name.split("@")[0] for path in (core / "packages").iterdir()] == ["tool-scons"]
    assert not list(core.glob("tmp*"))


@pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script")
def test_of_two_builds_into_one_folder_the_second_waits_and_says_so(
    home: Path, shared_objects: None, tmp_path: Path
) -> None:
    story = tmp_path / "story"
    _, second = run_both(
        ["build", "--context", "24", "-o", str(story)],
        ["build", "--context", "32", "-o", str(story)],
        f"another tinyllm is building in {story}; waiting for it.",
        tmp_path,
    )
    assert "for host, context 32" in second
    manifest = json.loads((story / ".tinyllm.json").read_text())
    assert manifest["context"] == 32
    assert all(hash_of((story / name).read_bytes()) == digest for name, digest in manifest["files"].items())
    with BoardProcess([story / ".pio/build/host/program"]) as process, Link(process.url) as link:
        assert (link.hello.context, link.hello.build_id) == (32, manifest["build_id"])


@pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script")
def test_of_two_processes_that_need_the_same_build_one_makes_it(
    shared_objects: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
    command = ["build", "--context", "24", "--json"]
    told = run_both(command, command, "another tinyllm is building tinystories-260k for host, context 24", tmp_path)
    first, second = (json.loads(said[said.index("{") :]) for said in told)
    # The second took the record of the first as it was, with the time that its compilers took.
    assert (second["seconds"], second["build_id"]) == (first["seconds"], first["build_id"])


def test_platformio_by_hand_finds_the_platform_of_the_checkout_it_builds(home: Path, tmp_path: Path) -> None:
    sources = {"main.c": '#include <stdio.h>\nint main(void) { printf("%d", WHO); return 0; }\n'}
    core = toolchain.prepare(lambda line: None)
    variables = {**os.environ, "PLATFORMIO_CORE_DIR": str(core), "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true"}
    variables["PLATFORMIO_SETTING_ENABLE_TELEMETRY"] = "No"
    for n in range(2):
        project = write_project(tmp_path / f"checkout{n}", sources, board_flags=f" -DWHO={n}")
        command = [sys.executable, "-m", "platformio", "run", "-d", str(project)]
        subprocess.run(command, env=variables, check=True, capture_output=True, timeout=60)
        assert output_of(project / ".pio" / "build" / "host" / "program") == str(n)


def test_a_core_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"file/platformio: .*; set TINYLLM_HOME"):
        run(write_project(tmp_path), "host")


@pytest.mark.parametrize("record", ["{", "{}", "[]", '{"type": 1}', '{"type": "tool", "name": 7, "version": []}'])
def test_a_damaged_package_is_a_failure_that_says_what_to_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str
) -> None:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    packages = tmp_path / "platformio" / "packages"
    (packages / "tool-scons").mkdir(parents=True)
    (packages / "tool-scons" / ".piopm").write_text(record)
    with pytest.raises(Failure, match=r"packages: PlatformIO's packages are damaged .*; delete the folder"):
        toolchain.prepare(lambda line: None)


def test_the_core_folder_the_user_chose_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "mine"))
    state = tmp_path / "mine" / "appstate.json"
    state.parent.mkdir()
    state.write_text('{"last_version": "6.1.0", "settings": {"enable_cache": false}}')
    assert toolchain.prepare(lambda line: None) == tmp_path / "mine"
    assert json.loads(state.read_text()) == {
        "last_version": platformio.__version__,
        "settings": {"enable_cache": False},
    }


def test_a_scons_that_platformio_would_refuse_is_named_with_the_one_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "site" / "scons-4.8.0.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: scons\nVersion: 4.8.0\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError, match=r"needs SCons (\d+\.\d+\.\d+), found 4\.8\.0(?s:.*)pip install scons==\1"):
        toolchain.prepare(lambda line: None)
    assert not list((tmp_path / "home" / "platformio" / "packages").iterdir())


@contextlib.contextmanager
def web_server(status: int) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, True), (503, False)])
def test_the_registry_answers_when_it_says_anything_but_that_it_is_out_of_order(
    monkeypatch: pytest.MonkeyPatch, status: int, answers: bool
) -> None:
    with web_server(status) as address:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(registry, "REGISTRY", address)
        monkeypatch.setattr(registry, "REGISTRY_PATIENCE", 60.0)  # A slow computer is no silent registry.
        assert (registry.registry_trouble() is None) is answers


def test_a_registry_that_keeps_silent_is_asked_once_and_waited_for_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(registry, "REGISTRY", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert [registry.registry_trouble() for _ in range(3)] == ["no answer within 2 s"] * 3
        silent.setblocking(False)
        with silent.accept()[0], pytest.raises(BlockingIOError):
            silent.accept()
