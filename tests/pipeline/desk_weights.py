"""What `custom_upload_weights` of the board in test_flash_weights.py runs: put weights beside the program on the desk.

desk_weights.py FLASH PORT WEIGHTS     copy WEIGHTS beside FLASH, and start the program anew if there is one
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from desk_upload import stop


def main(flash: Path, port: str, weights: Path) -> None:
    record, number = flash.with_suffix(".pid"), port.rsplit(":", 1)[1]
    stop(record, int(number))
    shutil.copy2(weights, flash.with_name(weights.name))
    if flash.exists():
        quiet = subprocess.DEVNULL
        started = subprocess.Popen(
            [str(flash), "--tcp", number], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        record.write_text(str(started.pid))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
