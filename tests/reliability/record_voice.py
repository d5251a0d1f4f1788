"""Records what a host board says in both voices, so that later versions can be held to it.

    python -m tests.reliability.record_voice PROGRAM PROTOCOL COMMIT > tests/data/older_voices/NAME.json

PROGRAM: the host board's, of the story model at context 64, built by the tinyllm of COMMIT (`git archive COMMIT`),
which speaks PROTOCOL. A record has pairs of bytes in hexadecimal, what was sent and what came back: `text` of a person,
`program` of a program of that protocol, `refused` of one of today's.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.frames import Frame, encode_frame
from tinyllm.host.link.messages import ATTENTION, PROTOCOL_VERSION, RequestType

QUIET_SECONDS = 0.6
ONCE = b"Once upon a time"
PROMPT = struct.pack("<IB", 3, 0) + ONCE
TYPED = (b"\x03", b"/temp 0\r", b"/max 5\r", ONCE + b"\r", b"/temp\r", b"/reset\r")


def request(kind: RequestType, sequence: int, body: bytes = b"") -> bytes:
    return encode_frame(Frame(kind, sequence, body))


def program_of(protocol: int) -> list[bytes]:
    """What a program of that protocol sends: it opens, cancels, resets, sets temperature 0, asks, and goes."""
    return [
        ATTENTION + request(RequestType.HELLO, 1, bytes([protocol])),
        request(RequestType.CANCEL, 8),
        request(RequestType.RESET, 2),
        request(RequestType.SET, 3, struct.pack("<BI", 1, 0)),
        request(RequestType.PROMPT, 4, PROMPT),
        request(RequestType.GET, 5),
        request(RequestType.MEMORY, 6),
        request(RequestType.BYE, 7),
    ]


def talk(port: int, pieces: list[bytes]) -> list[tuple[str, str]]:
    """Each piece, and what came until the board was quiet again."""
    told = []
    with socket.create_connection(("127.0.0.1", port)) as board:
        board.settimeout(0.1)
        for piece in pieces:
            board.sendall(piece)
            came, heard = b"", time.monotonic()
            while time.monotonic() - heard < QUIET_SECONDS:
                try:
                    came += board.recv(4096)
                    heard = time.monotonic()
                except TimeoutError:
                    pass
            told.append((piece.hex(), came.hex()))
    return told


def main(program: str, protocol: str, commit: str) -> None:
    """Print the record."""
    with BoardProcess([program]) as board:
        port = int(board.url.rpartition(":")[2])
        record = {
            "protocol": int(protocol),
            "commit": commit,
            "text": talk(port, list(TYPED)),
            "program": talk(port, program_of(int(protocol))),
            "refused": talk(port, program_of(PROTOCOL_VERSION)[:5]),
        }
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
