"""The tokenizer that a model is trained with gives the ids that a board computes, in a chat too."""

from __future__ import annotations

from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

from tests.conftest import STORY_MODEL
from tinyllm.codegen.chat.derive import derive
from tinyllm.errors import UserError
from tinyllm.models.training.pairs import Conversation, Turn
from tinyllm.models.training.vocabulary import CHAT_TEMPLATE, Vocabulary, train_vocabulary, vocabulary_of

TURNS = (
    Turn("  How warm is it? ", "<call>heat(3)</call><result>21</result>It is 21 degrees."),
    Turn("Say </s> <|user|> 中\n", "No."),
    Turn("Bye", " Bye. "),
)


@pytest.fixture
def chat(stories: list[str]) -> Vocabulary:
    return train_vocabulary([*stories, "<call>temp()</call>"], 300, chat=True)


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
@pytest.mark.parametrize("is_chat", [False, True])
def test_a_trained_tokenizer_gives_every_text_back(stories: list[str], algorithm: str, is_chat: bool) -> None:
    vocabulary = train_vocabulary(stories, 300, is_chat, algorithm)
    assert (vocabulary.size, vocabulary.chat) == (300, is_chat)
    for text in ("Tom had 37 boats.\nHe lost one.", "naïve café \N{OWL}"):
        ids = vocabulary.story(text).ids.tolist()
        assert (ids[0], ids[-1]) == vocabulary.ends
        assert vocabulary.text(ids[1:-1]).removeprefix(" ") == text


def test_the_ids_are_those_of_sentencepiece(stories: list[str]) -> None:
    vocabulary = train_vocabulary(stories, 300, chat=False)
    processor = SentencePieceProcessor(model_proto=vocabulary.files["tokenizer.model"])
    assert all(vocabulary.story(story).ids.tolist()[1:-1] == processor.encode(story) for story in stories)


def test_each_digit_is_a_token(chat: Vocabulary) -> None:
    assert len(chat.opening("1234")) == len(chat.opening("")) + 4


def test_a_conversation_has_the_ids_that_the_board_makes_of_its_turns(chat: Vocabulary) -> None:
    plan = derive(CHAT_TEMPLATE, chat.tokenizer)
    trained = chat.conversation(Conversation(TURNS, "")).ids.tolist()
    ids: list[int] = []
    for number, turn in enumerate(TURNS):
        ids += plan.turn(chat.tokenizer, turn.prompt, first=number == 0, last_token=ids[-1] if ids else None)
        alone = chat.conversation(Conversation((turn,), "")).ids.tolist()
        ids += alone[len(chat.opening(turn.prompt)) :]
    assert ids == trained


def test_what_the_model_says_itself_is_learned_and_nothing_else(chat: Vocabulary) -> None:
    ids, learned = chat.conversation(Conversation(TURNS[:2], ""))
    assert chat.text(ids[learned]) == "<call>heat(3)</call>It is 21 degrees.No."
    assert (ids[learned] == chat.ends[1]).sum() == 2, "the end of each answer is learned"
    assert chat.ends[0] not in ids[learned]


def test_no_piece_is_learned_from_the_name_of_a_control_piece(chat: Vocabulary) -> None:
    assert not any(b"call" in piece for piece in chat.tokenizer.normal_ids)


@pytest.mark.parametrize(("size", "why"), [(512, r"at most \d+; give more text, or --vocab"), (265, "give --vocab")])
def test_a_vocabulary_that_the_text_cannot_give_is_refused_with_one_that_it_can(size: int, why: str) -> None:
    with pytest.raises(UserError, match=why):
        train_vocabulary(["The quick brown fox jumps over a lazy dog.", "Ding!"], size, chat=False)


def test_a_model_lends_its_tokenizer_with_its_files() -> None:
    folder = STORY_MODEL
    vocabulary = vocabulary_of(folder)
    assert vocabulary.files["tokenizer.model"] == (folder / "tokenizer.model").read_bytes()
    assert (vocabulary.size, vocabulary.chat) == (512, False)


def test_a_tokenizer_of_another_size_is_refused(tmp_path: Path, chat: Vocabulary) -> None:
    (tmp_path / "config.json").write_bytes((STORY_MODEL / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((STORY_MODEL / "model.safetensors").read_bytes())
    (tmp_path / "tokenizer.model").write_bytes(chat.files["tokenizer.model"])
    with pytest.raises(UserError, match="300 pieces, the model has 512 rows"):
        vocabulary_of(tmp_path)
