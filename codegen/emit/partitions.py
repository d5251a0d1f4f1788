"""partitions.csv: the partition table of an ESP32 whose weights lie beside the program.

The format is that of ESP-IDF's gen_esp32part.py (Programming Guide, "Partition Tables"). An app begins at a multiple of
64 KB. nvs and otadata are where every table of arduino-esp32 has them: PlatformIO writes the first boot choice to
0xe000.
"""

from __future__ import annotations

from tinyllm.boards.board import WeightsPlace

APP = 0x10000
"""Where the program begins."""
SUBTYPE = 0x40
"""The subtype of the weights' partition: the first for data that ESP-IDF leaves to applications."""
NAME = "weights"

_TABLE = """\
# Name,   Type, SubType, Offset,   Size
nvs,      data, nvs,     0x9000,   0x5000
otadata,  data, ota,     0xe000,   0x2000
app0,     app,  ota_0,   {app:#x},  {program:#x}
{name},  data, {subtype:#x},    {offset:#x}, {size:#x}
"""


def partition_table(place: WeightsPlace) -> str:
    """The table: the program begins at APP, the weights at their offset."""
    return _TABLE.format(
        app=APP, program=place.program, name=NAME, subtype=SUBTYPE, offset=place.offset, size=place.size
    )
