"""A maker's own catalogue, all the way: phrasings, pairs, a training, and the C answers its held-out questions."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import skip_unless_ci
from tinyllm.host.cli import app as cli
from tinyllm.models.pairs.generate import HELD_OUT

ACTIONS = """
[call."fan.set"]
arguments = { place = ["desk", "attic"], on = "true|false" }
phrasings = ["(turn|switch) {on} the {place} fan", "{place} fan {on}", "I want the {place} fan {on}"]
"""
SHAPE = "--dim 32 --hidden 48 --blocks 1 --heads 2 --kv-heads 1 --head-dim 16 --context 192 --vocab 400"


def test_from_a_few_phrasings_to_graded_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("torch") is None:
        skip_unless_ci("torch is not installed: pip install 'tinyllm[train]'")
    monkeypatch.chdir(tmp_path)
    Path("actions.toml").write_text(ACTIONS)
    assert cli.run(["pairs", "--actions", "actions.toml", "--count", "300", "--held-out", "6", "-o", "data"]) == 0
    training = f"train --pairs data/train.jsonl --steps 2 --tokens 512 --out fan-model {SHAPE}"
    assert cli.run(training.split()) == 0
    shutil.copy("actions.toml", "fan-model")
    capsys.readouterr()
    assert cli.run(["grade", "fan-model", "--pairs", "data", "--json"]) == 0
    grades = json.loads(capsys.readouterr().out)["grades"]
    assert {one["file"] for one in grades} == set(HELD_OUT.values())
    assert all(one["questions"] == len(one["wrong"]) + one["right"] for one in grades)
