"""The bundled models, in Hugging Face layout."""

from __future__ import annotations

from pathlib import Path


def bundled() -> dict[str, Path]:
    """Name -> folder of each model that ships with the package, sorted by name.

    A folder is a model if it holds config.json; it also holds model.safetensors, tokenizer.model and README.md.
    """
    return {path.parent.name: path.parent for path in sorted(Path(__file__).parent.glob("*/config.json"))}
