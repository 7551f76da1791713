"""The messages that wait, on the chat page: what its state makes of them, and what users see and do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.web.fakes_web import free_port
from tests.web.pages.browser import BEGUN, IN_A_BROWSER, LONG, SERVE, Page, Server
from tests.web.pages.chat_steps import ended, place, places, queued, shown_after, started
from tests.web.pages.page_server import HALT, KEPT_EVENTS
from turnkeeper.actors.model.words import CancelCode, Strategy, WaitsFor

pytestmark = IN_A_BROWSER

# -- What the state makes of it ---------------------------------------------------------------------


def test_a_stop_is_aimed_at_the_turn_that_runs_and_at_none_that_waits_in_line(page: Page) -> None:
    line = queued("b"), places(place("b"))
    found = shown_after(page, started("a", 1), *line)
    assert found["current"] == "a"
    assert [each[0] for each in found["shown"]] == ["a"]
    assert found["waiting"] == [["b", "Next, when the reply has ended"]]
    found = shown_after(page, started("a", 1), *line, ended("a", "1-1", "completed"))
    assert found["current"] is None, "nothing holds the session, and none is called up"
    found = shown_after(page, started("a", 1), *line, ended("a", "1-1", "completed"), started("b", 2))
    assert found["current"] == "b"
    assert found["waiting"] == []


def test_a_stop_is_aimed_at_the_turn_that_is_called_up_to_take_the_place_of_one_that_stops(
    page: Page,
) -> None:
    found = shown_after(page, started("a", 1), queued("b"), places(place("b", 0), place("c")))
    assert found["current"] == "b"
    assert [each[0] for each in found["shown"]] == ["a", "b"]
    assert [each[0] for each in found["waiting"]] == ["c"]


def test_a_turn_that_is_sent_to_wait_stands_in_line_before_its_answer_and_its_events(page: Page) -> None:
    sent = "sent", {"id": "b", "way": "enqueue"}
    found = shown_after(page, started("a", 1), sent)
    assert (found["current"], [each[0] for each in found["waiting"]]) == ("a", ["b"])
    answer = {"task_status": "queued", **place("b"), "superseded": None}
    found = shown_after(page, started("a", 1), sent, ("answered", "b", answer))
    assert found["waiting"] == [["b", "Next, when the reply has ended"]]
    late = queued("b"), places(place("b")), started("b", 2), ("answered", "b", answer)
    found = shown_after(page, started("a", 1), sent, *late)
    assert (found["current"], found["waiting"]) == ("b", []), "its events know better"


def test_what_the_server_answers_about_the_queue_counts_unless_events_have_come_since(page: Page) -> None:
    answer = [{**place("b"), "message": "and then?", "status": "queued"}]
    found = shown_after(page, started("a", 1), ("onQueue", answer, 0))
    assert found["waiting"] == [["b", "Next, when the reply has ended"]]
    assert found["messages"]["b"] == "and then?"
    assert not found["wants"]
    moved = places(place("c"), place("b", 2))
    found = shown_after(
        page, started("a", 1), places(place("b"), place("c", 2)), moved, ("onQueue", answer, 1)
    )
    assert [each[0] for each in found["waiting"]] == ["c", "b"], "the event is newer than the answer"
    assert found["messages"]["b"] == "and then?"
    assert found["missed"] == []
    assert found["wants"], "what the other one says is not known yet"


def test_a_message_that_is_edited_elsewhere_says_at_once_what_it_says_now(page: Page) -> None:
    def edited(message: Any, task_id: str = "b") -> tuple[Any, ...]:
        return "event", "turn.edited", None, {"task_id": task_id, "by": "ada", "message": message}

    waits = started("a", 1), places(place("b")), ("onQueue", [{**place("b"), "message": "one"}], 1)
    assert shown_after(page, *waits, edited("two"))["messages"]["b"] == "two"
    large = [{"type": "text", "bytes": 70_000, "elided": True}]
    assert shown_after(page, *waits, edited(large))["messages"]["b"] == large, "it is not what it was before"
    found = shown_after(page, *waits, edited("two", "c"))
    assert found["messages"] == {"a": "hello", "b": "one"}, "nothing is known of that one"
    found = shown_after(page, *waits, started("b", 2, "one"), edited("two"))
    assert found["messages"]["b"] == "one", "it has started with what it said then"


def test_a_message_that_another_one_has_and_of_which_nothing_is_known_is_not_shown(page: Page) -> None:
    gone = queued("c"), ended("c", None, "merged", merged_into="b")
    found = shown_after(page, started("a", 1), places(place("b")), *gone)
    assert [each[0] for each in found["shown"]] == ["a"]
    found = shown_after(
        page, started("a", 1), ("sent", {"id": "c", "message": "mine"}), places(place("b")), gone[1]
    )
    assert [each[:3] for each in found["shown"]][1] == ["c", "calm", "Joined with a message that waits."]


def test_a_turn_that_waits_no_longer_is_asked_about_and_shown_as_it_ended(page: Page) -> None:
    gone = started("a", 1), queued("b"), places(place("b")), ("onQueue", [], 1)
    found = shown_after(page, *gone)
    assert found["missed"] == ["b"]
    record = {**ended("b", None, "cancelled")[3], "started_at": None, "began": False}
    record["reason"] = {"code": "user_request", "by": "ada", "text": None}
    record |= {"cancel_requested_at": 5.0, "ended_at": 5.0}
    found = shown_after(page, *gone, ("onMissed", "b", {"ok": True, "status": 200, "data": record}))
    assert found["shown"][1][:3] == ["b", "calm", "Stop: cancelled before it began."]
    found = shown_after(page, *gone, ("onMissed", "b", {"ok": False, "status": 404, "data": {}}))
    assert found["shown"][1][2].startswith("Cut off or forgotten")
    for status in ("running", "completed"):
        begun = {"ok": True, "status": 200, "data": {**record, "status": status, "started_at": 6.0}}
        shown = shown_after(page, *gone, ("onMissed", "b", begun))["shown"]
        assert shown[1][2].endswith("…"), "its events say more"


def test_a_snapshot_says_who_waits(page: Page) -> None:
    snapshot = {"turn": None, "queue": [{**place("b"), "status": "queued"}]}
    found = shown_after(page, ("event", "snapshot", None, snapshot))
    assert [each[0] for each in found["waiting"]] == ["b"]
    assert found["wants"], "what it says is not in the snapshot"


@pytest.mark.parametrize(("rollback", "kind"), [("done", "calm"), ("partly", "bad")])
def test_a_turn_that_was_undone_says_so_and_how_far(page: Page, rollback: str, kind: str) -> None:
    asked = {"cancel_requested_at": 5.0, "ended_at": 5.002, "rollback": rollback}
    reason = {"code": "superseded", "by": None, "text": None}
    end = ended("a", "1-1", "cancelled", reason=reason, rolled_back=rollback == "done", **asked)
    (turn,) = shown_after(page, started("a", 1), end)["shown"]
    assert turn[1] == kind
    assert turn[2].startswith("Replaced by the next message: cancelled after 2 ms. Undone")
    assert turn[2].endswith(("Undone: the conversation is as it was before.", "may be left."))
    (turn,) = shown_after(page, started("a", 1), ended("a", "1-1", "completed", rollback=rollback))["shown"]
    assert turn[2].startswith("Undone")


def test_a_turn_says_what_it_has_used_as_far_as_it_is_known(page: Page) -> None:
    for used, words in (
        ({"input_tokens": 1200, "output_tokens": 34}, "Tokens: 1200 read, 34 written."),
        ({"input_tokens": None, "output_tokens": 0}, "Tokens: 0 written."),
        ({"input_tokens": None, "output_tokens": None}, ""),
    ):
        (turn,) = shown_after(page, started("a", 1), ended("a", "1-1", "completed", usage=used))["shown"]
        assert turn[1:3] == ["calm", words]


def test_a_turn_whose_message_has_joined_another_one_names_that(page: Page) -> None:
    known = "onQueue", [{**place("b"), "message": "hello there"}], 0
    merged = ended("c", None, "merged", merged_into="b", started_at=None, began=False)
    found = shown_after(page, started("a", 1), known, ("sent", {"id": "c", "message": "more"}), merged)
    assert found["shown"][1] == ["c", "calm", "Joined with “hello there”.", ""], "it cannot be sent again"
    assert found["wants"], "the other one has more to say now"
    answer = {"task_status": "merged", "merged_into": "b", "superseded": None}
    found = shown_after(page, started("a", 1), known, ("sent", {"id": "c"}), ("answered", "c", answer))
    assert found["shown"][1][:3] == ["c", "calm", "Joined with “hello there”."]


@pytest.mark.parametrize("code", CancelCode)
def test_a_turn_that_was_cancelled_without_anyone_asking_for_it_may_be_tried_again(
    page: Page, code: CancelCode
) -> None:
    reason = {"code": code.value, "by": None, "text": None}
    end = ended("a", "1-1", "cancelled", reason=reason, cancel_requested_at=5.0, ended_at=5.0)
    ((*_, again),) = shown_after(page, started("a", 1), end)["shown"]
    wished = {
        "user_request",
        "superseded",
        "parent_cancelled",
        "timeout",
        "admin",
        "policy",
        "session_closed",
    }
    assert again == ("" if code in wished else "Try again")


def test_every_reason_to_wait_reads_as_words_and_one_of_a_later_server_does_no_harm(page: Page) -> None:
    def waits(position: int | None, word: str, **more: Any) -> tuple[str, bool]:
        found = shown_after(page, started("a", 1), queued("b"), places(place("b", position, word, **more)))
        (line,) = found["waiting"] or [[None, found["shown"][1][2]]]
        return line[1], bool(found["waiting"])

    assert waits(1, "session_busy") == ("Next, when the reply has ended", True)
    assert waits(2, "session_busy") == ("Waits for those before it", True)
    assert waits(0, "session_busy") == ("Waiting for the turn before it to end…", False)
    text, in_line = waits(None, "not_before", not_before=4102444800.0)
    assert text.startswith("Waits until ")
    assert in_line
    in_all = ": place 2 of your own, 40 wait in all…"
    for word in ("server_cap", "user_cap", "agent_cap", "a_later_one"):
        text, in_line = waits(0, word, standing={"position": 2, "waiting": 40})
        assert text.startswith("Waiting")
        assert text.endswith(in_all)
        assert not in_line
    assert all("_" not in waits(1, word)[0] for word in WaitsFor)


# -- Sending while a turn runs ----------------------------------------------------------------------


def press(page: Page, *keys: str) -> None:
    page.driver.switch_to.active_element.send_keys(*keys)


def say_behind(page: Page, *texts: str) -> None:
    """Send them behind what runs, each when the server has given the one before it a place."""
    for text in texts:
        page.element("#message").send_keys(text, Keys.CONTROL + Keys.ENTER)
        page.wait(lambda text=text: waiting(page)[-1:] == [text], f"{text} waits")
        page.wait(lambda: page.texts("#waiting .number")[-1:] != [""], "it has a place")


def waiting(page: Page) -> list[str]:
    return page.texts("#waiting .text")


def reasons(page: Page) -> list[str]:
    return page.texts("#waiting .why")


def choose(page: Page, way: str) -> None:
    page.wait(page.element("#way").is_displayed, "the server has said that there is a choice")
    page.element(f"#way option[value={way}]").click()


@pytest.fixture
def busy(page: Page) -> Page:
    """A page whose turn runs until it may go on."""
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    return page


def test_a_message_that_is_sent_behind_waits_in_line_and_starts_when_the_reply_has_ended(busy: Page) -> None:
    page = busy
    say_behind(page, "and then?", "and at last?")
    assert page.messages == [LONG]
    page.wait(lambda: page.texts("#waiting .number") == ["1", "2"], "they have their places")
    assert reasons(page) == ["Next, when the reply has ended", "Waits for those before it"]
    assert page.texts("#line-title") == ["2 messages wait. Next: “and then?”"]
    page.go_on()
    page.wait_for_rest("and at last?")
    assert page.messages == [LONG, "and then?", "and at last?"]
    assert page.replies == [LONG, "and then?", "and at last?"]
    assert not page.element("#line").is_displayed()


def test_how_a_message_is_sent_is_chosen_beside_it_and_the_choice_ends_with_what_runs(page: Page) -> None:
    assert not page.element("#way").is_displayed(), "where nothing runs there is nothing to choose"
    assert page.texts("#hint") == ["Enter sends, Shift+Enter starts a new line."]
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    assert page.element("#way").get_attribute("value") == "interrupt"
    options = page.driver.find_elements(By.CSS_SELECTOR, "#way option")
    assert {each.get_attribute("value") for each in options} == set(Strategy) - {Strategy.REJECT}
    choose(page, "enqueue")
    page.wait(lambda: page.texts("#hint") == ["Enter sends behind the reply. Escape stops."], "it says so")
    page.say("and then?")
    page.wait(lambda: waiting(page) == ["and then?"], "it waits")
    page.go_on()
    page.wait_for_rest("and then?")
    page.say(LONG)
    page.wait_for_reply("^w0")
    assert page.element("#way").get_attribute("value") == "interrupt"
    page.element("#message").send_keys(Keys.ESCAPE)


def test_a_reply_can_be_undone_and_is_marked_then_also_after_a_reload(busy: Page) -> None:
    page = busy
    choose(page, "rollback")
    page.say("rather this")
    page.wait_for_rest("rather this")
    undone = "Undone: the conversation is as it was before."
    page.wait(lambda: page.outcomes[0].endswith(undone), "it is marked")
    page.reload()
    page.wait(lambda: page.outcomes[0].endswith(undone), "it still is")
    assert page.element(".turn").get_attribute("data-undone") == "done"
    said = page.server.ask("GET", f"chat/{page.session}/messages")["messages"]
    assert [each["content"] for each in said] == ["rather this", "rather this"]


def test_messages_that_are_joined_wait_as_one_and_say_with_which(busy: Page) -> None:
    page = busy
    choose(page, "collapse")
    page.say("hello there")
    page.wait(lambda: waiting(page) == ["hello there"], "it waits")
    page.say("one more thing")
    page.wait(lambda: waiting(page) == ["hello there\none more thing"], "the other one has joined it")
    page.wait_for_outcome("^Joined with “hello there”\\.$")
    page.go_on()
    page.wait(lambda: page.messages[-1] == "hello there\n\none more thing", "its turn has come")


@pytest.fixture(scope="module")
def patient() -> Iterator[Server]:
    """One whose host says that messages wait, and lets no send say otherwise."""
    policy = {"TURNKEEPER_MULTITASK_STRATEGY": "enqueue", "TURNKEEPER_POLICY_DENY": "strategy"}
    with Server(*SERVE, **policy) as server:
        yield server


def test_where_the_host_says_how_messages_are_sent_there_is_no_choice(
    driver: webdriver.Chrome, patient: Server
) -> None:
    page = Page(driver, patient).open()
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.wait(lambda: page.texts("#hint") == ["Enter sends behind the reply. Escape stops."], "it says so")
    assert not page.element("#way").is_displayed()
    page.say("and then?")
    page.wait(lambda: waiting(page) == ["and then?"], "it waits")
    say_behind(page, "and then?")
    page.go_on()
    page.wait(lambda: page.replies == [LONG, "and then?", "and then?"], "none was refused")


def test_a_message_that_waits_for_a_slot_stays_in_the_conversation_and_says_where_it_stands(
    driver: webdriver.Chrome,
) -> None:
    with Server(*SERVE, TURNKEEPER_ON_CAP="wait", TURNKEEPER_MAX_OF_AGENT="1") as server:
        page = Page(driver, server).open()
        page.send({"message": LONG})
        page.wait_for_reply(BEGUN)
        holder = page.session
        page.open()
        page.server.ask("POST", "chat/before/send", {"message": "me first"})
        page.say("hello")
        page.wait_for_outcome(r"^Waiting until the agent has room: place 2 of your own, 2 wait in all…$")
        page.server.ask("POST", "chat/before/cancel_send_task")
        page.wait_for_outcome(r"^Waiting until the agent has room: place 1 of your own, 1 waits in all…$")
        here = "#sessions [data-session]:has([aria-current]) .standing"
        assert page.texts(here) == ["waiting"]
        say_behind(page, "and then?")
        page.reload()
        page.wait_for_outcome(r"^Waiting until the agent has room")
        page.wait_to_show(messages=["hello"])
        page.wait(lambda: waiting(page) == ["and then?"], "it waits behind that")
        assert page.can_stop
        page.server.ask("POST", f"chat/{holder}/cancel_send_task")
        page.wait_for_rest("and then?")
        assert page.replies == ["hello", "and then?"]


def test_of_a_server_that_has_no_queues_none_is_offered(page: Page) -> None:
    older = """
        const fetched = window.fetch;
        window.fetch = (address, options) =>
          fetched(/\\/(policy|queue)$/.test(address) ? "none" : address, options)
            .finally(() => address.endsWith("/policy") && (window.refused = true));"""
    page.driver.execute_script(older)  # type: ignore[no-untyped-call]
    page.say(LONG)
    page.wait_for_reply(BEGUN)
    page.wait(lambda: page.driver.execute_script("return window.refused"), "it has asked")
    assert page.texts("#hint") == ["Enter replaces the reply. Escape stops."]
    assert not page.element("#way").is_displayed()
    page.say("rather this")
    page.wait_for_rest("rather this")


# -- Looking, moving, editing -----------------------------------------------------------------------


def control(page: Page, name: str, row: int = 0) -> Any:
    """One that can be pressed: while a change is being answered none can be, though it is shown already."""
    found = page.driver.find_elements(By.CSS_SELECTOR, f"#waiting .{name}")[row]
    page.wait(lambda: found.get_attribute("aria-disabled") != "true", f"{name} can be pressed")
    return found


def test_messages_that_wait_are_moved_first_last_and_now(busy: Page) -> None:
    page = busy
    say_behind(page, "one", "two", "three")
    control(page, "first", 2).click()
    page.wait(lambda: waiting(page) == ["three", "one", "two"], "the last one is the first")
    control(page, "last", 0).click()
    page.wait(lambda: waiting(page) == ["one", "two", "three"], "and the last one again")
    control(page, "now", 1).click()
    page.wait_for_outcome("^Replaced by the next message: cancelled after ", turn=0)
    page.wait_for_rest("three")
    assert page.messages == [LONG, "two", "one", "three"]


def test_a_message_that_waits_is_edited_and_says_that_then(busy: Page) -> None:
    page = busy
    say_behind(page, "one", "two")
    control(page, "edit").click()
    field = page.element("#waiting textarea")
    page.wait(lambda: page.driver.switch_to.active_element == field, "it can be written in")
    assert field.get_attribute("value") == "one"
    field.send_keys(" and a half", Keys.ESCAPE)
    page.wait(lambda: not field.is_displayed(), "Escape leaves it as it is")
    assert waiting(page) == ["one", "two"]
    assert page.can_stop, "and stops no turn"
    control(page, "edit").click()
    page.wait(lambda: page.driver.switch_to.active_element == field, "it can be written in")
    field.send_keys(" and a half", Keys.ENTER)
    page.wait(lambda: waiting(page) == ["one and a half", "two"], "it says so")
    page.go_on()
    page.wait_for_rest("two")
    assert page.messages == [LONG, "one and a half", "two"]


def test_a_message_that_waits_is_cancelled_and_can_be_sent_again(busy: Page) -> None:
    page = busy
    say_behind(page, "one", "two")
    control(page, "cancel").click()
    page.wait(lambda: waiting(page) == ["two"], "it waits no longer")
    page.wait_for_outcome(r"^Stop: cancelled before it began\.$")
    assert page.outcomes[0] == "Running…"
    page.element(".turn[data-status=cancelled] .again").click()
    page.wait(lambda: waiting(page) == ["two", "one"], "it waits again, behind the other one")
    assert page.outcomes[0] == "Running…"


def test_a_message_that_waits_for_a_moment_says_for_which(busy: Page) -> None:
    page = busy
    page.send({"message": "is it raining?", "after_seconds": 3600})
    page.wait(lambda: waiting(page) == ["is it raining?"], "it is there")
    assert reasons(page)[0].startswith("Waits until ")
    assert page.texts("#waiting .number") == [""]
    control(page, "first").click()
    page.wait(lambda: reasons(page) == ["Next, when the reply has ended"], "it waits for its turn now")


# -- Stopping ---------------------------------------------------------------------------------------


def test_a_stop_ends_what_runs_and_those_that_wait_go_on(busy: Page) -> None:
    page = busy
    say_behind(page, "one", "two")
    page.element("#stop").click()
    page.wait_for_outcome(r"^Stop: cancelled after (less than 1 ms|\d+ ms|\d+\.\d s)\.$", turn=0)
    page.wait_for_rest("two")
    assert page.messages == [LONG, "one", "two"]


def test_stop_all_ends_what_runs_and_clears_those_that_wait_and_says_how_many(busy: Page) -> None:
    page = busy
    say_behind(page, "one", "two")
    page.element("#stop-all").click()
    page.wait_for_outcome(r"^Stop: .*\. 2 messages that waited were cancelled, too\.$", turn=0)
    page.wait(lambda: page.outcomes[1:] == ["Stop: cancelled before it began."] * 2, "both are cancelled")
    assert page.messages == [LONG, "one", "two"]
    assert not page.element("#line").is_displayed()
    assert not page.can_stop
    assert page.texts("#announcer")[0].endswith("2 messages that waited were cancelled, too.")


def test_stop_all_clears_those_that_wait_for_a_moment_where_nothing_runs(page: Page) -> None:
    page.send({"message": "is it raining?", "after_seconds": 3600})
    page.wait(lambda: waiting(page) == ["is it raining?"], "it is there")
    assert not page.can_stop
    assert page.texts("#sessions [data-session]:has([aria-current]) .standing") == ["waiting"]
    session = page.session
    page.element("#new").click()
    elsewhere = f"#sessions [data-session='{session}'] .standing"
    page.wait(lambda: page.texts(elsewhere) == ["waiting"], "the list says so, too")
    page.driver.back()
    page.wait(lambda: waiting(page) == ["is it raining?"], "it is there again")
    page.element("#stop-all").click()
    page.wait(lambda: waiting(page) == [], "none waits")
    page.wait_for_outcome(r"^Stop: cancelled before it began\.$")


# -- What happens elsewhere, and meanwhile ----------------------------------------------------------


def test_a_reload_shows_those_that_wait_with_what_they_say(busy: Page) -> None:
    page = busy
    say_behind(page, "one", "two")
    page.reload()
    page.wait(lambda: waiting(page) == ["one", "two"], "they are there")
    page.wait(lambda: page.texts("#waiting .number") == ["1", "2"], "at their places")
    page.wait_to_show(messages=[LONG])
    page.go_on()
    page.wait_for_rest("two")


def test_those_that_wait_are_there_although_the_events_that_said_so_are_kept_no_longer(
    host_page: Page,
) -> None:
    page = host_page
    page.driver.execute_script(  # type: ignore[no-untyped-call]
        "document.getElementById('message').value = arguments[0]",
        f"{HALT} {'w ' * (KEPT_EVENTS + 100)}at last {HALT} done",
    )
    page.say("")
    page.wait_for_reply(f"^{HALT} $")
    say_behind(page, "and then?")
    page.go_on()
    page.wait_for_reply(f"at last {HALT} $")
    page.reload()
    page.wait(lambda: waiting(page) == ["and then?"], "it is there")
    page.element("#message").send_keys(Keys.ESCAPE)
    page.wait_for_rest("and then?")


def test_what_becomes_of_those_that_wait_while_the_page_is_away_is_shown(busy: Page) -> None:
    page = busy
    say_behind(page, "one", "two")
    ids = [each["task_id"] for each in page.server.ask("GET", f"chat/{page.session}/queue")["queue"]]
    page.driver.execute_script("dispatchEvent(new Event('pagehide'))")  # type: ignore[no-untyped-call]
    page.server.ask("POST", f"chat/{page.session}/{ids[0]}/cancel")
    page.server.ask("PATCH", f"chat/{page.session}/turns/{ids[1]}", {"message": "two, rather"})
    page.send({"message": "three", "multitask_strategy": "enqueue"})
    back = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    page.driver.execute_script(back)  # type: ignore[no-untyped-call]
    page.wait(lambda: waiting(page) == ["two, rather", "three"], "it has asked")
    page.wait_for_outcome(r"^Stop: cancelled before it began\.$")


def test_those_that_wait_outlive_a_server_that_keeps_them_in_a_file(
    driver: webdriver.Chrome, tmp_path: Path
) -> None:
    keeps = {"TURNKEEPER_DATA": str(tmp_path / "chats.db")}
    with Server(*SERVE, "--port", str(free_port()), **keeps) as server:
        page = Page(driver, server).open()
        page.say(LONG)
        page.wait_for_reply(BEGUN)
        say_behind(page, f"one {HALT} two", "three")
        server.kill()
        page.wait_for_connection("Reconnecting…")
        server.start()
        page.wait_for_connection("Connected")
        page.wait_for_outcome("^Interrupted: ", turn=0)
        page.wait_for_reply(f"^one {HALT} $")
        page.wait(lambda: waiting(page) == ["three"], "the next one is the first now")
        page.go_on()
        page.wait_for_rest("three")
        page.wait_to_show(messages=[LONG, f"one {HALT} two", "three"])


def test_two_tabs_show_the_same_line(busy: Page) -> None:
    page, driver = busy, busy.driver
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        other = Page(driver, page.server).open(page.session)
        other.wait_for_reply(BEGUN)
        say_behind(other, "one", "two")
        control(other, "first", 1).click()
        other.wait(lambda: waiting(other) == ["two", "one"], "it is moved")
    finally:
        driver.close()
        driver.switch_to.window(first)
    page.wait(lambda: waiting(page) == ["two", "one"], "it is moved here, too")
    (ahead, behind) = (
        each["task_id"] for each in page.server.ask("GET", f"chat/{page.session}/queue")["queue"]
    )
    page.server.ask("PATCH", f"chat/{page.session}/turns/{behind}", {"message": "one, rather"})
    page.wait(lambda: waiting(page) == ["two", "one, rather"], "what is edited elsewhere is seen at once")
    page.server.ask("POST", f"chat/{page.session}/{ahead}/cancel")
    page.wait(lambda: waiting(page) == ["one, rather"], "it is gone")
    page.server.ask("POST", f"chat/{page.session}/cancel_send_task")
    page.wait(lambda: waiting(page) == [], "they are gone")


def test_what_is_edited_elsewhere_comes_into_the_field_unless_something_is_typed_there(busy: Page) -> None:
    page = busy
    say_behind(page, "one")
    (waits,) = (each["task_id"] for each in page.server.ask("GET", f"chat/{page.session}/queue")["queue"])
    control(page, "edit").click()
    field = page.element("#waiting textarea")
    page.wait(lambda: page.driver.switch_to.active_element == field, "it can be written in")
    page.server.ask("PATCH", f"chat/{page.session}/turns/{waits}", {"message": "one, rather"})
    page.wait(lambda: field.get_attribute("value") == "one, rather", "it is there")
    field.send_keys("!")
    page.server.ask("PATCH", f"chat/{page.session}/turns/{waits}", {"message": "two"})
    page.wait(lambda: waiting(page) == ["two"], "it says that now")
    assert field.get_attribute("value") == "one, rather!"
    field.send_keys(Keys.ENTER)
    page.wait(lambda: waiting(page) == ["one, rather!"], "what was typed last counts")


def test_the_field_of_a_long_message_is_shown_with_its_buttons(busy: Page) -> None:
    page = busy
    for text in ("one", "word " * 200):
        page.send({"message": text, "multitask_strategy": "enqueue"})
    page.wait(lambda: len(waiting(page)) == 2, "both wait")
    control(page, "edit", 1).click()
    script = """
        const [list, button] = ["#waiting", "#waiting form:not([hidden]) .save"].map((each) =>
          document.querySelector(each)?.getBoundingClientRect());
        return Boolean(button) && button.bottom <= list.bottom + 1;"""
    page.wait(lambda: page.driver.execute_script(script), "both are seen")  # type: ignore[no-untyped-call]


HOLD = """
    const fetched = window.fetch;
    const held = new Promise((resolve) => (window.letGo = resolve));
    window.fetch = async (address, options) => {
      if (options.method === "PATCH") await held;
      return fetched(address, options);
    };"""


def test_a_move_of_a_turn_that_has_started_meanwhile_says_so(busy: Page) -> None:
    page = busy
    say_behind(page, "one")
    page.driver.execute_script(HOLD)  # type: ignore[no-untyped-call]
    control(page, "now").click()
    page.go_on()
    page.wait_for_rest("one")
    page.driver.execute_script("letGo()")  # type: ignore[no-untyped-call]
    said = ["Not moved: it has started, or has ended, meanwhile."]
    page.wait(lambda: page.texts("#line-problem") == said, "it says so")
    assert page.element("#line-problem").get_attribute("role") == "alert"
    page.say("on")
    page.wait_for_rest("on")
    assert page.texts("#line-problem") == [""]


@pytest.mark.parametrize("is_saved", [False, True])
def test_what_was_written_into_a_message_that_starts_meanwhile_is_kept(busy: Page, is_saved: bool) -> None:
    page = busy
    say_behind(page, "one")
    control(page, "edit").click()
    field = page.element("#waiting textarea")
    page.wait(lambda: page.driver.switch_to.active_element == field, "it can be written in")
    page.driver.execute_script(HOLD)  # type: ignore[no-untyped-call]
    field.send_keys(" and a half", *([Keys.ENTER] if is_saved else []))
    page.go_on()
    page.wait_for_rest("one")
    page.driver.execute_script("letGo()")  # type: ignore[no-untyped-call]
    page.wait(lambda: page.element("#message").get_attribute("value") == "one and a half", "it is kept")
    page.wait(lambda: page.texts("#line-problem")[0].startswith("“one” has started"), "and it is said where")
    assert page.driver.switch_to.active_element.get_attribute("id") == "message"


# -- Hands, eyes and small screens ------------------------------------------------------------------


def test_everything_about_those_that_wait_can_be_done_with_the_keyboard(busy: Page) -> None:
    page = busy

    def focused() -> str:
        return page.driver.switch_to.active_element.get_attribute("aria-label") or ""

    say_behind(page, "one", "two")
    press(page, Keys.SHIFT + Keys.TAB)
    assert focused() == "Cancel: “two”"
    for name in ("Edit", "Move to the last place", "Move to the first place"):
        press(page, Keys.SHIFT + Keys.TAB)
        assert focused() == f"{name}: “two”"
    press(page, Keys.ENTER)
    page.wait(lambda: waiting(page) == ["two", "one"], "it is moved")
    assert focused() == "Move to the first place: “two”", "the hands are where they were"
    page.wait(
        lambda: page.texts("#announcer") == ["Next, when the reply has ended"], "it is said where it is"
    )
    control(page, "cancel")  # it can be pressed again
    for _ in range(3):
        press(page, Keys.TAB)
    assert focused() == "Cancel: “two”"
    press(page, Keys.ENTER)
    page.wait(lambda: waiting(page) == ["one"], "it is cancelled")
    row = page.element("#waiting li")
    page.wait(lambda: page.driver.switch_to.active_element == row, "the next message is at hand")
    press(page, Keys.ENTER)
    for _ in range(5):
        press(page, Keys.TAB)
    assert focused() == "Cancel: “one”", "and a second press has hit nothing"
    press(page, Keys.ENTER)
    page.wait(lambda: waiting(page) == [], "it is cancelled, too")
    page.wait(lambda: page.driver.switch_to.active_element.get_attribute("id") == "message", "and on")


def test_those_that_wait_fit_a_phone_and_every_control_has_a_name(busy: Page) -> None:
    page = busy
    for text in ("word " * 100 + "x" * 300, "<b>bold</b>"):
        page.send({"message": text, "multitask_strategy": "enqueue"})
    page.wait(lambda: waiting(page)[1:] == ["<b>bold</b>"], "both wait")
    assert not page.driver.find_elements(By.CSS_SELECTOR, "#waiting b")
    for each in page.driver.find_elements(By.CSS_SELECTOR, "footer :is(button, select, textarea)"):
        if each.is_displayed():
            assert each.accessible_name
    assert page.element("#line-title").get_attribute("aria-live") == "polite"
    with page.screen(width=320, height=560):
        widths = page.driver.execute_script(  # type: ignore[no-untyped-call]
            "return ['html', 'main', '#waiting'].map((each) => document.querySelector(each).scrollWidth)"
        )
        assert max(widths) <= 320
        assert page.element("#send").is_displayed()
        assert page.element("main").size["height"] > 60, "the conversation is still there"
    page.element("#message").send_keys(Keys.ESCAPE)
