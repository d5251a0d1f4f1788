"""Vocabulary trimming: keep only the tokens of a model and its tokenizer that some texts need, and every byte.

A large vocabulary is most of a small model: the embedding's rows, the head's, the logits, the tables of the pieces. The
texts are samples of those that the model will read and write. The kept tokens encode them as before, token for token;
any other text is cut finer, to bytes at worst. The probabilities are those of the whole model, normalised over the kept
tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np

from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig
from tinyllm.codegen.chat.conversation import conversation_ids
from tinyllm.codegen.chat.render import Message
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import plan_memory
from tinyllm.codegen.tokenizers.encode.encoder import encode, rank_of_pair
from tinyllm.codegen.tokenizers.encode.normalize import utf8_length
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.errors import UserError

HELLO = Message("user", "Hello")
CONVERSATIONS = (
    (HELLO,),
    (HELLO, Message("assistant", "Hello"), HELLO),
    (Message("system", "Hello"), HELLO),
)
"""Conversations to render a chat template on, to see the text that the template itself writes."""


@dataclass(frozen=True)
class Saving:
    """What trimming saves, counted. parameters: stored numbers; flash: bytes of tables; ram: bytes of state."""

    tokens_before: int
    tokens: int
    parameters: int
    flash: int
    ram: int


@dataclass(frozen=True)
class Trimmed:
    """A trimmed model and tokenizer. kept: for each token of the trimmed vocabulary its old id, ascending."""

    model: Model
    tokenizer: Tokenizer
    kept: tuple[int, ...]
    saving: Saving


def trim(model: Model, tokenizer: Tokenizer, texts: Sequence[str]) -> Trimmed:
    """The model and its tokenizer with only the kept tokens; the model's name gets their number."""
    kept = needed_tokens(tokenizer, texts, model.config.chat_template)
    trimmed = trim_tokenizer(tokenizer, kept)
    config = trim_config(model.config, len(kept))
    rows = np.array(kept)
    head = None if model.head is None else model.head[rows]
    smaller = replace(model, config=config, embedding=model.embedding[rows], head=head)
    return Trimmed(smaller, trimmed, kept, saving(model.config, tokenizer, trimmed))


def trim_config(config: ModelConfig, n_tokens: int) -> ModelConfig:
    """The config of the model after trimming to `n_tokens`."""
    return replace(config, name=f"{config.name}-trim{n_tokens}", vocab_size=n_tokens)


def saving(config: ModelConfig, whole: Tokenizer, trimmed: Tokenizer) -> Saving:
    """What the trimmed tokenizer saves for a model of that config, counted before the model is trimmed."""
    smaller = trim_config(config, trimmed.vocab_size)
    before, after = plan_memory(outline(config), whole), plan_memory(outline(smaller), trimmed)
    dropped = whole.vocab_size - trimmed.vocab_size
    return Saving(
        tokens_before=whole.vocab_size,
        tokens=trimmed.vocab_size,
        parameters=dropped * config.dim * (1 if config.tied_head else 2),
        flash=sum(before.flash.values()) - sum(after.flash.values()),
        ram=before.state_bytes - after.state_bytes,
    )


def needed_tokens(tokenizer: Tokenizer, texts: Iterable[str], chat_template: str | None = None) -> tuple[int, ...]:
    """The ids to keep, ascending: the tokens of the texts and of the chat template's own words, the tokens that merges
    make on the way to them, every single byte, and all pieces that are not NORMAL, except padding.
    """
    used = {token for text in texts for token in encode(tokenizer, text)} | _template_tokens(tokenizer, chat_template)
    kept = used | _always_kept(tokenizer)
    rank = rank_of_pair(tokenizer)
    for token in used:
        if tokenizer.kinds[token] is PieceKind.NORMAL:
            parts = _parts(tokenizer, tokenizer.pieces[token], rank)
            kept.update(tokenizer.normal_ids[part] for part in parts if part in tokenizer.normal_ids)
    return tuple(sorted(kept))


def first_tokens(tokenizer: Tokenizer, size: int) -> tuple[int, ...]:
    """The ids of a vocabulary of about `size` tokens, ascending: those always kept, then the first of the others.

    Tokenizers number their most common pieces first. So it is about as large as the vocabulary of a text that needs
    `size` tokens.
    """
    kept = _always_kept(tokenizer)
    others = (token for token in range(tokenizer.vocab_size) if token not in kept)
    return tuple(sorted([*kept, *islice(others, max(size - len(kept), 0))]))


def trim_tokenizer(tokenizer: Tokenizer, kept: Sequence[int]) -> Tokenizer:
    """The tokenizer with only these tokens, in this order, and the merges whose three pieces are kept."""
    new = {old: token for token, old in enumerate(kept)}

    def of_kept(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(values[old] for old in kept) if values else ()

    # Ranks become dense again, so that the largest stays below the number of tokens.
    _, ranks = np.unique(np.array(of_kept(tokenizer.ranks)), return_inverse=True)
    merges = (tuple(new.get(token, -1) for token in merge) for merge in tokenizer.merges)
    return replace(
        tokenizer,
        pieces=tuple(tokenizer.pieces[old] for old in kept),
        kinds=tuple(tokenizer.kinds[old] for old in kept),
        ranks=tuple(ranks.tolist()),
        scores=of_kept(tokenizer.scores),
        shared=tuple((text, new[old]) for text, old in tokenizer.shared),
        merges=tuple((left, right, joined) for left, right, joined in merges if min(left, right, joined) >= 0),
        bare=tuple(new[old] for old in tokenizer.bare if old in new),
        strips=tuple((new[old], strip) for old, strip in tokenizer.strips if old in new),
        bos=None if tokenizer.bos is None else new[tokenizer.bos],
        eos=None if tokenizer.eos is None else new[tokenizer.eos],
        stop_ids=tuple(new[old] for old in tokenizer.stop_ids),
        source=f"{tokenizer.source}, trimmed from {tokenizer.vocab_size} pieces",
    )


def _template_tokens(tokenizer: Tokenizer, chat_template: str | None) -> set[int]:
    """The ids of CONVERSATIONS as the chat template writes them, without those that it cannot write."""
    used: set[int] = set()
    if chat_template is None:
        return used
    for messages in CONVERSATIONS:
        try:
            used.update(conversation_ids(chat_template, tokenizer, messages))
        except UserError:
            continue
    return used


def _always_kept(tokenizer: Tokenizer) -> set[int]:
    kept = {token for token in (tokenizer.bos, tokenizer.eos, *tokenizer.stop_ids) if token is not None}
    kept |= {token for _, token in tokenizer.shared}
    for token, (piece, kind) in enumerate(zip(tokenizer.pieces, tokenizer.kinds, strict=True)):
        if len(piece) == 1 if kind is PieceKind.NORMAL else piece != padding_piece(token):
            kept.add(token)
    if tokenizer.scores:
        # The scores of unknown characters and of USER_DEFINED pieces follow from these.
        score = tokenizer.scores.__getitem__
        kept.add(min(range(tokenizer.vocab_size), key=score))
        normal = tokenizer.normal_ids.values()
        kept |= {min(normal, key=score), max(normal, key=score)} if normal else set()
    return kept


def padding_piece(token: int) -> bytes:
    """The name of the piece that fit_vocabulary (tokenizers/formats/vocabulary.py) gives a row without a piece."""
    return b"[PAD%d]" % token


def _parts(tokenizer: Tokenizer, piece: bytes, rank: Callable[[bytes, bytes], int | None]) -> Iterator[bytes]:
    """The characters of a piece, and each symbol that merging makes from them on the way to the piece.

    No merge crosses the ends of the text that becomes one piece, so the piece alone merges as it does within a text.
    """
    symbols = list(_characters(tokenizer, piece))
    yield from symbols
    while True:
        ranks = [rank(left, right) for left, right in pairwise(symbols)]
        possible = [found for found in ranks if found is not None]
        if not possible:
            return
        at = ranks.index(min(possible))
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        yield symbols[at]


def _characters(tokenizer: Tokenizer, piece: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(piece):
        length = 1 if tokenizer.byte_level else utf8_length(piece, offset)
        yield piece[offset : offset + length]
        offset += length
