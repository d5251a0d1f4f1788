"""Lists the drives of this computer: a board that waits for a program may appear as one."""

from __future__ import annotations

from pathlib import Path

from platformio.device.list.util import list_logical_devices


def drives() -> list[str]:
    """Labels of the mounted drives; [] if the system cannot list them."""
    try:
        devices = list_logical_devices()
    except (OSError, ValueError, AssertionError):
        return []
    return [device["name"] or Path(device["path"]).name for device in devices]
