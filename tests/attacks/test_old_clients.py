"""What clients written for the old server meet."""

import threading
import time
from typing import NamedTuple

from tests.attacks.clients import Client, Ended, Stream
from tests.attacks.rig import attack
from tests.attacks.server import Server

#: The longest `retry:` that a reader does not notice, in milliseconds.
SMALL_RETRY = 100
SILENT_FOR = 5.0


# -- The XHR client after Stop ----------------------------------------------------------------------


class AfterStop(NamedTuple):
    """What one response shows of a Stop and of the turn after it."""

    status: int
    close_texts: list[str]
    ended_after_stop: bool
    deltas_of_next_turn: int
    ended_after_delete: bool


NEXT = 5


def after_stop(server: Server, close_on: str | None) -> AfterStop:
    """Stop a turn and send another message, with one stream open all the time, then close the session."""
    query, session = ("", "old") if close_on is None else (f"?close_on={close_on}", f"old-{close_on}")
    with Client(server) as client, Stream(server, session, query=query, patience=SILENT_FOR) as stream:
        if stream.status != 200:
            return AfterStop(stream.status, [], True, 0, True)
        task = client.send(session, "ticks").json["task_id"]
        stream.until("delta")
        assert client.stop(session, task).json["verdict"] == "cancelled"
        stream.until("close")
        client.send(session, f"say {NEXT}")
        before = len(stream.seen)
        try:
            stream.until("turn.completed")
        except Ended:
            assert stream.ended, "it neither ended nor went on"
        ended = stream.ended
        deltas = sum(event.name == "delta" for event in stream.seen[before:])
        client.ask("DELETE", f"/chat/{session}")
        stream.rest()
        texts = [event.data for event in stream.seen if event.name == "close"]
        return AfterStop(stream.status, texts, ended, deltas, stream.ended)


@attack("after the first Stop the XHR client is dead until reload: the response ends after `close`")
def xhr_after_stop() -> dict[str, AfterStop]:
    with Server() as server:
        asked = {str(each): after_stop(server, each) for each in (None, "cancelled", "superseded", "never")}
    with Server(close_on="never") as server:
        return {**asked, "None, by the setting never": after_stop(server, None)}


def test_a_stop_ends_the_stream_by_default_and_not_with_never() -> None:
    seen = xhr_after_stop()
    ends = AfterStop(200, ["Task cancelled"], True, 0, True)
    goes_on = AfterStop(200, ["Task cancelled", "Session closed"], False, NEXT, True)
    assert seen == {
        "None": ends,
        "cancelled": ends,
        "superseded": ends,
        "never": goes_on,
        "None, by the setting never": goes_on,
    }


# -- An EventSource after Stop ----------------------------------------------------------------------


class Silence(NamedTuple):
    """What an EventSource is told when its stream ends."""

    retry_ms_after_stop: int
    retry_ms_after_delete: int
    next_words_after_ms: float


@attack("an EventSource is mute for up to 2 s after Stop; a retry of 20 ms brings 1.2 s under 0.1 s")
def silence_after_stop() -> Silence:
    with Server() as server, Client(server) as client:
        with Stream(server, "s") as stream:
            task = client.send("s", "ticks").json["task_id"]
            stream.until("delta")
            client.stop("s", task)
            stream.rest()
            retry = stream.retry or 0
        sent = time.perf_counter()
        client.send("s", "ticks")
        threading.Event().wait(retry / 1000)  # as an EventSource does
        with Stream(server, "s", cursor=stream.cursor) as again:
            again.until("delta")
            late = time.perf_counter() - sent
        with Stream(server, "closed") as closed:
            client.run("closed", "touch")
            client.ask("DELETE", "/chat/closed")
            closed.rest()
        return Silence(retry, closed.retry or 0, round(late * 1000, 1))


def test_an_eventsource_is_back_at_once_after_a_stop_and_only_then() -> None:
    seen = silence_after_stop()
    assert seen.retry_ms_after_stop <= SMALL_RETRY
    assert seen.retry_ms_after_delete > SMALL_RETRY, "an end that invites nobody has no small retry"


# -- Cursors ----------------------------------------------------------------------------------------


class Resumed(NamedTuple):
    """What a reconnect with a cursor gets."""

    status: int
    events: list[str]
    ended: bool


def resumed(server: Server, session: str, cursor: str, patience: float = 0.6) -> Resumed:
    with Stream(server, session, cursor=cursor, patience=patience) as stream:
        events = [event.name for event in stream.rest()]
        return Resumed(stream.status, events, stream.ended)


@attack("a reconnect to a closed session gets what lies after its cursor and `close`, or 204")
def reconnects_to_a_closed_session() -> dict[str, Resumed]:
    with Server() as server, Client(server) as client:
        with Stream(server, "s") as stream:
            client.send("s", "say 5")
            stream.until("turn.completed")
        middle = next(event.id for event in stream.seen if event.data == '{"text":"2 "}')
        assert middle is not None
        assert stream.cursor is not None
        client.ask("DELETE", "/chat/s")
        return {
            "from the middle": resumed(server, "s", middle),
            "from the end": resumed(server, "s", stream.cursor),
        }


@attack("a cursor on an unknown id is a gap (not for 0), and an idle snapshot")
def reconnects_to_an_unknown_id() -> dict[str, Resumed]:
    with Server() as server:
        return {
            "a cursor": resumed(server, "unknown", "1-3"),
            "0": resumed(server, "unknown-too", "0"),
        }


class Opened(NamedTuple):
    """What a cursor on an unknown id leaves behind, and what it shows of the first turn there."""

    session_known: bool
    first_ids: list[str]


@attack("a cursor on an unknown id opens nothing")
def opened_by_a_cursor() -> Opened:
    with Server() as server, Client(server) as client, Stream(server, "new", cursor="1-3") as stream:
        stream.until("snapshot")
        known = client.get("/chat/new").status == 200
        client.send("new", "say 2")
        stream.until("turn.completed")
        return Opened(known, [(event.id or "").partition("-")[2] for event in stream.seen if event.id])


def test_a_reconnect_to_a_closed_session_gets_what_is_left_and_then_nothing_more() -> None:
    seen = reconnects_to_a_closed_session()
    rest = ["delta", "delta", "turn.completed", "close"]
    assert seen["from the middle"] == Resumed(200, rest, True)
    assert seen["from the end"] == Resumed(204, [], True)


def test_a_cursor_on_an_unknown_id_is_a_gap_and_opens_nothing() -> None:
    seen = reconnects_to_an_unknown_id()
    assert seen["a cursor"] == Resumed(200, ["gap", "snapshot"], False)
    assert seen["0"] == Resumed(200, ["snapshot"], False)
    assert opened_by_a_cursor() == Opened(False, ["0", "1", "2", "3"])


# -- Messages without content -----------------------------------------------------------------------

EMPTY: dict[str, object] = {
    "no parts": [],
    "empty text": "",
    "a part with empty text": [{"type": "text", "text": ""}],
    "two of them": [{"type": "text", "text": ""}, {"type": "text", "text": ""}],
}


@attack("a message without a part, or with empty text only, is accepted")
def empty_messages() -> dict[str, str]:
    with Server() as server, Client(server) as client:
        found = {}
        for name, message in EMPTY.items():
            for form, body in (("object", {"message": message}), ("list", message)):
                if isinstance(body, dict | list):
                    answer = client.ask("POST", "/chat/s/send", body)
                    found[f"{name}, {form}"] = f"{answer.status} {answer.code or 'accepted'}"
        return found


def test_a_message_without_content_is_refused() -> None:
    assert set(empty_messages().values()) == {"422 INVALID_REQUEST"}


# -- A turn that never began ------------------------------------------------------------------------


class Hammered(NamedTuple):
    """What became of sends that came one upon the other."""

    answered_running: int
    never_ran: int
    records_without_began: int
    records_that_lie: int
    answers_that_lie: int


SESSIONS, SENDERS, SENDS = 10, 6, 150


@attack("3,849 of 35,875 hammered sends were answered `running` and never ran a line")
def hammered() -> Hammered:
    """Send to a few sessions from many connections, each send superseding the one before."""
    answers: list[tuple[str, dict[str, object]]] = []
    with Server(kept_turns=SENDERS * SENDS) as server:

        def hammer() -> None:
            with Client(server) as client:
                for number in range(SENDS):
                    session = f"h{number % SESSIONS}"
                    answer = client.send(session, "hold")
                    if answer.status == 202:
                        answers.append((session, answer.json))

        threads = [threading.Thread(target=hammer) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with Client(server) as client:
            for number in range(SESSIONS):
                client.ask("POST", f"/chat/h{number}/cancel_send_task")
            running = never = silent = lies = answer_lies = 0
            for session, answer in answers:
                turn = client.get(f"/chat/{session}/turns/{answer['task_id']}").json
                ran = any(moment["step"] == "first_event" for moment in turn["timeline"])
                said = answer["task_status"] == "running"
                running += said
                never += said and not ran
                silent += "began" not in turn
                lies += turn.get("began", ran) is not ran
                answer_lies += "began" in answer and answer["began"] is not ran
        return Hammered(running, never, silent, lies, answer_lies)


def test_a_turn_says_whether_its_agent_began() -> None:
    seen = hammered()
    assert seen.answered_running > 0
    assert seen.records_without_began == 0
    assert seen.records_that_lie == 0
    assert seen.answers_that_lie == 0
