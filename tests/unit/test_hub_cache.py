"""A model that huggingface_hub has downloaded is found in its cache, and called by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.checkpoint_files import half_paired, random_model, write_huggingface
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.checkpoints.huggingface.hub_cache import snapshot
from tinyllm.errors import UserError
from tinyllm.host.model.load import model_path

OLD, NEW = "0" * 40, "a" * 40


def cached(cache: Path, repository: str = "models--owner--Tiny-1B", commits: tuple[str, ...] = (OLD,)) -> Path:
    """A repository in the cache, its files links to blobs as the library lays them."""
    folder = cache / repository
    model = random_model()
    model.config = half_paired(model.config)
    whole = write_huggingface(folder / "blobs", model)
    for commit in commits:
        (folder / "snapshots" / commit).mkdir(parents=True)
        for blob in whole.iterdir():
            (folder / "snapshots" / commit / blob.name).symlink_to(Path("../../blobs") / blob.name)
    return folder


def refer(folder: Path, branch: str, commit: str) -> None:
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / branch).write_text(commit)


@pytest.mark.parametrize(
    ("repository", "name"), [("models--owner--Tiny-1B", "Tiny-1B"), ("models--gpt-like", "gpt-like")]
)
def test_a_snapshot_is_called_by_the_name_of_its_repository(repository: str, name: str, tmp_path: Path) -> None:
    folder = cached(tmp_path, repository)
    for path in (folder / "snapshots" / OLD, folder / "snapshots", folder):
        assert model_path(str(path)).samefile(folder / "snapshots" / OLD)
        assert read_model(model_path(str(path))).config.name == name


def test_a_repository_means_the_commit_of_its_main_branch(tmp_path: Path) -> None:
    folder = cached(tmp_path, commits=(OLD, NEW))
    refer(folder, "main", NEW)
    assert snapshot(folder) == snapshot(folder / "snapshots") == folder / "snapshots" / NEW
    refer(folder, "main", OLD)
    assert snapshot(folder) == folder / "snapshots" / OLD


@pytest.mark.parametrize("commit", ["b" * 40, "../../..", "", "\xff"])
def test_of_several_commits_none_is_guessed(commit: str, tmp_path: Path) -> None:
    folder = cached(tmp_path, commits=(OLD, NEW))
    refer(folder, "main", commit)
    with pytest.raises(UserError, match=f"2 commits, none of them refs/main; give the folder of one, such as .*{OLD}"):
        snapshot(folder)


def test_a_repository_without_files_is_to_be_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "models--owner--name/snapshots").mkdir(parents=True)
    with pytest.raises(UserError, match="snapshots: no commit; download the model again"):
        snapshot(tmp_path / "models--owner--name")


@pytest.mark.parametrize("path", ["snapshots", "models--owner--name", "anything"])
def test_other_folders_are_what_they_are(path: str, tmp_path: Path) -> None:
    (tmp_path / path).mkdir()
    assert snapshot(tmp_path / path) == tmp_path / path
