"""Changes that make a model fit a board, or make it faster there. The effect of each is computed as fit computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tinyllm.boards.board import Board
from tinyllm.boards.families import one_of_each_chip
from tinyllm.codegen.arithmetic.float_model import LARGEST_CONTEXT
from tinyllm.codegen.memory.fit import CONTEXT_STEP
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.trim import first_tokens, trim_tokenizer
from tinyllm.host.fit.fits import BoardFit, Fit, fit_board, fit_model
from tinyllm.host.fit.weights import outlines
from tinyllm.host.model.kv_cache import KV_CACHES
from tinyllm.host.model.sketch import Sketch, stand_in

SMALLEST_VOCABULARY = 512
"""Tokens of the smallest vocabulary that is suggested: two for each byte value."""
LARGE_VOCABULARY = 0.2
"""A vocabulary is worth trimming if it takes at least this share of the flash or of the state."""


@dataclass(frozen=True)
class Remedy:
    """A change, as options of the command line, and how the model fits the board after it."""

    change: str
    board: Board
    fit: Fit


def remedies(sketch: Sketch, board: BoardFit, others: Sequence[Board]) -> list[Remedy]:
    """Changes that make the model fit the board; if it fits already, changes that make it faster or its context longer.

    others: boards to suggest instead. If the model does not fit, changes after which it still does not are included if
    they come nearer, to show how far off it is. No changes if it is unknown whether the model fits, or how fast it is.
    """
    now = board.best or board.formats[board.chosen or "int8"]
    if not now.known or (now.fits and now.decode is None):
        return []
    found = [
        *_other_weights(board, now),
        *_smaller_cache(sketch, board, now),
        *_window(sketch, board, now),
        *_shorter(sketch, board, now),
        *_smaller_vocabulary(sketch, board, now),
    ]
    found = [each for each in found if _helps(each.fit, board, now)]
    return [*found, *_other_boards(sketch, now, board.board, others)]


def _helps(fit: Fit, board: BoardFit, now: Fit) -> bool:
    """Whether a change helps by itself: a smaller cache with int4 weights must do more than int4 weights alone."""
    plain = board.formats[fit.weights]
    before = now if fit is plain else plain
    return (_is_better if before.fits else _comes_nearer)(fit, before)


def _is_better(fit: Fit, now: Fit) -> bool:
    """Whether `fit` fits, and is faster than `now` or has more context."""
    return fit.fits and (_speed(fit) > 1.005 * _speed(now) or fit.context > now.context)


def _comes_nearer(fit: Fit, now: Fit) -> bool:
    """Whether `fit` fits, or lacks less than `now` in the memory that is filled most."""
    return fit.fits or (fit.fullest is not None and now.fullest is not None and fit.fullest[1] < 0.99 * now.fullest[1])


def _speed(fit: Fit) -> float:
    return fit.decode.tokens_per_second if fit.decode else 0.0


def _other_weights(board: BoardFit, now: Fit) -> Iterator[Remedy]:
    for fit in board.formats.values():
        if fit is not now:
            yield Remedy(f"--weights {fit.weights}", board.board, fit)


def _smaller_cache(sketch: Sketch, board: BoardFit, now: Fit) -> Iterator[Remedy]:
    """A KV cache with fewer bits, if it is int8 now. If the model does not fit, with int8 and with int4 weights."""
    if (sketch.config.key_bits, sketch.config.value_bits) != (8, 8):
        return
    for weights in (now.weights,) if now.fits else ("int8", "int4"):
        for name, (key_bits, value_bits) in KV_CACHES.items():
            if (key_bits, value_bits) != (8, 8):
                smaller = replace(sketch, config=replace(sketch.config, key_bits=key_bits, value_bits=value_bits))
                shorten = not sketch.context_chosen
                fit = _with(smaller, board.board, weights, sketch.context, sketch.pieces, shorten)
                yield Remedy(f"--kv-cache {name}{_and_weights(weights, now)}", board.board, fit)


def _window(sketch: Sketch, board: BoardFit, now: Fit) -> Iterator[Remedy]:
    """The whole context with the longest window of the KV cache that fits, for each format if the model does not fit.

    Nothing if the whole context fits already, or if a window was chosen.
    """
    if (now.context == sketch.context and now.fits) or sketch.config.cache_window is not None:
        return
    for fit in (now,) if now.fits else board.formats.values():
        longest = now.context if now.fits else fit.longest_context or 0
        for window in range(min(longest, sketch.context - 1), sketch.config.smallest_context, -CONTEXT_STEP):
            narrow = replace(sketch, config=replace(sketch.config, cache_window=window))
            made = _with(narrow, board.board, fit.weights, sketch.context, sketch.pieces)
            if made.fits:
                change = f"--window {window} --context {sketch.context}{_and_weights(fit.weights, now)}"
                yield Remedy(change, board.board, made)
                break


def _shorter(sketch: Sketch, board: BoardFit, now: Fit) -> Iterator[Remedy]:
    """Half the context if the model fits; else the longest context that fits, for each format."""
    if now.fits:
        contexts = {now.weights: now.context // 2}
    else:
        contexts = {fit.weights: fit.longest_context or 0 for fit in board.formats.values()}
    for weights, context in contexts.items():
        if context >= sketch.config.smallest_context:
            fit = _with(sketch, board.board, weights, context, sketch.pieces)
            yield Remedy(f"--context {context}{_and_weights(weights, now)}", board.board, fit)


def _and_weights(weights: str, now: Fit) -> str:
    return "" if weights == now.weights else f" --weights {weights}"


def _smaller_vocabulary(sketch: Sketch, board: BoardFit, now: Fit) -> Iterator[Remedy]:
    """The largest power of two as vocabulary with which the model fits; if it fits already, about a quarter of it."""
    config = sketch.config
    rows = config.vocab_size * config.dim * (1 if config.tied_head else 2)
    share = max(rows / now.needs.total.flash, now.needs.plan.ram["logits"] / now.needs.plan.state_bytes)
    if share < LARGE_VOCABULARY or config.vocab_size <= SMALLEST_VOCABULARY:
        return
    shorten = not now.fits and not sketch.context_chosen
    for weights in ("int8", "int4") if not now.fits else (now.weights,):
        size, fit = config.vocab_size, now
        while size // 2 >= SMALLEST_VOCABULARY and (size == config.vocab_size or not fit.fits):
            size = max(_power_of_two_below(size) // (2 if now.fits else 1), SMALLEST_VOCABULARY)
            fit = _with(sketch, board.board, weights, sketch.context, _vocabulary(sketch, size), shorten)
        what = f"--trim-vocab FILE to {size:,} tokens{_and_weights(weights, now)}"
        yield Remedy(what, board.board, fit)


def _power_of_two_below(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _vocabulary(sketch: Sketch, size: int) -> Tokenizer:
    """A vocabulary of the first `size` tokens, about as large in bytes as one trimmed to a text."""
    if sketch.tokenizer is None:
        return stand_in(size)
    return trim_tokenizer(sketch.tokenizer, first_tokens(sketch.tokenizer, size))


def _with(sketch: Sketch, board: Board, weights: str, context: int, tokenizer: Tokenizer, shorten: bool = False) -> Fit:
    config = replace(sketch.config, vocab_size=tokenizer.vocab_size)
    model = outlines(replace(sketch, config=config, context=context, tokenizer=tokenizer))[weights]
    trained = min(config.context, LARGEST_CONTEXT)
    return fit_model(weights, model, tokenizer, board, trained, shorten, sketch.weights_in)


def _other_boards(sketch: Sketch, now: Fit, board: Board, others: Sequence[Board]) -> Iterator[Remedy]:
    """Boards that the model fits, with the most accurate weights: one of each chip, the fastest first.

    If the model fits this board, only faster ones.
    """
    fits = [(each, fit_board(sketch, each).best) for each in others if each.name != board.name and each.memory]
    better = [(each, fit) for each, fit in fits if fit and (not now.fits or _speed(fit) > _speed(now))]
    fastest = {each.name: (each, fit) for each, fit in sorted(better, key=lambda pair: -_speed(pair[1]))}
    for each in one_of_each_chip([each for each, _ in fastest.values()]):
        fit = fastest[each.name][1]
        yield Remedy(f"--board {each.name}{_and_weights(fit.weights, now)}", each, fit)
