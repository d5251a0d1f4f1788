"""Finding and opening the byte stream to a board: a serial port by name, or a pyserial URL."""

from __future__ import annotations

import errno
import importlib.util
import re
import shlex
import socket
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import serial
from serial.tools import list_ports

from tinyllm.errors import UserError
from tinyllm.host.link.port_url import check_url, is_url, scheme_of

POLL_SECONDS = 0.05
"""How long one read waits, so how soon a request to stop is noticed."""
READ_BYTES = 4096
WRITE_SECONDS = 5.0
WATCH_SECONDS = 0.5
PROBE_BAUD = 115200
READ_AND_WRITE = stat.S_IRGRP | stat.S_IWGRP
"""The access that a port's group must have."""


@dataclass(frozen=True)
class PortInfo:
    """A serial port of this computer; the USB numbers are None if it is no USB port."""

    device: str
    description: str
    vid: int | None
    pid: int | None
    serial_number: str | None


def list_serial_ports() -> list[PortInfo]:
    """The serial ports of this computer now, sorted by name: ttyACM10 after ttyACM9."""
    ports = [
        PortInfo(port.device, (port.description or "").replace("n/a", ""), port.vid, port.pid, port.serial_number)
        for port in list_ports.comports()
    ]
    return sorted(ports, key=lambda port: natural_key(port.device))


def natural_key(name: str) -> list[tuple[int, str]]:
    """A sort key that compares the numbers in names by value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def watch_ports(seconds: float = WATCH_SECONDS) -> Iterator[tuple[PortInfo, bool]]:
    """Yields for ever: each port that is there or appears, with True, and each port that disappears, with False."""
    known: list[PortInfo] = []
    while True:
        now = list_serial_ports()
        yield from ((port, False) for port in known if port not in now)
        yield from ((port, True) for port in now if port not in known)
        known = now
        time.sleep(seconds)


def port_info(device: str) -> PortInfo | None:
    """The serial port of that name, None if there is none."""
    return next((port for port in list_serial_ports() if port.device == device), None)


def find_again(lost: PortInfo) -> str | None:
    """The name that the same USB device has now, which may be a new one; None if it is not there."""
    if lost.vid is None:
        return None
    identity = (lost.vid, lost.pid, lost.serial_number)
    return next((p.device for p in list_serial_ports() if (p.vid, p.pid, p.serial_number) == identity), None)


def open_port(name: str, baud: int) -> serial.SerialBase:
    """Open `name` (/dev/ttyACM0, COM3, socket://host:port, rfc2217://host:port), locked against other programs.

    Afterwards DTR and RTS are low. Raises UserError naming the port, what is wrong and the next step.
    """
    check_url(name)
    # pyserial's RFC 2217 client has no write timeout.
    patience = None if scheme_of(name) == "rfc2217" else WRITE_SECONDS
    try:
        port = serial.serial_for_url(
            name, do_not_open=True, baudrate=baud, timeout=POLL_SECONDS, write_timeout=patience, exclusive=True
        )
        if sys.platform == "win32" and not is_url(name):
            # Windows sets both lines in the call that opens the port.
            port.dtr = port.rts = False
            port.open()
        else:
            port.open()
            _lower_lines(port)
    except (serial.SerialException, OSError, ValueError) as error:
        raise UserError(f"{name}: {_explain(name, error)}") from None
    return port


def read_available(port: serial.SerialBase) -> bytes:
    """The bytes that have arrived, b"" if none do in POLL_SECONDS. SerialException or OSError if the port is gone."""
    data = bytearray()
    try:
        data += port.read(1)
        if data:
            data += _read_waiting(port)
    except (serial.SerialException, OSError):
        # Return the bytes from before the error first; the next read raises it again.
        if not data:
            raise
    return bytes(data)


def _read_waiting(port: serial.SerialBase) -> bytes:
    if scheme_of(port.port) != "socket":
        return bytes(port.read(min(port.in_waiting, READ_BYTES)))
    # pyserial's sockets do not know how much is waiting, but read without waiting if the timeout is zero.
    port.timeout = 0
    try:
        return bytes(port.read(READ_BYTES))
    finally:
        port.timeout = POLL_SECONDS


def _lower_lines(port: serial.SerialBase) -> None:
    """Lower RTS, then DTR, of a port that opened with both raised.

    POSIX systems raise both at open. RTS raised with DTR low holds an ESP32 in reset, through the two transistors of
    most boards (ESP32-DevKitC schematic) and in the chip's USB-Serial/JTAG (ESP32-S3 technical reference manual,
    "USB Serial/JTAG Controller"), so DTR goes last. At close the system lowers both (HUPCL), and they are low by then.
    """
    try:
        for line in ("rts", "dtr"):
            try:
                setattr(port, line, False)
            except OSError as error:
                # A pseudo-terminal has no such lines.
                if error.errno not in (errno.EINVAL, errno.ENOTTY):
                    raise
    except BaseException:
        port.close()
        raise


def check_usable(port: str) -> None:
    """Open and close a serial port, so that an error shows before a build. Errors as open_port.

    For a URL only the form is checked: the upload may start the program that listens there.
    """
    check_url(port)
    if not is_url(port):
        open_port(port, PROBE_BAUD).close()


def _explain(name: str, error: Exception) -> str:
    """What is wrong and what to do, for an error of pyserial's."""
    causes = [error, error.__cause__, error.__context__]
    if is_url(name):
        return _explain_address(name, [cause for cause in causes if cause is not None])
    cause = next((one for one in causes if isinstance(one, OSError) and one.errno), error)
    number, text = getattr(cause, "errno", None), str(error)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFoundError" in text:
        found = ", ".join(port.device for port in list_serial_ports()) or "none"
        return f"no such port. Ports that are there: {found}. Plug the board in, then see `tinyllm ports`."
    if number in (errno.EBUSY, errno.EAGAIN) or (sys.platform == "win32" and "PermissionError" in text):
        return "the port is in use. Close the serial monitor or other program that has it open."
    if number in (errno.EACCES, errno.EPERM):
        return f"you may not open this port. {permission_advice(name)}"
    if "Could not configure port" in text or number in (errno.EISDIR, errno.ENOTTY):
        return "this is not a serial port. `tinyllm ports` lists those that are."
    return f"cannot be opened: {text}"


def _explain_address(name: str, causes: Sequence[BaseException]) -> str:
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError)]
    if any(isinstance(cause, socket.gaierror | UnicodeError) for cause in causes):
        return "no computer of that name was found. Check the name, or give its address."
    if errno.ECONNREFUSED in numbers:
        return "nothing listens at that address. Start the board's program or bridge first."
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return "no answer from that address. Check it, and that no firewall is between."
    if errno.EHOSTUNREACH in numbers or errno.ENETUNREACH in numbers or errno.EADDRNOTAVAIL in numbers:
        return "no way leads to that address. Check it, and this computer's network."
    text = str(causes[0])
    if "RFC2217" in text:
        address = name.split("://", 1)[1].split("?")[0]
        return f"what listens there is no RFC 2217 server. For a plain TCP connection say socket://{address}."
    return f"cannot be opened: {text}"


def permission_advice(name: str) -> str:
    """The advice for a port that a person may not open: to join the group that owns it.

    If that is root's group, or the group may not use the port either, only a udev rule helps.
    """
    group: str | None = "dialout"
    try:
        owned = Path(name).stat()
        allowed = owned.st_gid != 0 and owned.st_mode & READ_AND_WRITE == READ_AND_WRITE
        group = Path(name).group() if allowed else None
    except KeyError:
        group = None
    except (OSError, NotImplementedError):
        pass  # It went away meanwhile: dialout is the group of serial ports on most systems.
    if group is not None:
        return f"Join the group that owns it: `sudo usermod -aG {group} $USER`, then log out and in."
    return (
        "It is for root alone. PlatformIO's udev rules open the boards' ports to all: "
        f"`sudo cp {shlex.quote(str(_udev_rules()))} /etc/udev/rules.d/`, then plug the board in again."
    )


def _udev_rules() -> Path:
    """The udev rules that come with PlatformIO, found without importing it."""
    package = importlib.util.find_spec("platformio")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "assets" / "system" / "99-platformio-udev.rules"
