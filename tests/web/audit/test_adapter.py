import pytest

from turnkeeper.web.audit.adapter import OURS, Adapter, Call, Verb, look_up

# -- What is sent -----------------------------------------------------------------------------------


def test_a_request_is_filled_in_and_what_is_filled_in_is_escaped() -> None:
    verb = Verb("POST", "/s/{session}/x", '{"m": "{message}", "n": {other}}', {"X-Session": "{session}"})
    assert verb.fill(session="a/b c", message='say "hi"\n{session}') == Call(
        "POST",
        "/s/a%2Fb%20c/x",
        {"Content-Type": "application/json", "X-Session": "a/b c"},
        b'{"m": "say \\"hi\\"\\n{session}", "n": {other}}',
    )


def test_a_request_without_a_body_says_nothing_of_its_type() -> None:
    assert Verb("GET", "/stream").fill(session="s") == Call("GET", "/stream", {})


def test_our_own_server_is_spoken_to_as_its_api_says() -> None:
    send = OURS.send.fill(session="s", message="hi", turn="t")
    assert (send.method, send.path) == ("POST", "/chat/s/send")
    assert send.body == b'{"message": "hi", "task_id": "t"}'
    assert OURS.turn_of({"task_id": "t"}) == "t"
    assert OURS.stop_turn is not None
    assert OURS.stop_turn.fill(session="s", turn="t") == Call("POST", "/chat/s/t/cancel", {})
    assert OURS.read("s", "") == Call("GET", "/chat/s/events", {"Last-Event-ID": "0"})
    assert OURS.read("s", "7-1").headers == {"Last-Event-ID": "7-1"}
    assert OURS.chooses_turn
    assert OURS.can_race


# -- What comes back --------------------------------------------------------------------------------


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
    assert OURS.says_stopped(status, answer) is stopped


def test_a_server_may_say_it_with_its_status_alone_or_with_true() -> None:
    assert Adapter(stop_field="").says_stopped(204, None)
    assert not Adapter(stop_field="").says_stopped(409, None)
    assert Adapter(stop_field="done", stop_words=("true",)).says_stopped(200, {"done": True})


def test_a_text_is_found_by_event_and_field() -> None:
    adapter = Adapter(stream_event="delta", stream_field="choices.0.delta.content")
    assert adapter.text_of("delta", '{"choices": [{"delta": {"content": "hi"}}]}') == "hi"
    assert adapter.text_of("delta", '{"choices": []}') == ""
    assert adapter.text_of("delta", '{"choices": [{"delta": {"content": 1}}]}') == ""
    assert adapter.text_of("delta", "[DONE]") == ""
    assert adapter.text_of("other", '{"choices": [{"delta": {"content": "hi"}}]}') == ""
    assert Adapter(stream_field="").text_of("message", "plain") == "plain"


def test_nothing_is_found_where_nothing_stands() -> None:
    assert look_up({"a": [{"b": 1}]}, "a.0.b") == 1
    for path in ("a.1.b", "a.b", "c", "a.0.b.c"):
        assert look_up({"a": [{"b": 1}]}, path) is None
