"""Finding and opening the byte stream to a board: a serial port by name, or a pyserial URL."""

from __future__ import annotations

import errno
import importlib.util
import shlex
import socket
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import serial
from serial.tools import list_ports

from tinyllm.errors import UserError

POLL_SECONDS = 0.05
"""How long one read waits; so soon is a request to stop noticed."""
WRITE_SECONDS = 5.0
READ_AND_WRITE = stat.S_IRGRP | stat.S_IWGRP
"""What a port's group must be allowed."""


@dataclass(frozen=True)
class PortInfo:
    """A serial port of this computer; the USB numbers are None where it is no USB port."""

    device: str
    description: str
    vid: int | None
    pid: int | None
    serial_number: str | None


def list_serial_ports() -> list[PortInfo]:
    """The serial ports that are there now, sorted by name."""
    ports = [
        PortInfo(port.device, (port.description or "").replace("n/a", ""), port.vid, port.pid, port.serial_number)
        for port in list_ports.comports()
    ]
    return sorted(ports, key=lambda port: port.device)


def find_port(device: str) -> PortInfo | None:
    return next((port for port in list_serial_ports() if port.device == device), None)


def find_again(lost: PortInfo) -> str | None:
    """The name under which the same USB device is there now; it may differ from the one it had."""
    if lost.vid is None:
        return None
    identity = (lost.vid, lost.pid, lost.serial_number)
    return next((p.device for p in list_serial_ports() if (p.vid, p.pid, p.serial_number) == identity), None)


def open_port(name: str, baud: int) -> serial.SerialBase:
    """Open `name` (/dev/ttyACM0, COM3, socket://host:port, rfc2217://host:port), locked against other programs.

    DTR and RTS are low before the port opens: raising them resets many boards or puts them into download mode.
    Raises UserError naming the port, what is wrong and the next step.
    """
    # pyserial's RFC 2217 client has no write timeout.
    patience = None if name.startswith("rfc2217://") else WRITE_SECONDS
    try:
        port = serial.serial_for_url(
            name, do_not_open=True, baudrate=baud, timeout=POLL_SECONDS, write_timeout=patience, exclusive=True
        )
        port.dtr = False
        port.rts = False
        port.open()
    except (serial.SerialException, OSError, ValueError) as error:
        raise UserError(f"{name}: {_explain(name, error)}") from None
    return port


def _explain(name: str, error: Exception) -> str:
    cause = error
    if not getattr(error, "errno", None) and isinstance(error.__context__, OSError):
        cause = error.__context__
    number = getattr(cause, "errno", None)
    text = str(error)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFoundError" in text:
        found = ", ".join(port.device for port in list_serial_ports()) or "none"
        return f"no such port. Ports that are there: {found}. Plug the board in, then see `tinyllm ports`."
    if number in (errno.EBUSY, errno.EAGAIN) or (sys.platform == "win32" and "PermissionError" in text):
        return "the port is in use. Close the serial monitor or other program that has it open."
    if number in (errno.EACCES, errno.EPERM):
        return f"you may not open this port. {permission_advice(name)}"
    if isinstance(cause, socket.gaierror):
        return "no computer of that name was found."
    if number == errno.ECONNREFUSED:
        return "nothing listens at that address. Start the board's program or bridge first."
    if isinstance(cause, TimeoutError):
        return "no answer from that address. Check it, and that no firewall is between."
    if "Could not configure port" in text or number in (errno.EISDIR, errno.ENOTTY):
        return "this is not a serial port. `tinyllm ports` lists those that are."
    return f"cannot be opened: {text}"


def permission_advice(name: str) -> str:
    """How a person gets to use a port that they may not open.

    They join the group that may; where that is root's, or it may not use the port either, only a udev rule helps.
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
    """The rules that come with PlatformIO, which is not imported for them."""
    package = importlib.util.find_spec("platformio")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "assets" / "system" / "99-platformio-udev.rules"
