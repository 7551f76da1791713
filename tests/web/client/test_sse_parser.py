import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.web.client.sse_parser import SseParser, StreamEvent


def parsed(wire: bytes, size: int = 1_000_000) -> list[StreamEvent]:
    parser = SseParser()
    return [each for at in range(0, len(wire), size) for each in parser.feed(wire[at : at + size])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_is_parsed_however_it_is_cut_into_pieces(size: int) -> None:
    wire = 'retry: 2000\n\n:\n\nid: 7-0\nevent: delta\ndata: {"text": "ü"}\r\n\r\n'
    wire += "event: close\ndata: Task\ndata: end\n\n"
    events = parsed(wire.encode(), size)

    assert events == [
        StreamEvent("7-0", "delta", '{"text": "ü"}'),
        StreamEvent(None, "close", "Task\nend"),
    ]
    assert (events[0].cursor, events[0].data, events[1].data) == ("7-0", {"text": "ü"}, "Task\nend")


@given(st.text("ab:\n\r\0 ", max_size=30), st.integers(1, 5))
def test_where_a_stream_is_cut_makes_no_difference(tail: str, size: int) -> None:
    wire = f"id: 1\ndata: x{tail}\n\n\n".encode()

    assert parsed(wire, size) == parsed(wire)


def test_lines_may_end_in_three_ways() -> None:
    assert parsed(b"data: 1\r\rdata: 2\n\ndata: 3\r\n\r\n", 1) == [
        StreamEvent(None, "message", text) for text in "123"
    ]


def test_the_last_id_outlives_events_that_carry_none() -> None:
    parser = SseParser()
    assert [event.id for event in parser.feed(b"id: 1\ndata: a\n\ndata: b\n\nid: 2\n")] == ["1", None]
    assert parser.last_id == "1", "the second event is not whole yet"
    assert parser.feed(b"\n") == []
    assert parser.last_id == "2"
    parser.feed(b"id: 3\0\ndata: c\n\n")
    assert parser.last_id == "2", "no id holds a null character"


def test_a_snapshot_moves_the_cursor_to_where_it_says() -> None:
    assert StreamEvent(None, "snapshot", '{"cursor": "7-3"}').cursor == "7-3"
    assert StreamEvent(None, "gap", "{}").cursor is None


def test_an_empty_id_takes_the_last_one_back() -> None:
    parser = SseParser()
    parser.feed(b"id: 1\ndata: a\n\nid\ndata: b\n\n")
    assert parser.last_id == ""
