"""A model to work with: load a checkpoint, then quantize, verify, measure and build it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tinyllm.boards.description import HOST, load_board
from tinyllm.boards.description import Board as BoardDescription
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.emit.project import Project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.verify.perplexity import Evaluation, evaluate, split_stories
from tinyllm.codegen.verify.verify import Verdict, verify
from tinyllm.host.build.build import compile_project, emit, ignore
from tinyllm.host.build.flash import Flashed, board_to_flash, flash
from tinyllm.host.build.library import library
from tinyllm.host.build.program import Program
from tinyllm.host.model.calibrate import integers_of
from tinyllm.host.model.load import AS_STORED, LoadedModel, LoadOptions, load_model, read_text
from tinyllm.host.model.trim_report import sequences_of

STORY_TOKENS = 256
"""Tokens of each story that the perplexity is measured on, by default."""


@dataclass(frozen=True)
class LanguageModel(LoadedModel):
    """A checkpoint with its tokenizer, ready to quantize, verify, measure and build. `load` returns one.

    model: the float weights. tokenizer: for `encode` and `decode` of tinyllm.codegen.tokenizers. context: positions of
    the KV cache. options: those that it was loaded with.
    """

    options: LoadOptions = AS_STORED

    @classmethod
    def read(cls, model: str | None = None, options: LoadOptions = AS_STORED) -> LanguageModel:
        """Load the model of a name or path with `options`. Errors as `load`, which most callers want instead."""
        loaded = load_model(model, options)
        return cls(**{field.name: getattr(loaded, field.name) for field in fields(LoadedModel)}, options=options)

    def quantize(
        self, progress: Callable[[str], None] = ignore, notice: Callable[[str], None] = ignore
    ) -> IntegerModel:
        """The integer model that a board runs, with weights in the format of `options`.

        int4 weights are calibrated, which takes a while the first time. progress takes one short line per step, notice
        a line that a person should read. Raises UserError for an unsuitable calibration text.
        """
        return integers_of(self, None, progress, notice)

    def verify(
        self,
        builds: Sequence[str] = ("O2",),
        temperatures: Sequence[float] = (0.0, 0.8),
        seed: int = 1,
        positions: int | None = None,
        progress: Callable[[str], None] = ignore,
        each: Callable[[Verdict], None] = lambda verdict: None,
        kernels: str | Sequence[str] = HOST,
        notice: Callable[[str], None] = ignore,
    ) -> list[Verdict]:
        """Compare the C, as a library of this computer, with the reference, bit by bit: logits, KV cache, tokens.

        builds: how to compile: O0, O2, O3, ubsan, asan. positions: how many tokens; by default the context. kernels: a
        kernel set ("armv8m"), a board that has one ("pico2"), a sequence of these, or "all"; by default this computer's
        set. progress takes one short line per step, notice a line that a person should read, `each` every verdict as
        soon as it is made. A verdict's `bit_exact` says whether everything agrees.
        Raises UserError without a C compiler and for unknown kernels, Failure if the C does not compile.
        """
        sets = (kernels,) if isinstance(kernels, str) else kernels
        verdicts = []
        integers = self.quantize(progress, notice)
        for verdict in verify(integers, self.tokenizer, builds, temperatures, seed, positions, progress, sets):
            each(verdict)
            verdicts.append(verdict)
        return verdicts

    def emit(
        self,
        board: str | BoardDescription = HOST,
        virtual: bool = False,
        progress: Callable[[str], None] = ignore,
        notice: Callable[[str], None] = ignore,
    ) -> Project:
        """The C for a board, in memory only: its files, and the bytes that it needs.

        If no context was given and the model's own does not fit the board, takes the largest that fits and tells
        notice. Arguments as `build`. Raises UserError if the model does not fit, or for an unknown board.
        """
        target = load_board(board) if isinstance(board, str) else board
        return emit(self, target.twin() if virtual else target, None, progress, notice)

    def build(
        self,
        board: str = HOST,
        folder: str | Path | None = None,
        virtual: bool = False,
        progress: Callable[[str], None] = ignore,
        notice: Callable[[str], None] = ignore,
    ) -> Program:
        """Write the C for a board and compile it. The result has the program's path, and its bytes of flash and RAM.

        folder: of the PlatformIO project; by default in the cache. virtual: build for the board's virtual twin.
        progress takes one short line per step, notice a line that a person should read.
        Raises UserError if the model does not fit or a compiler is missing, Failure if the C does not compile.
        """
        project = self.emit(board, virtual, progress, notice)
        return compile_project(project, None if folder is None else Path(folder), progress, notice)

    def library(
        self,
        folder: str | Path,
        board: str | None = None,
        cores: int = 1,
        progress: Callable[[str], None] = ignore,
        notice: Callable[[str], None] = ignore,
    ) -> Project:
        """Write the model as a library for a sketch, usable in Arduino, PlatformIO, ESP-IDF and the Pico SDK.

        folder: of the library, new or written before. board: the library gets its kernels and must fit it; by default
        portable C for any board. cores: the number that compute. The result has the files and the bytes needed.
        progress takes one short line per step, notice a line that a person should read.
        Raises UserError if the model does not fit, or if the folder holds something else.
        """
        project = library(self, None if board is None else load_board(board), cores, progress, notice)
        write_project(project, Path(folder))
        return project

    def flash(
        self,
        board: str | BoardDescription | None = None,
        port: str | None = None,
        progress: Callable[[str], None] = ignore,
        notice: Callable[[str], None] = ignore,
        model_only: bool = False,
        now_at: Callable[[], str | None] | None = None,
    ) -> Flashed:
        """Build, upload to the board on a port, and check that it runs what was built.

        The result has `built`, as `build` returns it; `port`, for Board.open; `hello`, the board's reply to HELLO; and
        `uploaded`: "program", "weights" (if they lie beside the program) or both. Skips what the board has already.
        board: its kind; by default that of the one attached. port: as Board.open takes it; by default found by the
        board's USB numbers. progress and notice as `build`. model_only: compile nothing, and upload the weights alone.
        now_at: returns a network board's address after its reset, None while it is away; by default the same address.
        Raises UserError if no such board is found, its port cannot be used, the model does not fit, or model_only is
        not enough; Failure if the upload fails, the board does not come back, or it runs something else than was built.
        """
        target = board if isinstance(board, BoardDescription) else board_to_flash(board, port)
        return flash(self, target, port, progress, notice, model_only, now_at)

    def perplexity(
        self,
        text: str | Path,
        max_tokens: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Evaluation:
        """Perplexity of the float model and of the integer model on a text. <|endoftext|> separates its stories.

        text: the text itself, or the Path of a UTF-8 file. max_tokens: of each story, BOS included; by default
        STORY_TOKENS, at most the context. progress takes the number of stories done, and the number of all.
        Raises UserError if there is no token to predict, or if max_tokens is beyond the context.
        """
        stories = split_stories(read_text(text) if isinstance(text, Path) else text)
        limit = min(STORY_TOKENS, self.context) if max_tokens is None else max_tokens
        sequences = sequences_of(self, stories, limit)
        return evaluate(self.model, self.quantize(), sequences, lambda done: progress(done, len(stories)))


def load(
    model: str | Path | None = None,
    context: int | None = None,
    tokenizer: str | Path | None = None,
    trim_vocab: str | Path | None = None,
    share_embedding: bool | None = None,
    layer_sharing: bool | None = None,
    prefix: str | Path | None = None,
    weights: str | None = None,
    calibrate: str | Path | None = None,
    fit_to: str | None = None,
    kv_cache: str | None = None,
    window: int | None = None,
    sinks: int | str | None = None,
    rope_base: float | None = None,
    weights_in: str | None = None,
    actions: str | Path | None = None,
) -> LanguageModel:
    """Read a checkpoint and its tokenizer.

    model: the path of a file or folder, or the name of a bundled or pulled model; by default the first bundled one.
    context: positions of the KV cache; by default the model's own, at most 512. tokenizer: its file, if it is not
    beside the checkpoint. trim_vocab: a text file; only the tokens that it needs are kept. share_embedding,
    layer_sharing: override a Hugging Face config.json. prefix: a text file that every conversation on a board
    begins with. weights: "int8" (the default), "int4", "mixed" or "mixed:600KB". calibrate: a text file that decides
    how int4 weights are rounded; by default the model writes one. fit_to: a board; takes the best weights that fit it.
    kv_cache: "int8" (the default), "k8v4" for int4 values, or "int4". window: positions that the KV cache holds; by
    default all of the context. sinks: how many of the first tokens stay when the others slide, by default 4; "prefix"
    for all of the prefix. rope_base: the base of the rotary embedding, for llama2.c files of version 1 and 2; by
    default 10000. weights_in: where a board keeps the weights, "program" or "partition"; by default in the program if
    they fit. actions: a file that lists the calls that the model may make; by default actions.toml beside the
    checkpoint, if there is one.
    Raises UserError, naming the file and the field, if something is missing, damaged or not supported.
    """
    options = LoadOptions(
        tokenizer=None if tokenizer is None else Path(tokenizer),
        context=context,
        share_embedding=share_embedding,
        layer_sharing=layer_sharing,
        trim_vocab=None if trim_vocab is None else Path(trim_vocab),
        prefix=None if prefix is None else Path(prefix),
        weights=weights,
        calibrate=None if calibrate is None else Path(calibrate),
        fit_to=fit_to,
        kv_cache=kv_cache,
        window=window,
        sinks=sinks,
        rope_base=rope_base,
        weights_in=weights_in,
        actions=None if actions is None else Path(actions),
    )
    return LanguageModel.read(None if model is None else str(model), options)
