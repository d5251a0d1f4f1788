"""Several cores share each batch: the same gradients as one core gives, and the same weights each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")

from tests.conftest import STORY_MODEL  # noqa: E402
from tests.unit.training.test_training import RECIPE, losses, same  # noqa: E402
from tinyllm.errors import Failure  # noqa: E402
from tinyllm.models.training.train import Data, Job, Machine, Sources, prepare  # noqa: E402
from tinyllm.models.training.trainer import Recipe, Training  # noqa: E402

STILL = replace(RECIPE, dropout=0.0)


def job(data: Data, out: Path, cores: int, recipe: Recipe = RECIPE, sources: Sources = Sources()) -> Job:  # noqa: B008
    return prepare(data, sources, recipe, Machine(cores), out)


def gradients(training: Training) -> dict[str, torch.Tensor]:
    training.learn(training.batch())
    training.helpers.close()
    return {name: weight.grad for name, weight in training.weights.items()}


@pytest.mark.parametrize("kind", ["stories", "conversations", "a teacher"])
def test_three_cores_give_the_gradients_of_one(kind: str, story_file: Path, pairs_file: Path, tmp_path: Path) -> None:
    data = Data([pairs_file], pairs=True) if kind == "conversations" else Data([story_file])
    sources = Sources(teacher=STORY_MODEL if kind == "a teacher" else None)
    recipe = replace(STILL, teacher_part=0.8, tokens=256)
    one, three = (job(data, tmp_path / str(cores), cores, recipe, sources).training for cores in (1, 3))
    whole, summed = gradients(one), gradients(three)
    for name, gradient in whole.items():
        torch.testing.assert_close(summed[name], gradient, rtol=1e-3, atol=1e-6)


def test_two_cores_repeat_a_training_to_the_last_digit_also_after_a_pause(story_file: Path, tmp_path: Path) -> None:
    data = Data([story_file])
    through = job(data, tmp_path / "a", 2)
    first = losses(through)
    assert losses(job(data, tmp_path / "b", 2)) == first
    paused = job(data, tmp_path / "c", 2)
    losses(paused, until=11)
    went_on = job(data, tmp_path / "c", 2)
    assert went_on.resumed
    losses(went_on)
    assert same(went_on.training.result(), through.training.result())


def test_a_process_that_was_killed_is_told_and_the_training_goes_on_from_its_checkpoint(
    story_file: Path, tmp_path: Path
) -> None:
    broken = job(Data([story_file]), tmp_path / "out", 2)

    def kill_after_a_checkpoint() -> bool:
        if broken.training.step == 9:
            (helper,) = broken.training.helpers.processes
            helper.kill()
        return False

    with pytest.raises(Failure, match=r"a process of the training has ended.*--cores 1"):
        broken.run(lambda _: None, kill_after_a_checkpoint)
    went_on = job(Data([story_file]), tmp_path / "out", 2)
    assert went_on.resumed and went_on.training.step == 8
    assert went_on.run(lambda _: None, lambda: False)
