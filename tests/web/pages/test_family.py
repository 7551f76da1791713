"""What a turn has sent to other chats, on the page: shown, told, and a key press away."""

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.web.pages.browser import IN_A_BROWSER, Page
from tests.web.pages.page_server import HALT

pytestmark = IN_A_BROWSER
FAILED, RUNNING = "failed", "running"


def sent(page: Page) -> list[str]:
    """What its turns have sent to other chats, and how that stands."""
    return [" ".join(text.split()) for text in page.texts(".sent li")]


def origins(page: Page) -> list[str]:
    """Where messages come from."""
    return [text for text in page.texts(".from") if text]


@pytest.fixture
def asking(host_page: Page) -> Iterator[Page]:
    """A turn that has sent to three other chats, and waits for the last of them."""
    page = host_page
    page.send({"message": "What does fruit cost?", "agent": "asking"})
    page.wait(lambda: len(sent(page)) == 3, "all three are shown")
    yield page
    page.server.ask("POST", f"{page.under}chat/{page.session}/cancel_send_task")


def test_a_turn_shows_what_it_has_sent_to_other_chats_while_it_runs_and_how_that_ended(asking: Page) -> None:
    page = asking
    page.wait(
        lambda: (
            sent(page)
            == ["three per kilo completed", f"how many? {FAILED}", f"two {HALT} per kilo {RUNNING}"]
        ),
        "each has its title and its standing",
    )
    page.reload()
    page.wait(lambda: sent(page)[2:] == [f"two {HALT} per kilo {RUNNING}"], "so it is after a reload")
    page.go_on(f"{page.session}.figs")
    ended = ["three per kilo completed", f"how many? {FAILED}", f"two {HALT} per kilo completed"]
    page.wait(lambda: sent(page) == ended, "the last one has ended, too")
    page.wait(lambda: not page.can_stop, "and the turn")
    page.reload()
    page.wait(lambda: sent(page) == ended, "so it is after a reload")


def test_a_link_opens_the_other_chat_which_says_where_its_message_comes_from(asking: Page) -> None:
    page = asking
    mine = page.session
    page.driver.find_elements(By.CSS_SELECTOR, ".sent a")[2].click()
    page.wait(lambda: page.driver.current_url.endswith(f"#{mine}.figs"), "it is opened")
    page.wait(lambda: page.messages == [f"two {HALT} per kilo"], "it has its message")
    page.wait(lambda: origins(page) == ["From the chat What does fruit cost?"], "it says where that is from")
    assert page.texts(".turn .you") == ["Message"], "it is not said to be the reader's"
    page.reload()
    page.wait(lambda: origins(page) == ["From the chat What does fruit cost?"], "so it does after a reload")
    page.element(".from a").click()
    page.wait(lambda: page.driver.current_url.endswith(f"#{mine}"), "and back")
    page.wait(lambda: page.messages == ["What does fruit cost?"], "to the one that has asked")
    assert origins(page) == []
    assert page.texts(".turn .you") == ["You"]


def test_a_stop_of_the_turn_stops_the_others_which_say_why(asking: Page) -> None:
    page = asking
    page.wait(lambda: page.can_stop, "it can be stopped")
    page.element("#message").send_keys(Keys.ESCAPE)
    page.wait(lambda: sent(page)[2:] == [f"two {HALT} per kilo cancelled"], "it has stopped, too")
    page.element(".sent li:nth-child(3) a").click()
    page.wait_for_outcome(r"^The turn that had asked for it was stopped: cancelled after .*\.$")


def test_other_chats_are_reached_with_the_keyboard_and_named_for_a_screen_reader(asking: Page) -> None:
    page = asking
    links = page.driver.find_elements(By.CSS_SELECTOR, ".sent a")
    assert [each.accessible_name for each in links] == ["three per kilo", "how many?", f"two {HALT} per kilo"]
    assert page.element(".sent ul").aria_role == "list"
    assert page.element(".sent ul").accessible_name == "Sent to other chats"
    page.element("main").click()
    focused: Any = None
    for _ in range(3):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        focused = page.driver.switch_to.active_element
        if focused == links[0]:
            break
    assert focused == links[0]
    focused.send_keys(Keys.ENTER)
    page.wait(lambda: page.messages == ["three per kilo"], "it is opened")


def test_what_was_sent_to_other_chats_fits_a_phone(asking: Page) -> None:
    page = asking
    with page.screen(width=320, height=560):
        width: Any = page.driver.execute_script("return document.querySelector('main').scrollWidth")  # type: ignore[no-untyped-call]
        assert width <= 320
