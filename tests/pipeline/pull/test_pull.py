"""Pulling from a server on this computer that speaks the hub's API: what arrives, and what it is called then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.pull.conftest import REPO, Tinyllm
from tests.pipeline.pull.hub_server import HubServer, Repository
from tinyllm.codegen.checkpoints import read_model
from tinyllm.errors import UserError
from tinyllm.host.hub.client import COMMIT, SHA256, Hub, Listing, RemoteFile
from tinyllm.host.hub.selection import read_request, select
from tinyllm.host.hub.store import NAME, folder_of, models_folder
from tinyllm.host.model.load import load_model, model_path
from tinyllm.models.known import known_models

NEEDED = ["config.json", "model.safetensors", "tokenizer.model", "README.md"]


def document(shown: tuple[int, str, str]) -> dict[str, Any]:
    assert shown[0] == 0, shown
    return json.loads(shown[1])


def test_a_known_model_is_pulled_and_is_then_a_model_by_its_name(
    stories: Repository, tinyllm: Tinyllm, stories_llama2c: Path
) -> None:
    shown = document(tinyllm("pull", "stories260K", "--json"))
    assert shown["bytes"] == shown["bytes_transferred"] == sum(map(len, stories.files.values()))
    assert shown["first_seen"] == 0
    assert document(tinyllm("inspect", "stories260K", "--json"))["path"] == shown["path"]
    loaded = load_model("stories260K")
    assert loaded.name == "stories260K"
    assert loaded.tokenizer_path.name == "tok512.model"
    original = read_model(stories_llama2c)
    assert loaded.model.embedding.tobytes() == original.embedding.tobytes()


def test_a_pulled_model_tells_its_story_on_the_host_board(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    assert tinyllm("pull", "stories260K")[0] == 0
    hub.stop()
    command = [sys.executable, "-m", "tinyllm.host.cli.app", "run", "stories260K", "-p", "Once upon a time"]
    run = subprocess.run(
        [*command, "-n", "12", "--temperature", "0"], capture_output=True, text=True, timeout=300, env=dict(os.environ)
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(", there was a little girl named Lily")


def test_a_hugging_face_folder_is_pulled_without_what_no_reader_wants(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    shown = document(tinyllm("pull", REPO, "--json"))
    assert sorted(Path(file["path"]).name for file in shown["files"]) == sorted(NEEDED)
    assert shown["licence"] == "mit"
    assert shown["revision"] == folder_model.commit
    assert load_model(REPO).name == "tiny-model"


def test_nothing_is_asked_of_the_hub_but_the_listing_and_the_files(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    tinyllm("pull", REPO)
    commit = folder_model.commit
    asked = [request.path for request in hub.requests if request.path.startswith("127.0.0.1")]
    assert sorted(asked) == sorted(
        [f"127.0.0.1/api/models/{REPO}/revision/main"] + [f"127.0.0.1/{REPO}/resolve/{commit}/{n}" for n in NEEDED]
    )
    assert {request.headers["user-agent"].split("/")[0] for request in hub.requests} == {"tinyllm"}


def test_a_model_that_is_whole_is_not_pulled_again_even_without_a_network(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    tinyllm("pull", "stories260K")
    hub.stop()
    code, out, _ = tinyllm("pull", "stories260K")
    assert code == 0
    assert "is here already, and whole" in out


def test_a_file_that_was_damaged_since_is_pulled_again_and_only_that_one(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    path = Path(document(tinyllm("pull", "stories260K", "--json"))["path"])
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert document(tinyllm("pull", "stories260K", "--json"))["bytes_transferred"] == len(good)
    assert path.read_bytes() == good


def test_when_a_branch_moves_only_what_changed_is_transferred(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    first = document(tinyllm("pull", REPO, "--json"))
    folder_model.files["README.md"] = b"---\nlicense: apache-2.0\n---\nnew"
    folder_model.commit, folder_model.tags = "d" * 40, ["license:apache-2.0"]
    second = document(tinyllm("pull", REPO, "--json"))
    assert (first["revision"], second["revision"]) == ("c0ffee" + "0" * 34, "d" * 40)
    assert second["licence"] == "apache-2.0"
    small = sum(len(folder_model.files[name]) for name in NEEDED if len(folder_model.files[name]) < 5000)
    assert second["bytes_transferred"] == small < first["bytes_transferred"]


def test_a_sha256_that_nobody_knew_is_recorded_and_said_to_be(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    folder_model.hashes = False
    code, out, _ = tinyllm("pull", REPO)
    assert code == 0
    assert "4 files as the hub describes them; 4 sha256 new to this computer, recorded now" in out
    code, out, _ = tinyllm("pull", REPO)
    assert "4 files, each with the sha256 that was known before" in out


def test_an_empty_file_is_a_file(hub: HubServer, folder_model: Repository, tinyllm: Tinyllm) -> None:
    folder_model.files["chat_template.jinja"] = b""
    shown = document(tinyllm("pull", REPO, "--json"))
    assert (Path(shown["path"]) / "chat_template.jinja").read_bytes() == b""


def test_a_revision_can_be_given_in_two_ways(hub: HubServer, folder_model: Repository, tinyllm: Tinyllm) -> None:
    commit = folder_model.commit
    assert document(tinyllm("pull", f"{REPO}@{commit}", "--json"))["revision"] == commit
    assert document(tinyllm("pull", REPO, "--revision", commit, "--json"))["revision"] == commit


def test_one_checkpoint_of_many_is_chosen_with_file_and_brings_its_tokenizer(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    stories.files["stories15M.bin"] = b"x" * 100
    code, _, err = tinyllm("pull", "karpathy/tinyllamas")
    assert code == 2
    assert "2 checkpoints" in err
    assert "--file stories260K/stories260K.bin" in err
    shown = document(tinyllm("pull", "karpathy/tinyllamas", "--file", "stories260K/stories260K.bin", "--json"))
    assert shown["name"] == "karpathy/tinyllamas/stories260K.bin"
    assert shown["first_seen"] == 0, "main is at the commit whose files are pinned"
    assert load_model("karpathy/tinyllamas/stories260K.bin").model.config.dim == 64


def test_the_models_are_listed_as_bundled_pulled_and_to_pull(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    before = document(tinyllm("models", "--json"))
    assert before["pulled"] == []
    assert [model["name"] for model in before["available"]] == list(known_models())
    tinyllm("pull", "stories260K")
    after = document(tinyllm("models", "--json"))
    assert [(model["name"], model["licence"]) for model in after["pulled"]] == [("stories260K", "mit")]
    assert "stories260K" not in [model["name"] for model in after["available"]]
    out = tinyllm("models")[1]
    assert "1.1 MB" in out
    assert "0bd21da769" in out
    assert "MobileLLM-125M" in out


def test_a_pulled_model_can_be_removed_and_frees_its_bytes(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    tinyllm("pull", "stories260K")
    freed = document(tinyllm("models", "--remove", "stories260K", "--json"))["bytes_freed"]
    assert freed >= sum(map(len, stories.files.values()))
    assert list(models_folder().glob("[!.]*")) == []
    code, _, err = tinyllm("models", "--remove", "stories260K")
    assert code == 2
    assert "stories260K was not pulled" in err


def test_a_damaged_record_spoils_no_list_and_the_next_pull_mends_it(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    tinyllm("pull", "stories260K")
    (folder_of("stories260K") / "pulled.json").write_text("{}")
    code, _, err = tinyllm("models")
    assert code == 0
    assert "pulled.json is damaged" in err
    assert tinyllm("inspect", "stories260K")[0] == 2
    assert tinyllm("pull", "stories260K")[0] == 0
    assert tinyllm("inspect", "stories260K")[0] == 0


def test_a_record_that_names_a_file_outside_its_folder_is_refused(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    tinyllm("pull", "stories260K")
    record = folder_of("stories260K") / "pulled.json"
    record.write_text(record.read_text().replace("stories260K/stories260K.bin", "../../../secret.bin"))
    code, _, err = tinyllm("inspect", "stories260K")
    assert code == 2
    assert "outside its folder" in err


def test_a_known_model_that_is_not_here_is_told_how_to_come(hub: HubServer) -> None:
    with pytest.raises(UserError, match=r"stories15M is not on this computer yet; `tinyllm pull stories15M` brings it"):
        model_path("stories15M")


def test_every_public_model_is_pinned_to_a_commit_and_its_files_to_size_and_sha256() -> None:
    for model in known_models().values():
        assert NAME.fullmatch(model.name)
        assert model.gated == (model.files == ())
        assert model.gated or COMMIT.fullmatch(model.revision)
        for file in model.files:
            assert COMMIT.fullmatch(file.revision)
            assert SHA256.fullmatch(file.sha256)
            assert file.size > 0


def test_inspect_shows_the_licence_that_was_recorded_if_no_card_came_along(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    path = document(tinyllm("pull", "stories260K", "--json"))["path"]
    for model in ("stories260K", path):
        assert document(tinyllm("inspect", model, "--json"))["licence"] == {"name": "mit", "source": "pulled.json"}


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
REPOSITORIES = {
    "one safetensors": (["config.json", "model.safetensors", "pytorch_model.bin"], None, ["model.safetensors"]),
    "sharded safetensors": (
        ["config.json", *SHARDS, "consolidated.safetensors", "sub/model.safetensors"],
        None,
        SHARDS,
    ),
    "only pickles": (["config.json", "pytorch_model.bin", "tokenizer.model"], None, ["pytorch_model.bin"]),
    "one gguf": (["tiny.Q8_0.gguf", "config.json"], None, ["tiny.Q8_0.gguf"]),
    "a chosen gguf": (["a.gguf", "b.gguf", "tokenizer.model"], "b.gguf", ["b.gguf"]),
    "a llama2.c file": (["s/m.bin", "s/tok512.bin", "tokenizer.bin"], None, ["s/m.bin", "s/tok512.bin"]),
}


def listing(names: list[str]) -> Listing:
    return Listing("a/b", "0" * 40, None, {name: RemoteFile(name, 1, None, None) for name in names})


@pytest.mark.parametrize("case", REPOSITORIES)
def test_the_weights_are_taken_in_the_best_form_there_is(case: str) -> None:
    names, file, expected = REPOSITORIES[case]
    taken = [remote.path for remote in select(listing(names), file)]
    assert taken[: len(expected)] == expected
    assert set(taken) - set(expected) <= {"config.json", "tokenizer.model"}


NO_MODEL = {
    "no model at all": (["README.md", "data.csv"], None, "holds no model that can be read"),
    "weights without a config": (["model.safetensors"], None, "holds no model that can be read"),
    "an adapter": (["adapter_config.json", "adapter_model.safetensors"], None, "is a LoRA adapter, not a whole model"),
    "several ggufs": (["a.gguf", "b.gguf"], None, "say which: `--file a.gguf`"),
    "a file that is not there": (["tiny-Q4_0.gguf"], "tiny-Q4.gguf", "near to that: tiny-Q4_0.gguf"),
    "one file of a folder": (["config.json", "model.safetensors"], "model.safetensors", "is pulled whole"),
    "a tokenizer for a model": (["tok512.bin"], "tok512.bin", "expected a checkpoint in one file"),
}


@pytest.mark.parametrize("case", NO_MODEL)
def test_a_repository_without_a_clear_model_is_refused_with_what_it_holds(case: str) -> None:
    names, file, message = NO_MODEL[case]
    with pytest.raises(UserError) as refused:
        select(listing(names), file)
    assert message in str(refused.value)


WRONG_REQUESTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "a file with a name of no use": (("a/b", None, "x/y\nz.gguf"), "no file has on every system"),
    "a file with a name that is too long": (("a/b", None, "x" * 250 + ".gguf"), "the name is too long"),
    "a near name": (("stories15m",), "Did you mean stories15M?"),
    "no name of the hub": (("../../etc/passwd",), "is no model that can be pulled"),
    "two revisions": (("a/b@one", "two"), "two revisions"),
    "a revision that is a path": (("a/b@../../x",), "expected a branch, a tag or a commit"),
    "another revision of a known model": (("stories15M", "main"), "karpathy/tinyllamas --revision REVISION"),
}


@pytest.mark.parametrize("case", WRONG_REQUESTS)
def test_a_request_that_fits_no_model_says_what_would(case: str) -> None:
    arguments, message = WRONG_REQUESTS[case]
    with pytest.raises(UserError) as refused:
        read_request(*(*arguments, None, None)[:3])
    assert message in str(refused.value)


@given(st.text(alphabet="aB1_./\\-@:~ \0", min_size=1, max_size=12))
def test_no_name_leads_out_of_the_cache(name: str) -> None:
    if NAME.fullmatch(name):
        assert folder_of(name).parent == models_folder()
        assert folder_of(name).resolve().parent == models_folder().resolve()


@given(st.text())
def test_an_address_is_a_hub_or_a_mistake_of_the_user(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", text.replace("\0", "").encode("utf-8", "ignore").decode())
        try:
            Hub()
        except UserError as error:
            assert "expected an address such as" in str(error)
