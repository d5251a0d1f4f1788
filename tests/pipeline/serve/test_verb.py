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
from urllib.parse import urlsplit

import pytest

from tests.pipeline.serve.server import COMPLETIONS
from tinyllm.host.cli.app import run
from tinyllm.host.serve.server import bind


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What stands on stderr."""
    assert run(["serve", "chat", *options]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1, said.err
    return said.err


@contextmanager
def running(*options: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], HTTPConnection]]:
    """The process, and a connection to its server."""
    command = [sys.executable, "-m", "tinyllm.host.cli.app", "serve", "chat", "--http-port", "0", "--json", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables}
    ) as process:
        assert process.stdout is not None
        try:
            document = json.loads(process.stdout.readline())
            assert (document["model"], document["board"]) == ("chat", "host")
            yield process, HTTPConnection("127.0.0.1", urlsplit(document["url"]).port, timeout=60)
        finally:
            process.kill()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_an_address_that_others_can_reach_needs_a_key(capsys: pytest.CaptureFixture[str], host: str) -> None:
    assert "Say --key KEY too" in refused(capsys, "--host", host)
    assert "--key is empty" in refused(capsys, "--host", host, "--key", " ")


def test_a_port_that_is_taken_is_said_before_anything_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(capsys, "--http-port", str(port))
    assert f"127.0.0.1:{port}: Address already in use. Choose another with --http-port" in said


def test_the_port_of_a_server_that_still_builds_is_taken_too(capsys: pytest.CaptureFixture[str]) -> None:
    with bind("127.0.0.1", 0) as building:
        port = building.getsockname()[1]
        assert "Address already in use" in refused(capsys, "--http-port", str(port))


def test_an_address_that_this_computer_does_not_have_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("203.0.113.9", "nowhere.invalid", "a" * 300):
        assert host[:9] in refused(capsys, "--host", host, "--key", "k", "--http-port", "0")


def test_without_the_extra_the_packages_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("tinyllm.host.serve", "uvicorn"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "serve needs the package uvicorn: pip install 'tinyllm[serve]'" in refused(capsys)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_server_its_board_and_the_answer_that_streams(number: signal.Signals) -> None:
    with running("--host", "0.0.0.0", TINYLLM_KEY="secret") as (process, connection):
        body = {"model": "chat", "prompt": "hello", "max_tokens": 4096, "stream": True, "temperature": 0}
        headers = {"Content-Type": "application/json"}
        connection.request("POST", COMPLETIONS, json.dumps(body), headers)
        assert connection.getresponse().status == 401
        connection.close()
        connection.request("POST", COMPLETIONS, json.dumps(body), {**headers, "Authorization": "Bearer secret"})
        response = connection.getresponse()
        assert response.readline().startswith(b"data: ")
        process.send_signal(number)
        rest = response.read()
        assert b"[DONE]" in rest or b"the server ends" in rest
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
