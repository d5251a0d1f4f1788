"""A board makes the calls that the specification makes, carries them out, and reads their results."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.console_board import Board, Person, Program
from tests.unit import call_models
from tinyllm.boards.description import HOST, load_board
from tinyllm.codegen.actions.plan import OUTSIDE, CallReader, actions_of, cut_result, result_tokens
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import Sampler, SamplerSettings
from tinyllm.codegen.memory.plan import memory_needs
from tinyllm.codegen.memory.stack import stack_depth
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece, encode
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.host.api.board import Board as ApiBoard
from tinyllm.host.build.build import build
from tinyllm.host.build.program import Program as Built
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.errors import LostFrame
from tinyllm.host.link.link import Event, Link
from tinyllm.host.link.messages import Call, CallResult, Done, ErrorCode, Reason, Setting, Token, token_digest
from tinyllm.host.model.load import LoadedModel, load_model
from tinyllm.host.tools.registry import Tools
from tinyllm.host.virtual.emulators import require_unicorn

SETTINGS = SamplerSettings.from_float(temperature=3.0, top_p=1.0, repetition_penalty=1.2)
SEED = 5


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(str(call_models.write_folder(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def model(loaded: LoadedModel) -> IntegerModel:
    return quantize(loaded.model, loaded.context)


@pytest.fixture(scope="module")
def host(loaded: LoadedModel) -> Built:
    return build(loaded, load_board(HOST))


@pytest.fixture(scope="module", params=[HOST, "pico2"])
def link(request: pytest.FixtureRequest, loaded: LoadedModel) -> Iterator[Link]:
    board = load_board(request.param)
    if request.param != HOST:
        require_unicorn()
        board = board.twin()
    built = build(loaded, board)
    with BoardProcess.of(board, built.program) as running, Link(running.url) as opened:
        yield opened


def configure(link: Link, settings: SamplerSettings = SETTINGS) -> None:
    for setting in (Setting.TEMPERATURE, Setting.TOP_K, Setting.TOP_P, Setting.MIN_P, Setting.REPETITION_PENALTY):
        link.set(setting, getattr(settings, setting.name.lower()))
    link.set(Setting.SEED, SEED)
    link.reset()


class Specification:
    """One conversation as the reference, the Python sampler and the plan of calls have it."""

    def __init__(self, model: IntegerModel, tokenizer: Tokenizer) -> None:
        plan = actions_of(model.config.actions, tokenizer)
        assert plan is not None
        self.plan, self.tokenizer = plan, tokenizer
        self.reference, self.sampler, self.reader = Reference(model), Sampler(SETTINGS, SEED), CallReader(plan)
        self.tokens: list[int] = []
        self.in_context: dict[int, int] = {}
        self.unread: list[int] = []

    def read(self, tokens: list[int]) -> None:
        """Tokens of a prompt or a result."""
        self.unread += tokens
        self.tokens += tokens
        for token in tokens:
            self.reader.read(token)

    def check(self, events: list[Event]) -> tuple[list[str], str]:
        """Every token of the answer, every call and result; the calls, and the text that is no call's."""
        calls: list[str] = []
        text = b""
        ended: str | None = None
        for event in events:
            if isinstance(event, Token):
                logits = self.reference.forward(self.unread)[-1]
                for token in self.unread:
                    self.in_context[self.reference.place(len(self.in_context))] = token
                expected = self.sampler.sample(logits, self.in_context.values(), self.reader.handicaps())
                assert event.token == expected
                self.unread = [expected]
                self.tokens.append(expected)
                ended = self.reader.read(expected)
                if self.reader.state == OUTSIDE and expected not in self.tokenizer.stop_ids:
                    text += decode_piece(self.tokenizer, expected)
            elif isinstance(event, Call):
                assert event.text == ended
                self.plan.catalogue.parse(event.text)
                calls.append(event.text)
            elif isinstance(event, CallResult):
                assert list(event.tokens) == result_tokens(self.plan, self.tokenizer, event.text)
                self.read(list(event.tokens))
        done = events[-1]
        assert isinstance(done, Done)
        assert done.conversation_digest == token_digest(self.tokens)
        return calls, text.decode("utf-8", "replace")


def test_a_board_makes_and_carries_out_the_calls_of_the_specification(
    link: Link, model: IntegerModel, loaded: LoadedModel
) -> None:
    configure(link)
    asked: list[str] = []

    def answer(call: str) -> str:
        asked.append(call)
        return "from the host"

    link.answer_call = answer
    spec = Specification(model, loaded.tokenizer)
    made: list[str] = []
    for _ in range(6):
        prompt = [*loaded.tokenizer.byte_ids[65:67], spec.plan.call]
        if len(spec.tokens) + 90 > loaded.context:
            link.reset()
            spec = Specification(model, loaded.tokenizer)
        spec.read(prompt)
        events = list(link.prompt(prompt, 60))
        calls, text = spec.check(events)
        assert "".join(event.text for event in events if isinstance(event, Token | Done)) == text
        made += calls
    assert len(made) >= 4
    # A board of this computer simulates the calls of the bundled catalogue.
    assert asked == [call for call in made if call.startswith("note.find(")]


def test_the_deepest_stack_is_known_with_the_handlers_of_calls(host: Built) -> None:
    assert host.stack is not None and host.stack.bytes > 0
    handling = stack_depth(host.program.parent, ["tl_action_run"])
    assert handling.chain[:2] == ("tl_action_run", "read_sensor")


def test_a_model_without_calls_is_built_after_one_that_makes_them(host: Built, loaded: LoadedModel) -> None:
    """What was compiled for the one and is kept must not get into the program of the other."""
    plain = replace(loaded, model=replace(loaded.model, config=replace(loaded.model.config, actions=None)))
    built = build(plain, load_board(HOST))
    with BoardProcess([built.program]) as running, Link(running.url) as link:
        link.set(Setting.TEMPERATURE, 0)
        events = list(link.prompt(forced('led.set(color="red")'), 8))
        assert not any(isinstance(event, Call) for event in events)


def test_a_call_may_begin_in_any_of_a_thousand_sampled_tokens(host: Built, model: IntegerModel) -> None:
    """Without a forced beginning: what is sampled outside never is a mark of the inside."""
    plan = call_models.plan()
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link, SamplerSettings.from_float(temperature=100.0, top_p=1.0))
        reader = CallReader(plan)
        calls = 0
        for _ in range(20):
            reader.read(plan.call)
            for event in link.prompt([plan.call], 200):
                if isinstance(event, Token):
                    assert reader.state == OUTSIDE or plan.allowed(reader.state)[event.token]
                    assert reader.state != OUTSIDE or event.token not in (plan.end_call, plan.result, plan.end_result)
                    reader.read(event.token)
                elif isinstance(event, Call):
                    plan.catalogue.parse(event.text)
                    calls += 1
                elif isinstance(event, Done):
                    reader.leave()
    assert calls >= 20


def forced(text: str) -> list[int]:
    """Token ids of `<call>` and the beginning of a call."""
    return [call_models.plan().call, *(call_models.tokenizer().byte_ids[byte] for byte in text.encode())]


def test_an_answer_that_ends_within_a_call_carries_nothing_out(host: Built) -> None:
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        events = list(link.prompt(forced('display.show(text="'), 3))
        assert not any(isinstance(event, Call) for event in events)
        assert isinstance(events[-1], Done) and events[-1].reason == Reason.LENGTH


def test_a_text_after_a_broken_call_does_not_complete_it(host: Built) -> None:
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        list(link.prompt(forced("relay.set(id=3, on=true"), 0))
        events = list(link.prompt(")", 1))
        end = call_models.plan().end_call
        assert end not in [event.token for event in events if isinstance(event, Token)]


def test_a_full_context_ends_the_answer_and_the_call_is_carried_out_once(host: Built, loaded: LoadedModel) -> None:
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        link.set(Setting.OVERFLOW, protocol.Overflow.STOP)
        call = forced("relay.set(id=3, on=true)")
        filler = [call_models.tokenizer().byte_ids[66]] * (loaded.context - len(call) - 4)
        events = list(link.prompt(filler + call, 50))
        results = [event for event in events if isinstance(event, CallResult)]
        assert [(result.tokens, result.text) for result in results] == [((), "ok")]
        assert isinstance(events[-1], Done) and events[-1].reason == Reason.CONTEXT


def test_the_last_token_may_end_a_call_and_its_result_is_read(host: Built) -> None:
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        *_, result, done = list(link.prompt(forced("relay.set(id=3, on=false)"), 1))
        assert isinstance(result, CallResult) and result.text == "ok"
        assert isinstance(done, Done) and (done.reason, done.tokens) == (Reason.LENGTH, 1)


def test_a_result_that_no_call_waits_for_is_refused(host: Built) -> None:
    with Board(host.program) as board, board.connected() as stream:
        talk = Program(stream)
        reply = talk.reply(talk.send(protocol.GiveResult("x")))
        assert isinstance(reply, protocol.Error) and reply.code == ErrorCode.BAD_REQUEST


def test_a_person_sees_calls_and_their_results(host: Built) -> None:
    with Board(host.program) as board, board.connected() as stream:
        person = Person(stream)
        for line in ("/echo off", "/temp 100", "/topp 1", "/max 4000"):
            person.type(f"{line}\r")
        person.type("hello\r" * 12 + "/stats\r")
        shown = re.findall(r"\[(\w+\.\w+\([^\[]*\)): ([^\[]*)\]", person.until(b"last answer"))
    assert len(shown) >= 3
    for call, result in shown:
        name, _ = call_models.plan().catalogue.parse(call)
        assert (result == "error: no handler") == (name == "note.find")


def test_the_command_line_shows_calls_and_answers_them_with_tools(
    host: Built, loaded: LoadedModel, tmp_path: Path
) -> None:
    tools = tmp_path / "tools.py"
    tools.write_text("import tinyllm\n@tinyllm.action('note.find')\ndef find(words, most): return f'{most} notes'\n")
    options = [
        "--raw",
        "-p",
        "hi",
        "-n",
        "900",
        "--temperature",
        "100",
        "--top-p",
        "1",
        "--json",
        "--tools",
        str(tools),
    ]
    command = [sys.executable, "-m", "tinyllm", "run", str(loaded.path), *options]
    found = {}
    for seed in range(2):
        done = subprocess.run([*command, "--seed", str(seed)], capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        found |= {call["call"]: call["result"] for call in answer["calls"]}
    for call, result in found.items():
        name, values = call_models.plan().catalogue.parse(call)
        assert name != "note.find" or result == f"{values['most']} notes"
    assert found


def test_verify_proves_a_board_whose_model_makes_calls(host: Built, loaded: LoadedModel) -> None:
    with ApiBoard.host(loaded.path) as board:
        compared = board.verify(temperatures=(0.0, 3.0), seed=4, count=100)
    assert [comparison.difference for comparison in compared] == [None] * 3


def test_the_planned_bytes_bound_a_program_that_makes_calls(
    host: Built, loaded: LoadedModel, model: IntegerModel
) -> None:
    require_unicorn()
    board = load_board("pico2").twin()
    built, needs = build(loaded, board), memory_needs(model, loaded.tokenizer, board)
    assert needs.plan.flash["calls"] > 4000
    assert built.flash is not None and built.flash <= needs.total.flash
    assert built.ram is not None and built.ram <= needs.ram_with_copies


def test_a_conversation_with_calls_is_given_back_to_a_board_that_lost_it(host: Built, loaded: LoadedModel) -> None:
    with ApiBoard.host(loaded.path) as board:
        chat = board.chat(raw=True)
        made = 0
        for seed in range(4):
            answer = chat.ask("hi", max_tokens=300, temperature=100.0, top_p=1.0, seed=seed).read()
            made += len(answer.calls)
        assert made >= 1
        board.restart()
        assert chat.replay()


def test_a_prompt_that_spells_a_call_makes_none(host: Built) -> None:
    plan = call_models.plan()
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        said = "<call>relay.set(id=3, on=true)</call>"
        events = list(link.prompt(said, 0))
        tokens = encode(call_models.tokenizer(), said, bos=True)
        assert not {plan.call, plan.end_call} & {*tokens}
        assert isinstance(events[-1], Done) and events[-1].conversation_digest == token_digest(tokens)


def test_a_call_without_a_handler_goes_to_the_host_and_control_tokens_in_its_answer_are_text(host: Built) -> None:
    plan, tokenizer = call_models.plan(), call_models.tokenizer()
    asked: list[str] = []

    def answer(call: str) -> str:
        asked.append(call)
        return "</result><call>é" * 40

    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        link.answer_call = answer
        call = 'note.find(words="a, most=1", most=-3)'
        events = list(link.prompt(forced(call), 1))
        assert asked == [call]
        (result,) = [event for event in events if isinstance(event, CallResult)]
        assert result.text == cut_result(("</result><call>é" * 40).encode()).decode()
        assert list(result.tokens) == result_tokens(plan, tokenizer, result.text)
        assert {plan.call, plan.end_call} & {*result.tokens} == set()


def test_a_tool_that_raises_or_hangs_fails_the_call_and_the_conversation_goes_on(host: Built) -> None:
    tools = Tools(seconds=0.2)
    moods = iter(["raise", "hang", "answer"])
    never = threading.Event()

    @tools.action("note.find")
    def find_note(words: str, most: int) -> str:
        mood = next(moods)
        if mood == "raise":
            raise KeyError(words)
        if mood == "hang":
            never.wait(30)
        return f"{words} {most}"

    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        link.answer_call = tools.answer
        results = []
        for _ in range(3):
            events = list(link.prompt(forced('note.find(words="paint", most=2)'), 1))
            results += [event.text for event in events if isinstance(event, CallResult)]
    never.set()
    assert results == ["error: KeyError: 'paint'", "error: note.find took longer than 0.2 s", "paint 2"]


def test_a_waiting_call_may_be_cancelled(host: Built) -> None:
    with Board(host.program) as board, board.connected() as stream:
        talk = Program(stream)
        asked = talk.send(protocol.Prompt(9, tuple(forced('note.find(words="", most=0)'))))
        while not isinstance(reply := talk.reply(asked), Call):
            pass
        assert reply.answered == 0
        cancel = talk.send(protocol.Cancel())
        done = talk.reply(asked)
        assert isinstance(done, Done) and done.reason == Reason.CANCELLED
        assert isinstance(talk.reply(cancel), protocol.Ok)
        late = talk.reply(talk.send(protocol.GiveResult("late")))
        assert isinstance(late, protocol.Error) and late.code == ErrorCode.BAD_REQUEST


def test_a_lost_result_is_given_again(host: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        link.answer_call = lambda call: "found"
        send, lost = link.send, []

        def lossy(message: protocol.Request, **more: int) -> int:
            if isinstance(message, protocol.GiveResult) and not lost:
                lost.append(message)
                return 255
            return send(message, **more)

        monkeypatch.setattr(link, "send", lossy)
        events = list(link.prompt(forced('note.find(words="", most=0)'), 1))
        assert lost and [event.text for event in events if isinstance(event, CallResult)] == ["found"]


def test_what_is_sent_again_for_one_call_is_not_obeyed_for_the_next(host: Built) -> None:
    """Its RESULT was lost, the program sends it again, and meanwhile the model has made another call."""
    with Board(host.program) as board, board.connected() as stream:
        talk = Program(stream)
        talk.set(temperature=100 * protocol.Q16)
        for seed in range(40):
            talk.reset()
            talk.set(seed=seed)
            asked = talk.send(protocol.Prompt(400, tuple(forced('led.set(color="red")')), asks_first=True))
            seen: list[protocol.Reply] = []
            once = b""
            while not isinstance(reply := talk.reply(asked), Done):
                seen.append(reply)
                if isinstance(reply, Call) and not once:
                    once = talk.wire(protocol.CarryOut())
                    stream.write(once)
                elif isinstance(reply, Call):
                    stream.write(once)
                    assert isinstance(talk.reply(talk.sequence), protocol.Ok)
                    busy = talk.send(protocol.Logits(0, 0))
                    assert isinstance(refused := talk.reply(busy), protocol.Error) and refused.code == ErrorCode.BUSY
                    assert talk.reply(asked) == reply, "it still waits, and tells of the call again"
                    talk.send(protocol.Cancel())
            assert sum(isinstance(reply, CallResult) for reply in seen) == min(1, len(once))
            if sum(isinstance(reply, Call) for reply in seen) > 1:
                return
    pytest.fail("no seed makes two calls")


@pytest.mark.parametrize("lost", [Call, CallResult])
def test_a_call_that_is_lost_is_told_again_and_a_lost_result_is_an_error(
    lost: type[protocol.Reply], host: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        link.answer_call = lambda call: "found"
        receive, dropped = link.receive, []

        def lossy(*sequences: int) -> tuple[int, protocol.Reply | None]:
            number, reply = receive(*sequences)
            if isinstance(reply, lost) and not dropped:
                dropped.append(reply)
                return 0, None
            return number, reply

        monkeypatch.setattr(link, "receive", lossy)
        events = link.prompt(forced('note.find(words="", most=0)'), 3)
        if lost is Call:
            assert [event.text for event in events if isinstance(event, CallResult)] == ["found"]
        else:
            with pytest.raises(LostFrame, match="a call of the answer, or its result, never arrived"):
                list(events)


def test_a_call_that_is_lost_with_its_result_is_an_error(host: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """The board has carried it out, so nobody waits; the token that ends a call tells, once one has been seen."""
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        prompt = forced('led.set(color="red")')
        assert [type(event) for event in link.prompt(prompt, 1)][-3:] == [Call, CallResult, Done]
        receive = link.receive

        def lossy(*sequences: int) -> tuple[int, protocol.Reply | None]:
            number, reply = receive(*sequences)
            return (0, None) if isinstance(reply, Call | CallResult) else (number, reply)

        monkeypatch.setattr(link, "receive", lossy)
        for tokens in (1, 3):
            link.reset()
            with pytest.raises(LostFrame, match="a call of the answer, or its result, never arrived"):
                list(link.prompt(prompt, tokens))


def test_a_board_that_is_to_ask_first_carries_nothing_out_by_itself(host: Built) -> None:
    """The board's handler says ok; what this side says instead is the result, or it leaves the call to the board."""
    call = 'led.set(color="red")'
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        for answer, result in ((lambda call: "done here", "done here"), (lambda call: None, "ok")):
            for asks_first, expected in ((False, "ok"), (True, result)):
                configure(link)
                link.asks_first, link.answer_call = asks_first, answer
                events = list(link.prompt(forced(call), 1))
                answered = protocol.Handler.ASKED_FIRST if asks_first else protocol.Handler.CARRIED_OUT
                assert Call(answered, call) in events
                assert [event.text for event in events if isinstance(event, CallResult)] == [expected]


def test_a_call_that_nobody_can_carry_out_is_said_to_have_no_handler(host: Built) -> None:
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        link.asks_first, link.answer_call = True, lambda call: None
        events = list(link.prompt(forced('note.find(words="", most=0)'), 1))
        assert [event.text for event in events if isinstance(event, CallResult)] == ["error: no handler"]


def test_the_board_says_what_it_holds_while_a_call_waits(host: Built) -> None:
    prompt = forced('led.set(color="red")')
    with BoardProcess([host.program]) as running, Link(running.url) as link:
        configure(link)
        link.asks_first, link.answer_call = True, lambda call: "done here"
        events = link.prompt(prompt, 1)
        for event in events:
            if isinstance(event, Call):
                assert link.update_hello(meanwhile=True).context_used == len(prompt) + 1
        assert isinstance(event, Done) and event.reason == Reason.LENGTH


def test_no_call_waits_to_be_carried_out_unless_one_was_told(host: Built) -> None:
    with Board(host.program) as board, board.connected() as stream:
        talk = Program(stream)
        reply = talk.reply(talk.send(protocol.CarryOut()))
        assert isinstance(reply, protocol.Error) and reply.code == ErrorCode.BAD_REQUEST
