"""Virtual boards: an emulator on this computer runs a chip's image. Its serial port is a TCP port or pseudo-terminal.

`python -m tinyllm.host.virtual.unicorn ELF --chip CHIP --tcp 0 --parent-pipe` runs such a board in its own process.
Only that process imports the Unicorn emulator, so tinyllm works without Unicorn too.
"""
