"""upload_weights.py of a project: the PlatformIO target that writes the weights alone to the board.

It calls the tool that uploads the program: esptool, or on a Pico picotool. A board with another upload has the command
in `custom_upload_weights` of its [platformio].
"""

from __future__ import annotations

from tinyllm.boards.description import Board
from tinyllm.codegen.emit.render import render
from tinyllm.files import WEIGHTS

SCRIPT = "upload_weights.py"
TARGET = "upload_weights"
"""The target for `pio run -t`."""
CUSTOM = "custom_upload_weights"

_FILE = f'"$PROJECT_DIR/{WEIGHTS}"'
_ESPTOOL = (
    '"$PYTHONEXE" "$UPLOADER" --chip {chip} --port "$UPLOAD_PORT" --baud $UPLOAD_SPEED '
    "--before default_reset --after hard_reset write_flash -z {offset:#x} " + _FILE
)
_PICOTOOL = '"$UPLOADER" load -u -v ' + _FILE + ' -t bin -o {address:#x} && "$UPLOADER" reboot'


def upload_script(board: Board) -> str | None:
    """The text of SCRIPT; None for a board to which nothing is uploaded, or whose description does not say how."""
    place = board.weights
    if board.emulator is not None or (place is None and CUSTOM not in board.platformio):
        return None
    picotool = place is not None and place.address is not None
    if place is None:
        command = ""
    elif picotool:
        command = _PICOTOOL.format(address=place.address)
    else:
        command = _ESPTOOL.format(chip=board.chip, offset=place.offset)
    return render("upload_weights.py", command=repr(command), picotool=picotool)
