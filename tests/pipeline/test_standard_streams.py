"""The command line if a standard stream is closed, full or of a narrow encoding: no traceback, and no lost text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

posix = pytest.mark.skipif(os.name == "nt", reason="redirections of a POSIX shell")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")

QUICK = ["--version", "boards", "models --json", "run -p x --board nosuch --json", "chat no.bin"]
"""Commands that take no board, and mistakes."""


def shell(command: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line with the redirections in it; `tinyllm` stands for ours."""
    whole = command.replace("tinyllm", f"'{sys.executable}' -m tinyllm.host.cli.app", 1)
    variables = os.environ | {"TINYLLM_HOME": str(home)} | environment
    return subprocess.run(["sh", "-c", whole], capture_output=True, text=True, timeout=120, env=variables)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def sound(done: subprocess.CompletedProcess[str]) -> bool:
    said = done.stdout + done.stderr
    return not any(word in said for word in ("Traceback", "This is a bug", "Exception ignored", "Error in sys"))


@posix
@pytest.mark.parametrize("command", QUICK)
def test_closed_streams_change_no_exit_code(command: str, home: Path) -> None:
    usual = shell(f"tinyllm {command}", home)
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        done = shell(f"tinyllm {command} {closed}", home)
        assert sound(done), (closed, done)
        assert done.returncode == usual.returncode
        assert done.stdout == ("" if ">&-" in closed.split() else usual.stdout)


@posix
@full
@pytest.mark.parametrize("command", QUICK)
def test_a_full_output_is_one_line(command: str, home: Path) -> None:
    usual = shell(f"tinyllm {command}", home)
    done = shell(f"tinyllm {command} >/dev/full", home)
    lost = "error: standard output cannot be written (No space left on device).\n"
    assert done.stderr in ((usual.stderr + lost, lost) if usual.stdout else (usual.stderr,))
    assert done.returncode == (usual.returncode or 1)
    silent = shell(f"tinyllm {command} 2>/dev/full", home)
    assert (silent.returncode, silent.stdout, silent.stderr) == (usual.returncode, usual.stdout, "")


@posix
def test_an_answer_arrives_whatever_happens_to_the_other_streams(home: Path) -> None:
    run = "tinyllm run -p Once -n 12 --temperature 0 --context 64"
    usual = shell(run, home)
    assert len(usual.stdout) > 20
    for others in ("<&-", "2>&-", "<&- 2>&-", *(["2>/dev/full"] if Path("/dev/full").exists() else [])):
        done = shell(f"{run} {others}", home)
        assert (done.returncode, done.stdout) == (0, usual.stdout)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_python_may_be_told_not_to_buffer(unbuffered: str, home: Path) -> None:
    done = shell("tinyllm models --json", home, PYTHONUNBUFFERED=unbuffered)
    assert json.loads(done.stdout)["models"]
    assert sound(shell("tinyllm models >&-", home, PYTHONUNBUFFERED=unbuffered))


@posix
def test_a_pipe_that_does_not_block_is_waited_for(home: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    code = "import sys; from tinyllm.host.standard_streams import open_standard_streams, run_to_the_end\n"
    code += "open_standard_streams(); sys.exit(run_to_the_end(lambda: sys.stdout.write('x' * 1000000) * 0))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=writer) as process:
        os.close(writer)
        time.sleep(0.5)
        with os.fdopen(reader, "rb") as pipe:
            assert len(pipe.read()) == 1000000
    assert process.returncode == 0


@posix
@full
def test_a_chat_ends_at_once_if_its_answers_cannot_be_written(home: Path) -> None:
    done = shell("echo Once | tinyllm chat --context 64 >/dev/full", home)
    assert done.returncode == 1
    assert done.stderr.endswith("error: standard output cannot be written (No space left on device).\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_an_encoding_shows_question_marks_for_what_it_lacks_and_the_rest_arrives(encoding: str, home: Path) -> None:
    """At this temperature the model writes bytes of any kind, so characters of any kind come."""
    command = [
        sys.executable,
        "-m",
        "tinyllm.host.cli.app",
        "run",
        "-p",
        "é\u65e5",
        "-n",
        "200",
        "--temperature",
        "100",
    ]
    command += ["--top-p", "1", "--context", "64"]
    variables = os.environ | {"TINYLLM_HOME": str(home)}
    whole = subprocess.run(command, capture_output=True, env=variables | {"PYTHONIOENCODING": "utf-8"}, timeout=120)
    text = whole.stdout.decode()
    assert any(ord(character) > 0xFF for character in text)
    done = subprocess.run(command, capture_output=True, env=variables | {"PYTHONIOENCODING": encoding}, timeout=120)
    assert done.stdout == text.encode(encoding, "replace")
    assert (done.returncode, whole.returncode) == (0, 0)
    as_json = subprocess.run(
        [*command, "--json"], capture_output=True, env=variables | {"PYTHONIOENCODING": encoding}, timeout=120
    )
    document = json.loads(as_json.stdout.decode(encoding))
    assert document["prompt"] == "é\u65e5"
    assert document["text"] + "\n" == text


@posix
def test_input_that_is_no_text_is_a_prompt_all_the_same(home: Path) -> None:
    done = shell("printf '/max 2\\n\\377x\\n' | tinyllm chat --context 64 --json", home)
    assert sound(done)
    assert len(json.loads(done.stdout)["turns"][0]["tokens"]) == 2
