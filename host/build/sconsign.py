"""Keeps what SCons remembers of a project in that project: a script that PlatformIO runs inside SCons.

SCons takes an object for up to date if it was made of the same files as the last object of that path. PlatformIO puts
this memory beside the objects that all projects share, under paths within the project. So a project would keep an
object of older files if meanwhile another project was compiled from the newer ones.
"""

from __future__ import annotations

import sys

from SCons.Script import DefaultEnvironment

DefaultEnvironment().SConsignFile("$BUILD_DIR/.sconsign{}{}".format(*sys.version_info))
