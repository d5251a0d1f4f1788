"""Writes the Hugging Face folder of a trained model, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save

from tinyllm.files import StagedFiles
from tinyllm.models.training.network import Weights
from tinyllm.models.training.shape import Shape
from tinyllm.models.training.vocabulary import Vocabulary


def write_folder(out: Path, shape: Shape, weights: Weights, vocabulary: Vocabulary, others: dict[str, str]) -> None:
    """Write config.json, model.safetensors, the tokenizer's files and `others` (name -> content) into the folder `out`.

    The weights are written as float16. Old weights are removed first and the new ones come last, so that weights never
    lie beside another model's tokenizer. Raises OSError.
    """
    config = json.dumps(shape.config(*vocabulary.ends), indent=2) + "\n"
    tensors = {name: tensor.detach().half().cpu().contiguous() for name, tensor in weights.items()}
    contents: dict[str, str | bytes] = {**vocabulary.files, **others, "config.json": config}
    contents["model.safetensors"] = save(tensors, metadata={"format": "pt"})
    with StagedFiles() as staged:
        for name, content in contents.items():
            staged.add(out / name, content)
        (out / "model.safetensors").unlink(missing_ok=True)
        staged.put_in_place()
