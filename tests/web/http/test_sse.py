"""An event as bytes, read back as the standard says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.fakes_web import EventSourceParser, any_json
from turnkeeper.actors.events.event import CLOSE, Event, check_name
from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.web.http import sse


def parsed(
    data: bytes, *, cut: int | None = None
) -> tuple[list[tuple[str | None, str, str]], EventSourceParser]:
    parser = EventSourceParser()
    pieces = [data] if cut is None else [data[:cut], data[cut:]]
    messages = [message for piece in pieces for message in parser.feed(piece)]
    return [(message.own_id, message.event, message.data) for message in messages], parser


def test_an_event_is_its_id_its_name_and_one_line_of_data() -> None:
    wire = sse.encode_event(Event("delta", epoch=1700, n=3, text='{"text":"a"}'))

    assert wire == b'id: 1700-3\nevent: delta\ndata: {"text":"a"}\n\n'


def test_an_event_about_the_stream_itself_leaves_the_cursor_alone() -> None:
    assert sse.encode_event(Event("snapshot", text="{}")) == b"event: snapshot\ndata: {}\n\n"


def test_close_says_its_text_as_it_is() -> None:
    assert sse.encode_event(Event(CLOSE, text="Task cancelled")) == b"event: close\ndata: Task cancelled\n\n"


def test_an_event_is_encoded_once_however_many_read_it() -> None:
    event = Event("delta", epoch=1, n=1, text="1")

    assert sse.encode_event(event) is sse.encode_event(event)


def test_retry_is_in_milliseconds_and_a_heartbeat_is_nothing_to_a_reader() -> None:
    events, parser = parsed(sse.encode_retry(2.5) + sse.HEARTBEAT)

    assert events == []
    assert parser.retry == 2500
    assert parser.comments == 1


def is_a_name(name: str) -> bool:
    try:
        check_name(name)
    except Exception:  # noqa: BLE001 - refused, whatever the reason
        return False
    return True


event_names = st.text(min_size=1, max_size=20).filter(is_a_name)


@given(st.lists(st.tuples(event_names, any_json, st.integers(0, 2**60), st.integers(0, 2**40))), st.data())
def test_whatever_an_agent_emits_a_reader_of_the_standard_reads_back(
    emitted: list[tuple[str, Any, int, int]], data: st.DataObject
) -> None:
    wire = b"".join(
        sse.encode_event(Event(name, epoch=epoch, n=n, text=to_json(value)))
        for name, value, epoch, n in emitted
    )
    cut = data.draw(st.integers(0, len(wire)))

    events, _ = parsed(wire, cut=cut)

    assert [(own_id, name, json.loads(text)) for own_id, name, text in events] == [
        (f"{epoch}-{n}", name, value) for name, value, epoch, n in emitted
    ]


@given(st.text())
def test_any_text_can_be_written_on_one_line_or_is_refused(text: str) -> None:
    try:
        line = to_json({"text": text})
    except EventNotJson:
        assert any(0xD800 <= ord(char) <= 0xDFFF for char in text)
    else:
        assert "\n" not in line
        assert "\r" not in line


@pytest.mark.parametrize("size", [1, sse.PIECE // 10, sse.PIECE, 3 * sse.PIECE])
def test_events_are_joined_into_few_pieces_and_lose_nothing(size: int) -> None:
    events = [Event("delta", epoch=7, n=n, text=json.dumps("x" * size)) for n in range(25)]
    pieces = list(sse.encode_events(events))

    assert b"".join(pieces) == b"".join(map(sse.encode_event, events))
    longest = max(len(sse.encode_event(event)) for event in events)
    assert all(len(piece) < sse.PIECE + longest for piece in pieces)
    assert all(len(piece) >= sse.PIECE for piece in pieces[:-1])
