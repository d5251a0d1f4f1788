"""The verb serve: its start, its end, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.pipeline.serve.server import COMPLETIONS

COMMAND = (sys.executable, "-m", "tinyllm.host.cli.app", "serve", "chat")


def refused(*options: str, **variables: str) -> str:
    """What stands on stderr."""
    done = subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, timeout=60, env={**os.environ, **variables}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address that it serves at."""
    command = [*COMMAND, "--http-port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            document = json.loads(process.stdout.readline())
            assert (document["model"], document["board"]) == ("chat", "host")
            yield process, urlsplit(document["url"]).netloc
        finally:
            process.kill()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_an_address_that_others_can_reach_needs_a_key(host: str) -> None:
    assert "Say --key KEY too" in refused("--host", host)


def test_an_empty_key_is_none() -> None:
    assert "--key is empty" in refused("--host", "0.0.0.0", "--key", " ")
    assert "--key is empty" in refused("--host", "0.0.0.0", TINYLLM_KEY=" ")


def test_a_port_that_is_taken_is_said_before_anything_is_built() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused("--http-port", str(port))
    assert f"127.0.0.1:{port}: Address already in use. Choose another with --http-port" in said


def test_an_address_that_this_computer_does_not_have_is_said() -> None:
    assert "203.0.113.9" in refused("--host", "203.0.113.9", "--key", "k", "--http-port", "0")


def test_without_the_extra_the_packages_are_named(tmp_path: Path) -> None:
    (tmp_path / "starlette").mkdir()
    (tmp_path / "starlette/__init__.py").write_text("raise ModuleNotFoundError('no', name='starlette')")
    said = refused(PYTHONPATH=str(tmp_path))
    assert "serve needs the package starlette: pip install 'tinyllm[serve]'" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_server_its_board_and_the_answer_that_streams(number: signal.Signals) -> None:
    with running() as (process, address):
        connection = HTTPConnection(address, timeout=60)
        body = {"model": "chat", "prompt": "hello", "max_tokens": 4096, "stream": True, "temperature": 0}
        connection.request("POST", COMPLETIONS, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.readline().startswith(b"data: ")
        process.send_signal(number)
        rest = response.read()
        assert b"[DONE]" in rest or b"the server ends" in rest
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLLM_KEY", "secret")
    with running("--host", "0.0.0.0") as (_, address):
        connection = HTTPConnection("127.0.0.1", int(address.rpartition(":")[2]), timeout=60)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 401
        connection.close()
        connection.request("GET", "/v1/models", headers={"Authorization": "Bearer secret"})
        assert connection.getresponse().status == 200
