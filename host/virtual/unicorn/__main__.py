"""`python -m tinyllm.host.virtual.unicorn`: a virtual board (board.py), if Unicorn is installed."""

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
    # At once: who talks to the board sees the connection end, and then asks why.
    os._exit(code)
