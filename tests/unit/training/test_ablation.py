"""The ablation compares shapes of equal size that differ in one ingredient each."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")

from click.testing import CliRunner

from tinyllm.models.training.ablation import PARAMETERS, command, shapes
from tinyllm.models.training.shape import PRESETS


def test_all_shapes_have_the_parameters_of_the_preset() -> None:
    assert all(abs(shape.n_parameters / PARAMETERS - 1) < 0.002 for shape in shapes().values())
    assert PRESETS["260k"] in shapes().values()


def test_each_line_adds_one_ingredient_to_the_line_before() -> None:
    switches = [
        {name: value for name, value in asdict(shape).items() if name not in ("hidden_dim", "n_heads")}
        for shape in shapes().values()
    ]
    changed = [{name for name in some if some[name] != others[name]} for some, others in itertools.pairwise(switches)]
    assert changed == [{"gated"}, {"dim", "blocks", "n_kv_heads"}, {"tied"}, {"n_kv_heads"}, {"shared"}]


@pytest.mark.sweep
def test_the_table_has_a_row_for_each_ingredient(tmp_path: Path, stories: list[str]) -> None:
    train, valid = tmp_path / "train.txt", tmp_path / "valid.txt"
    words = [chr(97 + n % 26) + chr(97 + n // 26) + chr(97 + n * 7 % 26) + "ab" * (n % 3) for n in range(600)]
    train.write_text("<|endoftext|>".join([*stories * 3, *words]), "utf-8")
    valid.write_text("<|endoftext|>".join(stories[:4]), "utf-8")
    result = CliRunner().invoke(command, ["--text", str(train), "--valid", str(valid), "--steps", "1"])
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2 + len(shapes())
