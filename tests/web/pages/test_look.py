"""What no event says of a turn, on the page: what its end waits for, and what of it runs on."""

from typing import Any

from tests.web.pages.browser import IN_A_BROWSER, Page
from tests.web.pages.chat_steps import ended, shown_after, started

pytestmark = IN_A_BROWSER

# -- What the state makes of it ---------------------------------------------------------------------


def read(status: str, **more: Any) -> tuple[Any, ...]:
    """The step in which the server has said how the turn ``a`` stands."""
    return "read", "a", {"task_id": "a", "agent": "default", "status": status, **more}


def words(page: Page, *steps: tuple[Any, ...]) -> str:
    """How its turn stands then, in words."""
    (turn,) = shown_after(page, started("a", 1), *steps)["shown"]
    said: str = turn[2]
    return said


def test_a_turn_says_what_its_end_waits_for(page: Page) -> None:
    some = {"tasks": 0, "threads": 1, "processes": 2}
    waits = "waiting for 1 thread and 2 processes…"
    assert words(page, read("cancelling", still_running=some)) == f"Stopping, {waits}"
    assert words(page, read("running", still_running=some)) == f"Ending, {waits}"
    assert words(page, read("running")) == "Running…"
    assert (
        words(page, read("cancelling", held=True)) == "Stopping after the step that must not be interrupted…"
    )


def test_a_turn_that_was_given_up_says_what_ran_on_and_when_that_had_ended(page: Page) -> None:
    given_up = {"ended_at": 5.0, "still_running": {"tasks": 2, "threads": 0, "processes": 0}}
    end = ended("a", "1-1", "unresponsive", **given_up)
    assert words(page, end) == "Unresponsive. 2 tasks still ran."
    late = read("unresponsive", **given_up, ended_late={"outcome": "completed", "at": 8.2})
    assert words(page, end, late) == "Unresponsive. 2 tasks still ran. It ended after all, 3.2 s later."


def test_what_the_server_has_said_of_a_turn_does_not_take_back_what_its_events_say(page: Page) -> None:
    call = "event", "turn.tool_call", "1-1", {"task_id": "a", "id": "1", "name": "search"}
    assert words(page, call, read("running")) == "Calling search…", "it is from before the call"
    end = ended("a", "1-1", "completed")
    assert words(page, end, read("running")) == "", "it is from before the end"
    assert words(page, read("completed")) == "Running…", "what was said last is still to come"
    assert words(page, read("queued")) == "Running…"


# -- What users see ---------------------------------------------------------------------------------


def test_a_stop_that_waits_for_a_thread_says_so(host_page: Page) -> None:
    page = host_page
    page.send({"message": "where is it?", "agent": "archive"})
    page.wait_for_reply("^looking $")
    page.element("#stop").click()
    page.wait_for_outcome("^Stopping, waiting for 1 thread…$")
    page.go_on()
    page.wait_for_outcome(r"^Stop: cancelled after .*\.$")


def test_a_stop_by_another_client_is_shown_too(host_page: Page) -> None:
    page = host_page
    page.send({"message": "where is it?", "agent": "archive"})
    page.wait_for_reply("^looking $")
    page.server.ask("POST", f"{page.under}chat/{page.session}/cancel_send_task?wait=false")
    page.wait_for_outcome("^Stopping, waiting for 1 thread…$")
    page.go_on()
    page.wait_for_outcome(r"^Stop: cancelled after .*\.$")


def test_a_turn_that_has_returned_and_waits_for_what_it_has_begun_says_so(host_page: Page) -> None:
    page = host_page
    page.send({"message": "tidy up", "agent": "tidying"})
    page.wait_for_outcome("^Ending, waiting for 1 task…$")
    page.go_on()
    page.wait_for_rest("done")


def test_a_turn_that_was_given_up_says_so_and_when_it_has_ended_after_all(host_page: Page) -> None:
    page = host_page
    page.send({"message": "where is it?", "agent": "hasty_archive"})
    page.wait_for_reply("^looking $")
    page.element("#stop").click()
    given_up = r"^Unresponsive\. Stop: it did not stop within .* and was set aside\. 1 thread still ran\."
    page.wait_for_outcome(f"{given_up}$")
    page.reload()
    page.wait_for_outcome(f"{given_up}$")
    page.go_on()
    page.wait_for_outcome(rf"{given_up} It ended after all, .* later\.$")
    page.reload()
    page.wait_for_outcome(rf"{given_up} It ended after all, .* later\.$")
