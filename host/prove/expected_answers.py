"""The answers that every board must give: computed by the reference and the Python sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tinyllm.boards.description import HOST, TWIN
from tinyllm.codegen.actions.plan import CallReader, actions_of
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.sampler import Sampler, SamplerSettings
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece, encode
from tinyllm.errors import Failure, UserError
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.link import Link
from tinyllm.host.link.weights import weights_trouble
from tinyllm.host.model.calibrate import integers_of
from tinyllm.host.model.load import AS_STORED, LoadedModel, LoadOptions, likely_models, load_model, model_path

GREEDY = SamplerSettings(temperature=0)

Answers = tuple[tuple[int, ...], ...]


class Expected:
    """A model as a board holds it, and its answers; computed answers are cached."""

    def __init__(self, loaded: LoadedModel, context: int) -> None:
        """context: positions of the KV cache. Errors as integers_of."""
        self.name = loaded.name
        self.model: IntegerModel = integers_of(loaded, context)
        self.tokenizer: Tokenizer = loaded.tokenizer
        self._answers = lru_cache(maxsize=64)(self._compute)

    @property
    def model_hash(self) -> str:
        """The model's hash as a board reports it."""
        return self.model.short_digest()

    def answers(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        settings: SamplerSettings = GREEDY,
        seed: int = 1,
        through_stops: bool = False,
    ) -> Answers:
        """Token ids of the answers to the prompts of one conversation, with overflow slide.

        An answer ends with a stop token or after `max_tokens`; with `through_stops` only after `max_tokens`. A call
        ends the answers, because what follows depends on its result.
        """
        return self._answers(tuple(prompts), max_tokens, settings, seed, through_stops)

    def logits(self, tokens: Sequence[int]) -> NDArray[np.int64]:
        """Logits Q16.16 (n, vocab_size) after each of n tokens of a new conversation."""
        return self._begun().forward(tokens)

    def _begun(self) -> Reference:
        """The reference at the start of a conversation, after the prefix."""
        reference = Reference(self.model)
        if self.model.config.prefix:
            reference.forward(self.model.config.prefix)
        return reference

    def encode(self, text: str, first: bool = True) -> list[int]:
        """Token ids of a prompt; the first one of a conversation begins with BOS, unless there is a prefix."""
        return encode(self.tokenizer, text, bos=first and not self.model.config.prefix)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of an answer's tokens, unfinished characters as U+FFFD."""
        return b"".join(decode_piece(self.tokenizer, token) for token in tokens).decode("utf-8", "replace")

    def _compute(
        self, prompts: tuple[str, ...], max_tokens: int, settings: SamplerSettings, seed: int, through_stops: bool
    ) -> Answers:
        reference, sampler = self._begun(), Sampler(settings, seed)
        stops = set() if through_stops else set(self.tokenizer.stop_ids)
        in_context = dict(enumerate(self.model.config.prefix))
        answers: list[tuple[int, ...]] = []
        read = len(in_context)
        unread: list[int] = []
        plan = actions_of(self.model.config.actions, self.tokenizer)
        reader = None if plan is None else CallReader(plan)
        for prompt in prompts:
            unread += self.encode(prompt, first=not answers)
            if reader is not None:
                reader.leave()
            answer: list[int] = []
            while not answer or (len(answer) < max_tokens and answer[-1] not in stops):
                logits = reference.forward(unread)[-1]
                in_context |= {reference.place(read + i): token for i, token in enumerate(unread)}
                read += len(unread)
                handicaps = None if reader is None else reader.handicaps()
                unread = [sampler.sample(logits, in_context.values(), handicaps)]
                answer += unread
                if reader is not None and reader.read(unread[0]) is not None:
                    return (*answers, tuple(answer))
            answers.append(tuple(answer))
        return tuple(answers)


def expected_of(link: Link, model: str | None = None, options: LoadOptions = AS_STORED) -> Expected:
    """The Expected of the model that a board runs. model: its name; None tries the default and the bundled ones.

    UserError if the board runs another.
    """
    hello = link.hello
    options = replace(options, context=hello.context)
    runs = f"{link.name}: the board runs {hello.model} ({hello.model_hash})"
    for name in [model] if model is not None else _likely(hello.context):
        loaded = _loaded(name, options)
        if hello.vocab_size == loaded.tokenizer.vocab_size:
            expected = _expected(name, options)
            if expected.model_hash == hello.model_hash:
                return expected
    if model is not None:
        other = "of other weights, --trim-vocab or --prefix" if hello.model == loaded.name else f"not {loaded.name}"
        raise UserError(
            f"{runs}, {other}. Name the model that it runs, leave MODEL out to talk to what is there, or "
            "build and flash this one."
        )
    raise UserError(f"{runs}, which is not bundled. Name its checkpoint.")


def check_model(request: BoardRequest, connection: Connection, link: Link) -> None:
    """Check that the board has weights. If it was running already and a person named a model, check that it runs it.

    Raises Failure without weights; errors as expected_of.
    """
    if (trouble := weights_trouble(link.hello)) is not None:
        name = link.hello.board
        real = name.removesuffix(TWIN)
        apart = real == name and name != HOST
        again = "flash MODEL --board" if apart else f"build MODEL -o FOLDER {'--virtual ' * (name != HOST)}--board"
        raise Failure(
            f"{link.name}: the {name} {trouble}, so it computes nothing.\n`tinyllm {again} {real}` writes both."
        )
    if connection.process is None and request.model is not None:
        expected_of(link, request.model, request.options)


def _likely(context: int) -> list[str]:
    """Those of likely_models with a context of at least that many tokens."""
    return [name for name in likely_models() if AS_STORED.facts(model_path(name)).config.context >= context]


@lru_cache(maxsize=4)
def _loaded(model: str, options: LoadOptions) -> LoadedModel:
    return load_model(model, options)


@lru_cache(maxsize=4)
def _expected(model: str, options: LoadOptions) -> Expected:
    """The same object for all boards that run the model, so that they share its computed answers."""
    loaded = _loaded(model, options)
    return Expected(loaded, loaded.context)
