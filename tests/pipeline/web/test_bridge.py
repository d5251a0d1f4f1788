"""The server of the page: what it gives out, who may open its WebSocket, and what that carries."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.pipeline.serve.server import SECONDS
from tests.pipeline.web.browser import served
from tinyllm.host.cli.app import run as tinyllm
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, FrameReader, encode_frame
from tinyllm.host.web.bridge import OPEN, CloseCode
from tinyllm.host.web.site import BridgedBoard, Site


def bridge(url: str, **options: object) -> ClientConnection:
    return connect(f"{url.replace('http', 'ws')}bridge", open_timeout=SECONDS, **options)


def get(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, dict(response.headers), response.read()


def test_the_bytes_of_a_board_pass_as_they_are(bridged_url: str) -> None:
    with bridge(bridged_url, origin=bridged_url.rstrip("/")) as socket:
        assert socket.recv(SECONDS) == OPEN
        socket.send(protocol.ATTENTION + encode_frame(protocol.to_frame(protocol.Hello(), 9)))
        reader, found = FrameReader(), None
        while not isinstance(found, Frame):
            found = next((item for item in reader.feed(socket.recv(SECONDS)) if isinstance(item, Frame)), None)
        reply = protocol.parse_reply(found)
        assert isinstance(reply, protocol.HelloReply)
        assert (found.sequence, reply.model) == (9, "chat")
        socket.send(encode_frame(protocol.to_frame(protocol.Bye(), 10)))


def test_text_is_no_bytes_of_a_port(bridged_url: str) -> None:
    with bridge(bridged_url) as socket:
        assert socket.recv(SECONDS) == OPEN
        socket.send("hello")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(SECONDS)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == CloseCode.NO_BYTES


def test_a_second_page_is_told_that_the_board_is_taken(bridged_url: str) -> None:
    with bridge(bridged_url) as first, bridge(bridged_url) as second:
        assert first.recv(SECONDS) == OPEN
        with pytest.raises(ConnectionClosed) as closed:
            second.recv(SECONDS)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == CloseCode.TAKEN


@pytest.mark.parametrize("origin", ["https://example.com", "http://localhost:1", "null"])
def test_a_page_from_elsewhere_cannot_open_the_bridge(bridged_url: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, bridge(bridged_url, origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_a_name_that_leads_here_from_the_web_is_refused(bridged_url: str) -> None:
    status, _, said = get(bridged_url, "/", Host="evil.example")
    assert status == 403
    assert json.loads(said)["error"]["message"] == "Host 'evil.example': expected localhost or 127.0.0.1."


def test_no_file_beyond_the_site_is_given_out(bridged_url: str, folder: Path) -> None:
    (folder.parent / "secret").write_text("secret")
    for path in ("/../secret", "/%2e%2e/secret", "/images/../../secret", "//etc/passwd"):
        assert get(bridged_url, path)[0] == 404, path


def test_a_page_may_not_be_framed_and_says_what_is_behind_the_server(bridged_url: str) -> None:
    _, headers, page = get(bridged_url, "/")
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert b"default-src 'none'" in page
    assert json.loads(get(bridged_url, "/site.json")[2])["bridge"]["model"] == "chat"


def test_ctrl_c_ends_the_server_its_board_and_the_bridge() -> None:
    command = [sys.executable, "-m", "tinyllm", "web", "chat", "--serve", "--http-port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            document = json.loads(process.stdout.readline())
            assert (document["model"], document["board"], document["site"]) == ("chat", "host", None)
            with bridge(document["url"]) as socket:
                assert socket.recv(SECONDS) == OPEN
                process.send_signal(signal.SIGINT)
                with pytest.raises(ConnectionClosed):
                    socket.recv(SECONDS)
            assert process.wait(SECONDS) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_without_the_extra_the_packages_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("tinyllm.host.serve", "uvicorn"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert tinyllm(["web", "--serve"]) == 2
    assert "web --serve needs the package uvicorn: pip install 'tinyllm[web]'" in capsys.readouterr().err


@pytest.fixture
def nobody(site: Site, folder: Path) -> Iterator[str]:
    with served(site, folder, Connection("socket://127.0.0.1:9"), BridgedBoard("host", "chat", "")) as url:
        yield url


def test_a_board_that_is_not_there_is_said(nobody: str) -> None:
    with bridge(nobody) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.NO_BOARD
    assert "nothing listens at that address" in closed.value.rcvd.reason
