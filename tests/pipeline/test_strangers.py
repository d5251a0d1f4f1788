"""What is told if something else than tinyllm answers on a port, in two seconds, on real connections."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.errors import Failure, UserError
from tinyllm.host.connect import connection
from tinyllm.host.connect.connection import SILENCE_SECONDS, Connection
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, FrameReader, encode_frame, lacks_flow_control
from tinyllm.host.link.link import Link
from tinyllm.host.link.strangers import known_stranger, repeated_lines

LONG = 120.0
"""Seconds. A computer may be slow, but not as slow as this."""


@pytest.fixture
def stranger() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Starts a server of one connection and gives its URL."""
    listeners = []

    def start(serve: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            with listener.accept()[0] as connection:
                serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        return f"socket://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


Stranger = Callable[[Callable[[socket.socket], None]], str]


def listen(connection: socket.socket) -> None:
    """Take everything and say nothing."""
    while connection.recv(1000):
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning:serial")
def test_an_address_that_does_not_speak_rfc2217_is_told_as_a_plain_connection(stranger: Stranger) -> None:
    url = stranger(listen).replace("socket://", "rfc2217://")
    address = url.removeprefix("rfc2217://")
    with pytest.raises(UserError, match=f"is no RFC 2217 server. For a plain TCP connection say socket://{address}"):
        Link(f"{url}?timeout=0.5")


def test_something_that_is_not_tinyllm_is_shown_as_it_was_seen(stranger: Stranger) -> None:
    def login(connection: socket.socket) -> None:
        while connection.recv(100):
            connection.sendall(b"login: \x1b[5m")

    with pytest.raises(UserError, match=r"no tinyllm answers here \(it sent b'login: \\x1b\[5m"):
        Link(stranger(login), handshake_seconds=0.5)


def test_a_tinyllm_whose_hello_makes_no_sense_is_to_be_flashed_again(stranger: Stranger) -> None:
    def mumble(connection: socket.socket) -> None:
        reader = FrameReader()
        while data := connection.recv(1000):
            for item in reader.feed(data):
                if isinstance(item, Frame):
                    connection.sendall(encode_frame(Frame(protocol.ReplyType.HELLO, item.sequence, b"\x01")))

    with pytest.raises(Failure, match=r"a malformed reply came \(.*\)\. Flash the board again"):
        Link(stranger(mumble), handshake_seconds=5)


def test_silence_is_called_silence(stranger: Stranger) -> None:
    with pytest.raises(UserError, match=r"it sent nothing in 0\.5 s"):
        Link(stranger(listen), handshake_seconds=0.5)


def test_a_connection_that_is_closed_at_once_suggests_another_program(stranger: Stranger) -> None:
    with pytest.raises(UserError, match="Another program may be talking to it"):
        Link(stranger(lambda connection: None), handshake_seconds=5)


def test_another_protocol_version_is_named(stranger: Stranger) -> None:
    def refuse(connection: socket.socket) -> None:
        reader = FrameReader()
        while data := connection.recv(1000):
            for item in reader.feed(data):
                if isinstance(item, Frame):
                    error = protocol.Error(protocol.ErrorCode.VERSION, item.type, "7")
                    connection.sendall(encode_frame(protocol.to_frame(error, item.sequence)))

    with pytest.raises(
        UserError, match=f"the board speaks protocol version 7, this tinyllm speaks {protocol.PROTOCOL_VERSION}"
    ):
        Link(stranger(refuse), handshake_seconds=5)


@pytest.mark.parametrize("flood", [b"\x00" * 1000, b"x" * 1000, bytes(range(256)) * 4], ids=["zeros", "text", "bytes"])
def test_a_flood_of_bytes_ends_in_an_error_too(stranger: Stranger, flood: bytes) -> None:
    def pour(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(flood)
        except OSError:
            return

    with pytest.raises(UserError, match="no tinyllm answers here"):
        Link(stranger(pour), handshake_seconds=0.5)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1000):
        connection.sendall(data)


def micropython(connection: socket.socket) -> None:
    """As its prompt answers Ctrl-C and bytes that are no line."""
    while data := connection.recv(1000):
        if b"\x03" in data:
            connection.sendall(b"\r\n>>> ")


def micropython_with_a_program(connection: socket.socket) -> None:
    while data := connection.recv(1000):
        if b"\x03" in data:
            told = b'Traceback (most recent call last):\r\n  File "main.py", line 3, in <module>\r\n'
            told += b"KeyboardInterrupt: \r\nMicroPython v1.24.1 on 2024-11-29; Raspberry Pi Pico with RP2040\r\n>>> "
            connection.sendall(told)


def circuitpython(connection: socket.socket) -> None:
    while data := connection.recv(1000):
        if b"\x03" in data:
            told = b"KeyboardInterrupt: \r\n\r\nPress any key to enter the REPL. Use CTRL-D to reload.\r\n"
            connection.sendall(told)


def rom_loader(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"ESP-ROM:esp32c3-api1-20210207\r\nboot:0x5 (DOWNLOAD(USB/UART0/1))\r\nwaiting for download\r\n")
    listen(connection)


def prompt(shown: bytes, echoes: bool = True, ends_a_line: bytes = b"\x03\r\n") -> Callable[[socket.socket], None]:
    """A prompt that sends back what is typed; after Ctrl-C, or only after a whole line, it is there again."""

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(1000):
            connection.sendall((data if echoes else b"") + (shown if set(data) & set(ends_a_line) else b""))

    return serve


def restarting(*lines: bytes, seconds: float = 0.6) -> Callable[[socket.socket], None]:
    """A chip that says these lines at each start, and starts so often."""

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"\r\n".join((*lines, b"")))
                time.sleep(seconds)

    return serve


ESP32 = (
    b"ets Jul 29 2019 12:21:46", b"", b"rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", b"entry 0x400805b4",
    b"Guru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled.", b"", b"Rebooting...",
)  # fmt: skip
WATCHDOG = (b"ESP-ROM:esp32c3-api1-20210207", b"rst:0x8 (TG1WDT_SYS_RST),boot:0xd (SPI_FAST_FLASH_BOOT)")
WEAK = (b"rst:0xf (RTCWDT_BROWN_OUT_RESET),boot:0x13", b"Brownout detector was triggered")
ESP8266 = (b" ets Jan  8 2013,rst cause:2, boot mode:(3,6)", b"load 0x4010f000, len 3424, room 16")
PROGRAM = (b"*** PANIC ***", b"", b"Out of memory")
RESTARTS = r"the chip restarts again and again "
MICROPYTHON = "MicroPython runs on this board, not tinyllm"
STRANGERS = {
    **{
        f"prompt {shown!r}": (prompt(shown), MICROPYTHON)
        for shown in (b"\r\n>>> ", b"\r>>> ", b"\n\r>>>", b">>> ", b">>>\r\n")
    },
    "a prompt without an echo": (prompt(b"\r\n>>> ", echoes=False), MICROPYTHON),
    "a prompt after a line": (prompt(b"\r\n>>> ", ends_a_line=b"\r"), MICROPYTHON),
    "a prompt after a newline": (prompt(b">>> ", ends_a_line=b"\n"), MICROPYTHON),
    "a crash": (restarting(*ESP32), RESTARTS + r"\(Guru Meditation Error: Core 1 panic'ed \(LoadProhibited\)"),
    "a slow crash": (restarting(*ESP32, seconds=1.4), RESTARTS + r"\(Guru Meditation"),
    "a watchdog": (restarting(*WATCHDOG), RESTARTS + r"\(rst:0x8 \(TG1WDT_SYS_RST\)\)\."),
    "weak power": (restarting(*WEAK), RESTARTS + r"\(Brownout detector was triggered\)\."),
    "ESP8266": (restarting(*ESP8266), RESTARTS + r"\(rst cause:2\)\."),
    "a crash of its own words": (
        restarting(*PROGRAM),
        r"the same lines come again and again, as from a chip that restarts \(\*\*\* PANIC \*\*\* \.\.\.\)\.",
    ),
    "echo": (echo, "the port sends back what it is sent, and nothing else"),
    "silence": (listen, r"no tinyllm answers here \(it sent nothing in 2 s\)"),
    "MicroPython": (micropython, "MicroPython runs on this board, not tinyllm"),
    "MicroPython with a program": (micropython_with_a_program, "MicroPython runs on this board, not tinyllm"),
    "CircuitPython": (circuitpython, "CircuitPython runs on this board, not tinyllm"),
    "download mode": (rom_loader, r"the chip waits for a program \(download mode\)"),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_who_answers_instead_is_told_without_waiting_for_a_handshake(
    stranger: Stranger, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_SECONDS", 2 * LONG)
    serve, told = STRANGERS[who]
    url = stranger(serve)
    begun = time.monotonic()
    with pytest.raises(UserError, match=told) as error:
        Connection(url).open()
    assert time.monotonic() - begun < LONG
    assert str(error.value).startswith(f"{url}: ")
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("lines", [ESP32, WATCHDOG, WEAK, ESP8266, PROGRAM], ids=lambda lines: repr(lines[0]))
def test_a_chip_that_starts_once_may_be_a_tinyllm(lines: tuple[bytes, ...]) -> None:
    once = b"\r\n".join((*lines, b""))
    assert known_stranger(once) is None
    assert repeated_lines(once) is None


@pytest.mark.parametrize(
    "heard", [b"21.5 C\r\n" * 9, b"a\r\nb\r\n", b"a\r\nb\r\na\r\nc\r\n", b"> a > b > a > b", b"\r\n\r\n" * 5]
)
def test_what_a_program_measures_is_no_restart(heard: bytes) -> None:
    assert known_stranger(heard) is None
    assert repeated_lines(heard) is None


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=3),
    st.lists(st.sampled_from(["one", "two", "three"]), min_size=2, max_size=9),
)
def test_lines_that_come_twice_are_found_behind_any_beginning(before: list[str], block: list[str]) -> None:
    heard = "\n".join([*before, *block, *block, "rest"])
    assert (repeated_lines(heard.encode()) is not None) == (len(set(block)) > 1)


@given(st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60)), st.data())
def test_a_frame_without_one_xon_or_xoff_is_known_as_that(frame: Frame, data: st.DataObject) -> None:
    encoded = encode_frame(Frame(frame.type, frame.sequence, frame.body + b"\x11\x13"))[1:-1]
    at = data.draw(st.sampled_from([i for i, byte in enumerate(encoded) if byte in b"\x11\x13"]))
    assert lacks_flow_control(encoded[:at] + encoded[at + 1 :])


def test_a_board_that_is_slow_to_hear_while_it_answers_somebody_else_is_waited_for(
    stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the program voice a lost program's answer goes on, and nothing but its frames comes for a while."""

    def answer(connection: socket.socket) -> None:
        token = encode_frame(protocol.to_frame(protocol.Token(0, 5, "a"), 7))
        begun = time.monotonic()
        while time.monotonic() - begun < SILENCE_SECONDS + 1:
            connection.sendall(token)
            time.sleep(0.2)
        reader = FrameReader()
        while data := connection.recv(1000):
            for item in reader.feed(data):
                if isinstance(item, Frame) and item.type == protocol.RequestType.HELLO:
                    hello = protocol.HelloReply(
                        protocol.PROTOCOL_VERSION, 64, 8, 64, 0, 0, 0, "00" * 8, "11" * 8, "m", "b", "0.1"
                    )
                    connection.sendall(encode_frame(protocol.to_frame(hello, item.sequence)))
                elif isinstance(item, Frame):
                    connection.sendall(encode_frame(protocol.to_frame(protocol.Ok(item.type), item.sequence)))

    monkeypatch.setattr(connection, "HANDSHAKE_SECONDS", LONG)
    with Connection(stranger(answer)).open() as link:
        assert link.hello.model == "m"


def test_what_a_board_says_fills_no_message_whatever_it_says(stranger: Stranger) -> None:
    flood = "x\n\x1b[2J" * 600

    def shout(connection: socket.socket) -> None:
        reader = FrameReader()
        names = [flood[:250]] * 3
        hello = protocol.HelloReply(protocol.PROTOCOL_VERSION, 64, 8, 64, 0, 0, 0, "00" * 8, "11" * 8, *names)
        while data := connection.recv(1000):
            for item in reader.feed(data):
                if isinstance(item, Frame):
                    kind = protocol.parse_request(item)
                    error = protocol.Error(protocol.ErrorCode.BAD_VALUE, item.type, flood)
                    ok = protocol.Ok(item.type)
                    reply = {protocol.Hello: hello, protocol.Set: error}.get(type(kind), ok)
                    connection.sendall(encode_frame(protocol.to_frame(reply, item.sequence)))

    with Link(stranger(shout)) as link:
        for name in (link.hello.model, link.hello.board, link.hello.firmware):
            assert len(name) <= 80 and name.isprintable()
        with pytest.raises(Failure) as refused:
            link.set(protocol.Setting.SEED, 1)
    assert len(str(refused.value)) < 300 and str(refused.value).isprintable()
