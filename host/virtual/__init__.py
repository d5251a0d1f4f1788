"""Virtual boards: a chip image runs in an emulator on this computer, its serial port a TCP port or a pseudo-terminal.

`python -m tinyllm.host.virtual.unicorn ELF --chip CHIP --tcp 0 --parent-pipe` is such a board, a process of its own.
Only that process imports the Unicorn emulator, which need not be installed.
"""
