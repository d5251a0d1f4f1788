"""`tinyllm train` on the command line: its folder, its words, Ctrl-C, and what it refuses."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tinyllm.host.cli.app import run
from tinyllm.host.cli.train_fit import warn_of_boards
from tinyllm.host.model.sketch import stand_in
from tinyllm.host.output import Output
from tinyllm.models.training.shape import shape_of

pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")

SMALL = ["--preset", "50k", "--dim", "16", "--hidden", "32", "--blocks", "2", "--vocab", "320", "--context", "64"]
SMALL += ["--tokens", "128"]


def test_pairs_become_a_folder_with_a_card_and_a_plot(
    pairs_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my model"
    words = ["--steps", "20", "--licence", "mit", "--data", "Made up; mit."]
    assert run(["train", "--pairs", str(pairs_file), "--out", str(out), *SMALL, *words, "--json"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["steps"] == 20
    assert {file.name for file in out.iterdir()} == {
        "README.md",
        "config.json",
        "loss.svg",
        "model.safetensors",
        "tokenizer.model",
        "tokenizer_config.json",
    }
    card = (out / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: mit\n")
    for words_of_it in ("# my model", "Made up; mit.", f"loss {document['loss']:.4f} nats", "seed 260", "## Samples"):
        assert words_of_it in card
    command = next(line for line in card.splitlines() if line.startswith("    tinyllm train"))
    assert shlex.split(command)[2:4] == ["--pairs", str(pairs_file)]
    assert "validation" in (out / "loss.svg").read_text(encoding="utf-8")
    assert re.search(r"boards that hold it: .*pico as int8", told.err)
    assert "? -> " in told.err, "samples are shown as it goes"

    assert run([*shlex.split(command)[1:], "--json", "--out", str(tmp_path / "again")]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == document["loss"]


def test_ctrl_c_saves_and_prints_the_command_that_goes_on(story_file: Path, tmp_path: Path) -> None:
    arguments = ["--text", str(story_file), "--out", str(tmp_path / "out"), *SMALL, "--steps", "400"]
    command = [sys.executable, "-m", "tinyllm", "train", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "validation" in line:
                break
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    step = re.search(r"stopped after step ([\d,]+), which is saved", told)
    assert step, told
    shown = shlex.split(next(line for line in told.splitlines() if line.startswith("tinyllm train")))
    assert sorted(shown) == sorted(["tinyllm", "train", *arguments])
    assert not (tmp_path / "out" / "config.json").exists()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(f"going on after step {step[1]}" in line for line in process.stderr)
        assert any("validation" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 130


def test_a_model_that_no_board_holds_gets_a_warning_with_what_the_nearest_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = shape_of("15m", dim=1024, hidden_dim=4096)
    warn_of_boards(Output(), shape.model_config("large"), stand_in(shape.vocab_size), tmp_path)
    told = capsys.readouterr().err
    assert re.search(r"warning: no board .* The nearest is [\w-]+: as int4 it needs \d+\.\d times its flash", told)


def test_a_folder_of_other_files_is_not_written_into(
    story_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/README.md").write_text("My thesis")
    assert run(["train", "--text", str(story_file), "--out", str(tmp_path / "out")]) == 2
    assert "holds README.md, and no training of tinyllm; give a new folder" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "out/README.md").read_text() == "My thesis"


def test_a_training_that_was_killed_in_its_first_checkpoint_begins_again(story_file: Path, tmp_path: Path) -> None:
    half = tmp_path / "out/checkpoint.pt.0123abcd.tmp"
    half.parent.mkdir()
    half.touch()
    assert run(["train", "--text", str(story_file), "--out", str(half.parent), "--steps", "1", *SMALL]) == 0
    assert not half.exists()
    assert (half.parent / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--out", "out"], "give --text FILE for stories, or --pairs FILE"),
        (["--text", "STORIES", "--pairs", "PAIRS"], "one of the two"),
        (["--text", "STORIES", "--steps", "5", "--minutes", "1"], "--steps and --minutes both say how long"),
        (["--text", "STORIES", "--preset", "7b"], "--preset 7b: expected one of 50k"),
        (["--text", "STORIES", "--heads", "3"], "expected a multiple"),
        (["--text", "STORIES", "--vocab", "4000"], "at most"),
        (["--text", "PAIRS.missing"], "no such file"),
        (["--pairs", "STORIES"], "line 1 has 0 tabs; expected prompt TAB answer"),
        (["--text", "STORIES", "--from", "PAIRS"], "is not"),
        (["--text", "STORIES", "--teacher", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line_or_two(
    story_file: Path,
    pairs_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    why: str,
) -> None:
    names = {"STORIES": str(story_file), "PAIRS": str(pairs_file)}
    code = run(["train", *(names.get(word, word) for word in arguments), "--out", str(tmp_path / "out")])
    told = capsys.readouterr().err
    assert code == 2
    error = told[told.index("error: ") :]
    assert why in error
    assert error.count("\n") <= 2
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_is_refused_before_the_training(
    story_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--text", str(story_file), "--out", str(story_file)]) == 2
    assert f"{story_file} is a file; give a folder to write into" in capsys.readouterr().err


def test_without_torch_it_says_how_to_get_it(story_file: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; from tinyllm.host.cli.app import run; "
        f"sys.exit(run(['train', '--text', {str(story_file)!r}, '--out', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("run: pip install 'tinyllm[train]'\n")
