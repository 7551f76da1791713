"""A chat page from before turnkeeper, in a headless Chromium, by both of the ways in which it may read."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.web.pages.browser import CHROMIUM, DRIVER, MISSING, PATIENCE, Server, chromium
from turnkeeper.actors.model.words import CloseOn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING),
    pytest.mark.leaves_behind("sockets", why="selenium keeps its connection to the driver open"),
]

SERVER = str(Path(__file__).with_name("old_server.py"))
BY = ["eventsource", "xhr"]
END = "finished_chat {}"


def said(word: str) -> str:
    """How the page shows a word of the agent's."""
    return f'partial_command {{"command":"say","params":{{"text":"{word}"}}}}'


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    # A page that the browser keeps for its Back button keeps its stream too, of which there are only six.
    with chromium("--disable-features=BackForwardCache") as driver:
        yield driver


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[CloseOn, Server]]:
    """One server for each setting of its mount."""
    with ExitStack() as stack:
        yield {each: stack.enter_context(Server(SERVER, each)) for each in CloseOn}


class OldPage:
    """The old page in one tab."""

    def __init__(self, driver: webdriver.Chrome, server: Server, by: str) -> None:
        self.driver = driver
        self.server = server
        self.session = secrets.token_hex(6)
        driver.get("about:blank")
        driver.get(f"{server.address}old?session={self.session}&by={by}")
        self.wait("opened === 1", "the stream is open")

    def run(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")  # type: ignore[no-untyped-call]

    def wait(self, script: str, why: str) -> None:
        wait = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.02)
        try:
            wait.until(lambda _: self.run(script))
        except TimeoutException:
            raise AssertionError(f"not so: {why}; it shows {self.log}") from None

    @property
    def log(self) -> list[str]:
        found: list[str] = self.run("[...document.querySelectorAll('#log li')].map((li) => li.textContent)")
        return found

    def wait_for(self, line: str) -> None:
        script = f"document.querySelector('#log li:last-child')?.textContent === {line!r}"
        self.wait(script, f"the last line is {line}")

    @property
    def offers_stop(self) -> bool:
        return self.driver.find_element(By.ID, "stop").is_displayed()

    def say(self, text: str) -> None:
        self.driver.find_element(By.ID, "message").send_keys(text)
        self.driver.find_element(By.ID, "send").click()

    def stop(self) -> None:
        self.driver.find_element(By.ID, "stop").click()

    def go_on(self) -> None:
        """Let the agent go on where it halts."""
        body = {"message": self.session, "agent": "go_on"}
        self.server.ask("POST", "chat/conductor/send", body)


@pytest.fixture
def old(driver: webdriver.Chrome, servers: dict[CloseOn, Server], request: Any) -> OldPage:
    """The page of the transport and the setting that the test asks for."""
    by, close_on = request.param
    return OldPage(driver, servers[close_on], by)


def over(*ways: tuple[str, CloseOn]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "old", ways, ids=[f"{by}-{close_on}" for by, close_on in ways], indirect=True
    )


EVERY_WAY = [(by, close_on) for by in BY for close_on in CloseOn]
#: An XHR does not connect again, so that its host lets the streams stay open.
WORKING_WAYS = [way for way in EVERY_WAY if way[0] == "eventsource" or way[1] is CloseOn.NEVER]


@over(*EVERY_WAY)
def test_what_the_agent_does_is_shown_as_it_comes_and_stop_is_gone_at_its_end(old: OldPage) -> None:
    old.say("one HALT run draw confide two")
    old.wait_for(said("one"))
    assert old.offers_stop
    old.go_on()
    old.wait_for(END)
    assert old.log == [
        said("one"),
        'running_command {"command":"ls"}',
        'command_result {"command":"ls","result":"a b"}',
        'image {"url":"a.png"}',
        'backend_user_message {"content":"between us"}',
        said("two"),
        END,
    ]
    assert not old.offers_stop


@over(*EVERY_WAY)
def test_an_agent_that_fails_says_so_in_its_own_words(old: OldPage) -> None:
    old.say("one fail two")
    old.wait_for('system_error {"error":"no such tool"}')
    old.say("three")
    old.wait_for(END)
    assert old.log[-2] == said("three")


@over(*WORKING_WAYS)
def test_after_a_stop_the_next_answer_streams_from_its_first_word_on(old: OldPage) -> None:
    """The page's EventSource would not come back for an hour by itself, and its XHR never."""
    for number in range(3):
        old.say(f"begun{number} HALT never")
        old.wait_for(said(f"begun{number}"))
        old.stop()
        old.wait_for("close Task cancelled")
        assert not old.offers_stop
    old.say("one HALT two")
    old.wait_for(said("one"))
    old.go_on()
    old.wait_for(END)
    stopped = [line for n in range(3) for line in (said(f"begun{n}"), "close Task cancelled")]
    assert old.log == [*stopped, said("one"), said("two"), END]


@over(("xhr", CloseOn.NEVER))
def test_it_is_the_same_request_for_as_long_as_the_page_is_open(old: OldPage) -> None:
    old.say("begun HALT")
    old.wait_for(said("begun"))
    old.stop()
    old.wait_for("close Task cancelled")
    old.say("one")
    old.wait_for(END)
    assert old.run("[opened, ended]") == [1, False]


@over(("xhr", CloseOn.CANCELLED))
def test_without_that_the_request_has_come_to_its_end(old: OldPage) -> None:
    """Why `differences.md` says how to mount it."""
    old.say("begun HALT")
    old.wait_for(said("begun"))
    old.stop()
    old.wait("ended", "the answer has ended")
    assert old.log == [said("begun"), "close Task cancelled"]


@over(*[way for way in EVERY_WAY if way[1] is not CloseOn.SUPERSEDED])
def test_a_message_sent_while_the_agent_speaks_takes_its_place_on_the_same_stream(old: OldPage) -> None:
    old.say("begun HALT never")
    old.wait_for(said("begun"))
    old.say("one HALT two")
    old.wait_for(said("one"))
    assert old.offers_stop
    old.go_on()
    old.wait_for(END)
    assert old.log == [said("begun"), said("one"), said("two"), END]
    assert old.run("[opened, ended]") == [1, False]


@over(("eventsource", CloseOn.SUPERSEDED))
def test_where_that_ends_the_stream_the_answer_streams_from_its_first_word_on(old: OldPage) -> None:
    old.say("begun HALT never")
    old.wait_for(said("begun"))
    old.say("one HALT two")
    old.wait_for(said("one"))
    old.go_on()
    old.wait_for(END)
    assert old.log == [said("begun"), "close Task cancelled", said("one"), said("two"), END]


@over(*[way for way in EVERY_WAY if way != ("eventsource", CloseOn.NEVER)])
def test_the_end_of_the_session_ends_every_stream_for_good(old: OldPage) -> None:
    """An EventSource asks once more, and is answered that it need not: here at once, else in an hour."""
    old.say("begun HALT")
    old.wait_for(said("begun"))
    old.server.ask("DELETE", f"chat/{old.session}")
    old.wait("ended", "the stream has ended for good")
    assert old.log[:2] == [said("begun"), "close Task cancelled"]
    assert old.run("opened") == 1
