import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.audit.adapters import (
    OURS,
    Adapter,
    Call,
    Frames,
    Tokens,
    Verb,
    check_url,
    look_up,
    read_adapter,
    token,
)

EXAMPLE = Path(__file__).parent.parent.parent.parent / "docs" / "examples" / "audit_plain.toml"


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


# -- From TOML --------------------------------------------------------------------------------------


def test_the_example_says_what_holds_without_it_and_knows_every_entry() -> None:
    text = EXAMPLE.read_text()
    assert read_adapter(text) == read_adapter("") == Adapter()
    said = tomllib.loads(text)
    assert set(said["send"]) == {"method", "path", "body", "headers", "turn"}
    assert set(said["stop"]) == {"method", "path", "body", "headers", "field", "stopped"}
    assert set(said["stream"]) == {"method", "path", "headers", "event", "field", "cursor", "start"}


def test_an_adapter_is_read() -> None:
    adapter = read_adapter("""
        name = "mine"
        [send]
        method = "put"
        path = "/c/{session}"
        body = "{message}"
        headers = {Authorization = "Bearer x"}
        turn = "data.id"
        [stop]
        path = "/c/{session}/stop"
        body = ""
        stopped = ["halted"]
        [stop_turn]
        path = "/t/{turn}/stop"
        body = ""
        [stream]
        path = "/c/{session}/events"
        cursor = "Last-Event-ID"
    """)
    assert adapter.name == "mine"
    assert adapter.send == Verb("PUT", "/c/{session}", "{message}", {"Authorization": "Bearer x"})
    assert adapter.turn_of({"data": {"id": 7}}) == "7"
    assert adapter.stop_turn == Verb("POST", "/t/{turn}/stop", "")
    assert adapter.says_stopped(200, {"status": "halted"})
    assert not adapter.says_stopped(200, {"status": "stopped"})
    assert adapter.read("s", "5") == Call("GET", "/c/s/events", {"Last-Event-ID": "5"})
    assert adapter.read("s", "").headers == {}
    assert not adapter.chooses_turn


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not TOML"),
        ("[sned]", "unknown entry 'sned'"),
        ("send = 1", "a table"),
        ("[send]\nurl = '/x'", "unknown entry 'url'"),
        ("[send]\npath = 'x'", "starts with /"),
        ("[send]\npath = 'http://192.0.2.1/'", "starts with /"),
        ("[send]\npath = 1", "path in the adapter is a text"),
        ("[send]\nheaders = {a = 1}", "headers"),
        ("[stop]\nstopped = 'ok'", "a list of texts"),
        ("[stop]\nstopped = 1", "a list of texts"),
    ],
)
def test_an_adapter_that_says_something_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_adapter(text)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "http://localhost:1/", "http://[::1]:80/x/"])
def test_a_server_on_this_machine_may_be_audited(url: str) -> None:
    assert check_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "http://192.0.2.1:80", "http://0.0.0.0:80", "http://localhost.example.com",
     "http://127.0.0.1@example.com/", "127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://[::1", "",
     "http://127.0.0.1:80/?x=1", "http://127.0.0.1:99999"],
)  # fmt: skip
def test_no_other_server_is_audited(url: str) -> None:
    with pytest.raises(InvalidRequest):
        check_url(url)


# -- Streams ----------------------------------------------------------------------------------------

STREAM = (
    ": hello\r\n\r\nid: 1\nevent: delta\ndata: ä\n\n"
    "data:a\rdata: b\r\r\nid: 3\n\nretry: 5\nid\ndata\n\nid: 4\ndata: lost"
)


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=12))
def test_events_are_the_same_however_a_stream_is_cut(cuts: list[int]) -> None:
    data, frames, events, at = STREAM.encode(), Frames(), list[tuple[str, str]](), 0
    for cut in [*sorted(cuts), len(data)]:
        events += frames.feed(data[at:cut])
        at = cut
    assert events == [("delta", "ä"), ("message", "a\nb"), ("message", "")]
    assert frames.last_id == ""


def test_the_last_id_is_that_of_a_complete_event() -> None:
    frames = Frames()
    frames.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n")
    assert frames.last_id == "1"
    frames.feed(b"\n")
    assert frames.last_id == "2"


@given(st.lists(st.tuples(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.integers(0, 99_999))), st.data())
def test_tokens_are_found_however_their_text_is_cut(
    tokens: list[tuple[str, int]], data: st.DataObject
) -> None:
    text = "so: " + " ".join(token(*each) for each in tokens)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    found, reader, at = list[tuple[str, int]](), Tokens(), 0
    for cut in [*sorted(cuts), len(text)]:
        found += reader.feed(text[at:cut])
        at = cut
    assert found == tokens
