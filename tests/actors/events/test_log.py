"""What a session published: numbered, bounded, replayable from a cursor (G7, G8)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turns import record, spec
from turnkeeper.actors.events.event import Event, cut_off_event, started_event
from turnkeeper.actors.events.log import EventLog, Gap, Reached, reached
from turnkeeper.actors.model.records import TurnId
from turnkeeper.actors.model.words import TurnStatus

LONG = ["9" * 400, "1-" + "9" * 400]
MANY, HUGE = 1_000, 1 << 30
SPEC = spec()


def numbered(epoch: int, n: int, text: str = "null") -> Event:
    return Event("word", epoch=epoch, n=n, text=text)


def log_of(*ids: tuple[int, int] | None, max_events: int = MANY) -> EventLog:
    """A log of events with these ids; ``None`` is an event without one."""
    log = EventLog()
    for each in ids:
        log.append(Event("unnumbered") if each is None else numbered(*each), max_events, HUGE)
    return log


def ids_from(log: EventLog, position: int) -> list[str | None]:
    return [event.id for event in log.read(position, MANY)]


def after(log: EventLog, cursor: str | None, current: int | None = None) -> list[str | None]:
    """The ids that a reader with this cursor gets."""
    found = log.locate(cursor, current)
    assert isinstance(found, int), found
    return ids_from(log, found)


def gap(log: EventLog, cursor: str, current: int | None = None) -> Gap:
    found = log.locate(cursor, current)
    assert isinstance(found, Gap), found
    return found


def test_what_was_appended_is_read_in_order() -> None:
    log = log_of((1, 0), (1, 1), (2, 0))
    assert ids_from(log, 0) == ["1-0", "1-1", "2-0"]
    assert ids_from(log, 2) == ["2-0"]
    assert log.read(log.head, MANY) == []


def test_reading_hands_out_no_more_than_asked_for() -> None:
    assert len(log_of(*[(1, n) for n in range(10)]).read(3, 4)) == 4


def test_no_more_events_than_allowed_are_kept() -> None:
    """G8."""
    log = log_of(*[(1, n) for n in range(500)], max_events=10)
    assert ids_from(log, 0) == [f"1-{n}" for n in range(490, 500)]
    assert log.head == 500
    assert log.first == 490


def test_a_log_that_is_full_to_the_byte_has_dropped_nothing() -> None:
    full = log_of(*[(1, n) for n in range(4)])
    for spare, first in ((0, 0), (-1, 1)):
        log = EventLog()
        for n in range(4):
            log.append(numbered(1, n), MANY, full.size + spare)
        assert ids_from(log, 0) == [f"1-{n}" for n in range(first, 4)]


def test_no_more_bytes_than_allowed_are_kept() -> None:
    """G8."""
    log = EventLog()
    for n in range(100):
        log.append(numbered(1, n, "x" * 1_000), MANY, 10_000)
    assert log.size <= 10_000
    assert ids_from(log, 0)[-1] == "1-99"
    assert len(ids_from(log, 0)) == 8


def test_the_newest_event_is_kept_however_large_it_is() -> None:
    log = log_of((1, 0))
    log.append(numbered(1, 1, "x" * 5_000), MANY, 1_000)
    assert ids_from(log, 0) == ["1-1"]


def test_the_size_is_that_of_what_is_kept() -> None:
    log = EventLog()
    for n in range(1_000):
        log.append(numbered(1, n, "x" * n), 7, HUGE)
    kept = EventLog()
    for n in range(993, 1_000):
        kept.append(numbered(1, n, "x" * n), 7, HUGE)
    assert log.size == kept.size


def test_an_event_that_was_read_meanwhile_does_not_upset_the_size() -> None:
    """Events of ours are written as JSON when they are read: their size must not change on the way out."""
    log = EventLog()
    for n in range(200):
        event = Event("turn.started", epoch=1, n=n, source=SPEC)
        log.append(event, 5, HUGE)
        before = log.size
        assert '"hi"' in event.json
        assert log.size == before
    assert log.size == sum(event.size + 200 for event in log.read(0, MANY))


@pytest.mark.parametrize(
    "message",
    ["x" * 1_000, [{"type": "text", "text": "x" * 1_000}], [{"type": "numbers", "numbers": [1] * 500}]],
    ids=["a text", "a part", "numbers"],
)
def test_a_message_counts_in_the_size_of_the_event_that_carries_it(message: Any) -> None:
    """G8: a log of large messages is bounded by its bytes too, although they are written as JSON later."""
    log = EventLog()
    for n in range(100):
        event, _ = started_event(replace(SPEC, message=message), n, 10_000, 10_000)
        log.append(event, MANY, 10_000)
    assert len(log.read(0, MANY)) < 10


# -- Cursors ----------------------------------------------------------------------------------------


def test_without_a_cursor_reading_starts_at_the_turn_in_flight() -> None:
    """G7."""
    log = log_of((1, 0), (1, 1), (2, 0), (2, 1))
    assert after(log, None, current=2) == ["2-0", "2-1"]


def test_without_a_cursor_and_without_a_turn_in_flight_reading_starts_at_what_comes_next() -> None:
    log = log_of((1, 0), (1, 1))
    assert after(log, None) == []
    assert log.locate(None, None) == log.head


def test_a_cursor_is_continued_from() -> None:
    """G7."""
    log = log_of((1, 0), (1, 1), (2, 0), (2, 1))
    assert after(log, "1-0", current=2) == ["1-1", "2-0", "2-1"]
    assert after(log, "2-1", current=2) == []


@pytest.mark.parametrize("cursor", ["0", "-"])
def test_the_beginning_of_what_is_kept_can_be_asked_for(cursor: str) -> None:
    assert after(log_of((1, 0), (1, 1), (1, 2), max_events=2), cursor) == ["1-1", "1-2"]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "1", "-1", "1-", "-1-1", "1--1", "1-0 ", " 1-0", "1-0\n", "1.0-0", "\u0663-\u0661", *LONG],
)
def test_a_malformed_cursor_is_a_gap(cursor: str) -> None:
    """G7: never a silent hole."""
    log = log_of((1, 0), (1, 1))
    assert gap(log, cursor, current=1) == Gap(cursor, "1-0", 0)


@pytest.mark.parametrize("cursor", ["1-2", "2-0", "9999999999999-0", "9" * 19 + "-" + "9" * 19])
def test_a_cursor_from_the_future_is_a_gap_and_reading_goes_on_with_the_turn_in_flight(cursor: str) -> None:
    log = log_of((1, 0), (1, 1))
    assert gap(log, cursor, current=1) == Gap(cursor, "1-0", 0)
    assert gap(log, cursor) == Gap(cursor, "1-0", 2)


def test_a_cursor_that_was_trimmed_away_is_a_gap_and_reading_goes_on_with_what_is_kept() -> None:
    log = log_of(*[(1, n) for n in range(10)], max_events=3)
    assert gap(log, "1-2", current=1) == Gap("1-2", "1-7", 7)


def test_the_last_event_that_was_trimmed_can_still_be_continued_from() -> None:
    """Nothing is missing between it and what is kept."""
    log = log_of(*[(1, n) for n in range(10)], max_events=3)
    assert after(log, "1-6") == ["1-7", "1-8", "1-9"]


def test_a_turn_in_flight_whose_beginning_was_trimmed_is_a_gap_even_without_a_cursor() -> None:
    log = log_of(*[(1, n) for n in range(10)], max_events=3)
    assert log.locate(None, 1) == Gap(None, "1-7", 7)


def test_a_turn_in_flight_of_which_nothing_is_kept_is_a_gap_even_without_a_cursor() -> None:
    log = log_of((1, 0), None, None, None, max_events=3)
    assert log.locate(None, 1) == Gap(None, None, 4)


def test_an_empty_log_has_nothing_to_continue_from() -> None:
    assert gap(EventLog(), "1-0") == Gap("1-0", None, 0)
    assert after(EventLog(), "0") == []


def test_events_without_an_id_do_not_move_the_cursor() -> None:
    """G7: what never started is published live, and numbers have no holes."""
    log = log_of((1, 0), None, (1, 1), None)
    assert after(log, "1-0") == [None, "1-1", None]
    assert after(log, "1-1") == [None]


def test_every_place_in_a_log_has_its_cursor() -> None:
    """G7."""
    log = log_of(None, (1, 0), None, (1, 1), (2, 0))
    assert [log.cursor_at(position) for position in range(6)] == ["0", "0", "1-0", "1-0", "1-1", "2-0"]
    assert EventLog().cursor_at(0) == "0"


def test_a_place_behind_what_was_trimmed_has_a_cursor_too() -> None:
    log = log_of((1, 0), (1, 1), None, None, max_events=1)
    assert log.cursor_at(log.first) == log.cursor_at(log.head) == "1-1"
    assert after(log, "1-1") == [None]


def test_a_log_knows_how_far_it_got_where_events_without_an_id_have_taken_all_its_room() -> None:
    """G7: the next event of a turn has the id after its last one, whether that is kept or not."""
    assert reached(EventLog()) is None
    assert reached(log_of(None)) is None
    assert reached(log_of((1, 0), (1, 1), None)) == Reached(1, 1, "word")
    last = reached(log_of((1, 0), (1, 1), None, None, max_events=2))
    assert last == Reached(1, 1, "word")
    assert last.id == "1-1"


# -- Going to sleep ---------------------------------------------------------------------------------


def test_a_log_that_forgets_keeps_the_last_terminal_event() -> None:
    """G7: while the session is known, its last turn's terminal event can be had again."""
    log = log_of((1, 0), (1, 1), (1, 2))
    log.forget_all_but_last()
    assert after(log, "0") == ["1-2"]
    assert after(log, "1-1") == ["1-2"]
    assert after(log, "1-2") == []
    assert log.head == 3
    assert gap(log, "1-0") == Gap("1-0", "1-2", 2)


def test_a_log_that_forgets_keeps_the_last_numbered_event_and_what_followed_it() -> None:
    """G7: a turn that was cancelled before it began has no number, and does not hide one that has."""
    log = log_of((1, 0), (1, 1), None)
    log.forget_all_but_last()
    assert after(log, "0") == ["1-1", None]


def test_a_log_that_never_held_anything_can_forget() -> None:
    log = EventLog()
    log.forget_all_but_last()
    assert (log.first, log.head, log.size) == (0, 0, 0)


# -- Every sequence ---------------------------------------------------------------------------------


@given(
    turns=st.lists(st.integers(min_value=1, max_value=12), max_size=12),
    max_events=st.integers(min_value=1, max_value=20),
    seen=st.tuples(st.integers(min_value=1, max_value=13), st.integers(min_value=0, max_value=12)),
)
def test_every_cursor_is_continued_without_a_hole_or_a_duplicate_or_is_a_gap(
    turns: list[int], max_events: int, seen: tuple[int, int]
) -> None:
    """G7, G8."""
    every = [(epoch, n) for epoch, count in enumerate(turns, 1) for n in range(count)]
    log = log_of(*every, max_events=max_events)
    assert log.head - log.first == min(len(every), max_events)
    found = log.locate("{}-{}".format(*seen), None)
    if isinstance(found, Gap):
        kept = every[-max_events:]
        assert seen not in every or every.index(seen) + 1 < len(every) - len(kept)
    else:
        assert ids_from(log, found) == ["{}-{}".format(*each) for each in every[every.index(seen) + 1 :]]


# -- What was cut off by a restart ------------------------------------------------------------------------


def cut_off(*ids: tuple[int, int], max_events: int = MANY) -> EventLog:
    """A log whose turn was cut off, in an epoch of its own, and started again; others come first."""
    log = EventLog()
    started, _ = started_event(SPEC, 3, 100, 100)
    again, _ = started_event(SPEC, 6, 100, 100, attempt=2)
    waits = record("t", 5, TurnStatus.QUEUED, attempt=2)
    kept = f"3-{len(ids)}"
    events = [numbered(1, 0), numbered(2, 7), started, *(numbered(*each) for each in ids)]
    for event in (*events, cut_off_event(waits, kept), again, numbered(6, 1)):
        log.append(event, max_events, HUGE)
    return log


def test_a_cursor_beyond_a_cut_goes_on_with_the_event_that_says_so() -> None:
    log = cut_off((3, 1), (3, 2))
    assert after(log, "3-2") == ["5-0", "6-0", "6-1"]
    for lost in ("3-3", "3-99"):
        assert after(log, lost) == ["5-0", "6-0", "6-1"]


@pytest.mark.parametrize("cursor", ["1-1", "2-8", "4-0", "5-1", "6-2", "7-0"])
def test_a_cursor_that_is_not_beyond_a_cut_is_a_gap(cursor: str) -> None:
    assert gap(cut_off((3, 1)), cursor).since == cursor


def test_a_cursor_beyond_a_cut_counts_where_what_was_cut_off_is_dropped() -> None:
    log = cut_off((3, 1), (3, 2), max_events=3)
    assert ids_from(log, 0) == ["5-0", "6-0", "6-1"]
    assert after(log, "3-2") == after(log, "3-9") == ["5-0", "6-0", "6-1"]
    assert gap(log, "3-1").min_available == "5-0"


def test_the_first_event_of_a_turn_is_found_if_it_is_kept() -> None:
    log = cut_off((3, 1))
    assert log.started_at(SPEC.turn_id) == 2
    assert log.started_at(TurnId("another")) is None
    assert cut_off((3, 1), max_events=3).started_at(SPEC.turn_id) is None
