"""Addresses of boards: checks which URLs can be opened."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

from tinyllm.errors import UserError

_LOGGING = r"debug|info|warning|error"
OPTIONS = {
    "socket": {"logging": _LOGGING},
    "rfc2217": {"logging": _LOGGING, "ign_set_control": ".*", "poll_modem": ".*", "timeout": r"\d+(\.\d+)?"},
}
"""Scheme -> pyserial's options that may follow the ?, each with the values that it takes."""

EXPECTED = "Expected socket://HOST:PORT, rfc2217://HOST:PORT or the name of a serial port."
HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d+")
HIGHEST_PORT = 65535


def is_url(name: str) -> bool:
    """Whether a port's name is an address, not a device of this computer."""
    return "://" in name


def scheme_of(name: str) -> str:
    """The scheme, in lower case; "" for a device."""
    return name.split("://", 1)[0].lower() if is_url(name) else ""


def check_url(name: str) -> None:
    """Raise UserError, with the expected form, for an invalid address; devices pass."""
    if not is_url(name):
        if HOST_AND_PORT.fullmatch(name):
            raise UserError(f"{name}: no such port. A board at an address is written socket://{name}.")
        return
    try:
        parts = urlsplit(name)
    except ValueError as error:
        raise UserError(f"{name}: not an address ({error}). {EXPECTED}") from None
    if wrong := _wrong(parts, name):
        raise UserError(f"{name}: {wrong} {EXPECTED}")


def _wrong(parts: SplitResult, name: str) -> str | None:
    """What is wrong, as a sentence."""
    if parts.scheme not in OPTIONS:
        return f"{scheme_of(name)}:// is no way to a board."
    address = parts.netloc.rpartition("@")[2]
    if "@" in parts.netloc:
        return "a user name has no place in it."
    if address.count(":") > 1 and not address.startswith("["):
        return f"an IPv6 address stands in brackets, as in {parts.scheme}://[::1]:4000."
    if not parts.hostname:
        return "the host is missing."
    try:
        number = parts.port
    except ValueError:
        number = 0
    if number is None:
        return "the port's number is missing."
    if not 1 <= number <= HIGHEST_PORT:
        return f"the port must be a number from 1 to {HIGHEST_PORT}."
    if parts.path not in ("", "/") or parts.fragment:
        return "nothing may follow the port."
    return _wrong_option(parts)


def _wrong_option(parts: SplitResult) -> str | None:
    allowed = OPTIONS[parts.scheme]
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option not in allowed:
            return f"the option {option} is unknown; {parts.scheme} takes {', '.join(allowed)}."
        if not re.fullmatch(allowed[option], value):
            return f"the option {option} cannot be {value!r}."
    return None
