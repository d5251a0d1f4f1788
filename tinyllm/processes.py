"""Starting other programs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

APART: dict[str, Any] = {"start_new_session": True}
"""Arguments of Popen for a program that outlives a Ctrl-C.

A terminal sends the signal of a Ctrl-C to all processes of its foreground group. It stops an answer; the board that
gives the answer has to go on. Who starts such a program must end it.
"""
if sys.platform == "win32":
    APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
