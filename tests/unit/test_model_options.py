"""The options of reading a model are the same at every door: the verbs, tinyllm.load, and the pages about both."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

import tinyllm
from tinyllm.host.cli.app import VERBS, Verbs
from tinyllm.host.model.load import LoadOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = [field.name for field in fields(LoadOptions)]
PYTHON = (DOCS / "python.md").read_text("utf-8")
COMMAND_LINE = (DOCS / "cli.md").read_text("utf-8")


def test_load_takes_what_the_verbs_take() -> None:
    assert sorted(inspect.signature(tinyllm.load).parameters) == sorted(["model", *NAMES])


def test_the_page_about_python_names_each() -> None:
    shown = re.search(r"`load\((.*?)\)`", PYTHON, re.DOTALL)
    assert shown
    assert sorted(re.findall(r"(\w+)=", shown.group(1))) == sorted(NAMES)


def test_the_table_of_the_page_about_the_command_line_names_each() -> None:
    table = COMMAND_LINE.partition("Every verb has `--help`")[0]
    context = click.Context(click.Group())
    eval_verb = Verbs().get_command(context, "eval")
    assert eval_verb is not None and "eval" in VERBS
    options = {param.name: param.opts[0] for param in eval_verb.params}
    assert [options[name] for name in NAMES if f"`{options[name]}" not in table] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights_in": "flash"}, "--weights-in 'flash': expected program or partition."),
        ({"kv_cache": "int5"}, "--kv-cache 'int5': expected int8, k8v4, int4."),
        ({"rope_base": 5000.0}, "config.json says it as rope_theta"),
    ],
    ids=["weights_in", "kv_cache", "rope_base"],
)
def test_load_refuses_a_value_as_the_verbs_do(options: dict[str, object], said: str) -> None:
    with pytest.raises(tinyllm.UserError, match=re.escape(said)):
        tinyllm.load(**options)  # type: ignore[arg-type]


def test_what_load_was_given_is_what_the_model_was_read_with() -> None:
    assert tinyllm.load(weights_in="partition", context=32).weights_in == "partition"
