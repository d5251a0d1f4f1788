"""What a llama2.c checkpoint is, told from its header."""

from __future__ import annotations

from pathlib import Path

from tinyllm.codegen.checkpoints.facts import CheckpointFacts, TensorFacts, common_features, part_of
from tinyllm.codegen.checkpoints.llama2c import layout, read_header
from tinyllm.files import file_size


def inspect_llama2c(path: Path) -> CheckpointFacts:
    """Raises UserError where `read_llama2c` would for the same header."""
    header = read_header(path, file_size(path))
    tensors = [
        TensorFacts(entry.name, entry.shape, "Q8_0" if entry.group_size else "F32", entry.n_bytes, part_of(entry.field))
        for entry in layout(header)
        if entry.field != "rotary_table"
    ]
    names = {0: "legacy", 1: "version 1", 2: f"version 2, groups of {header.group_size}"}
    features = [*common_features(header.config), f"llama2.c format: {names[header.version]}"]
    return CheckpointFacts(header.config, tensors, features)
