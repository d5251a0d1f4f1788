"""The process in which `verify` runs a library: it reads a job as JSON from stdin and saves the run as .npz."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tinyllm.codegen.arithmetic.float_model import ModelConfig, Rope
from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.verify.verify import generate


def main() -> None:
    """Run one job; verify._isolated starts this process."""
    job = json.load(sys.stdin)
    config = ModelConfig(**(job["config"] | {"rope": Rope(**job["config"]["rope"])}))
    run = generate(Path(job["library"]), config, settings=SamplerSettings(**job["settings"]), **job["run"])
    assert run.prompted is not None
    logits, cache = run.prompted
    arrays: dict[str, Any] = {"tokens": run.tokens, "logits": run.logits, "prompted.logits": logits}
    for prefix, caches in (("", run.cache), ("prompted.", cache)):
        for name, passes in caches.items():
            arrays |= {f"{prefix}{name}.{layer}": values for layer, values in enumerate(passes)}
    np.savez(job["saved"], **arrays)


if __name__ == "__main__":
    main()
