"""The recipe of the bundled story model, if torch, an optional extra, is installed.

python -m tinyllm.models.training --text train.txt --valid valid.txt --out FOLDER
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

from tinyllm.errors import UserError

TRAIN = "tinyllm.models.training.train"

if __name__ == "__main__":
    if importlib.util.find_spec("torch") is None:
        print("error: training needs torch, which is not installed; run: pip install 'tinyllm[train]'", file=sys.stderr)
        sys.exit(UserError.exit_code)
    importlib.import_module(TRAIN).command(prog_name="python -m tinyllm.models.training")
