"""Training data of a chat model: what stands in it, what is held out, and what a wrong phrase book is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.codegen.actions.catalogue import BUNDLED, Value, read_catalogue
from tinyllm.errors import UserError
from tinyllm.host.cli import app as cli
from tinyllm.models.pairs import grammar, numbers
from tinyllm.models.pairs.conversations import COMMAND, REACH, Conversation, Speaker, Split, gerund
from tinyllm.models.pairs.generate import HELD_OUT, HELD_OUT_SHARE, QUESTIONS, TRAIN, generate, phrase_book
from tinyllm.models.pairs.noise import SHORTEST_MISTYPED, mistype
from tinyllm.models.pairs.phrasebook import KINDS, UNKNOWN
from tinyllm.models.pairs.questions import STRANGERS, Question, calls_of, read_questions
from tinyllm.models.pairs.small_talk import Intent, read_qna
from tinyllm.models.pairs.surface import text_of
from tinyllm.models.pairs.synonyms import Synonyms

BOOK = phrase_book(BUNDLED, None)
QNA = """> # QnA pairs

# ? Do you jump?
- can you jump
- Do you hop?

**Filters:**
- editorial = chitchat

```markdown
No legs\u2026
```

# ? Sing!
- sing a song

```markdown
La la la.
```
"""
PUMP = """
[call."pump.run"]
arguments = { zone = ["lawn", "roses"], seconds = "5..60" }
phrasings = ["water the {zone} for {seconds} seconds", "(run|start) the pump on the {zone}, {seconds} seconds"]
"""


def speaker(seed: int = 1, share: float = 0.1) -> Speaker:
    """Of the bundled catalogue, without a file of small talk."""
    return Speaker(BOOK, [], Split(seed, share), Random(seed))


def some(count: int, held_out: bool = False) -> Iterator[Conversation]:
    """Conversations of all kinds."""
    source = speaker(2)
    for number in range(count):
        yield source.conversation((COMMAND, *KINDS)[number % 4], held_out)


@lru_cache(maxsize=None, typed=True)
def surfaces(value: Value) -> set[str]:
    """Ways in which a word, an integer, on or off may be written, beside the forms of the phrase book."""
    if isinstance(value, bool):
        return {"on"} if value else {"off"}
    if isinstance(value, int):
        spelled = (
            {numbers.words(value, Random(seed)) for seed in range(150)} if 0 <= value <= numbers.LARGEST else set()
        )
        return {str(value)} | spelled
    return {value}


# --- What stands in it ------------------------------------------------------------------------------------------------


def test_every_call_is_one_of_the_catalogue_with_values_in_range() -> None:
    turns = [turn for conversation in some(1200) for turn in conversation]
    calls = [call for turn in turns for call in turn.calls]
    assert {BOOK.catalogue.parse(call)[0] for call in calls} == set(BOOK.catalogue.calls)
    for turn in turns:
        assert calls_of(turn.answer) == turn.calls
        assert bool(turn.calls) == (turn.kind == COMMAND)
        assert "{" not in turn.answer + turn.user


def test_a_command_carries_the_values_of_its_call() -> None:
    """Each slot of a template becomes text that says its value: as it is, in words, or in a form of the phrase book."""
    source = speaker()
    checked = 0
    for command in BOOK.commands:
        arguments = {argument.name: argument.kind for argument in command.call.arguments}
        for _ in range(60):
            template = command.phrases.pick(source.random)
            slots = [(name, form) for name, form in grammar.slots_of(template) if name in arguments]
            values = {name: source.surface.value(name, form, arguments[name]) for name, form in slots}
            text = text_of(source.surface.fill(template, values)[0])
            for name, form in slots:
                value = values[name]
                key = str(value).lower() if isinstance(value, bool) else str(value)
                own = BOOK.forms.get(f"{name}:{form}" if form else name, {}).get(key)
                said = surfaces(value) | ({own.pick(Random(seed)) for seed in range(200)} if own else set())
                assert any(way in text for way in said), (template, value, text)
                checked += 1
    assert checked > 1500


def test_a_text_to_show_stands_in_the_command_letter_by_letter() -> None:
    source = speaker()
    shows = [command for command in BOOK.commands if command.call.name == "display.show"]
    for _ in range(400):
        turn = source.command(shows, False)
        _, values = BOOK.catalogue.parse(turn.calls[0])
        assert str(values["text"]) in turn.user


def test_each_call_has_hundreds_of_templates() -> None:
    for name in BOOK.catalogue.calls:
        commands = [command for command in BOOK.commands if command.call.name == name]
        found = {command.identity(command.phrases.pick(Random(n))) for command in commands for n in range(1500)}
        assert len(found) >= 400, name


def test_what_a_command_leaves_out_comes_from_the_one_before() -> None:
    source = speaker()
    rooms = 0
    for _ in range(600):
        before = (
            source.turn(COMMAND, False),
            *(source.turn(UNKNOWN, False) for _ in range(source.random.randrange(3))),
        )
        last = source.turn(COMMAND, False, before)
        if last.template.startswith("light.dim later"):
            rooms += 1
            _, values = BOOK.catalogue.parse(last.calls[0])
            assert values["room"] == before[0].told["room"] or str(values["room"]) in last.user
    assert rooms


def test_nothing_is_left_out_that_was_said_long_ago() -> None:
    source = speaker()
    before = (source.turn(COMMAND, False), *(source.turn(UNKNOWN, False) for _ in range(REACH)))
    assert source.referring(before) == ([], {})
    assert "later" not in " ".join(source.turn(COMMAND, False, before).template for _ in range(300))


def test_conversations_have_up_to_eight_turns() -> None:
    assert {len(conversation) for conversation in some(1200)} == set(range(1, 9))


def test_a_name_is_remembered_over_the_turns_and_a_later_one_counts() -> None:
    asked, distances = 0, set()
    for conversation in some(4000):
        name, since = "", 0
        for turn in conversation:
            since += 1
            if "name" in turn.told:
                name, since = str(turn.told["name"]), 0
                assert name in turn.user
            if turn.answer.startswith("Your name is"):
                asked += 1
                distances.add(since)
                assert turn.answer == f"Your name is {name}."
            if turn.answer == "I don't know your name yet.":
                assert not name
    assert asked > 40 and {1, 2, 3, 4} <= distances


def test_what_it_can_do_is_told_in_words_or_else_by_the_names_of_calls(tmp_path: Path) -> None:
    assert BOOK.abilities.startswith("switch lights, dim lights, color the LED") and " and set pins" in BOOK.abilities
    (tmp_path / "actions.toml").write_text(PUMP)
    assert phrase_book(tmp_path / "actions.toml", None).abilities == "pump.run"


def test_results_vary_and_an_error_is_told() -> None:
    turns = [turn for conversation in some(1200) for turn in conversation if turn.kind == COMMAND]
    results = {result for turn in turns for result in re.findall("<result>(.*?)</result>", turn.answer)}
    assert {"ok", "error: no handler"} <= results
    assert any(result.isdigit() for result in results)
    for turn in turns:
        assert ("Sorry" in turn.answer) == ("<result>error" in turn.answer)


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=SHORTEST_MISTYPED, max_size=12), st.integers(0, 2**32))
def test_a_typo_keeps_the_first_letter_and_changes_one_place(word: str, seed: int) -> None:
    wrong = mistype(word, Random(seed))
    assert wrong[0] == word[0]
    assert abs(len(wrong) - len(word)) <= 1


@given(st.integers(0, numbers.LARGEST), st.integers(0, 2**32))
def test_numbers_in_words_tell_apart(value: int, seed: int) -> None:
    written = numbers.words(value, Random(seed))
    again = {numbers.words(other, Random(seed)) for other in range(numbers.LARGEST + 1) if other != value}
    assert written not in again


@pytest.mark.parametrize(
    ("said", "doing"), [("set it", "setting it"), ("make tea", "making tea"), ("turn", "turning"), ("dim", "dimming")]
)
def test_verbs_get_their_ing(said: str, doing: str) -> None:
    assert gerund(said) == doing


# --- What is held out -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a small run with small talk."""
    place = tmp_path_factory.mktemp("pairs")
    (place / "talk.qna").write_text(QNA, "utf-8")
    generate(BUNDLED, place, 400, 7, place / "talk.qna", held_out=60)
    return place


def rows(path: Path) -> list[dict[str, str]]:
    """The conversations of a file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_no_held_out_template_is_trained_on_in_any_turn(folder: Path) -> None:
    split = Split(2, 0.1)
    assert not [turn.template for talk in some(800) for turn in talk if split.holds_out(turn.template)]
    trained = {row["template"] for row in rows(folder / TRAIN)}
    for name in HELD_OUT.values():
        assert trained.isdisjoint(row["template"] for row in rows(folder / name))


def test_held_out_questions_are_of_the_held_out_side() -> None:
    split = Split(2, 0.1)
    assert all(split.holds_out(conversation[-1].template) for conversation in some(200, held_out=True))


def test_each_held_out_question_is_asked_alone_once_and_as_it_stands(tmp_path: Path) -> None:
    questions = {"Do you jump?", "can you jump", "Do you hop?", "Sing!", "sing a song"}
    (tmp_path / "talk.qna").write_text(QNA, "utf-8")
    held_out: set[str] = set()
    for seed in range(8):
        generate(BUNDLED, tmp_path / "made", 20, seed, tmp_path / "talk.qna", held_out=1)
        alone = tmp_path / "made" / QUESTIONS
        asked = [question.users for question in read_questions(alone, BOOK.catalogue)] if alone.exists() else []
        assert set(asked) == {(each,) for each in questions if Split(seed, HELD_OUT_SHARE).holds_out(each)}
        assert len(asked) == len(set(asked))
        held_out |= {each for (each,) in asked}
    assert held_out


def test_the_same_seed_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    generate(BUNDLED, tmp_path / "again", 400, 7, folder / "talk.qna", held_out=60)
    generate(BUNDLED, tmp_path / "other", 400, 8, folder / "talk.qna", held_out=60)
    for name in (TRAIN, *HELD_OUT.values()):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert (tmp_path / "other" / TRAIN).read_bytes() != (folder / TRAIN).read_bytes()


# --- Small talk, and lists by hand ------------------------------------------------------------------------------------


def test_small_talk_of_a_file_is_read_with_own_answers(tmp_path: Path) -> None:
    path = tmp_path / "talk.qna"
    path.write_text(QNA, "utf-8")
    jump, sing = read_qna(path, {"Sing!": "I hum."})
    assert (jump.answer, jump.questions) == ("No legs...", ("Do you jump?", "can you jump", "Do you hop?"))
    assert sing.answer == "I hum."
    assert [intent.answer for intent in read_qna(path, {"Sing!": ""})] == ["No legs..."]


def test_synonyms_replace_whole_words_and_keep_a_capital() -> None:
    synonyms = Synonyms([["film", "movie"], ["very", "really"]], Random(1))
    assert synonyms.reworded("Film? A very good filmstrip") == "Movie? A really good filmstrip"
    assert Synonyms([], Random(1)).reworded("as it is") == "as it is"


def test_no_question_is_reworded_to_one_that_is_held_out() -> None:
    questions = tuple(f"Is the {word} {word}" for word in ("film", "movie", "smart", "clever", "bright", "intelligent"))
    for seed in range(5):
        speaker = Speaker(BOOK, [Intent("Yes.", questions)], Split(seed, 0.5), Random(1))
        kept = {
            "".join(filter(str.isalnum, question.lower()))
            for question in questions
            if speaker.split.holds_out(question)
        }
        speaker.noise.add = lambda pieces: text_of(pieces)  # type: ignore[method-assign]
        said = {"".join(filter(str.isalnum, speaker.small_talk(False).user.lower())) for _ in range(200)}
        assert kept and not said & kept


def test_no_phrase_of_ours_that_is_a_held_out_question_is_trained_on() -> None:
    greetings = [reply for reply in BOOK.replies if reply.answer == "Hello!"]
    for seed in range(5):
        speaker = Speaker(BOOK, [Intent("Hi.", ("Hello!", "HEY", "Good day."))], Split(seed, 0.5), Random(1))
        templates = [speaker.reply(greetings, False).template.removeprefix("small talk: ") for _ in range(200)]
        assert not speaker.kept_back & {"".join(filter(str.isalnum, template.lower())) for template in templates}


@pytest.mark.parametrize("text", ["", "hello", "```\nan answer before any question\n```", "# ? open\n```\nno end"])
def test_a_file_of_no_small_talk_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "talk.qna").write_text(text)
    with pytest.raises(UserError, match=r"talk\.qna"):
        read_qna(tmp_path / "talk.qna", {})


def test_the_list_by_hand_has_calls_of_the_bundled_catalogue() -> None:
    questions = read_questions(STRANGERS, BOOK.catalogue)
    assert sum(question.kind == COMMAND for question in questions) >= 120
    assert sum(question.kind != COMMAND for question in questions) >= 50
    names = {BOOK.catalogue.parse(call)[0] for question in questions for call in question.calls}
    assert names == set(BOOK.catalogue.calls)


def test_held_out_files_are_questions_again(folder: Path) -> None:
    for kind, name in HELD_OUT.items():
        questions = read_questions(folder / name, BOOK.catalogue)
        assert {question.kind for question in questions} == {kind}
        for question in questions:
            assert question.is_right(rows(folder / name)[questions.index(question)]["messages"][-1]["content"])  # type: ignore[index]


def test_an_answer_is_right_if_its_calls_are() -> None:
    command = Question("command", ("led red",), ('led.set(color="red")',))
    assert command.is_right('<call>led.set(color="red")</call><result>ok</result>Whatever.')
    assert not command.is_right('<call>led.set(color="blue")</call>')
    assert not command.is_right('led.set(color="red")')
    assert Question("aside", ("I saw red",)).is_right("Fine.")
    assert not Question("aside", ("I saw red",)).is_right("<call>led.set(")
    assert Question("unknown", ("who?",)).is_right("I don't know that.")
    assert not Question("unknown", ("who?",)).is_right("Hello!")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("list.txt", "turn on the light", "list.txt:1"),
        ("list.txt", "# about\nled red => led.set(color=red)", "list.txt:2"),
        ("list.txt", "", "no question"),
        ("list.jsonl", '{"messages": []}', "list.jsonl:1"),
        ("list.jsonl", "\n{", "list.jsonl:2"),
    ],
)
def test_a_list_that_cannot_be_read_names_its_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=told):
        read_questions(tmp_path / name, BOOK.catalogue)


# --- A maker's own ----------------------------------------------------------------------------------------------------


def test_a_catalogue_with_a_few_phrasings_is_enough(tmp_path: Path) -> None:
    (tmp_path / "actions.toml").write_text(PUMP)
    made = generate(tmp_path / "actions.toml", tmp_path / "out", 300, 1, held_out=5)
    assert made.conversations[TRAIN] == 300
    assert "pump.run" in made.templates
    catalogue = read_catalogue(tmp_path / "actions.toml")
    users, calls = set(), set()
    for row in rows(tmp_path / "out" / TRAIN):
        last: dict[str, str] = row["messages"][-1]  # type: ignore[assignment]
        found = calls_of(last["content"])
        calls |= {catalogue.parse(call)[0] for call in found}
        users |= {row["messages"][-2]["content"] for _ in found}  # type: ignore[index]
    assert calls == {"pump.run"}
    assert any("please" in user.lower() for user in users)


def test_own_phrases_beside_those_that_come_along(tmp_path: Path) -> None:
    (tmp_path / "actions.toml").write_text('[call."fan.set"]\narguments = { on = "true|false" }\n')
    (tmp_path / "fan.toml").write_text(
        "[[action]]\ncall = 'fan.set'\nvalues = { on = true }\nphrases = 'I am <hot>'\n[rules]\nhot = 'hot|boiling'\n"
    )
    book = phrase_book(tmp_path / "actions.toml", tmp_path / "fan.toml")
    assert {command.call.name for command in book.commands} == {"fan.set"}
    with pytest.raises(UserError, match=r'actions\.toml: call\."fan\.set" has no phrasings'):
        phrase_book(tmp_path / "actions.toml", None)


ACTION = '[[action]]\ncall = "light.dim"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("phrases = ", "not a readable TOML file"),
        ("[lights]", "lights is unknown"),
        (f'{ACTION}phrases = "(dim|set the {{room}} to {{level}}"', "action 1: phrases.*not closed"),
        (f'{ACTION}phrases = "dim the {{room}}) to {{level}}"', r"action 1: phrases.*'\)' stands alone"),
        (f'{ACTION}phrases = "<dim> the {{room}} to {{level}}"', "action 1: phrases.*no rule <dim>"),
        (f'{ACTION}phrases = "dim the {{rom}} to {{level}}"', r"action 1: phrases.*\{rom\}"),
        (f'{ACTION}phrases = "dim the {{room}}"', r"action 1: phrases.*gives no \{level\}"),
        (f'{ACTION}phrases = "dim the {{room}} to {{level:loud}}"', r"action 1: phrases.*no form \{level:loud\}"),
        (f'{ACTION}values = {{ level = 101 }}\nphrases = "dim {{room}}"', "action 1: values.level is 101"),
        (f'{ACTION}values = {{ lux = 1 }}\nphrases = "dim {{room}}"', "action 1: values.lux is no argument"),
        (f'{ACTION}phrases = ""', "action 1: phrases is empty"),
        (f"{ACTION}phrases = 3", "action 1: phrases is 3"),
        ('[around]\nsynonyms = "film||movie"', r"around\.synonyms has 'film\|\|movie'"),
        ('[[reply]]\nkind = "joke"\nanswer = "Ha."\nphrases = "ha"', "reply 1: kind is 'joke'"),
        ('[rules]\na = "<b>"\nb = "<a>"\n[[frame]]\nanswer = "x"\nphrases = "<a>"', "frame 1: phrases.*name itself"),
    ],
)
def test_a_broken_phrase_book_names_the_file_and_the_entry(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UserError, match=rf"mine\.toml: .*{told}|mine\.toml: {told}"):
        phrase_book(BUNDLED, tmp_path / "mine.toml")


@given(st.text("ab ()[]|<>{}:x", max_size=30))
def test_any_line_is_a_phrase_or_is_refused(line: str) -> None:
    try:
        choice = grammar.parse(line, {"a": "x|y"}, "here")
    except UserError as error:
        assert str(error).startswith("here")
    else:
        assert choice.count() >= 1
        assert not set(choice.pick(Random(1))) & set("()[]|")


# --- The verb ---------------------------------------------------------------------------------------------------------


def test_the_verb_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["pairs", "-o", str(tmp_path), "--count", "60", "--held-out", "4"]) == 0
    shown = capsys.readouterr().out
    assert "light.set" in shown and "train.jsonl" in shown
    assert len(rows(tmp_path / TRAIN)) == 60
    assert cli.run(["pairs", "-o", str(tmp_path), "--small-talk", str(tmp_path / "none.qna")]) == 2
    assert "none.qna" in capsys.readouterr().err
