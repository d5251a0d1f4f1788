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

# Python looks for modules in the folder that it starts in, and a user's folder may hold a json.py or a tinyllm/.
_RUN = (
    "import sys; sys.path[:1] == [''] and sys.path.pop(0); import runpy; "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def python_module(name: str) -> list[str]:
    """The command that runs an installed module in another Python; arguments of the module can follow."""
    return [sys.executable, "-c", _RUN, name]
