"""What a pull makes of a hub that is away, refuses, breaks off or lies: one line, and never half a model."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import huggingface_hub
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.killed import killed_at
from tests.pipeline.pull.conftest import REPO, Tinyllm
from tests.pipeline.pull.hub_server import LARGE, HubServer, Repository
from tinyllm.host.hub import download as fetching
from tinyllm.host.hub.client import RESERVED, SAFE_PATH, read_listing
from tinyllm.host.hub.pull import pull
from tinyllm.host.hub.selection import read_request
from tinyllm.host.hub.store import Pulled, find_pulled, list_pulled, models_folder, partial_folder_of


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "RETRY_PAUSE", 0.0)


def visible() -> list[str]:
    """The folders that count as models."""
    return [path.name for path in models_folder().glob("[!.]*")]


def assert_fails(shown: tuple[int, str, str], code: int, *messages: str) -> None:
    """One or two lines on stderr that say this, nothing on stdout, and no model to be seen."""
    assert shown[0] == code, shown
    assert shown[1] == ""
    line = " ".join(shown[2].split())
    assert all(message in line for message in messages), line
    assert "Traceback" not in line
    assert line.count("error: ") == 1
    assert visible() == []


def test_without_a_network_one_line_says_so(hub: HubServer) -> None:
    hub.stop()
    command = [sys.executable, "-m", "tinyllm.host.cli.app", "pull", "stories260K"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert run.returncode == 1
    assert f"{hub.address} cannot be reached (" in run.stderr
    assert "can be given by its path; HF_ENDPOINT names a mirror" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_name_that_is_looked_up_for_ever_is_given_up(
    hub: HubServer, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*arguments: object) -> socket.socket:
        time.sleep(1)
        raise OSError("no such name")

    monkeypatch.setattr("tinyllm.host.hub.client.CONNECT_PATIENCE", 0.2)
    monkeypatch.setattr(socket, "create_connection", look_up)
    assert_fails(tinyllm("pull", "stories260K"), 1, "cannot be reached (no answer in 0.2 s)")


def test_a_hub_that_takes_the_connection_and_says_nothing_is_given_up(
    hub: HubServer, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyllm.host.hub.client.READ_PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert_fails(tinyllm("pull", "stories260K"), 1, "the connection to http://127.0.0.1:", "broke")


def test_hf_hub_offline_is_obeyed(hub: HubServer, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert_fails(tinyllm("pull", "stories260K"), 1, "HF_HUB_OFFLINE is set")
    assert hub.requests == []


@pytest.mark.parametrize("address", ["huggingface.co", "ftp://x", "http://", "http://[::1", "http://x:port"])
def test_an_endpoint_that_is_no_address_is_refused(
    address: str, hub: HubServer, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert_fails(tinyllm("pull", "stories260K"), 2, f"HF_ENDPOINT is '{address}', expected an address such as")


REFUSALS = {
    "gated files": ("model.safetensors", 401, "GatedRepo", 2, "is gated: accept its terms at"),
    "gated without a code": ("model.safetensors", 403, "", 2, "set HF_TOKEN to a token of yours"),
    "an unknown or private repository": ("/main", 401, "", 2, "shows no such repository: it is missing or private"),
    "a repository that is missing": ("/main", 404, "RepoNotFound", 2, "no such repository at"),
    "a revision that is missing": ("/main", 404, "RevisionNotFound", 2, "has no revision 'main'"),
    "a file that is missing": ("config.json", 404, "EntryNotFound", 2, "has no file config.json at revision"),
    "too many requests": ("/main", 429, "", 1, "too many requests from here (429). Pull again in 7 s"),
    "trouble": ("/main", 503, "", 1, "answers with status 503. Pull again later"),
    "trouble with a file": ("model.safetensors", 500, "", 1, "model.safetensors: http://127.0.0.1"),
    "a status that means nothing here": ("/main", 204, "", 1, "answers with status 204"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_status_means_is_said_in_words(
    case: str, hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    end, status, code, exit_code, message = REFUSALS[case]
    hub.refusals[end] = (status, code)
    hub.headers = {"retry-after": "7"}
    assert_fails(tinyllm("pull", REPO), exit_code, message)


def test_too_many_requests_are_not_answered_by_waiting_as_long_as_a_server_likes(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    hub.refusals["/main"] = (429, "")
    hub.headers = {"retry-after": "99999999999"}
    assert_fails(tinyllm("pull", REPO), 1, "Pull again later")
    assert len(hub.requests) == 1


def test_a_token_that_is_refused_is_named(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.refusals["/main"] = (401, "")
    shown = tinyllm("pull", REPO)
    assert_fails(shown, 2, "does not let this token see it", "Check the name and the token")
    assert "hf_secret" not in shown[2]


def test_the_token_goes_to_the_hub_and_not_where_large_files_are_stored(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert tinyllm("pull", REPO)[0] == 0
    tokens = {request.path.split("/")[0]: request.headers.get("authorization") for request in hub.requests}
    assert tokens == {"127.0.0.1": "Bearer hf_secret", "localhost": None}


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    hub.cuts["model.safetensors"] = [10_000, 20_000]
    shown = json.loads(tinyllm("pull", REPO, "--json")[1])
    assert shown["bytes_transferred"] == shown["bytes"]
    ranges = [request.headers.get("range") for request in hub.asked("stored/" + REPO + "/model.safetensors")]
    assert ranges == [None, "bytes=10000-", "bytes=30000-"]


def test_a_pull_that_was_broken_off_shows_no_model_and_the_next_one_goes_on(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    hub.cuts["model.safetensors"] = [10_000, 0]
    size = len(folder_model.files["model.safetensors"])
    assert_fails(tinyllm("pull", REPO), 1, f"Of model.safetensors 10,000 of {size:,} bytes are kept; pull again")
    shown = json.loads(tinyllm("pull", REPO, "--json")[1])
    assert shown["bytes_transferred"] == shown["bytes"] - 10_000
    assert not partial_folder_of(REPO).exists()


def test_a_pull_that_was_killed_at_any_moment_loses_no_model_and_leaves_no_files(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    """An earlier pull of the model, or the new one, is there without a network; the next pull is whole."""
    request = read_request(REPO, None, None)
    assert tinyllm("pull", REPO)[0] == 0
    for change in range(100):
        folder_model.commit = f"{change:040x}"
        folder_model.files["tokenizer_config.json"] = json.dumps({"as_of": change}).encode()
        if not killed_at(change, lambda: pull(request, confirmed=True, report=lambda *_: None)):
            break
        there = find_pulled(REPO)
        assert there is not None
        assert all((there.folder / file.path).stat().st_size == file.size for file in there.files)
        assert [model.name for model in list_pulled() if isinstance(model, Pulled)] == [REPO]
        assert tinyllm("pull", REPO)[0] == 0
        assert [path.name for path in models_folder().iterdir() if path.name.startswith(".old")] == []
    assert 5 < change < 99


def test_a_hub_that_never_gets_done_is_given_up(hub: HubServer, folder_model: Repository, tinyllm: Tinyllm) -> None:
    hub.cuts["model.safetensors"] = [1] * 50
    assert_fails(tinyllm("pull", REPO), 1, "pull again to go on")
    assert len(hub.asked("stored/" + REPO + "/model.safetensors")) == fetching.ATTEMPTS


def test_ctrl_c_keeps_what_has_come(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cuts["model.safetensors"] = [10_000]

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", interrupt)
        code, _, err = tinyllm("pull", REPO)
    assert code == 130
    assert "the same command goes on from there" in err
    assert visible() == []
    assert json.loads(tinyllm("pull", REPO, "--json")[1])["bytes_transferred"] > 0
    assert hub.asked("model.safetensors")[-1].headers["range"] == "bytes=10000-"


def test_a_server_that_cannot_go_on_in_the_middle_begins_again(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    hub.ranges = False
    hub.cuts["model.safetensors"] = [10_000]
    assert tinyllm("pull", REPO)[0] == 0


Lie = Callable[[Repository], object]
LIES: dict[str, tuple[Lie, str]] = {
    "another content of the same length": (
        lambda repo: repo.told_sha256.update({"model.safetensors": "0" * 64}),
        "expected by the hub " + "0" * 64,
    ),
    "a longer file than it tells": (
        lambda repo: repo.told_sizes.update({"model.safetensors": 9_000}),
        "more comes than the 9,000 bytes that the hub announced",
    ),
    "a shorter file than it tells": (
        lambda repo: repo.told_sizes.update({"model.safetensors": 50_000_000}),
        "ended the file too early",
    ),
    "a longer small file than it tells": (
        lambda repo: repo.told_sizes.update({"config.json": 3}),
        "config.json of someone/tiny-model: more comes than the 3 bytes",
    ),
}


@pytest.mark.parametrize("case", LIES)
def test_a_file_that_is_not_what_the_hub_tells_becomes_no_model(
    case: str, hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    lie, message = LIES[case]
    lie(folder_model)
    assert_fails(tinyllm("pull", REPO), 1, message)


def test_a_small_file_is_held_to_the_name_that_git_gives_it(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    content = folder_model.files["config.json"]
    assert len(content) < LARGE
    hub.bodies["resolve/" + folder_model.commit + "/config.json"] = b" " * len(content)
    assert_fails(tinyllm("pull", REPO), 1, "config.json of someone/tiny-model: its git sha1 is")
    del hub.bodies["resolve/" + folder_model.commit + "/config.json"]
    assert tinyllm("pull", REPO)[0] == 0


def test_a_mirror_that_lists_another_sha256_than_tinyllm_is_distrusted_before_anything_comes(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    content = stories.files["stories260K/stories260K.bin"]
    stories.files["stories260K/stories260K.bin"] = content[:-1] + b"\1"
    assert_fails(tinyllm("pull", "stories260K"), 1, "as tinyllm lists it", "Distrust the mirror")
    assert len(hub.requests) == 1


def test_a_mirror_that_lists_no_sha256_is_held_to_tinyllms_own(
    hub: HubServer, stories: Repository, tinyllm: Tinyllm
) -> None:
    content = stories.files["stories260K/stories260K.bin"]
    stories.files["stories260K/stories260K.bin"] = content[:-1] + b"\1"
    stories.hashes = False
    pinned = sha256(content).hexdigest()[:8]
    assert_fails(tinyllm("pull", "stories260K"), 1, f"expected by tinyllm's list or an earlier pull {pinned}")


def test_a_file_that_changes_at_the_same_commit_is_told_from_the_first_pull(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    folder_model.hashes = False
    first = json.loads(tinyllm("pull", REPO, "--json")[1])
    good = Path(first["path"], "config.json").read_bytes()
    folder_model.files["config.json"] = b" " * len(good)
    Path(first["path"], "config.json").unlink()
    code, _, err = tinyllm("pull", REPO)
    assert code == 1
    assert "by tinyllm's list or an earlier pull" in err
    kept = find_pulled(REPO)
    assert kept is not None, "the model of the first pull is as it was"


NO_DESCRIPTIONS = {
    "a web page": b"<html>sign in to the hotel's network</html>",
    "a list": b"[]",
    "an error": b'{"error": "no"}',
    "no commit": b'{"sha": "main", "siblings": []}',
    "files that are no list": b'{"sha": "' + b"0" * 40 + b'", "siblings": 7}',
    "names that are no text": b'{"sha": "' + b"0" * 40 + b'", "siblings": [{"rfilename": 1, "size": 1}]}',
    "tags that are no texts": b'{"sha": "' + b"0" * 40 + b'", "siblings": [], "tags": [7]}',
    "a tower of brackets": b"[" * 200_000,
    "not UTF-8": b'{"sha": "\xff"}',
}


@pytest.mark.parametrize("case", NO_DESCRIPTIONS)
def test_an_answer_that_describes_no_model_is_said_to_be_none(
    case: str, hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    hub.bodies["/main"] = NO_DESCRIPTIONS[case]
    assert_fails(tinyllm("pull", REPO), 1, "is no description of a model. Is HF_ENDPOINT the address of a hub?")


def test_a_description_without_end_is_given_up(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyllm.host.hub.client.LARGEST_LISTING", 1 << 16)
    hub.bodies["/main"] = b" " * (1 << 18)
    assert_fails(tinyllm("pull", REPO), 1, "in more than 65,536 bytes; given up")


def test_names_that_lead_out_of_the_folder_are_never_written(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm, tmp_path: Path
) -> None:
    hostile = ["../tokenizer.json", "/tmp/tokenizer.json", "..\\tokenizer.json", "C:tokenizer.json", "con.jinja"]
    folder_model.files |= dict.fromkeys([*hostile, "tokenizer.json\0.model", "-tokenizer.json", "a/../../x"], b"evil")
    shown = json.loads(tinyllm("pull", REPO, "--json")[1])
    assert len(shown["files"]) == 4
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"evil"] == []


@given(st.text(alphabet="ab.\\/:-_ \0CON1~", max_size=16))
def test_a_safe_path_stays_below_any_folder_on_any_system(path: str) -> None:
    if SAFE_PATH.fullmatch(path):
        parts = path.split("/")
        assert all(part not in ("", ".", "..") for part in parts)
        assert not set(path) & set("\\:\0~")
        assert any(map(RESERVED.fullmatch, parts)) == any(part.split(".")[0] in ("CON",) for part in parts)


def test_a_large_model_is_taken_only_when_that_is_said_twice(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    folder_model.told_sizes["model.safetensors"] = 2_200_000_000
    assert_fails(tinyllm("pull", REPO), 2, "has 2.2 GB; to take it nevertheless add --yes")
    assert len(hub.requests) == 1


def test_a_model_for_which_the_disk_has_no_room_is_not_begun(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    folder_model.told_sizes["model.safetensors"] = 10**15
    assert_fails(tinyllm("pull", REPO, "--yes"), 1, "the pull needs 1,000,000.0 GB more on this disk", "Make room")
    assert len(hub.requests) == 1


def test_two_pulls_of_one_model_do_not_mix(hub: HubServer, folder_model: Repository, tinyllm: Tinyllm) -> None:
    staging = partial_folder_of(REPO)
    staging.parent.mkdir(parents=True)
    with FileLock(staging.with_name(f"{staging.name}.lock")):
        assert_fails(tinyllm("pull", REPO), 1, f"another `tinyllm pull {REPO}` is under way")
    assert tinyllm("pull", REPO)[0] == 0


def test_files_that_differ_only_in_case_are_not_written_over_each_other(
    hub: HubServer, folder_model: Repository, tinyllm: Tinyllm
) -> None:
    folder_model.files |= {"tokenizerA.json": b"one", "tokenizera.json": b"two"}
    assert_fails(tinyllm("pull", REPO), 2, "differ only in folder or in case")


def test_a_folder_that_cannot_be_written_is_named(hub: HubServer, folder_model: Repository, tinyllm: Tinyllm) -> None:
    models_folder().parent.mkdir(parents=True)
    models_folder().write_text("in the way")
    code, _, err = tinyllm("pull", REPO)
    assert code == 1
    assert str(models_folder()) in err
    assert "TINYLLM_HOME" in err


def test_an_error_is_a_document_too(hub: HubServer, tinyllm: Tinyllm) -> None:
    code, out, _ = tinyllm("pull", "nobody/nothing", "--json")
    error = json.loads(out)["error"]
    assert (code, error["kind"], error["exit_code"]) == (2, "UserError", 2)


KEYS = st.sampled_from(["sha", "siblings", "rfilename", "size", "lfs", "sha256", "blobId", "tags"])
LEAVES = st.none() | st.integers() | st.text(max_size=8) | st.just("0" * 40)


@settings(max_examples=60)
@given(st.dictionaries(KEYS, LEAVES | st.lists(LEAVES | st.dictionaries(KEYS, LEAVES, max_size=5), max_size=3)))
def test_any_json_is_a_listing_of_safe_names_or_refused(value: dict[str, object]) -> None:
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        listing = read_listing("a/b", value)
        assert all(SAFE_PATH.fullmatch(path) and file.size >= 0 for path, file in listing.files.items())
