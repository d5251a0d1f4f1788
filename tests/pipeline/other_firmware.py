"""A board that is no tinyllm of this build: it talks of other things, or of another protocol version.

other_firmware.py chatter|version --tcp PORT
"""

from __future__ import annotations

import socket
import sys

from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, FrameReader, encode_frame

NEXT_VERSION = protocol.PROTOCOL_VERSION + 1


def chatter(connection: socket.socket) -> None:
    while connection.recv(4096):
        connection.sendall(b"temperature: 21.5 C\r\n")


def version(connection: socket.socket) -> None:
    """Answer every frame as a later firmware must: with ERROR version and the version that it serves."""
    reader = FrameReader()
    while data := connection.recv(4096):
        for item in reader.feed(data):
            if isinstance(item, Frame):
                error = protocol.Error(protocol.ErrorCode.VERSION, item.type, str(NEXT_VERSION))
                connection.sendall(encode_frame(Frame(error.TYPE, item.sequence, error.body())))


def main(kind: str, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                try:
                    {"chatter": chatter, "version": version}[kind](connection)
                except OSError:
                    continue


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[3]))
