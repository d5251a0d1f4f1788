"""Starting other programs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

APART: dict[str, Any] = {"start_new_session": True}
"""Arguments of Popen for a program that must survive a Ctrl-C. The caller must end the program itself.

A terminal sends the signal of a Ctrl-C to all processes of its foreground group. Ctrl-C stops an answer, but the
process of the board that gives the answer must go on.
"""
if sys.platform == "win32":
    APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
