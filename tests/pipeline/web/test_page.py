"""The page in a browser: it talks with a board, through the bridge and through a stand-in for Web Serial."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.pipeline.emulated_boards import need
from tests.pipeline.serve.server import until
from tests.pipeline.web.browser import STAND_IN, opened, say, served, wait_for_end
from tinyllm.host.chat.transcript import load_transcript
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.connect.connection import Connection
from tinyllm.host.model.load import AS_STORED
from tinyllm.host.output import Output
from tinyllm.host.web.site import BridgedBoard, Site

PHONE = {"viewport": {"width": 360, "height": 640}}
HELLO = "Hello! Who are you?"
ENDLESS = "hello"
"""Without the chat template and at temperature 0 the model goes on from it for ever."""
BAD = ("serious", "critical")
"""Of axe-core's words for how much a fault hinders people."""


def connect(page: Page, button: str = "#bridge") -> None:
    page.click(button)
    expect(page.locator("#who")).to_have_text("chat on host")


def go_on_for_ever(page: Page) -> None:
    """Begin an answer without an end."""
    page.click("#settings summary")
    page.uncheck("text=Chat template")
    page.fill("#setting-max_tokens", "0")
    page.fill("#setting-temperature", "0")
    page.click("#settings summary")
    say(page, ENDLESS)
    until(lambda: len(page.locator(".answer").last.inner_text()) > 200)


def test_a_page_talks_with_the_board_behind_the_bridge(browser: Browser, bridged_url: str) -> None:
    with opened(browser, bridged_url) as page:
        connect(page)
        say(page, "Turn on the light in the kitchen")
        wait_for_end(page, 1)
        expect(page.locator(".call")).to_have_text('light.set(room="kitchen", on=true) → ok')
        expect(page.locator(".answer")).to_contain_text("The kitchen light is on.")
        say(page, "Now turn it off again")
        wait_for_end(page, 2)
        expect(page.locator(".call").last).to_have_text('light.set(room="kitchen", on=false) → ok')
        page.click("#board summary")
        expect(page.locator("#facts")).to_contain_text("of 256 tokens")
        page.click("#frames summary")
        expect(page.locator("#frames-lines")).to_contain_text("CALL answered=1")


def test_the_page_says_what_web_serial_carries_from_a_board(browser: Browser, static_url: str) -> None:
    with opened(browser, static_url, STAND_IN) as page:
        expect(page.locator("#bridge")).to_be_hidden()
        connect(page, "#connect")
        say(page, HELLO)
        wait_for_end(page, 1)
        expect(page.locator(".answer")).to_have_text("I have no name. I am a small model on a chip.")


@pytest.mark.sweep
def test_a_page_talks_with_a_virtual_board(browser: Browser, site: Site, folder: Path) -> None:
    need("arm-none-eabi-gcc")
    pytest.importorskip("unicorn", reason="the Unicorn emulator is not installed: pip install 'tinyllm[virtual]'")
    request = BoardRequest("chat", AS_STORED, "pico2", None, virtual=True)
    with attach(request, Output()) as pico2:
        bridged = BridgedBoard("pico2-virtual", "chat", pico2.clock)
        with served(site, folder, pico2, bridged) as url, opened(browser, url) as page:
            page.click("#bridge")
            say(page, "Turn on the light in the kitchen")
            wait_for_end(page, 1)
            expect(page.locator(".call")).to_have_text('light.set(room="kitchen", on=true) → ok')
            expect(page.locator(".counts")).to_contain_text("emulated clock of the virtual rp2350")


def test_a_question_right_after_new_conversation_is_the_first_of_it(browser: Browser, bridged_url: str) -> None:
    with opened(browser, bridged_url) as page:
        connect(page)
        say(page, "My name is Tom")
        wait_for_end(page, 1)
        page.fill("#prompt", HELLO)
        page.evaluate("document.getElementById('anew').click(), document.getElementById('ask').requestSubmit()")
        expect(page.locator(".answer")).to_have_text("I have no name. I am a small model on a chip.")
        wait_for_end(page, 1)
        expect(page.locator(".said")).to_have_text(HELLO)
        say(page, "Thanks")
        wait_for_end(page, 2)
        page.click("#frames summary")
        expect(page.locator("#frames-lines")).not_to_contain_text("ERROR")


def test_settings_reach_the_board_and_a_wrong_one_says_what_was_expected(browser: Browser, bridged_url: str) -> None:
    with opened(browser, bridged_url) as page:
        connect(page)
        page.click("#settings summary")
        expect(page.locator("#setting-temperature")).to_have_value("0.8")
        page.fill("#setting-top_p", "1.5")
        page.press("#setting-top_p", "Tab")
        expect(page.locator("#setting-top_p-hint")).to_have_text("expected a number from 0.00002 to 1")
        page.fill("#setting-top_p", "0.5")
        page.fill("#setting-max_tokens", "3")
        page.fill("#setting-temperature", "0")
        page.uncheck("text=Chat template")
        say(page, ENDLESS)
        expect(page.locator(".counts")).to_contain_text("3 tokens")
        expect(page.locator(".counts")).to_contain_text("ended: length")
        page.click("#frames summary")
        expect(page.locator("#frames-lines")).to_contain_text("SET 03 00 80 00 00")


def test_an_answer_is_stopped_by_a_key_and_the_board_goes_on(browser: Browser, bridged_url: str) -> None:
    with opened(browser, bridged_url) as page:
        connect(page)
        go_on_for_ever(page)
        page.keyboard.press("Escape")
        wait_for_end(page, 1)
        expect(page.locator(".counts")).to_contain_text("ended: cancelled")
        page.click("#anew")
        expect(page.locator(".turn")).to_have_count(0)
        page.click("#settings summary")
        page.check("text=Chat template")
        say(page, HELLO)
        wait_for_end(page, 1)


def test_a_person_is_asked_before_the_board_acts(browser: Browser, bridged_url: str) -> None:
    with opened(browser, bridged_url) as page:
        connect(page)
        page.click("#settings summary")
        page.check("text=Ask me before the board acts")
        say(page, "Turn on the light in the hall")
        page.click("text=Refuse")
        wait_for_end(page, 1)
        expect(page.locator(".call")).to_have_text('light.set(room="hall", on=true) → error: refused')
        say(page, "Turn on the light in the kitchen")
        page.click("text=Allow")
        wait_for_end(page, 2)
        expect(page.locator(".call").last).to_have_text('light.set(room="kitchen", on=true) → ok')


def test_a_board_that_is_lost_in_mid_answer_comes_back_with_its_conversation(
    browser: Browser, bridged_url: str, connection: Connection
) -> None:
    """The answer goes on where it was cut off; digests prove that the board holds the same tokens again."""
    assert connection.process is not None
    with opened(browser, bridged_url) as page:
        connect(page)
        go_on_for_ever(page)
        connection.process.kill()
        expect(page.locator("#trouble")).to_contain_text("The board went away.")
        cut = page.locator(".answer").last.inner_text()
        expect(page.locator("#trouble")).to_be_hidden()
        until(lambda: len(page.locator(".answer").last.inner_text()) > len(cut) + 200)
        assert page.locator(".answer").last.inner_text().startswith(cut)
        page.click("#stop")
        wait_for_end(page, 1)
        connection.process.kill()
        expect(page.locator("#trouble")).to_contain_text("The board went away.")
        expect(page.locator("#trouble")).to_be_hidden()
        page.click("#settings summary")
        page.fill("#setting-max_tokens", "8")
        expect(page.locator("#send")).to_be_visible()
        say(page, HELLO)
        wait_for_end(page, 2)


def test_a_port_that_is_unplugged_is_opened_again_when_it_is_back(browser: Browser, static_url: str) -> None:
    with opened(browser, static_url, STAND_IN) as page:
        connect(page, "#connect")
        say(page, "My name is Kim")
        wait_for_end(page, 1)
        page.evaluate("standIn.unplug()")
        expect(page.locator("#trouble")).to_contain_text("The board went away.")
        expect(page.locator("#ask")).to_be_hidden()
        page.evaluate("standIn.plug()")
        expect(page.locator("#who")).to_have_text("chat on host")
        say(page, "What is my name?")
        wait_for_end(page, 2)
        expect(page.locator(".answer").last).to_contain_text("Kim")


def test_a_conversation_outlives_a_page_that_is_loaded_again(browser: Browser, bridged_url: str) -> None:
    with opened(browser, bridged_url) as page:
        connect(page)
        say(page, "My name is Kim")
        wait_for_end(page, 1)
        page.reload()
        connect(page)
        expect(page.locator(".said")).to_have_text("My name is Kim")
        say(page, "What is my name?")
        wait_for_end(page, 2)
        expect(page.locator(".answer").last).to_contain_text("Kim")


def test_a_saved_conversation_is_one_that_the_terminal_chat_loads(
    browser: Browser, bridged_url: str, connection: Connection, tmp_path: Path
) -> None:
    with opened(browser, bridged_url) as page:
        connect(page)
        say(page, "Turn on the light in the hall")
        wait_for_end(page, 1)
        with page.expect_download() as saving:
            page.click("#save")
        saving.value.save_as(tmp_path / "saved.json")
        page.click("#disconnect")
        expect(page.locator("#who")).to_have_text("no board connected")
    with connection.open() as link:
        (turn,), settings = load_transcript(tmp_path / "saved.json", link.hello)
    assert (turn.prompt, turn.text) == ("Turn on the light in the hall", "The hall light is on.")
    assert len(settings) == 8


def test_a_board_is_for_one_page_at_a_time(browser: Browser, bridged_url: str) -> None:
    with opened(browser, bridged_url) as page, opened(browser, bridged_url) as other:
        connect(page)
        other.click("#bridge")
        expect(other.locator("#trouble")).to_have_text(
            "Another page talks to this board. Close it, then connect again."
        )
        page.click("#disconnect")
        expect(page.locator("#who")).to_have_text("no board connected")
        connect(other)


def test_a_port_that_another_tab_has_is_said(browser: Browser, static_url: str) -> None:
    with opened(browser, static_url, STAND_IN) as page, opened(browser, static_url, STAND_IN) as other:
        connect(page, "#connect")
        other.click("#connect")
        expect(other.locator("#trouble")).to_contain_text("Close the other tab or program that has it")


def test_a_browser_without_web_serial_is_told_which_has_it(browser: Browser, static_url: str) -> None:
    hidden = "delete Navigator.prototype.serial"
    with opened(browser, static_url, hidden) as page:
        expect(page.locator("#welcome-text")).to_contain_text("Chrome, Edge and Opera on a computer have it")
        expect(page.locator("#connect")).to_be_hidden()


def test_a_text_that_is_too_long_comes_back_to_be_shortened(browser: Browser, bridged_url: str) -> None:
    with opened(browser, bridged_url) as page:
        connect(page)
        say(page, "a" * 20_000)
        expect(page.locator("#trouble")).to_contain_text("this board takes 256 tokens and")
        expect(page.locator(".turn")).to_have_count(0)
        assert len(page.input_value("#prompt")) == 20_000


def test_the_page_works_without_a_network_once_it_was_there(browser: Browser, static_url: str) -> None:
    with opened(browser, static_url, STAND_IN) as page:
        page.evaluate("navigator.serviceWorker.ready")
        page.context.set_offline(True)
        page.reload()
        expect(page.locator("#connect")).to_be_visible()
        page.context.set_offline(False)


def test_no_serious_fault_of_accessibility_is_found(browser: Browser, bridged_url: str) -> None:
    """By axe-core: before a board is connected, and with a conversation and every panel open, light and dark."""
    with opened(browser, bridged_url, **PHONE) as page:
        assert faults(page) == []
        connect(page)
        say(page, "Turn on the light in the hall")
        wait_for_end(page, 1)
        for panel in ("#settings", "#board", "#frames"):
            page.click(f"{panel} summary")
        assert faults(page) == []
        page.emulate_media(color_scheme="dark")
        assert faults(page) == []
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width == PHONE["viewport"]["width"], "nothing is wider than a phone"


def faults(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['help']}: {one['nodes'][0]['target']}" for one in found if one["impact"] in BAD]
