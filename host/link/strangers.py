"""What says something else than a tinyllm on a port: other programs, and a chip that restarts again and again."""

from __future__ import annotations

import re

from tinyllm.text import one_line

SIGNS = {
    rb"CircuitPython|to enter the REPL": (
        "CircuitPython runs on this board, not tinyllm.\n"
        "`tinyllm flash` puts tinyllm in its place; save the files of its drive first."
    ),
    # The prompt stands alone on its line; what is sent to it may come back behind it.
    rb"MicroPython|raw REPL|KeyboardInterrupt|(^|[\r\n\x03])>>> ?($|[\r\n\x03])": (
        "MicroPython runs on this board, not tinyllm.\n"
        "`tinyllm flash` puts tinyllm in its place; save the board's files first."
    ),
    rb"waiting for download": (
        "the chip waits for a program (download mode).\n"
        "Press its reset button to start the program that it has, or `tinyllm flash` one."
    ),
}
"""What other programs of a board say -> who that is, and what to do."""

RESET = re.compile(rb"rst:0x[0-9a-f]+ \(\w+\)|rst cause:\d+")
"""What the boot ROMs of ESP32 chips and the ESP8266 say at each start."""
CRASH = re.compile(rb"Guru Meditation Error[^\r\n]*|abort\(\) was called[^\r\n]*|Brownout detector was triggered")
"""What ESP-IDF says before it restarts the chip."""
RESTARTS = (
    "Its program crashes, or its power is weak: try another cable or USB port, then `tinyllm flash`. "
    "`tinyllm monitor` shows what it says."
)


def known_stranger(heard: bytes) -> str | None:
    """Who answers, and what to do, if that is plain; None if it may be a board that is slow to start.

    Every start of a chip says that it is one. A single one may be that of a tinyllm.
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
    """What to say if the last lines came twice in the same order, as a program says them that restarts; else None.

    One line again and again is no sign of that: many programs print one for each measurement.
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
