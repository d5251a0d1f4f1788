"""A script that PlatformIO runs inside SCons, to keep SCons's record of a project (.sconsign) in that project.

The record says of which files the last object of each path was made. If they are the same, the object is up to date.
PlatformIO would keep one record for all projects beside the objects that they share, under paths within the project.
Then a project would keep an object of older files after another project was compiled from newer ones.
"""

from __future__ import annotations

import sys

from SCons.Script import DefaultEnvironment

DefaultEnvironment().SConsignFile("$BUILD_DIR/.sconsign{}{}".format(*sys.version_info))
