"""Recognises what is on a port instead of a tinyllm: another program, or a chip that restarts again and again."""

from __future__ import annotations

import re

from tinyllm.text import one_line

SIGNS = {
    rb"CircuitPython|to enter the REPL": (
        "CircuitPython runs on this board, not tinyllm.\n"
        "`tinyllm flash` puts tinyllm in its place; save the files of its drive first."
    ),
    # The prompt stands alone on its line, or is followed by an echo of what was sent.
    rb"MicroPython|raw REPL|KeyboardInterrupt|(^|[\r\n\x03])>>> ?($|[\r\n\x03])": (
        "MicroPython runs on this board, not tinyllm.\n"
        "`tinyllm flash` puts tinyllm in its place; save the board's files first."
    ),
    rb"waiting for download": (
        "the chip waits for a program (download mode).\n"
        "Press its reset button to start the program that it has, or `tinyllm flash` one."
    ),
}
"""Pattern of what another program on a board says -> which program it is, and what to do."""

RESET = re.compile(rb"rst:0x[0-9a-f]+ \(\w+\)|rst cause:\d+")
"""What the boot ROMs of ESP32 chips and the ESP8266 say at each start."""
CRASH = re.compile(rb"Guru Meditation Error[^\r\n]*|abort\(\) was called[^\r\n]*|Brownout detector was triggered")
"""What ESP-IDF says before it restarts the chip."""
RESTARTS = (
    "Its program crashes, or its power is weak: try another cable or USB port, then `tinyllm flash`. "
    "`tinyllm monitor` shows what it says."
)


def known_stranger(heard: bytes) -> str | None:
    """Which other program answers, and what to do; None if it may be a tinyllm that is slow to start.

    A chip announces each of its starts. A single start may be that of a tinyllm.
    """
    for sign, told in SIGNS.items():
        if re.search(sign, heard):
            return told
    resets, crashes = RESET.findall(heard), CRASH.findall(heard)
    if max(len(resets), len(crashes)) < 2:
        return None
    last = (crashes or resets)[-1].decode("ascii", "replace")
    return f"no tinyllm answers here: the chip restarts again and again ({one_line(last)}).\n{RESTARTS}"


def repeated_lines(heard: bytes) -> str | None:
    """The error text if the last lines came twice in the same order, as from a program that restarts; else None.

    A single repeated line is no sign of a restart: many programs print one for each measurement.
    """
    lines = [line for line in heard.decode("utf-8", "replace").splitlines()[:-1] if line.strip()]
    for size in range(2, len(lines) // 2 + 1):
        block = lines[-size:]
        if block == lines[-2 * size : -size] and len(set(block)) > 1:
            first = next(line for line in lines if line in block)
            return (
                f"no tinyllm answers here: the same lines come again and again, as from a chip that "
                f"restarts ({one_line(first)} ...).\n{RESTARTS}"
            )
    return None
