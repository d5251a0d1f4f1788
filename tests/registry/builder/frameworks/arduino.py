"""The core of this stand-in: the declarations of the calls that the port makes."""

from SCons.Script import DefaultEnvironment

env = DefaultEnvironment()
env.Append(
    CPPPATH=[f"{env.PioPlatform().get_dir()}/arduino_stub"],
    CPPDEFINES=[("ARDUINO", 10812), env.BoardConfig().get("build.architecture")],
)
