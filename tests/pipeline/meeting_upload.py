"""An `upload_command` of test_all_attached.py: as desk_upload.py, once another upload of such a board is under way too.

meeting_upload.py FLASH PORT PROGRAM    each board's own flash lies beside FLASH, under the number of its PORT
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from desk_upload import main as upload

SECONDS = 60.0


def main(flash: Path, port: str, program: Path) -> None:
    own = flash.with_name(f"{flash.name} {port.rsplit(':', 1)[1]}")
    own.with_suffix(".here").touch()
    deadline = time.monotonic() + SECONDS
    while len(list(flash.parent.glob(f"{flash.name} *.here"))) < 2:
        if time.monotonic() > deadline:
            sys.exit("no other upload is under way")
        time.sleep(0.05)
    upload(own, port, program)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
