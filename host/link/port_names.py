"""Names for a port besides its device: id:SERIAL, and names that a person gave."""

from __future__ import annotations

import json
import re

from filelock import FileLock, Timeout

from tinyllm.config_folder import config_folder
from tinyllm.errors import UserError
from tinyllm.files import read_json_object, write_file
from tinyllm.host.link.port_url import check_url
from tinyllm.host.link.serial_port import PortInfo, find_again, list_serial_ports, port_info

AUTO = "auto"
"""Stands for the port that shows a board's USB numbers."""
BY_SERIAL = "id:"
FILE = "ports.json"
LARGEST_FILE = 1 << 20
PATIENCE = 5.0
"""Seconds to wait for another process that changes the names."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")
TAKEN = re.compile(rf"{AUTO}|com\d+", re.IGNORECASE)
"""Names that a person cannot give."""


def resolve_port(name: str) -> str:
    """The device or URL for a given name, id:SERIAL, a device or a URL.

    Raises UserError if no port has that serial number, or several have, and for a URL or name that cannot be one.
    """
    meant = given_names().get(name, name)
    if not meant.strip():
        raise UserError("a port's name is empty. `tinyllm ports` lists the ports; auto finds the one of a board.")
    if meant.startswith(BY_SERIAL):
        return _port_by_serial(name, meant.removeprefix(BY_SERIAL)).device
    check_url(meant)
    return meant


def find_port_again(name: str, lost: PortInfo | None) -> str | None:
    """The device or URL of a lost port, None if it is not back yet. A USB board may come back under another name.

    name, errors: as for resolve_port. lost: the port as it was, None for a URL.
    """
    there = resolve_port(name)
    return there if lost is None or port_info(there) else find_again(lost)


def _port_by_serial(name: str, number: str) -> PortInfo:
    ports = list_serial_ports()
    found = [port for port in ports if port.serial_number and port.serial_number.lower() == number.lower()]
    if len(found) == 1:
        return found[0]
    shown = name if name.startswith(BY_SERIAL) else f"{name} ({BY_SERIAL}{number})"
    if found:
        devices = ", ".join(port.device for port in found)
        raise UserError(f"{shown}: {len(found)} ports have this serial number: {devices}. Name one of them.")
    there = ", ".join(f"{port.serial_number} ({port.device})" for port in ports if port.serial_number) or "none"
    raise UserError(f"{shown}: no port has this serial number. Those that are there: {there}.")


def given_names() -> dict[str, str]:
    """Name -> id:SERIAL, device or URL, as a person gave them. UserError for a file that is damaged."""
    path = config_folder() / FILE
    if not path.exists():
        return {}
    names = read_json_object(path, LARGEST_FILE)
    for name, meant in names.items():
        if not (NAME.fullmatch(name) and isinstance(meant, str)):
            raise UserError(f"{path}: {name!r} does not name a port. Mend the file or remove it.")
    return names


def give_name(assignment: str) -> dict[str, str]:
    """Keep "NAME=PORT", or with "NAME=" forget the name. Returns all names.

    Raises UserError for any other form or an invalid name, or if the file cannot be written.
    """
    name, equals, meant = assignment.partition("=")
    if not equals:
        raise UserError(f"--name {assignment}: expected NAME=PORT or NAME=id:SERIAL; NAME= forgets the name.")
    if not NAME.fullmatch(name) or TAKEN.fullmatch(name):
        raise UserError(f"--name {assignment}: a name has letters, digits, - and _, and is not auto or like COM3.")
    path = config_folder() / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=PATIENCE):
            names = given_names()
            if meant:
                # A name for another name would change its meaning when that one changes.
                names[name] = names.get(meant, meant)
                if not meant.startswith(BY_SERIAL):
                    check_url(meant)
            elif names.pop(name, None) is None:
                raise UserError(f"--name {assignment}: no such name. Given: {', '.join(names) or 'none'}.")
            write_file(path, json.dumps(names, indent=1, sort_keys=True) + "\n")
    except Timeout:
        raise UserError(
            f"{path}: its lock, {path.stem}.lock, cannot be had. End the process that holds it, or set TINYLLM_HOME to"
            " another folder."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}). TINYLLM_HOME sets another folder.") from None
    return names
