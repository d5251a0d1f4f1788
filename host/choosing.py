"""From what a person names to a model and its tokenizer."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from tinyllm.boards.errors import UserError
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.model import Model
from tinyllm.codegen.tokenizers import Tokenizer, check_vocabulary, find_tokenizer, read_tokenizer
from tinyllm.models import bundled

DEFAULT_CONTEXT = 512


@dataclass(frozen=True)
class Choice:
    """A model that has been read, with its tokenizer."""

    path: Path
    model: Model
    tokenizer_path: Path
    tokenizer: Tokenizer

    @property
    def name(self) -> str:
        return self.model.config.name

    def context(self, wanted: int | None) -> int:
        """Positions of the KV cache: as wanted, or the model's own up to DEFAULT_CONTEXT.

        UserError beyond what the model was trained for.
        """
        trained = self.model.config.context
        if wanted is None:
            return min(trained, DEFAULT_CONTEXT)
        if not 8 <= wanted <= trained:
            raise UserError(
                f"--context {wanted}: {self.name} was trained for {trained} positions; expected 8 to {trained}."
            )
        return wanted


def model_path(name: str | None) -> Path:
    """The folder or file that `name` means: a bundled model, a path, or by default the first bundled model."""
    models = bundled()
    if name is None:
        if not models:
            raise UserError("no model is bundled with this installation. Give the path of one.")
        return next(iter(models.values()))
    if name in models:
        return models[name]
    if Path(name).exists():
        return Path(name)
    near = difflib.get_close_matches(name, models, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Bundled: {', '.join(models) or 'none'}."
    raise UserError(f"{name}: neither a bundled model nor a file or folder. {hint}")


def choose(name: str | None, tokenizer: Path | None = None) -> Choice:
    """Read the model and its tokenizer; `tokenizer` names one where none lies beside the checkpoint."""
    path = model_path(name)
    model = read_model(path)
    tokenizer_path = tokenizer or find_tokenizer(path, model.config.vocab_size)
    read = read_tokenizer(tokenizer_path)
    check_vocabulary(path, model.config.vocab_size, tokenizer_path, read)
    return Choice(path, model, tokenizer_path, read)
