"""What /save writes and /load reads: the same conversation, and nothing that was never saved."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.errors import UserError
from tinyllm.host.chat.conversation import Conversation, Sent, Turn
from tinyllm.host.chat.transcript import load_transcript, save_transcript, transcript
from tinyllm.host.link.messages import UNTIL_STOP, Done, HelloReply, Overflow, Reason, Setting

HELLO = HelloReply(
    version=2, vocab_size=512, context=64, context_used=0, text_max=256, corrupt_frames=0, conversation_digest=0,
    model="story", model_hash="b359d1da90dd55fd", board="host", build_id="beb1f908189ea5ef", firmware="0.1.0",
)  # fmt: skip
SETTINGS = dict.fromkeys(Setting, 1) | {Setting.TEMPERATURE: 52429, Setting.REPETITION_PENALTY: 1 << 16}
TURNS = [
    Turn("Once", Sent("Once"), 3, [5, 6, 7], " upon a", Done(Reason.LENGTH, 2, 3, 900, 800, 11, 5, 12)),
    Turn("A 'b'\n\udcff", Sent((1, 2), anew=True), UNTIL_STOP, [8], "\u65e5", Done(Reason.STOP, 2, 1, 9, 8, 13, 3, 14)),
    Turn("Why?", Sent("Why?", chat=True), 9, [9, 10], "be"),
]


def document(turns: list[Turn] = TURNS) -> dict[str, Any]:
    conversation = Conversation(HELLO)
    conversation.turns = turns
    return copy.deepcopy(transcript(conversation, HELLO, SETTINGS))


def loaded(document: Any) -> tuple[list[Turn], dict[Setting, int]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talk.json"
        path.write_text(json.dumps(document))
        return load_transcript(str(path), HELLO)


def test_what_was_saved_is_loaded_again(tmp_path: Path) -> None:
    path = save_transcript(str(tmp_path / "talk.json"), document())
    assert load_transcript(str(path), HELLO) == (TURNS, SETTINGS | {Setting.OVERFLOW: Overflow.STOP})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"transcript": 2}, 'it has no "transcript": 1'),
        ({"turns": {}}, "is no conversation"),
        ({"model_hash": "0123456789abcdef", "model": "\x1b[2J"}, r"held with the model '\\x1b\[2J'"),
        ({"turns": ["x"]}, "turn 1: is 'x', expected an object"),
        ({"settings": None}, "settings: is None, expected an object"),
        ({"settings": {}}, "settings: temperature is None, expected a number"),
    ],
)
def test_a_file_of_another_kind_or_model_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        loaded(document() | change)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", [512]), ("tokens", [-1]), ("tokens", [True]), ("tokens", [1.0]), ("tokens", "123"), ("tokens", None),
        ("prompt", 7), ("prompt", "\ud800"), ("text", None), ("max_tokens", 1 << 32), ("max_tokens", -1),
        ("reason", "tired"), ("reason", "cancelled\n"), ("context_used", "5"), ("conversation_digest", "0x0000cc"),
        ("conversation_digest", 12), ("digest", None), ("sent", None),
        ("sent", {"text": 5, "chat": False, "anew": False}),
        ("sent", {"tokens": [999], "chat": False, "anew": False}), ("sent", {"text": "x", "chat": 1, "anew": False}),
    ],
)  # fmt: skip
def test_a_field_that_save_cannot_have_written_is_named(field: str, value: object) -> None:
    changed = document()
    changed["turns"][0][field] = value
    with pytest.raises(UserError, match=rf"talk.json: turn 1: (sent: \w+ |{field}:? )is .*, expected ") as error:
        loaded(changed)
    assert str(error.value).isprintable()


def test_only_the_last_turn_may_be_interrupted() -> None:
    with pytest.raises(UserError, match="only the last turn"):
        loaded(document([TURNS[2], TURNS[0]]))


@pytest.mark.parametrize("name", ["no/such/folder.txt", "no\0name.txt", "x" * 300])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        save_transcript(str(tmp_path / name), document())


@pytest.mark.parametrize("name", ["talk.txt", "no\0name.json"])
def test_a_name_that_is_no_json_is_the_users_mistake(name: str) -> None:
    with pytest.raises(UserError):
        load_transcript(name, HELLO)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(st.data(), ANYTHING)
def test_a_changed_file_is_loaded_or_refused_in_words(data: st.DataObject, value: Any) -> None:
    changed = document()
    places: list[dict[str, Any]] = [changed, changed["settings"], *changed["turns"], changed["turns"][0]["sent"]]
    place = data.draw(st.sampled_from(places))
    place[data.draw(st.sampled_from(sorted(place)))] = value
    try:
        turns, settings = loaded(changed)
    except UserError:
        return
    assert all(0 <= token < 512 for turn in turns for token in turn.answer)
    assert set(settings) == set(Setting)
