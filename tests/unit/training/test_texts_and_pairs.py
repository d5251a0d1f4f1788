"""What a maker gives to be learned is read, and what is wrong in it is told by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.errors import UserError
from tinyllm.models.training.pairs import Turn, read_pairs
from tinyllm.models.training.texts import read_stories


def test_stories_are_split_at_the_separator_and_stripped(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    path.write_text(" one \n<|endoftext|>\n\n<|endoftext|>\ntwo\nlines\n", encoding="utf-8")
    assert read_stories([path, path]) == ["one", "two\nlines"] * 2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no text"),
        (b" \n", "no text"),
        (b"<|endoftext|>\n", "no story"),
        (b"caf\xe9", "not UTF-8 at byte 3"),
        (b"ELF\0\0", "a zero byte in it, at byte 3"),
    ],
    ids=["empty", "blank", "no story", "not UTF-8", "binary"],
)
def test_a_useless_text_is_refused_by_name(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "stories.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"stories\.txt: {why}"):
        read_stories([path])


def test_a_text_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.txt: no such file"):
        read_stories([tmp_path / "absent.txt"])


def test_pairs_are_read_from_messages_from_prompt_and_answer_and_from_tabs(tmp_path: Path) -> None:
    messages = [("user", "a"), ("assistant", "b"), ("user", "c\u2028"), ("assistant", "d")]
    rows = [{"messages": [{"role": role, "content": text} for role, text in messages]}, {"prompt": "e", "answer": "f"}]
    lines, table = tmp_path / "pairs.jsonl", tmp_path / "pairs.tsv"
    lines.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    table.write_bytes(b"g\th\r\n")
    found = read_pairs([lines, table])
    assert [each.turns for each in found] == [
        (Turn("a", "b"), Turn("c\u2028", "d")),
        (Turn("e", "f"),),
        (Turn("g", "h"),),
    ]
    assert found[1].place == f"{lines}: line 3"


@pytest.mark.parametrize(
    "line",
    [
        '{"prompt": "a"',
        '{"prompt": "a"}',
        '{"prompt": "a", "answer": " "}',
        '{"prompt": "a", "answer": 5}',
        '{"prompt": "\\ud800", "answer": "b"}',
        '{"messages": []}',
        '{"messages": [{"role": "user", "content": "a"}]}',
        '{"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}',
        '{"messages": [{"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        '{"messages": [1, 2]}',
        "[" * 100_000,
        "null",
    ],
)
def test_a_broken_line_of_json_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a", "answer": "b"}\n' + line, encoding="utf-8")
    with pytest.raises(UserError, match=r"pairs\.jsonl: line 2") as told:
        read_pairs([path])
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("line", ["no tab", "a\tb\tc", "a\t", "\tb"])
def test_a_broken_line_of_a_table_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(f"a\tb\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"pairs\.tsv: line 2 has .*expected prompt TAB answer"):
        read_pairs([path])


@given(st.binary(max_size=200))
def test_any_bytes_are_pairs_or_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs"
    path.write_bytes(content)
    try:
        assert all(turn.answer.strip() for each in read_pairs([path]) for turn in each.turns)
    except UserError as error:
        assert str(path) in str(error)
