"""A training learns, is repeatable to the last digit, and goes on after a pause as if there had been none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")

from tests.conftest import STORY_MODEL  # noqa: E402
from tests.pipeline.killed import killed_at  # noqa: E402
from tinyllm.codegen.arithmetic.float_forward import FloatForward  # noqa: E402
from tinyllm.codegen.checkpoints import read_model  # noqa: E402
from tinyllm.errors import UserError  # noqa: E402
from tinyllm.files import is_leftover  # noqa: E402
from tinyllm.models.training.beginning import Origin  # noqa: E402
from tinyllm.models.training.folder import write_folder  # noqa: E402
from tinyllm.models.training.network import logits  # noqa: E402
from tinyllm.models.training.rounding import Rounding, round_int4  # noqa: E402
from tinyllm.models.training.shape import Shape  # noqa: E402
from tinyllm.models.training.train import CHECKPOINT, Data, Description, Job, Machine, Sources, prepare  # noqa: E402
from tinyllm.models.training.trainer import Recipe, Step  # noqa: E402

SHAPE = Shape(dim=16, hidden_dim=32, blocks=2, n_heads=2, n_kv_heads=1, head_dim=8, vocab_size=320, context=64)
RECIPE = Recipe(shape=SHAPE, steps=24, tokens=128, short_row=32, validate_every=8)
Prepare = Callable[..., Job]


@pytest.fixture
def of_stories(story_file: Path, tmp_path: Path) -> Prepare:
    def job(out: str = "out", recipe: Recipe = RECIPE, sources: Sources = Sources(), **more: object) -> Job:  # noqa: B008
        return prepare(Data([story_file]), sources, recipe, Machine(), tmp_path / out, **more)  # type: ignore[arg-type]

    return job


@pytest.fixture
def of_pairs(pairs_file: Path, tmp_path: Path) -> Prepare:
    def job(out: str = "out", recipe: Recipe = RECIPE, sources: Sources = Sources(), **more: object) -> Job:  # noqa: B008
        data = Data([pairs_file], pairs=True)
        return prepare(data, sources, recipe, Machine(), tmp_path / out, **more)  # type: ignore[arg-type]

    return job


def losses(job: Job, until: int = 10**9) -> list[float]:
    found: list[float] = []

    def report(step: Step) -> None:
        found.append(step.loss)

    job.run(report, lambda: job.training.step >= until)
    return found


def same(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


@pytest.mark.parametrize("kind", ["of_stories", "of_pairs"])
def test_a_training_that_was_interrupted_ends_with_the_same_weights(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    job: Prepare = request.getfixturevalue(kind)
    whole = job("whole")
    all_losses = losses(whole)
    first = losses(job("parts"), until=13)
    assert len(first) == 13
    rest = job("parts")
    assert rest.resumed
    assert first + losses(rest) == all_losses
    assert same(rest.training.weights, whole.training.weights)
    assert same(rest.training.best, whole.training.best)
    assert rest.training.history == whole.training.history
    assert all_losses[-1] < all_losses[0]


def test_two_runs_give_the_same_losses_to_the_last_digit(of_pairs: Prepare) -> None:
    recipe = replace(RECIPE, steps=200, validate_every=100)
    assert losses(of_pairs("a", recipe)) == losses(of_pairs("b", recipe))


@pytest.mark.parametrize("context", [48, 64, 200])
def test_a_step_of_stories_has_whole_rows_of_any_context(of_stories: Prepare, context: int) -> None:
    job = of_stories(recipe=replace(RECIPE, shape=replace(SHAPE, context=context), steps=2))
    assert job.recipe.tokens % context == 0
    losses(job)
    assert job.read == 2 * job.recipe.tokens


def test_another_seed_gives_other_losses(of_stories: Prepare) -> None:
    assert losses(of_stories("a"), until=2) != losses(of_stories("b", replace(RECIPE, seed=1)), until=2)


def test_a_checkpoint_of_other_settings_is_refused_and_fresh_forgets_it(of_stories: Prepare, tmp_path: Path) -> None:
    losses(of_stories(), until=8)
    for other in (replace(RECIPE, dropout=0.2), replace(RECIPE, steps=25)):
        with pytest.raises(UserError, match="of a run with other text or settings; --fresh starts anew"):
            of_stories(recipe=other)
    (tmp_path / "out" / CHECKPOINT).write_bytes(b"broken")
    with pytest.raises(UserError, match="not a checkpoint of a training; --fresh starts anew"):
        of_stories()
    assert not of_stories(fresh=True).resumed


def test_minutes_become_steps(story_file: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=10**9)
    jobs = [
        prepare(Data([story_file]), Sources(), recipe, Machine(minutes=minutes), tmp_path / "out")
        for minutes in (0.1, 1.0)
    ]
    few, many = (job.recipe.steps for job in jobs)
    assert 1 < few < many < 10**6
    losses(jobs[0], until=3)
    again = prepare(Data([story_file]), Sources(), recipe, Machine(minutes=0.1), tmp_path / "out")
    assert (again.training.step, again.recipe.steps) == (3, few), "a resumed run keeps its number of steps"


def test_a_folder_is_read_back_with_the_logits_that_were_trained(of_pairs: Prepare, tmp_path: Path) -> None:
    job = of_pairs(recipe=replace(RECIPE, shape=replace(SHAPE, shared=True, tied=False), steps=4))
    losses(job)
    job.finish(Description("mit", "Made up.", "tinyllm train"), {})
    model = read_model(tmp_path / "out")
    assert (model.config.schedule, model.config.tied_head) == ((0, 0, 1, 1), False)
    ids = job.vocabulary.opening("Who has the red ball?")
    with torch.no_grad():
        ours = logits(job.training.result(), job.training.config, torch.tensor([ids]))[0].numpy()
    assert abs(ours - FloatForward(model).forward(ids)).max() < 1e-4


def test_fine_tuning_begins_with_the_weights_and_the_tokenizer_of_a_folder(of_stories: Prepare, tmp_path: Path) -> None:
    origin = STORY_MODEL
    job = of_stories(sources=Sources(origin=Origin(origin)), recipe=replace(RECIPE, tokens=512))
    assert job.vocabulary.files["tokenizer.model"] == (origin / "tokenizer.model").read_bytes()
    assert job.recipe.shape.n_parameters == 263_872
    assert losses(job, until=1)[0] < 4, "it writes stories already"


def test_pairs_need_a_tokenizer_with_control_pieces(of_pairs: Prepare) -> None:
    with pytest.raises(UserError, match="--chat-tokens"):
        of_pairs(sources=Sources(origin=Origin(STORY_MODEL)))


def test_a_teacher_is_followed(of_stories: Prepare) -> None:
    """With the teacher alone as the aim, the loss is the divergence: if the model is the teacher, BOS alone.

    It learns EOS where the teacher has a little left for BOS (test_sampling.py).
    """
    folder = STORY_MODEL
    recipe = replace(RECIPE, tokens=512, teacher_part=1.0, dropout=0.0)
    assert losses(of_stories("same", recipe, Sources(Origin(folder), folder)), until=1)[0] == pytest.approx(0, abs=1e-3)
    other = losses(of_stories("other", recipe, Sources(teacher=folder)))
    assert other[0] > other[-1] > 0.1


@pytest.mark.parametrize("rounding", [Rounding.INT8, Rounding.INT4])
def test_rounded_weights_are_trained_and_kept_from_where_they_are_rounded(
    of_stories: Prepare, rounding: Rounding
) -> None:
    job = of_stories(recipe=replace(RECIPE, rounding=rounding, rounding_from=0.5))
    losses(job)
    assert job.training.best_rounding is rounding
    name = "model.layers.0.mlp.down_proj.weight"
    weights = job.training.result()[name]
    if rounding is Rounding.INT4:
        assert torch.allclose(weights, round_int4(weights), atol=1e-3)
    assert job.training.figures().loss == pytest.approx(job.training.best_loss, abs=1e-3), (
        "float16 costs next to nothing"
    )


def test_conversations_longer_than_the_context_are_left_out_and_counted(
    of_pairs: Prepare, pairs_file: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, shape=replace(SHAPE, context=56))
    job = prepare(Data([pairs_file], [pairs_file], pairs=True), Sources(), recipe, Machine(), tmp_path / "out")
    assert job.skipped > 0
    assert "pairs.jsonl: line " in job.first_skipped
    with pytest.raises(UserError, match="give a larger --context"):
        of_pairs("none", recipe=replace(RECIPE, shape=replace(SHAPE, context=16)))


def test_a_training_that_is_killed_at_its_end_pairs_no_old_weights_with_a_new_tokenizer(
    of_stories: Prepare, tmp_path: Path
) -> None:
    """What a folder holds is the older model, no model, or the new one, at every moment; the next end is whole."""
    job = of_stories()
    old, new = ({name: tensor + number for name, tensor in job.training.result().items()} for number in range(2))
    files = {name: content + b"\n" for name, content in job.vocabulary.files.items()}
    renewed = replace(job.vocabulary, files=files)
    folder = tmp_path / "model"
    write_folder(folder, SHAPE, old, job.vocabulary, {})
    before = contents(folder)
    write_folder(tmp_path / "whole", SHAPE, new, renewed, {})
    after = contents(tmp_path / "whole")
    without_weights = 0
    for change in range(100):
        write_folder(folder, SHAPE, old, job.vocabulary, {})
        if not killed_at(change, lambda: write_folder(folder, SHAPE, new, renewed, {})):
            break
        found = contents(folder)
        without_weights += "model.safetensors" not in found
        assert found in (before, after) or "model.safetensors" not in found
        write_folder(folder, SHAPE, new, renewed, {})
        assert contents(folder) == after
    assert without_weights > 1 and 5 < change < 99


def contents(folder: Path) -> dict[str, bytes]:
    """Its files, but for half-written ones under names that nobody reads."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not is_leftover(path)}
