"""What the memory planner needs of a checkpoint: dimensions and tokenizer, from its headers, without a weight."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.checkpoints.facts import CheckpointFacts
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.codegen.trim import Saving, needed_tokens, saving, trim_config, trim_tokenizer
from tinyllm.errors import UserError
from tinyllm.host.model.load import LoadOptions, load_tokenizer
from tinyllm.host.model.weights import Kind, Weights

TYPICAL_PIECE = b"token "
"""Stands in for each piece of a missing tokenizer, to estimate its tables."""


@dataclass(frozen=True)
class Sketch:
    """A checkpoint's headers and its tokenizer.

    config: with the vocabulary trimmed and the prefix set, if the options say so; its context is what the model was
    trained for. context: positions of the KV cache; context_chosen: whether a person named it. tokenizer: None if there
    is none; no_tokenizer then says why. saving: what trimming the vocabulary saves. mixture: the mixture of int8 and
    int4 weights that a person chose. chosen: the format that a person chose, None if any will do. weights_in: where a
    board keeps the weights; None: in the program if they fit.
    """

    path: Path
    facts: CheckpointFacts
    config: ModelConfig
    context: int
    context_chosen: bool
    tokenizer: Tokenizer | None
    tokenizer_path: Path | None
    no_tokenizer: str
    saving: Saving | None
    mixture: Weights | None = None
    chosen: Kind | None = None
    weights_in: str | None = None

    @cached_property
    def pieces(self) -> Tokenizer:
        """The tokenizer, or one whose tables are about as large."""
        return self.tokenizer or stand_in(self.config.vocab_size)

    @cached_property
    def parameters_by_part(self) -> dict[str, int]:
        """As CheckpointFacts, with a row of embedding and head for each token of the vocabulary as it is trimmed."""
        counts = self.facts.parameters_by_part()
        if self.saving is None:
            return counts
        trimmed = self.config.vocab_size * self.config.dim
        return {part: trimmed if part in ("embedding", "head") else count for part, count in counts.items()}

    @property
    def n_parameters(self) -> int:
        return sum(self.parameters_by_part.values())


def read_sketch(path: Path, options: LoadOptions) -> Sketch:
    """Read the sketch of a checkpoint. Raises UserError as inspect_checkpoint, and if a named tokenizer is invalid."""
    facts = options.facts(path)
    config = facts.config
    context = options.positions(config)
    tokenizer_path, tokenizer, why = _tokenizer(path, config, options)
    saved = None
    if options.trim_vocab is not None:
        if tokenizer is None:
            raise UserError(f"--trim-vocab needs the model's tokenizer. {why}")
        trimmed = trim_tokenizer(tokenizer, needed_tokens(tokenizer, options.stories(), config.chat_template))
        saved = saving(config, tokenizer, trimmed)
        config, tokenizer = trim_config(config, trimmed.vocab_size), trimmed
    if tokenizer is not None:
        config = options.with_prefix(config, tokenizer)
    elif options.prefix is not None:
        raise UserError(f"--prefix needs the model's tokenizer. {why}")
    weights = options.weights_format() if options.fit_to is None else Weights("mixed", board=options.fit_to)
    return Sketch(
        path=path,
        facts=facts,
        config=config,
        context=context,
        context_chosen=options.context is not None,
        tokenizer=tokenizer,
        tokenizer_path=tokenizer_path,
        no_tokenizer=why,
        saving=saved,
        mixture=weights if weights.kind == "mixed" else None,
        chosen=None if options.weights is None else weights.kind,
        weights_in=options.weights_in,
    )


def _tokenizer(path: Path, config: ModelConfig, options: LoadOptions) -> tuple[Path | None, Tokenizer | None, str]:
    """Its path, the tokenizer, and the reason if there is none. UserError if a person named one that is invalid."""
    try:
        return *load_tokenizer(path, config, options), ""
    except UserError as error:
        if options.tokenizer is not None:
            raise
        return None, None, str(error)


def stand_in(vocab_size: int) -> Tokenizer:
    """A tokenizer of `vocab_size` typical pieces, whose tables are about as large as a real one's."""
    return Tokenizer(
        pieces=(TYPICAL_PIECE,) * vocab_size,
        kinds=(PieceKind.CONTROL,) * vocab_size,
        ranks=(0,) * vocab_size,
        bos=None,
        eos=None,
        stop_ids=(),
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        source="none",
    )
