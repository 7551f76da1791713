"""A response's events on a connection."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.wires.openai.official import events
from tests.web.wires.openai.responses.turns import attempts, ended, ends, events_of, identity, turns
from turnkeeper.actors.events.event import CLOSES, Event
from turnkeeper.actors.model.words import StreamEnd, TurnStatus
from turnkeeper.web.http.problems import Problem
from turnkeeper.web.wires.openai.responses.fold import Fold
from turnkeeper.web.wires.openai.responses.writing import NONE, ResponseWriting
from turnkeeper.web.wires.said import CutOff, Said, Started, Text

HELLO: list[Said] = [Started(1), Text("he"), Text("llo"), ended()]


def writing(after: int = NONE) -> ResponseWriting:
    return ResponseWriting(Fold(identity(), 1_000_000), after)


def batched(turn: list[Event], size: int) -> list[list[Event]]:
    return [turn[at : at + size] for at in range(0, len(turn), size)]


def stream_of(turn: list[Event]) -> bytes:
    """The stream of these events of a turn, which goes on."""
    each = writing()
    return each.begin() + each.write(turn)


def count(turn: list[Event]) -> int:
    """How many events of the response these of its turn make."""
    return stream_of(turn).count(b"\n\n")


def number(frame: bytes) -> int:
    """The number of an event on the connection."""
    found: int = msgspec.json.decode(frame.partition(b"data: ")[2])["sequence_number"]
    return found


def whole(turn: list[Event]) -> bytes:
    """The whole stream of a turn."""
    each = writing()
    return each.begin() + each.write(turn) + each.end()


def resumed(turn: list[Event], after: int, waiting: int, size: int) -> bytes:
    """The stream after an event, where ``waiting`` events are there at once and more come in batches."""
    each = writing(after)

    async def there() -> AsyncGenerator[list[Event]]:
        for batch in batched(turn[:waiting], size):
            yield batch

    seen = asyncio.run(each.catch_up(there()))
    stream = each.begin()
    at = 0 if seen is None else 1 + [event.id for event in turn].index(seen)
    for batch in batched(turn[at:], size):
        stream += each.write(batch)
    return stream + each.end()


@given(turns(), st.data())
def test_a_stream_that_is_cut_anywhere_goes_on_with_the_same_events(said: list[Said], data: Any) -> None:
    turn = events_of(said)
    frames = whole(turn).split(b"\n\n")
    cut = data.draw(st.integers(0, len(frames) - 2), label="which event was seen last")
    size = data.draw(st.integers(1, 5), label="how many come at once")
    # What was seen had been published; more may have come since.
    seen = next(n for n in range(len(turn) + 1) if count(turn[:n]) > cut)
    waiting = data.draw(st.integers(seen, len(turn)), label="how many of the turn's are there")
    assert resumed(turn, number(frames[cut]), waiting, size).split(b"\n\n") == frames[cut + 1 :]


@given(attempts, attempts, st.data())
def test_the_end_of_a_turn_that_a_crash_cut_off_comes_behind_whatever_was_seen_of_it(
    kept: list[Said], lost: list[Said], data: Any
) -> None:
    """G7: a client that had seen as much as the crash has lost was refused, or given nothing."""
    turn = events_of([Started(1), *kept, ended(TurnStatus.INTERRUPTED)])
    at = count(turn[: 1 + len(kept)])
    seen = stream_of(events_of([Started(1), *kept, *lost])).split(b"\n\n")
    cut = data.draw(st.integers(at - 1, len(seen) - 2), label="which event was seen last")
    frames = whole(turn).split(b"\n\n")
    assert resumed(turn, number(seen[cut]), len(turn), 5).split(b"\n\n") == frames[at:]


@given(attempts, attempts, st.booleans(), ends, st.data())
def test_what_a_crash_has_lost_was_seen_and_the_stream_goes_on_behind_the_cut(
    kept: list[Said], lost: list[Said], from_start: bool, end: Said, data: Any
) -> None:
    seen = [Started(1), *kept, *lost]
    turn = events_of([Started(1), *kept, CutOff(from_start), Started(2), *lost, end])
    at = count(turn[: 1 + len(kept)])
    frames = stream_of(events_of(seen)).split(b"\n\n")
    cut = data.draw(st.integers(at - 1, len(frames) - 2), label="which event was seen last")
    assert resumed(turn, number(frames[cut]), len(turn), 5) == b"".join(
        frame + b"\n\n" for frame in whole(turn).split(b"\n\n")[at:-1]
    )
    ids = [each["item"]["id"] for each in events(whole(turn)) if each["type"].endswith("item.added")]
    assert len(set(ids)) == len(ids)
    old = {each["item"]["id"] for each in events(stream_of(events_of(seen))) if "item" in each}
    new = {each["item"]["id"] for each in events(whole(turn))[at:] if each["type"].endswith("item.added")}
    assert not old & new


def test_a_stream_is_what_the_official_types_say() -> None:
    stream = events(whole(events_of(HELLO)))
    assert [each["sequence_number"] for each in stream] == list(range(10))


def test_a_turn_that_never_started_is_read_again_and_ends_once() -> None:
    turn = [Event("turn.cancelled", text=events_of([ended(TurnStatus.CANCELLED)])[0].text)]
    frames = whole(turn).split(b"\n\n")
    assert [number(frame) for frame in frames[:-1]] == [0, 1]
    assert resumed(turn, 0, 1, 1) == frames[1] + b"\n\n"
    assert resumed(turn, 1, 1, 1) == b""


def test_a_stream_after_the_last_event_is_empty() -> None:
    assert resumed(events_of(HELLO), 9, 4, 4) == b""


@pytest.mark.parametrize("after", [10, 11, 1_000])
def test_an_event_that_there_is_not_is_refused(after: int) -> None:
    with pytest.raises(Problem, match="the last one is 9") as refused:
        resumed(events_of(HELLO), after, 4, 4)
    assert refused.value.field == "starting_after"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (StreamEnd.SHUTDOWN, "shutting_down"),
        (StreamEnd.SESSION_LOST, "session_lost"),
        (StreamEnd.SESSION_CLOSED, "events_lost"),
        (None, "events_lost"),
    ],
)
def test_a_stream_that_ends_before_its_turn_says_so(end: StreamEnd | None, code: str) -> None:
    each = writing()
    turn = events_of(HELLO)[:2]
    stream = each.begin() + each.write(turn if end is None else [*turn, CLOSES[end]]) + each.end()
    *before, error = events(stream)
    assert (error["type"], error["code"]) == ("error", code)
    # A client that goes on after it misses nothing.
    assert error["sequence_number"] == before[-1]["sequence_number"]


def test_a_turn_that_has_ended_says_no_more() -> None:
    each = writing()
    each.begin()
    each.write([*events_of(HELLO), CLOSES[StreamEnd.TASK_FINISHED]])
    assert each.end() == b""
