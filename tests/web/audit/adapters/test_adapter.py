import pytest

from turnkeeper.web.audit.adapters.adapter import Adapter, HangUp, Stop
from turnkeeper.web.audit.adapters.built_in import OURS, built_in
from turnkeeper.web.audit.adapters.verb import Call, Verb

TURNKEEPER = built_in(OURS)


def test_our_own_server_is_spoken_to_as_its_api_says() -> None:
    send = TURNKEEPER.send.fill(session="s", message="hi", turn="t")
    assert (send.method, send.path) == ("POST", "/chat/s/send")
    assert send.body == b'{"message": "hi", "task_id": "t"}'
    assert TURNKEEPER.turn_of({"task_id": "t"}) == "t"
    assert isinstance(TURNKEEPER.stop, Stop)
    assert TURNKEEPER.stop.request.fill(session="s") == Call("POST", "/chat/s/cancel_send_task", {})
    assert TURNKEEPER.stop_turn is not None
    assert TURNKEEPER.stop_turn.request.fill(session="s", turn="t") == Call("POST", "/chat/s/t/cancel", {})
    assert TURNKEEPER.read("s", "") == Call("GET", "/chat/s/events", {"Last-Event-ID": "0"})
    assert TURNKEEPER.read("s", "7-1").headers == {"Last-Event-ID": "7-1"}
    assert TURNKEEPER.chooses_turn
    assert TURNKEEPER.can_race
    assert list(TURNKEEPER.unchecked) == []


@pytest.mark.parametrize(
    ("status", "answer", "stopped"),
    [
        (200, {"verdict": "cancelled"}, True),
        (200, {"verdict": "finished_first"}, True),
        (200, {"verdict": "unresponsive"}, False),
        (202, {"verdict": "requested"}, False),
        (404, {"verdict": "not_running"}, False),
        (500, {"verdict": "cancelled"}, False),
        (200, None, False),
        (200, [], False),
    ],
)
def test_what_our_answers_to_a_stop_say(status: int, answer: object, stopped: bool) -> None:
    for stop in (TURNKEEPER.stop, TURNKEEPER.stop_turn):
        assert isinstance(stop, Stop)
        assert stop.says_stopped(status, answer) is stopped


def test_a_server_may_say_it_with_its_status_alone_or_with_true() -> None:
    assert Stop(request=Verb(), field="").says_stopped(204, None)
    for status in (202, 409):
        assert not Stop(request=Verb(), field="").says_stopped(status, None)
    assert Stop(request=Verb(), field="done", words=("true",)).says_stopped(200, {"done": True})


def test_a_stop_that_hangs_up_may_race_its_send() -> None:
    assert not Adapter().can_race
    assert Adapter(answers_with_stream=True, stop=HangUp()).can_race


def test_a_cursor_is_put_where_it_belongs() -> None:
    stream = Verb("GET", "/r/{turn}?after={cursor}")
    adapter = Adapter(answers_with_stream=True, stream=stream, cursor_start="0")
    assert adapter.read("s", "7", turn="t") == Call("GET", "/r/t?after=7", {})
    assert adapter.read("s", "", turn="t") == Call("GET", "/r/t?after=0", {})


def test_what_cannot_be_measured_is_known_with_its_reason() -> None:
    nothing = Adapter(answers_with_stream=True, send=Verb(body="{message}"), stop=HangUp(), stream=None)
    assert list(nothing.unchecked) == [
        "readers who come back: there is no request for the rest of a reply",
        "turns that overlap: a message does not name its session",
        "late Stops: a Stop does not name its turn",
    ]
