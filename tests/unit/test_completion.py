"""Shell completion: what bash, zsh and fish offer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.shell_completion import CompletionItem, ShellComplete
from serial.tools import list_ports

from tinyllm.boards.description import board_names
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.host.cli.app import VERBS, tinyllm
from tinyllm.models import bundled


def offered(*words: str) -> list[CompletionItem]:
    """What is offered for the last word, after those before it."""
    return ShellComplete(tinyllm, {}, "tinyllm", "_TINYLLM_COMPLETE").get_completions(list(words[:-1]), words[-1])


def names(*words: str) -> list[str]:
    return [item.value for item in offered(*words)]


def test_verbs_are_offered_with_what_they_do() -> None:
    assert names("") == list(VERBS)
    assert [(item.value, item.help) for item in offered("fl")] == [("flash", VERBS["flash"])]


@pytest.mark.parametrize("verb", ["run", "chat", "build", "flash", "verify", "bench"])
def test_boards_are_offered_by_name(verb: str) -> None:
    assert names(verb, "--board", "") == board_names()
    assert names(verb, "--board", "esp32s") == [name for name in board_names() if name.startswith("esp32s")]


def test_kernels_are_offered_by_set_and_by_board() -> None:
    assert names("verify", "--kernels", "") == list(dict.fromkeys(["all", *KERNEL_SETS, *board_names()]))
    assert names("verify", "--kernels", "a") == ["all", "armv6m", "armv8m"]


@pytest.mark.parametrize("verb", ["inspect", "run", "chat", "build", "flash", "verify", "bench"])
def test_models_are_offered_by_name_and_else_files(verb: str) -> None:
    assert names(verb, "") == list(bundled())
    assert [(item.type, item.value) for item in offered(verb, "no-such")] == [("file", "no-such")]


def test_ports_are_offered_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pico = SimpleNamespace(device="COM7", description="Pico", vid=0x2E8A, pid=0x000A, serial_number="E660")
    monkeypatch.setattr(list_ports, "comports", lambda: [pico])
    assert names("chat", "--port", "") == ["auto", "COM7"]


def test_an_error_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise PermissionError("/sys/class/tty")

    monkeypatch.setattr(list_ports, "comports", fail)
    assert names("chat", "--port", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    command = [sys.executable, "-m", "tinyllm"]
    variables = os.environ | {"_TINYLLM_COMPLETE": f"{shell}_source"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables)
    assert done.returncode == 0
    assert "_tinyllm_completion" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_board(tmp_path: Path) -> None:
    (tmp_path / "tinyllm").write_text(f"#!/bin/sh\nexec '{sys.executable}' -m tinyllm \"$@\"\n")
    (tmp_path / "tinyllm").chmod(0o755)
    script = '''eval "$(_TINYLLM_COMPLETE=bash_source tinyllm)"
COMP_WORDS=(tinyllm run --board esp32p); COMP_CWORD=3; _tinyllm_completion tinyllm; echo "${COMPREPLY[@]}"'''
    variables = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, env=variables)
    assert (done.stdout, done.stderr) == ("esp32p4\n", "")


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "tinyllm", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("tinyllm ")
