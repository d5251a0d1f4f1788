"""A WebSocket that stands in for a serial port: it carries bytes between the page and a board of this computer.

The bytes are those of the port, unchanged. The server's first message is the text OPEN, when the port is open. The
server closes the WebSocket with a CloseCode as soon as the board or the port is gone.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum

import serial
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from tinyllm.errors import TinyllmError
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.frame_port import BAUD
from tinyllm.host.link.serial_port import open_port, read_available
from tinyllm.text import one_line

OPEN = "open"
NORMAL = 1000
"""The close code of a WebSocket that ended as it should (RFC 6455, section 7.4.1)."""
PATIENCE_SECONDS = 1.0
"""How long a page waits for another to leave the board; a page that is reloaded waits for its old self."""
LONGEST_REASON = 123
"""Bytes of the reason in a close frame (RFC 6455, section 5.5)."""


class CloseCode(IntEnum):
    """Why the server closes the WebSocket, in RFC 6455's range for private use."""

    TAKEN = 4409
    BOARD_GONE = 4410
    NO_BOARD = 4411
    NO_BYTES = 4412


class Bridge:
    """Connects one page at a time with the board of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    async def serve(self, page: WebSocket) -> None:
        """Handle one WebSocket, until the page or the board ends it."""
        await page.accept()
        try:
            await asyncio.wait_for(self._lock.acquire(), PATIENCE_SECONDS)
        except asyncio.TimeoutError:
            await _close(page, CloseCode.TAKEN, "Another page talks to this board. Close it, then connect again.")
            return
        try:
            await self._join(page)
        finally:
            self._lock.release()

    async def _join(self, page: WebSocket) -> None:
        try:
            port = await asyncio.to_thread(self._open)
        except TinyllmError as error:
            await _close(page, CloseCode.NO_BOARD, str(error))
            return
        try:
            await page.send_text(OPEN)
            ways = [asyncio.create_task(_to_page(port, page)), asyncio.create_task(_to_board(page, port))]
            done, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in rest:
                way.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            code, reason = done.pop().result()
            await _close(page, code, reason)
        finally:
            await asyncio.to_thread(port.close)

    def _open(self) -> serial.SerialBase:
        self._connection.start()
        return open_port(self._connection.address(), BAUD)


async def _to_page(port: serial.SerialBase, page: WebSocket) -> tuple[int, str]:
    """Carry bytes to the page until the port ends. Returns the close code and the reason in words."""
    try:
        while True:
            data = await asyncio.to_thread(read_available, port)
            if data:
                await page.send_bytes(data)
    except (serial.SerialException, OSError):
        return CloseCode.BOARD_GONE, "The board went away."
    except WebSocketDisconnect:
        return NORMAL, ""


async def _to_board(page: WebSocket, port: serial.SerialBase) -> tuple[int, str]:
    """Carry bytes to the board until the page closes or the port takes no more. Returns the close code and reason."""
    while True:
        message = await page.receive()
        if message["type"] != "websocket.receive":
            return NORMAL, ""
        data = message.get("bytes")
        if data is None:
            return CloseCode.NO_BYTES, "Expected the bytes of a port, got text."
        try:
            await asyncio.to_thread(port.write, data)
        except (serial.SerialException, OSError):
            return CloseCode.BOARD_GONE, "The board takes no more bytes."


async def _close(page: WebSocket, code: int, reason: str) -> None:
    if page.client_state is WebSocketState.CONNECTED and page.application_state is WebSocketState.CONNECTED:
        short = one_line(reason, LONGEST_REASON).encode()[:LONGEST_REASON].decode("utf-8", "ignore")
        await page.close(code, short)
