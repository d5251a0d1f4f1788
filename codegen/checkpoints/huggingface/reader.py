"""Reads Hugging Face folders (config.json beside the weights) of the model types in families.FAMILIES."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinyllm.codegen.arithmetic.float_model import Block, Model
from tinyllm.codegen.checkpoints.facts import CheckpointFacts, TensorFacts, common_features, part_of
from tinyllm.codegen.checkpoints.huggingface.config import Configuration, read_configuration
from tinyllm.codegen.checkpoints.huggingface.families import ExpectedTensor, expected_tensors
from tinyllm.codegen.checkpoints.huggingface.tensors import StoredTensor, read_stored, require_readable
from tinyllm.codegen.checkpoints.huggingface.weights import match_tensors, stored_tensors, tied_copy
from tinyllm.errors import UserError


def read_huggingface(
    folder: Path,
    *,
    context: int | None = None,
    share_embedding: bool | None = None,
    layer_sharing: bool | None = None,
) -> Model:
    """The model in `folder`, with every weight as float32. Tensors are read one at a time.

    context: positions the build will use, which decides between the two sets of longrope factors; None chooses the
        short ones. The result's config.context is the number of positions for which they are right.
    share_embedding, layer_sharing: override config.json (MobileLLM's own code keeps them outside it).

    Raises UserError for a missing file or tensor, a wrong shape or dtype, weights that are not finite, and every option
    or tensor that is not supported.
    """
    configuration = read_configuration(folder, context, share_embedding, layer_sharing)
    config = configuration.config
    matched, copy = _matched(folder, configuration)

    outer: dict[str, Any] = {}
    blocks: list[dict[str, Any]] = [{} for _ in set(config.schedule)]
    for expected, stored in matched:
        tensor = read_stored(stored)
        target = outer if expected.block is None else blocks[expected.block]
        start = 0
        for field, rows in expected.parts:
            target[field] = tensor[start : start + rows]
            start += rows
    model = Model(config, blocks=[Block(**tensors) for tensors in blocks], **outer)
    if copy is not None and not np.array_equal(read_stored(copy), model.embedding):
        raise UserError(
            f"{copy.path}: lm_head.weight differs from the embedding though config.json ties them;"
            " set tie_word_embeddings (mobilellm: share_embedding) to false or export it again"
        )
    return model


def inspect_huggingface(
    folder: Path,
    *,
    context: int | None = None,
    share_embedding: bool | None = None,
    layer_sharing: bool | None = None,
) -> CheckpointFacts:
    """The facts of the model in `folder`; no weight is read. Arguments and errors are those of read_huggingface."""
    configuration = read_configuration(folder, context, share_embedding, layer_sharing)
    matched, _ = _matched(folder, configuration)
    tensors = [
        TensorFacts(stored.name, stored.shape, stored.dtype, stored.n_bytes, part_of(expected.parts[0][0]))
        for expected, stored in matched
    ]
    features = [*common_features(configuration.config), *configuration.features]
    if configuration.biases:
        features.append(f"biases on {', '.join(bias[1] for bias in configuration.biases)}")
    features.append(f"weights as {' and '.join(sorted({tensor.dtype for tensor in tensors}))}")
    return CheckpointFacts(configuration.config, tensors, features)


def _matched(
    folder: Path, configuration: Configuration
) -> tuple[list[tuple[ExpectedTensor, StoredTensor]], StoredTensor | None]:
    """Every expected tensor with its tensor in a file, and a redundant stored head, if any (see weights.tied_copy)."""
    stored = stored_tensors(folder)
    expected = list(expected_tensors(configuration.config, configuration.family, configuration.biases))
    matched = match_tensors(folder, expected, stored)
    copy = tied_copy(expected, stored)
    if copy is not None:
        require_readable(copy, matched[0][0].shape)
    return matched, copy
