"""`python -m tinyllm.host.virtual.unicorn` runs a virtual board (board.py), if Unicorn is installed."""

from __future__ import annotations

import importlib
import os
import sys

from tinyllm.errors import UserError
from tinyllm.host.virtual.emulators import require_unicorn

BOARD = "tinyllm.host.virtual.unicorn.board"

if __name__ == "__main__":
    try:
        require_unicorn()
    except UserError as error:
        print(f"tinyllm: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    code = importlib.import_module(BOARD).main()
    sys.stderr.flush()
    # End at once: a client sees the connection end, and then asks for the reason.
    os._exit(code)
