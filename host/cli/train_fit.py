"""Says before a training which boards would hold the model, as `tinyllm fit` would."""

from __future__ import annotations

from pathlib import Path

from tinyllm.boards.description import HOST, load_boards
from tinyllm.boards.families import kinds
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.checkpoints.facts import CheckpointFacts
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.host.fit.fits import BoardFit, fit_board
from tinyllm.host.model.load import DEFAULT_CONTEXT
from tinyllm.host.model.sketch import Sketch
from tinyllm.host.output import Output


def warn_of_boards(output: Output, config: ModelConfig, tokenizer: Tokenizer, out: Path) -> None:
    """Note the boards that would hold the model. If none would, warn and say what the nearest board lacks."""
    sketch = Sketch(
        path=out,
        facts=CheckpointFacts(config, [], []),
        config=config,
        context=min(config.context, DEFAULT_CONTEXT),
        context_chosen=False,
        tokenizer=tokenizer,
        tokenizer_path=None,
        no_tokenizer="",
        saving=None,
    )
    fits = [fit_board(sketch, board) for board, *_ in kinds(load_boards()) if board.name != HOST]
    held = [f"{each.board.name} as {each.best.weights}" for each in fits if each.best is not None]
    if held:
        output.note(f"boards that hold it: {', '.join(held)}")
        return
    nearest = min(((over, each) for each in fits if (over := _over(each)) is not None), key=lambda pair: pair[0][1])
    (memory, times), board = nearest
    output.warning(
        f"no board of `tinyllm boards` holds this model. The nearest is {board.board.name}: as int4 it needs "
        f"{times:.1f} times its {memory}. A smaller --preset, or fewer --blocks, would fit."
    )


def _over(fit: BoardFit) -> tuple[str, float] | None:
    """The memory that the model fills most as int4, and how many times its room it needs; None if unknown."""
    return fit.formats["int4"].fullest
