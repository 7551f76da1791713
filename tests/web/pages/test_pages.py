"""The chat page, in a headless Chromium."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.web.fakes_web import free_port
from tests.web.pages.browser import BEGUN, IN_A_BROWSER, LONG, SERVE, Page, Server
from tests.web.pages.markdown_samples import CHECK, HOSTILE_SAMPLES, STREAM, floods, noise
from tests.web.pages.page_server import ARTICLE, HALT, HOSTILE, KEPT_EVENTS, PREFIX
from turnkeeper.actors.model.words import CancelCode, CloseOn, TurnStatus, Verdict

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def hasty() -> Iterator[Server]:
    """One that gives up soon on a turn that does not stop."""
    with Server(*SERVE, TURNKEEPER_CANCEL_GRACE="0.3") as server:
        yield server


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    tokens = "ada:geheim bob:hidden"
    with Server(*SERVE, TURNKEEPER_TOKENS=tokens) as server:
        yield server


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Server]:
    """One that forgets a session as soon as no page shows it."""
    spans = "TURNKEEPER_IDLE_TTL", "TURNKEEPER_TURN_RETENTION", "TURNKEEPER_EARLY_CANCEL_TTL"
    with Server(*SERVE, **dict.fromkeys(spans, "0.1")) as server:
        yield server


@pytest.fixture
def hasty_page(driver: webdriver.Chrome, hasty: Server) -> Page:
    return Page(driver, hasty).open()


# -- Type, and watch it stream ----------------------------------------------------------------------


def test_what_is_typed_streams_back_word_by_word(page: Page) -> None:
    assert not page.can_stop
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    assert page.can_stop
    assert page.outcomes == ["Running…"]
    page.go_on()
    page.wait_for_rest(LONG)
    assert page.messages == [LONG]
    assert page.outcomes == [""]


def test_an_address_without_a_session_gets_a_new_one(driver: webdriver.Chrome, served: Server) -> None:
    page = Page(driver, served)
    found = set()
    for _ in range(2):
        driver.get("about:blank")
        driver.get(served.address)
        page.wait_for_connection("Connected")
        found.add(driver.current_url.partition("#")[2])
    assert len(found) == 2
    assert all(len(each) >= 20 for each in found)


def test_a_new_session_is_one_button_away_and_back_leads_back(page: Page) -> None:
    page.say("hello")
    page.wait_for_rest("hello")
    page.element("#new").click()
    page.wait(lambda: not page.messages, "the new session is empty")
    assert page.session not in page.driver.current_url
    page.driver.back()
    page.wait(lambda: page.replies == ["hello"], "the old session is back")


# -- Stop -------------------------------------------------------------------------------------------


def test_stop_stops_at_once_and_says_so_and_the_conversation_goes_on(page: Page) -> None:
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.element("#stop").click()
    outcome = page.wait_for_outcome("^Stop: cancelled after ")
    assert not page.can_stop
    page.say("go on")
    page.wait_for_rest("go on")
    assert page.messages == [LONG, "go on"]
    assert page.outcomes == [outcome, ""]


@pytest.fixture(scope="module")
def set_to() -> Iterator[dict[CloseOn, Server]]:
    """One server for each setting of `close_on`."""
    with ExitStack() as stack:
        yield {
            each: stack.enter_context(
                Server(*SERVE, TURNKEEPER_CANCEL_GRACE="60", TURNKEEPER_CLOSE_ON=each.value)
            )
            for each in CloseOn
        }


@pytest.mark.parametrize("setting", CloseOn)
def test_the_page_keeps_one_stream_over_stops_and_replacements_whatever_its_server_is_set_to(
    driver: webdriver.Chrome, set_to: dict[CloseOn, Server], setting: CloseOn
) -> None:
    page = Page(driver, set_to[setting]).open()
    for _ in range(2):
        page.say(LONG)
        page.wait_for_reply(BEGUN)
        page.element("#stop").click()
        page.wait_for_outcome("^Stop: cancelled after ")
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.say("rather this")
    page.wait_for_rest("rather this")
    assert page.messages == [LONG, LONG, LONG, "rather this"]
    script = "return performance.getEntriesByType('resource').map((each) => each.name)"
    asked: list[str] = driver.execute_script(script)  # type: ignore[no-untyped-call]
    assert sum(each.endswith("chat/ticket") for each in asked) == 1, "every stream begins with a ticket"


def test_an_agent_that_does_not_stop_is_said_not_to_have_stopped(hasty_page: Page) -> None:
    page = hasty_page
    page.send({"message": "listen", "agent": "stubborn"})
    page.wait_for_reply("I do not listen")
    assert page.messages == ["listen"]
    page.watch()
    page.element("#message").send_keys(Keys.ESCAPE)
    page.wait_for_outcome(r"^Unresponsive\. Stop: it did not stop within \d+ ms and was set aside\.$")
    assert ("Stopping…", False) in page.watched
    assert ("Stopping…", True) not in page.watched
    page.say("the session is free")
    page.wait_for_rest("the session is free")


def test_a_stop_that_comes_too_late_says_that_the_turn_had_finished(page: Page) -> None:
    hold = """
        const fetched = window.fetch;
        const held = new Promise((resolve) => (window.letGo = resolve));
        window.fetch = async (address, ...rest) => {
          if (address.endsWith("/cancel")) await held;
          return fetched(address, ...rest);
        };"""
    page.driver.execute_script(hold)  # type: ignore[no-untyped-call]
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.element("#stop").click()
    page.wait_for_outcome("^Stopping…$")
    page.go_on()
    page.wait_to_show(replies=[LONG], outcomes=[""])
    page.driver.execute_script("letGo()")  # type: ignore[no-untyped-call]
    page.wait_for_outcome(r"^Completed\. Stop: it had already finished\.$")


def test_a_stop_that_waits_for_a_step_says_so(host_page: Page) -> None:
    host_page.send({"message": "write it down", "agent": "careful"})
    host_page.wait_for_reply("^writing $")
    host_page.element("#stop").click()
    host_page.wait_for_outcome("^Stopping after the step that must not be interrupted…$")
    host_page.wait_for_outcome(r"^Stop: cancelled after .*$")


def test_the_calls_of_tools_are_shown_that_a_turn_has_open_and_was_cut_off_in(host_page: Page) -> None:
    host_page.send({"message": "find it", "agent": "searching"})
    host_page.wait_for_outcome("^Calling search, fetch…$")
    host_page.reload()
    host_page.wait_for_outcome("^Calling search, fetch…$")
    host_page.element("#stop").click()
    host_page.wait_for_outcome(r"^Stop: cancelled after .*\. It was cut off while it called fetch, search\.$")


def test_an_agent_that_finishes_when_cancelled_is_not_called_cancelled(host_page: Page) -> None:
    host_page.send({"message": "hurry", "agent": "late"})
    host_page.wait_for_reply("^working $")
    host_page.element("#stop").click()
    host_page.wait_for_outcome(r"^Completed\. Stop: not cancelled, it ended by itself .* later\.$")
    host_page.wait_to_show(replies=["working and done"])  # the answer to the Stop may overtake the events


# -- Send while it runs -----------------------------------------------------------------------------


def test_a_message_sent_while_a_turn_runs_replaces_it_and_the_page_says_so(page: Page) -> None:
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.say("rather this")
    page.wait_for_outcome("^Replaced by the next message: cancelled after ", turn=0)
    page.wait_for_rest("rather this")
    assert page.messages == [LONG, "rather this"]
    page.reload()
    page.wait_for_rest("rather this")
    page.wait_for_outcome("^Replaced by the next message: cancelled after ", turn=0)


def test_a_message_waits_visibly_for_a_turn_that_does_not_stop(hasty_page: Page) -> None:
    page = hasty_page
    page.send({"message": "first", "agent": "stubborn"})
    page.wait_for_reply("I do not listen")
    page.watch()
    page.say("second")
    page.wait_for_outcome(r"^Unresponsive\. Replaced by the next message: it did not stop within", turn=0)
    page.wait_for_rest("second")
    assert "Waiting for the turn before it to end…" in {outcome for outcome, _ in page.watched}


def test_a_message_that_no_agent_has_seen_can_be_sent_again(driver: webdriver.Chrome) -> None:
    with Server(*SERVE, TURNKEEPER_CANCEL_GRACE="300") as server:
        page = Page(driver, server).open()
        page.send({"message": "first", "agent": "stubborn"})
        page.wait_for_reply("I do not listen")
        page.say("second")
        page.wait_for_outcome("^Waiting for the turn before it to end")
        page.say("third")
        page.wait_for_outcome(r"^Replaced by the next message: cancelled before it began\.$", turn=1)
        again = [each for each in page.driver.find_elements("css selector", ".again") if each.is_displayed()]
        assert [each.text for each in again] == ["Send again"]
        again[0].click()
        page.wait(lambda: page.messages == ["first", "second", "third", "second"], "it is sent again")
        page.wait_for_outcome(r"^Replaced by the next message: cancelled before it began\.$", turn=2)
        page.driver.get("about:blank")


# -- Reload, and go on ------------------------------------------------------------------------------


def test_a_reload_while_a_turn_runs_goes_on_without_doubling_anything(page: Page) -> None:
    page.say("before")
    page.wait_for_rest("before")
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.reload()
    page.wait_for_reply(BEGUN)
    page.go_on()
    page.wait_for_rest(LONG)
    assert page.messages == ["before", LONG]
    assert page.replies == ["before", LONG]
    page.reload()
    page.wait_to_show(messages=["before", LONG], replies=["before", LONG])


def test_a_reload_after_a_stop_shows_how_it_ended(page: Page) -> None:
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.element("#message").send_keys(Keys.ESCAPE)
    page.wait_for_outcome("^Stop: cancelled after ")
    said = page.replies
    page.reload()
    page.wait_for_outcome("^Stop: cancelled after ")
    assert page.replies == said
    assert not page.can_stop


def fall_asleep(page: Page) -> None:
    """Leave the chat, until its session sleeps."""
    page.driver.get("about:blank")

    def cleaned() -> bool:
        answer = page.server.ask("POST", f"{page.under}chat/cleanup_completed_tasks")
        return page.session in answer["cleaned_up"]

    page.wait(cleaned, "the session sleeps")


def test_what_was_said_is_there_after_the_session_has_slept_and_the_chat_goes_on(page: Page) -> None:
    marked = "**bold** <b>words</b>"
    page.say(marked)
    page.wait_for_rest("bold <b>words</b>")
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.element("#stop").click()
    page.wait_for_outcome("^Stop: cancelled after ")
    fall_asleep(page)
    page.open(page.session)
    page.wait(lambda: page.messages == [marked, LONG], "what was said is there")
    replies = ["bold <b>words</b>", f"w0 w1 {HALT} "]
    assert page.replies == replies
    assert page.texts(".reply strong") == ["bold"]
    assert not page.driver.find_elements(By.CSS_SELECTOR, ".reply b")
    assert page.outcomes == ["", "Cut off: this is not the whole reply."]
    assert page.texts(".cut") == ["", ""]
    page.say("go on")
    page.wait_for_rest("go on")
    for _ in range(2):
        page.wait_to_show(messages=[marked, LONG, "go on"], replies=[*replies, "go on"])
        page.reload()


def test_a_turn_that_runs_stands_below_what_was_said_before_the_session_slept(page: Page) -> None:
    page.say("before")
    page.wait_for_rest("before")
    fall_asleep(page)
    page.send({"message": LONG})
    page.open(page.session)
    page.wait_for_reply(BEGUN)
    page.wait(lambda: page.messages == ["before", LONG], "both are there")
    page.go_on()
    page.wait_for_rest(LONG)
    assert page.messages == ["before", LONG]
    assert page.replies == ["before", LONG]
    assert page.texts(".cut") == ["", ""]


def be_forgotten(page: Page) -> None:
    """Wait until the server has forgotten the session, which no page shows."""
    server = page.server
    server.ask("POST", "chat/conductor/send", {"message": page.session, "agent": "until_forgotten"})
    page.wait(lambda: not server.ask("GET", "chat/active_send_tasks")["active_tasks"], "it is forgotten")


def test_a_chat_whose_session_was_forgotten_goes_on_below_what_was_said(
    driver: webdriver.Chrome, forgetful: Server
) -> None:
    page = Page(driver, forgetful).open()
    page.say("before")
    page.wait_for_rest("before")
    driver.get("about:blank")
    be_forgotten(page)
    page.open(page.session)
    page.wait(lambda: page.replies == ["before"], "what was said is there")
    page.say("after")
    page.wait_for_rest("after")
    page.reload()
    page.wait_to_show(messages=["before", "after"], replies=["before", "after"])


def test_what_was_said_elsewhere_while_another_chat_was_shown_is_there(
    driver: webdriver.Chrome, forgetful: Server
) -> None:
    page = Page(driver, forgetful).open()
    page.say("here")
    page.wait_for_rest("here")
    page.element("#new").click()
    page.wait(lambda: not page.messages, "another chat is shown")
    page.send({"message": "elsewhere"})
    be_forgotten(page)
    page.choose("here")
    page.wait_to_show(messages=["here", "elsewhere"], replies=["here", "elsewhere"], notes=[])
    page.say("on")
    page.wait_for_rest("on")
    assert page.messages == ["here", "elsewhere", "on"]


def test_a_page_that_cannot_load_the_conversation_shows_what_it_has(page: Page) -> None:
    page.say("before")
    page.wait_for_rest("before")
    fall_asleep(page)
    refuse = """
        const fetched = window.fetch;
        window.fetch = (address, ...rest) =>
          fetched(address.includes("/messages") ? "none" : address, ...rest)
            .finally(() => address.includes("/messages") && (window.refused = true));"""
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": refuse})
    try:
        page.open(page.session)
        page.wait(lambda: page.driver.execute_script("return window.refused"), "it has asked")
        page.wait(lambda: page.texts(".cut") == ["What came before is no longer kept."], "it says so")
        page.say("go on")
        page.wait_for_rest("go on")
        assert page.messages == ["", "go on"]
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_two_tabs_on_one_session_both_see_everything(page: Page) -> None:
    driver = page.driver
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        other = Page(driver, page.server).open(page.session)
        other.say(LONG)
        other.wait_for_reply(BEGUN)
        driver.switch_to.window(first)
        page.wait_for_reply(BEGUN)
        page.element("#stop").click()
        stopped = page.wait_for_outcome("^Stop: cancelled after ")
        driver.switch_to.window(next(each for each in driver.window_handles if each != first))
        other.wait_for_outcome("^Stop: cancelled after ")
        assert other.messages == [LONG]
        other.say("both")
        other.wait_for_rest("both")
    finally:
        driver.close()
        driver.switch_to.window(first)
    page.wait_for_rest("both")
    assert page.messages == [LONG, "both"]
    assert page.outcomes == [stopped, ""]


def test_pages_kept_for_the_back_button_hold_no_connection(page: Page) -> None:
    """A browser has six connections to a server, and a page it keeps would keep its own."""
    for _ in range(7):
        page.open()
    page.say("still connected")
    page.wait_for_rest("still connected")
    session = page.session
    page.driver.get("about:blank")
    page.driver.back()
    page.wait_for_connection("Connected")
    assert page.driver.current_url.endswith(session)
    page.say("and again")
    page.wait_for_rest("and again")
    assert page.messages == ["still connected", "and again"]


# -- Several sessions -------------------------------------------------------------------------------


@pytest.fixture
def alone(driver: webdriver.Chrome, served: Server) -> Page:
    """A page in a browser that knows no session yet, of a server that has none."""
    page = Page(driver, served).open()
    page.forget_all()
    page.reload()
    return page


def test_sessions_are_listed_by_their_first_message_and_can_be_switched(alone: Page) -> None:
    page = alone
    assert page.sessions == ["New chat"]
    page.send({"message": "Tell me of\nthe sea"})
    page.wait_for_rest("Tell me of\nthe sea")
    assert page.sessions == ["Tell me of"]
    assert page.driver.title == "Tell me of · turnkeeper"
    page.element("#new").click()
    page.wait(lambda: page.sessions == ["New chat", "Tell me of"], "the new one is on top")
    title = "and " + "of " * 30 + HALT
    page.say(title)
    page.wait(lambda: len(page.sessions) == 2 and page.sessions[0].startswith("and of"), "it is named")
    assert page.sessions[0].endswith("…")
    assert len(page.sessions[0]) <= 60
    page.element("#message").send_keys(Keys.ESCAPE)
    page.wait_for_outcome("^Stop: cancelled")
    page.element("#message").send_keys("a draft")
    page.choose("Tell me of")
    page.wait(lambda: page.replies == ["Tell me of\nthe sea"], "the first is back")
    assert page.texts("#sessions [aria-current=page] .title") == ["Tell me of"]
    assert page.element("#message").get_attribute("value") == ""
    page.choose("and of")
    page.wait_for_outcome("^Stop: cancelled")
    assert page.element("#message").get_attribute("value") == "a draft"
    page.reload()
    page.wait(lambda: [each[:6] for each in page.sessions] == ["and of", "Tell m"], "they are listed again")


def test_a_session_that_runs_elsewhere_is_shown_running_and_then_ended(alone: Page) -> None:
    page = alone
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    first = page.driver.current_url.partition("#")[2]
    assert page.standings == ["running"]
    page.element("#new").click()
    page.wait(lambda: page.standings == ["", "running"], "it runs on, out of sight")
    page.server.ask("POST", f"chat/{first}/cancel_send_task")
    page.wait(lambda: page.standings == ["", "ended meanwhile"], "the server was asked")
    page.choose("w0 w1")
    page.wait_for_outcome("^Stop: cancelled after ")
    assert page.standings == [""]
    assert page.messages == [LONG]


def test_a_reload_shows_at_once_what_runs_elsewhere(alone: Page) -> None:
    page = alone
    page.say(LONG)
    page.wait_for_reply("^w0")
    page.element("#new").click()
    page.wait(lambda: page.standings == ["", "running"], "it runs on, out of sight")
    never = "const later = setTimeout; window.setTimeout = (run, ms) => ms === 2000 ? 0 : later(run, ms);"
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": never})
    try:
        page.reload()
        page.wait(lambda: page.standings == ["", "running"], "the server was asked without a wait")
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_a_session_can_be_renamed_and_is_deleted_once_that_is_confirmed(alone: Page) -> None:
    page, driver = alone, alone.driver
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    session = driver.current_url.partition("#")[2]
    name = page.element("#sessions input")
    for typed in (("not this", Keys.ESCAPE), ("mine", Keys.ENTER)):
        page.element("#sessions .rename").click()
        page.wait(name.is_displayed, "there is a field")
        name.send_keys(*typed)
        page.wait(lambda: not name.is_displayed(), "it has gone")
    page.wait(lambda: page.sessions == ["mine"], "it is renamed")
    assert page.can_stop  # Escape left the field, and did not stop the turn
    page.element("#sessions .delete").click()
    page.wait(lambda: page.element("#delete-dialog").is_displayed(), "it asks first")
    assert page.element("#delete-title").text == "Delete “mine”?"
    driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.wait(lambda: not page.element("#delete-dialog").is_displayed(), "Escape keeps it")
    assert page.can_stop
    page.element("#sessions .delete").click()
    page.wait(lambda: page.element("#delete-yes").is_displayed(), "it asks again")
    page.element("#delete-yes").click()
    page.wait(lambda: page.sessions == ["New chat"], "it is gone")
    assert page.server.ask("GET", "chat/active_send_tasks")["active_tasks"].keys().isdisjoint({session})
    assert session not in driver.current_url
    page.wait_for_connection("Connected")
    page.say("go on")
    page.wait_for_rest("go on")


# -- The server's list ------------------------------------------------------------------------------


def send_elsewhere(page: Page, session: str, text: str) -> None:
    page.server.ask("POST", f"{page.under}chat/{session}/send", {"message": text})


def come_back(page: Page) -> None:
    """As when the user turns to this window again."""
    page.driver.execute_script("dispatchEvent(new Event('focus'))")  # type: ignore[no-untyped-call]


def find(page: Page, text: str) -> None:
    page.element("#find").clear()
    page.element("#find").send_keys(text)


@contextmanager
def before_it_loads(page: Page, script: str) -> Iterator[None]:
    """The page runs this script first, whenever it is loaded."""
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        yield
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_a_chat_of_another_browser_is_listed_once_the_window_is_looked_at_and_can_be_opened(
    alone: Page,
) -> None:
    page = alone
    # Nothing is asked for again and again, so that only the window's focus can bring what is new.
    never = "const later = setTimeout; window.setTimeout = (run, ms) => ms === 2000 ? 0 : later(run, ms);"
    with before_it_loads(page, never):
        page.reload()
        page.say("here")
        page.wait_for_rest("here")
        page.wait(lambda: page.sessions == ["here"] and page.texts("#sessions time") != [""], "it is listed")
        send_elsewhere(page, "elsewhere1", "said elsewhere")
        come_back(page)
        page.wait(lambda: page.sessions == ["said elsewhere", "here"], "the latest is on top")
        page.server.ask("PATCH", "chat/elsewhere1", {"title": "A better title"})
        come_back(page)
        page.wait(lambda: page.sessions == ["A better title", "here"], "it is renamed here, too")
        page.choose("A better title")
        page.wait(lambda: page.messages == ["said elsewhere"], "what was said there is shown")
        assert page.driver.title == "A better title · turnkeeper"
        page.server.ask("DELETE", "chat/elsewhere1")
        page.wait_for_note("^This session is closed")
        page.choose("here")
        page.wait(lambda: page.sessions == ["here"], "what was deleted elsewhere is gone")


def test_the_list_goes_on_page_by_page_and_is_searched_by_the_server(alone: Page) -> None:
    page = alone
    for number in range(90):
        send_elsewhere(page, f"many{number}", f"chat number {number}")
    come_back(page)
    newest_first = [f"chat number {number}" for number in reversed(range(90))]
    page.wait(lambda: page.sessions == ["New chat", *newest_first[:40]], "the last of them are listed")
    page.element("#more").click()
    page.wait(lambda: page.sessions == ["New chat", *newest_first[:80]], "and those before")
    page.element("#more").click()
    page.wait(lambda: page.sessions == ["New chat", *newest_first], "and the rest")
    assert not page.element("#more").is_displayed()
    focused = page.driver.switch_to.active_element
    assert focused.text.startswith("chat number 0"), "the button is gone, and its user is where it led"

    find(page, "NUMBER 8")
    page.wait(lambda: page.texts("#found") == ["11 chats have this in the title."], "it says how many")
    assert page.sessions == [*newest_first[:10], "chat number 8"]
    find(page, "number")
    page.wait(lambda: page.texts("#found") == ["40 or more chats have this in the title."], "it says so")
    page.element("#more").click()
    page.wait(lambda: page.sessions == newest_first[:80], "a search goes on page by page, too")
    find(page, "nothing like it")
    page.wait(lambda: page.texts("#found") == ["No chats have this in the title."], "it says so")
    page.element("#find").send_keys(Keys.ESCAPE)
    page.wait(lambda: page.sessions == ["New chat", *newest_first[:40]], "Escape ends the search")
    assert page.element("#find").get_attribute("value") == ""


def test_a_title_that_is_given_here_is_the_servers_and_one_that_it_refuses_is_said_to_be(
    alone: Page,
) -> None:
    page = alone
    page.say("hello")
    page.wait_for_rest("hello")
    page.element("#sessions .rename").click()
    page.wait(page.element("#sessions input").is_displayed, "there is a field")
    page.element("#sessions input").send_keys("mine", Keys.ENTER)
    page.wait(lambda: page.sessions == ["mine"], "it is renamed")
    page.wait(lambda: [each["title"] for each in listed(page)] == ["mine"], "the server has the title")
    page.driver.execute_script("document.querySelector('#sessions input').removeAttribute('maxlength')")  # type: ignore[no-untyped-call]
    page.element("#sessions .rename").click()
    page.wait(page.element("#sessions input").is_displayed, "there is a field")
    page.element("#sessions input").send_keys("x" * 300, Keys.ENTER)
    page.wait(lambda: page.texts("#list-problem")[0].startswith("Not renamed: "), "it says why not")
    assert page.sessions == ["mine"]


def listed(page: Page) -> list[dict[str, Any]]:
    """What the server lists."""
    found: list[dict[str, Any]] = page.server.ask("GET", f"{page.under}chat")["sessions"]
    return found


def reload_with_own_list(page: Page, *sessions: dict[str, Any]) -> None:
    """Load the page where an earlier version of it has kept this list in the browser.

    The list is not there before: this page would give its titles to the server while it is about to go.
    """
    own = json.dumps(json.dumps(sessions))
    script = f"localStorage.setItem(`turnkeeper.sessions:${{location.pathname}}`, {own})"
    with before_it_loads(page, script):
        page.reload()


def test_what_an_earlier_page_kept_in_the_browser_is_given_to_the_server_and_what_that_forgot_stays(
    alone: Page,
) -> None:
    page = alone
    send_elsewhere(page, "renamed", "as it was said")
    send_elsewhere(page, "plain", "as it was said, too")
    page.server.ask("PATCH", "chat/plain", {"title": "named elsewhere"})
    reload_with_own_list(
        page,
        {"id": "plain", "title": "stale", "at": 3, "served": True},
        {"id": "renamed", "title": "my  own title ", "at": 2},
        {"id": "forgotten", "title": "of long ago", "at": 1},
    )
    titles = ["New chat", "named elsewhere", "my own title", "of long ago"]
    page.wait(lambda: page.sessions == titles, "the server's are listed, and the one that it forgot")
    page.wait(lambda: {each["title"] for each in listed(page)} == set(titles[1:3]), "it has the title")
    whose = ["", "", "", "not on the server"]
    page.wait(lambda: page.texts("#sessions .whose") == whose, "it says which one the server forgot")
    find(page, "OWN")
    page.wait(lambda: page.sessions == ["my own title"], "it is found by its title")
    find(page, "long ago")
    page.wait(lambda: page.sessions == ["of long ago"], "and so is one that only the browser has")
    page.choose("of long ago")
    page.wait(page.element("#forgotten").is_displayed, "it says that nothing is kept of it")
    page.element("#sessions .delete").click()
    page.wait(lambda: page.element("#delete-yes").is_displayed(), "it asks first")
    page.element("#delete-yes").click()
    page.wait(lambda: page.texts("#found") == ["No chats have this in the title."], "it is gone")


def test_of_a_server_without_lists_the_browsers_own_is_shown(alone: Page) -> None:
    page = alone
    older = """
        const fetched = window.fetch;
        const isNew = (address, { method }) => address.startsWith("chat?") || method === "PATCH";
        window.fetch = (address, options) => fetched(isNew(address, options) ? "none" : address, options);"""
    with before_it_loads(page, older):
        reload_with_own_list(page, {"id": "s1", "title": "one", "at": 1})
        page.say("hello")
        page.wait_for_rest("hello")
        page.wait(lambda: page.sessions == ["hello", "one"], "both are there")
        assert page.element("#own-list").is_displayed()
        page.element("#sessions .rename").click()
        page.wait(page.element("#sessions input").is_displayed, "there is a field")
        page.element("#sessions input").send_keys("mine", Keys.ENTER)
        page.wait(lambda: page.sessions == ["mine", "one"], "it is renamed here")
        page.reload()
        page.wait(lambda: page.sessions == ["mine", "one"], "and stays so")
        find(page, "ONE")
        page.wait(lambda: page.sessions == ["one"], "it is searched here")
    page.reload()
    page.wait(lambda: [each["title"] for each in listed(page)] == ["hello"], "the server has not been asked")
    page.wait(lambda: not page.element("#own-list").is_displayed(), "the list is the server's")


def press_earlier(page: Page) -> None:
    """Without scrolling to the button, which would ask for what it asks for."""
    page.driver.execute_script("document.getElementById('earlier').click()")  # type: ignore[no-untyped-call]


def test_what_was_said_long_ago_is_read_when_it_is_asked_for(page: Page) -> None:
    said = [f"message {number}" for number in range(130)]
    for text in said:
        send_elsewhere(page, page.session, text)
    fall_asleep(page)
    page.open(page.session)
    page.wait(lambda: page.messages == said[-50:], "the last of it is there")
    end = "const main = document.querySelector('main'); return main.scrollHeight + main.scrollTop"
    before = page.driver.execute_script(end)  # type: ignore[no-untyped-call]
    press_earlier(page)
    page.wait(lambda: page.messages == said[-100:], "and what was said before")
    assert page.driver.execute_script(end) > before  # type: ignore[no-untyped-call]
    assert page.replies == said[-100:]
    page.driver.execute_script("document.querySelector('main').scrollTop = -1e6")  # type: ignore[no-untyped-call]
    page.wait(lambda: page.messages == said, "by scrolling up, too")
    assert page.replies == said
    assert not page.element("#earlier").is_displayed()
    page.say("on")
    page.wait_for_rest("on")
    assert page.messages == [*said, "on"]


def test_earlier_messages_that_could_not_be_loaded_can_be_asked_for_again(page: Page) -> None:
    said = [f"message {number}" for number in range(60)]
    for text in said:
        send_elsewhere(page, page.session, text)
    fall_asleep(page)
    page.open(page.session)
    page.wait(lambda: page.messages == said[-50:], "the last of it is there")
    refuse = """
        const fetched = window.fetch;
        window.fetch = (address, ...rest) => {
          if (!address.includes("before=")) return fetched(address, ...rest);
          window.fetch = fetched;
          return Promise.reject(new TypeError("no network"));
        };"""
    page.driver.execute_script(refuse)  # type: ignore[no-untyped-call]
    press_earlier(page)
    page.wait(lambda: page.texts("#earlier")[0].startswith("Not loaded"), "it says that it was not")
    assert page.messages == said[-50:]
    press_earlier(page)
    page.wait(lambda: page.messages == said, "all of it is there")


# -- Attempts ---------------------------------------------------------------------------------------

OF_EVENTS = """
    const [events, done] = arguments;
    const at = (name) => import(new URL(`state/${name}.js`, document.baseURI));
    Promise.all([at("chat"), at("words")]).then(([{ Chat }, { outcomeOf }]) => {
      const chat = new Chat("s");
      const seen = events.map(([name, id, data]) => {
        chat.onEvent(name, id, data);
        return chat.items.map((turn) => [turn.text, turn.status, outcomeOf(turn, true)[1]]);
      });
      done(seen);
    });"""


def shown_after(page: Page, *events: tuple[str, str | None, Any]) -> list[list[list[str]]]:
    """The turns after each event: their text, status and outcome."""
    seen: list[list[list[str]]] = page.driver.execute_async_script(OF_EVENTS, events)  # type: ignore[no-untyped-call]
    return seen


STARTED = ("turn.started", "1-0", {"task_id": "t1", "agent": "default", "message": "count", "attempt": 1})
WORDS: list[tuple[str, str | None, Any]] = [
    ("delta", f"1-{n}", {"text": text}) for n, text in enumerate(("one ", "two ", "three "), 1)
]
ON = {"task_id": "t1", "agent": "default", "status": "queued", "will_continue": True}
ENDED = {"task_id": "t1", "agent": "default", "status": "interrupted", "will_continue": False}


def test_a_turn_that_was_given_up_shows_what_still_ran(page: Page) -> None:
    left = {"tasks": 0, "threads": 1, "processes": 2}
    given_up = ("turn.unresponsive", "2-0", {**ENDED, "status": "unresponsive", "still_running": left})
    (turn,) = shown_after(page, STARTED, given_up)[-1]
    assert turn[2].endswith(" 1 thread and 2 processes still ran.")


def test_an_interrupted_turn_reads_so_and_shows_no_more_than_the_server_kept(page: Page) -> None:
    interrupted = ("turn.interrupted", "2-0", {**ENDED, "kept": "1-2"})
    (turn,) = shown_after(page, STARTED, *WORDS, interrupted)[-1]
    assert turn[:2] == ["one two ", "interrupted"]
    assert turn[2].startswith("Interrupted: ")
    (turn,) = shown_after(page, STARTED, *WORDS, ("turn.interrupted", "1-4", ENDED))[-1]
    assert turn[:2] == ["one two three ", "interrupted"], "of an older server nothing is known to be lost"
    (turn,) = shown_after(page, STARTED, *WORDS, ("turn.interrupted", "2-0", {**ENDED, "kept": None}))[-1]
    assert turn[:2] == ["", "interrupted"]


@pytest.mark.parametrize(
    ("kept", "text"), [("1-3", "one two three "), ("1-2", "one two "), ("1-0", ""), (None, "")]
)
def test_a_turn_that_goes_on_by_itself_drops_what_the_server_has_not_and_takes_the_next_attempts_events(
    page: Page, kept: str | None, text: str
) -> None:
    again: list[tuple[str, str | None, Any]] = [
        ("turn.interrupted", "2-0", {**ON, "kept": kept}),
        ("turn.started", "3-0", {**STARTED[2], "attempt": 2}),
        ("delta", "3-1", {"text": "four"}),
    ]
    done = ("turn.completed", "3-2", {**ON, "status": "completed", "will_continue": None})
    seen = shown_after(page, STARTED, *WORDS, *again, done)
    assert seen[4] == [[text, "queued", "Interrupted, and about to go on…"]]
    assert seen[5] == [[text, "running", "Running…"]]
    assert seen[-1] == [[f"{text}four", "completed", ""]]


def test_each_attempt_drops_only_what_is_its_own(page: Page) -> None:
    events: list[tuple[str, str | None, Any]] = [
        ("turn.interrupted", "2-0", {**ON, "kept": "1-2"}),
        ("turn.started", "3-0", {**STARTED[2], "attempt": 2}),
        ("delta", "3-1", {"text": "four "}),
        ("turn.interrupted", "4-0", {**ON, "kept": None}),
        ("turn.started", "5-0", {**STARTED[2], "attempt": 3}),
        ("delta", "5-1", {"text": "five "}),
        ("turn.interrupted", "6-0", {**ENDED, "kept": "5-1"}),
    ]
    (turn,) = shown_after(page, STARTED, *WORDS, *events)[-1]
    assert turn[:2] == ["one two five ", "interrupted"]


# -- The example for pages of one's own --------------------------------------------------------------


def test_the_example_of_the_docs_follows_several_sessions_on_one_connection(page: Page) -> None:
    example = (Path(__file__).parents[3] / "docs/examples/several_sessions.js").read_text(encoding="utf-8")
    start = f"""
        {example}
        window.seen = [];
        const names = ["snapshot", "turn.started", "delta"];
        const note = (session, name, data) => seen.push([session, name, data.text ?? data.message ?? ""]);
        window.chats = followSeveral(arguments[0], names, note);"""
    one, two, three = (f"{page.session}{n}" for n in range(3))

    def seen(*last: str) -> bool:
        return page.driver.execute_script("return seen.at(-1)") == list(last)  # type: ignore[no-untyped-call]

    page.driver.execute_script(start, [one, two])  # type: ignore[no-untyped-call]
    page.wait(lambda: seen(two, "snapshot", ""), "both are followed")
    send_elsewhere(page, two, "hello")
    page.wait(lambda: seen(two, "delta", "hello"), "what is said is heard")
    page.driver.execute_script("chats.add(arguments[0])", three)  # type: ignore[no-untyped-call]
    page.wait(lambda: seen(three, "snapshot", ""), "another one is added")
    answer = "const done = arguments[1]; chats.drop(arguments[0]).then(({ status }) => done(status))"
    assert page.driver.execute_async_script(answer, two) == 200  # type: ignore[no-untyped-call]
    send_elsewhere(page, two, "not heard")
    send_elsewhere(page, one, "heard")
    page.wait(lambda: seen(one, "delta", "heard"), "the others go on")
    texts = page.driver.execute_script("return seen.map((each) => each[2])")  # type: ignore[no-untyped-call]
    assert "not heard" not in texts
    page.driver.execute_script("chats.close()")  # type: ignore[no-untyped-call]


# -- Markdown ---------------------------------------------------------------------------------------


def in_the_page(page: Page, script: str, *arguments: object) -> object:
    page.driver.set_script_timeout(60)
    base = page.server.address + page.under
    found: object = page.driver.execute_async_script(script, base, *arguments)  # type: ignore[no-untyped-call]
    return found


def test_markdown_never_becomes_more_than_it_may_and_loses_no_text(page: Page) -> None:
    assert in_the_page(page, CHECK, HOSTILE_SAMPLES + noise(seed=3, count=400)) == []
    assert in_the_page(page, CHECK, floods()) == []
    assert page.driver.title == "turnkeeper"


def test_markdown_that_streams_in_takes_back_nothing_it_has_shown(page: Page) -> None:
    assert in_the_page(page, STREAM, ARTICLE) == []


def test_a_reply_in_markdown_is_shown_as_such_and_its_code_can_be_copied(host_page: Page) -> None:
    page = host_page
    origin = page.server.address.rstrip("/")
    page.driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"origin": origin, "permissions": ["clipboardReadWrite"]}
    )
    page.send({"message": "show me", "agent": "writer"})
    page.wait(lambda: page.messages and not page.can_stop and page.texts(".reply h6"), "all of it is there")
    for kind in ("h5", "strong", "em", "ol > li > ul > li", "blockquote", "td.right", "hr", "p > code"):
        assert page.texts(f".reply {kind}"), kind
    link = page.element(".reply a")
    assert link.get_attribute("href") == "https://docs.example/io_(x)"
    page.driver.execute_script("document.querySelector('.copy').click()")  # type: ignore[no-untyped-call]
    page.wait(lambda: page.texts("#announcer") == ["Copied"], "it says so")
    pasted = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")  # type: ignore[no-untyped-call]
    assert pasted == page.texts(".reply pre code")[0]
    assert pasted.startswith("def lines(path):\n    with open")


def test_a_reply_that_is_cut_off_keeps_what_it_looked_like(host_page: Page) -> None:
    host_page.send({"message": "cut", "agent": "cut"})
    host_page.wait_for_outcome("^Failed")
    assert host_page.texts(".reply strong") == ["cut off"]
    assert host_page.replies == ["I was cut off"]


def test_a_message_is_tried_again_by_the_agent_that_failed(host_page: Page) -> None:
    host_page.send({"message": "try", "agent": "cut"})
    host_page.wait_for_outcome("^Failed")
    assert host_page.element(".again").text == "Try again"
    host_page.element(".again").click()
    host_page.wait(lambda: host_page.messages == ["try", "try"], "it is said anew")
    host_page.wait_for_outcome("^Failed")
    assert host_page.replies == ["I was cut off", "I was cut off"]


def test_a_large_part_of_a_message_is_shown_by_its_kind_and_size_and_not_sent_again(host_page: Page) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 3_000_000}}
    text, small = {"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "x"}}
    host_page.send({"message": [image, text, small], "agent": "cut"})
    host_page.wait_for_outcome("^Failed")
    assert host_page.messages == ["[image, 3.0 MB]\nwhat is it?\n[image]"]
    assert not host_page.element(".again").is_displayed()


def test_a_long_text_is_shown_whole_where_it_was_typed_and_by_its_size_elsewhere(page: Page) -> None:
    page.driver.execute_script("document.getElementById('message').value = 'x'.repeat(70_000)")  # type: ignore[no-untyped-call]
    page.say("")
    page.wait_for_rest("x" * 70_000)
    assert page.messages == ["x" * 70_000]
    page.reload()
    page.wait_to_show(messages=["[text, 70 kB]"], replies=["x" * 70_000])


# -- Words ------------------------------------------------------------------------------------------


def test_every_word_of_the_server_reads_as_words(page: Page) -> None:
    script = """
        const [statuses, verdicts, codes, done] = arguments;
        import(new URL("state/words.js", document.baseURI)).then(({ outcomeOf }) => {
          const record = { error: { code: "boom" } };
          const ended = statuses.map((status) => [status, outcomeOf({ status, record }, true)[1]]);
          const cancelled = verdicts.flatMap((verdict) => codes.map((cause) => {
            const turn = { status: "cancelled", record, answer: { cause, verdict, ms: 5 } };
            return [`${verdict} by ${cause}`, outcomeOf(turn, true)[1]];
          }));
          done([...ended, ...cancelled]);
        });"""
    words = [[each.value for each in enum] for enum in (TurnStatus, Verdict, CancelCode)]
    shown = dict(page.driver.execute_async_script(script, *words))  # type: ignore[no-untyped-call]

    assert shown.pop("completed") == "", "that it went well goes without saying"
    assert len(shown) == len(TurnStatus) - 1 + len(Verdict) * len(CancelCode)
    for word, text in shown.items():
        assert re.fullmatch(r"[A-Z].*[.…] ?", text), word
        assert "undefined" not in text
        assert "_" not in text, "a word of the protocol's"
    assert shown["cancelled by user_request"] == "Stop: cancelled after 5 ms."


# -- What goes wrong --------------------------------------------------------------------------------


def test_html_in_a_reply_or_a_message_is_text(host_page: Page) -> None:
    host_page.send({"message": HOSTILE, "agent": "hostile"})
    host_page.wait_for_rest(HOSTILE)
    assert host_page.messages == [HOSTILE]
    assert host_page.driver.title.startswith("<img src=x onerror=")
    assert not host_page.driver.find_elements(By.CSS_SELECTOR, "#room :is(img, script, style, iframe, b)")


def test_a_turn_that_fails_or_runs_out_of_time_says_why(host_page: Page) -> None:
    host_page.send({"message": "fail", "agent": "failing"})
    host_page.wait_for_outcome(r"^Failed \([A-Za-z_]+, ValueError\)\.")
    host_page.send({"message": "forbidden"})
    host_page.wait_for_outcome(r"^Failed \(stage_failed, pre_process_msg:censor, ValueError\)\.")
    assert "business" not in host_page.element("body").text
    host_page.send({"message": "ask", "agent": "upstream"})
    host_page.wait_for_outcome(r"^Failed \(upstream_rate_limited\): no more for now\.")
    host_page.send({"message": LONG, "timeout": 0.3})
    host_page.wait_for_outcome(r"^Timed out\. Out of time: it ended ")


def test_a_stream_that_breaks_in_the_middle_is_resumed_with_nothing_lost_or_doubled(host_page: Page) -> None:
    host_page.send({"message": "2000", "agent": "flood"})
    host_page.wait_for_rest("".join(f"{number} " for number in range(2000)))
    assert host_page.notes == []


def test_what_the_server_no_longer_keeps_is_said_to_be_missing(host_page: Page) -> None:
    host_page.send({"message": str(KEPT_EVENTS * 2), "agent": "forgetful"})
    last = f" {KEPT_EVENTS * 2 - 1} $"
    host_page.wait_for_reply(last)
    host_page.reload()
    host_page.wait_for_reply(last)
    cut = ["What came before is no longer kept."]
    host_page.wait(lambda: host_page.texts(".cut") == cut, "it says so")


def test_what_was_said_before_the_events_that_are_kept_is_there(host_page: Page) -> None:
    page = host_page
    page.say("before")
    page.wait_for_rest("before")
    page.send({"message": str(KEPT_EVENTS * 2), "agent": "forgetful"})
    last = f" {KEPT_EVENTS * 2 - 1} $"
    page.wait_for_reply(last)
    page.reload()
    page.wait_for_reply(last)
    page.wait(lambda: page.messages == ["before", ""] and page.replies[0] == "before", "both are there")
    cut = ["", "What came before is no longer kept."]
    page.wait(lambda: page.texts(".cut") == cut, "it says of which something is missing")


def test_what_was_recorded_is_there_whole_although_its_events_are_kept_no_longer(host_page: Page) -> None:
    count = KEPT_EVENTS * 2
    whole = "".join(f"{number} " for number in range(count))
    host_page.send({"message": str(count), "agent": "flood"})
    host_page.wait_for_reply(f" {count - 1} $")
    host_page.reload()
    host_page.wait_to_show(messages=[str(count)], replies=[whole])
    host_page.wait(lambda: host_page.texts(".cut") == [""], "nothing is missing")


def test_the_page_outlives_its_server(driver: webdriver.Chrome) -> None:
    with Server(*SERVE, "--port", str(free_port())) as server:  # one that it finds free again
        page = Page(driver, server).open()
        page.say(LONG)
        page.wait_for_reply(BEGUN)
        server.kill()
        page.wait_for_connection("Reconnecting…")
        page.wait_for_outcome("^In flight when the connection was lost…$")
        page.say("anyone there?")
        page.wait_for_outcome("^No answer: the server may not have received this")
        server.start()
        page.wait_for_connection("Connected")
        page.wait_for_note("^Something is missing here")
        page.wait_for_outcome("^Cut off or forgotten", turn=0)
        page.element(".turn[data-status='unsent'] .again").click()
        page.wait_for_rest("anyone there?")
        assert page.messages == [LONG, "anyone there?"]


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Server]:
    """A server that keeps its chats in a file, and finds its port free again."""
    with Server(*SERVE, "--port", str(free_port()), TURNKEEPER_DATA=str(tmp_path / "chats.db")) as server:
        yield server


def test_a_chat_is_there_whole_in_any_browser_after_its_server_was_killed(
    driver: webdriver.Chrome, durable: Server
) -> None:
    page = Page(driver, durable).open()
    page.say("one")
    page.wait_for_rest("one")
    page.say("two")
    page.wait_for_rest("two")
    durable.ask("PATCH", f"chat/{page.session}", {"title": "My chat"})
    send_elsewhere(page, "another", "said elsewhere")
    page.wait(lambda: not durable.ask("GET", "chat/active_send_tasks")["active_tasks"], "nothing runs")
    durable.kill()
    page.wait_for_connection("Reconnecting…")
    durable.start()
    page.wait_for_connection("Connected")
    page.say("three")
    page.wait_for_rest("three")
    page.wait_to_show(messages=["one", "two", "three"], notes=[])
    durable.kill()
    durable.start()
    driver.execute_script("localStorage.clear()")  # type: ignore[no-untyped-call]
    page.reload()
    page.wait_to_show(messages=["one", "two", "three"], replies=["one", "two", "three"])
    page.wait(lambda: page.sessions == ["My chat", "said elsewhere"], "both chats are listed")
    page.choose("said elsewhere")
    page.wait(lambda: page.replies == ["said elsewhere"], "the other one, too")


def test_a_session_that_was_closed_or_cannot_be_is_said_to_be(page: Page) -> None:
    page.say("hello")
    page.wait_for_rest("hello")
    page.server.ask("DELETE", f"chat/{page.session}")
    page.wait_for_note("^This session is closed")
    assert page.connection == "Session closed"
    page.open("not%20an%20id", connected=False)
    page.wait_for_connection("Not connected")
    assert len(page.notes) == 1


def leave_and_come_back(page: Page, meanwhile: Callable[[], object] = bool) -> None:
    """As when the browser keeps the page for its Back button: it closes its stream, and opens another one."""
    page.driver.execute_script("dispatchEvent(new Event('pagehide'))")  # type: ignore[no-untyped-call]
    meanwhile()
    back = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    page.driver.execute_script(back)  # type: ignore[no-untyped-call]


def test_a_session_that_was_closed_while_the_page_was_away_is_said_to_be(page: Page) -> None:
    page.say("hello")
    page.wait_for_rest("hello")
    leave_and_come_back(page, lambda: page.server.ask("DELETE", f"chat/{page.session}"))
    page.wait_for_note("^This session is closed")
    assert page.connection == "Session closed"


def test_a_server_that_gives_no_stream_now_is_asked_for_one_again(page: Page) -> None:
    """It shuts down, or this user has too many streams."""
    refuse = """
        window.tried = [];
        window.EventSourceOfOld = window.EventSource;
        window.EventSource = class extends EventTarget {
          readyState = 2;
          constructor(address) {
            super();
            tried.push(address);
            setTimeout(() => this.onerror());
          }
          close() {}
        };
        window.EventSource.CLOSED = 2;
        dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));"""
    page.driver.execute_script(refuse)  # type: ignore[no-untyped-call]
    page.wait(lambda: page.driver.execute_script("return tried.length > 2"), "it has tried again")
    assert page.connection == "Reconnecting…"
    page.driver.execute_script("window.EventSource = EventSourceOfOld")  # type: ignore[no-untyped-call]
    page.wait_for_connection("Connected")


# -- Who is asking ----------------------------------------------------------------------------------


def test_a_server_with_tokens_is_asked_with_one_and_its_stream_with_a_ticket(
    driver: webdriver.Chrome, guarded: Server
) -> None:
    def addresses() -> list[str]:
        script = "return performance.getEntriesByType('resource').map(each => each.name)"
        asked: list[str] = driver.execute_script(script)  # type: ignore[no-untyped-call]
        return asked

    def tickets() -> list[str]:
        return [each for each in addresses() if each.endswith("chat/ticket")]

    page = Page(driver, guarded).open(connected=False)
    page.wait_for_connection("Token needed")
    assert driver.switch_to.active_element.get_attribute("id") == "token"
    driver.switch_to.active_element.send_keys("wrong", Keys.ENTER)
    page.wait(lambda: page.element("#login-problem").text, "the refusal is shown")
    page.element("#token").send_keys("geheim", Keys.ENTER)
    page.wait_for_connection("Connected")
    assert not page.element("#login").is_displayed()
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    before = len(tickets())
    driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.wait_for_outcome("^Stop: cancelled after ")
    # The next stream needs a ticket of its own.
    leave_and_come_back(page)
    page.say("still here")
    page.wait_for_rest("still here")
    assert len(tickets()) > before
    page.wait(lambda: any("events?ticket=" in each for each in addresses()), "a stream is listed at its end")
    assert not any("geheim" in each for each in addresses())
    page.reload()
    page.wait_for_rest("still here")


def test_another_users_session_is_not_shown(driver: webdriver.Chrome, guarded: Server) -> None:
    page = Page(driver, guarded)
    page.session = "bobs"
    page.send({"message": "mine"}, token="hidden")
    page.open("bobs", connected=False)
    driver.execute_script("sessionStorage.setItem('turnkeeper.token', 'geheim')")  # type: ignore[no-untyped-call]
    driver.refresh()
    page.wait_for_connection("Connected")
    assert page.messages == []
    page.say("theirs")
    page.wait_for_outcome("^Not sent: session 'bobs' is another user's")


def test_an_admin_is_shown_everyones_chats_and_whose_they_are(driver: webdriver.Chrome) -> None:
    with Server(*SERVE, TURNKEEPER_TOKENS="root:geheim:admin bob:hidden") as server:
        page = Page(driver, server).open(connected=False)
        page.send({"message": "of the admin"}, token="geheim")
        server.ask("POST", "chat/bobs/send", {"message": "of another user"}, "hidden")
        page.element("#token").send_keys("geheim", Keys.ENTER)
        page.wait(lambda: page.sessions == ["of another user", "of the admin"], "both are listed")
        assert page.texts("#sessions .whose") == ["of bob", "of root"]
        page.choose("of another user")
        page.wait(lambda: page.replies == ["of another user"], "it can be read")


# -- Hands on the keyboard --------------------------------------------------------------------------


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    driver = page.driver

    def focused() -> str:
        return driver.switch_to.active_element.get_attribute("id") or ""

    def press(*keys: str) -> None:
        driver.switch_to.active_element.send_keys(*keys)

    assert focused() == "message"
    press("two", Keys.SHIFT + Keys.ENTER)
    press("lines", Keys.ENTER)
    page.wait_for_rest("two\nlines")
    press(LONG, Keys.ENTER)
    page.wait_for_reply(BEGUN)
    press(Keys.TAB)
    assert focused() == "stop"
    outline = driver.switch_to.active_element.value_of_css_property("outline-style")
    assert outline == "solid"
    press(Keys.ENTER)
    page.wait_for_outcome("^Stop: cancelled after ")
    assert focused() == "message"  # Stop is of no more use: the hands are where the next message is written
    driver.execute_script("document.body.tabIndex = -1; document.body.focus()")  # type: ignore[no-untyped-call]
    press(Keys.TAB)
    assert focused() == "skip"
    press(Keys.TAB)
    assert focused() == "new"
    press(Keys.ENTER)
    page.wait(lambda: not page.messages, "the new session is empty")
    assert focused() == "message"
    driver.execute_script("document.body.focus()")  # type: ignore[no-untyped-call]
    press(Keys.TAB)
    press(Keys.ENTER)
    assert focused() == "message"


def test_every_control_has_a_name_and_the_page_fits_a_phone(page: Page) -> None:
    for control in page.driver.find_elements(
        By.CSS_SELECTOR, "button, input, textarea, main, nav, a, [tabindex]"
    ):
        if control.is_displayed():
            assert control.accessible_name
    page.say("word " * 30 + "x" * 300)
    page.wait_for_reply("^word")
    with page.screen(width=320, height=640):
        widths = page.driver.execute_script(  # type: ignore[no-untyped-call]
            "return [document.documentElement.scrollWidth, document.querySelector('main').scrollWidth]"
        )
        assert max(widths) <= 320
        assert page.element("#send").is_displayed()
    page.element("#message").send_keys(Keys.ESCAPE)


# -- Eyes, ears and small screens -------------------------------------------------------------------


def test_a_screen_reader_is_given_replies_when_they_are_whole(page: Page) -> None:
    watch = """
        window.said = [];
        const note = () => said.push(document.getElementById("announcer").textContent);
        new MutationObserver(note).observe(document.getElementById("announcer"), { childList: true });"""
    page.driver.execute_script(watch)  # type: ignore[no-untyped-call]
    page.say("one **two**")
    page.wait_for_rest("one two")
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.element("#message").send_keys(Keys.ESCAPE)
    outcome = page.wait_for_outcome("^Stop: cancelled")
    said = page.driver.execute_script("return said")  # type: ignore[no-untyped-call]
    assert said == ["one two", f"{page.replies[-1]}\n{outcome}"]
    assert page.element("#announcer").get_attribute("aria-live") == "polite"
    assert not page.driver.find_elements(
        By.CSS_SELECTOR, "#conversation[role=log], #conversation [aria-live]"
    )


def test_the_list_is_a_drawer_on_a_phone(page: Page) -> None:
    driver = page.driver
    with page.screen(width=360, height=640):
        page.wait(lambda: not page.element("#sidebar").is_displayed(), "the list is away")
        page.element("#open-drawer").click()
        page.wait(lambda: page.element("#new").is_displayed(), "the drawer is open")
        assert driver.switch_to.active_element.get_attribute("id") == "new"
        assert page.element("#room").get_property("inert")
        driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        page.wait(lambda: not page.element("#sidebar").is_displayed(), "Escape closes it")
        assert driver.switch_to.active_element.get_attribute("id") == "open-drawer"
        page.element("#open-drawer").click()
        page.wait(lambda: page.element("#new").is_displayed(), "it opens again")
        page.element("#new").click()
        page.wait(lambda: not page.element("#sidebar").is_displayed(), "choosing closes it")
        assert page.session not in driver.current_url
        page.wait(lambda: not page.element("#room").get_property("inert"), "the room can be used")


def test_dark_and_light_follow_the_system_until_they_are_chosen(page: Page) -> None:
    def is_dark() -> bool:
        script = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128"
        dark: bool = page.driver.execute_script(script)  # type: ignore[no-untyped-call]
        return dark

    def system(name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    toggle = page.element("#theme")
    try:
        for name, opposite in (("dark", "light"), ("light", "dark")):
            system(name)
            assert is_dark() == (name == "dark")
            toggle.click()
            assert toggle.accessible_name == f"Colours: {opposite}"
            assert is_dark() == (opposite == "dark"), "the first click is seen"
            page.reload()
            toggle = page.element("#theme")
            assert is_dark() == (opposite == "dark"), "the choice is kept"
            toggle.click()
            assert toggle.accessible_name == f"Colours: {name}"
            assert is_dark() == (name == "dark")
            toggle.click()
            assert toggle.accessible_name == "Colours: as the system"
    finally:
        page.driver.execute_script("localStorage.removeItem('turnkeeper.theme')")  # type: ignore[no-untyped-call]
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_page_without_its_last_slash_is_found(driver: webdriver.Chrome, hosted: Server) -> None:
    driver.get(hosted.address + PREFIX[1:])
    page = Page(driver, hosted, f"{PREFIX[1:]}/")
    page.wait_for_connection("Connected")
    assert driver.current_url.startswith(f"{hosted.address}{PREFIX[1:]}/#")
