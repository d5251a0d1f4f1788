"""What `upload_command` of the boards in test_flash.py runs: put a program on the desk and start it.

    desk_upload.py FLASH PORT PROGRAM    stop what runs, copy PROGRAM to FLASH, and start it at PORT (socket://...)

The command in FLASH.instead, a JSON list, is started in its place: a board may run something else than was sent to it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def stop(record: Path, port: int) -> None:
    """End what an earlier upload started, and wait until nothing listens there."""
    if not record.exists():
        return
    os.kill(int(record.read_text()), signal.SIGTERM)
    record.unlink()
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.05)


def main(flash: Path, port: str, program: Path) -> None:
    record, number = flash.with_suffix(".pid"), port.rsplit(":", 1)[1]
    stop(record, int(number))
    shutil.copy2(program, flash)
    instead = flash.with_suffix(".instead")
    command = json.loads(instead.read_text()) if instead.exists() else [str(flash)]
    quiet = subprocess.DEVNULL
    started = subprocess.Popen(
        [*command, "--tcp", number], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    record.write_text(str(started.pid))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
