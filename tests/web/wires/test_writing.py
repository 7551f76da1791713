"""How a fold's events are written."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import ScriptedAgent, chatty, opened
from tests.web.fakes_web import EventSourceParser, any_json
from turnkeeper.actors.events.event import CLOSES, Event
from turnkeeper.actors.model.messages import FollowTurn
from turnkeeper.actors.model.records import Epoch
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.web.wires import DONE, Ended, JsonEvents, Said, StreamClosed, Text


class Kinds:
    """Says of what kind each thing was, and keeps it."""

    def __init__(self) -> None:
        self.given: list[Said | StreamClosed] = []

    def __call__(self, said: Said | StreamClosed) -> Iterator[dict[str, Any]]:
        self.given.append(said)
        yield {"type": type(said).__name__}

    @property
    def kinds(self) -> list[str]:
        return [type(each).__name__ for each in self.given]


def delta(data: Any) -> Event:
    return Event("delta", Epoch(1), 0, json.dumps(data))


def data_of(written: bytes) -> list[Any]:
    """The data of each event, as an EventSource reads it."""
    return [message.json for message in EventSourceParser().feed(written)]


async def batches(agent: Any, message: str, do: Callable[[Any, Any], Any] | None = None) -> list[list[Event]]:
    """What a reader of one turn is given."""
    async with opened(agent) as registry:
        receipt = await registry.send("s", message)
        reader = await registry.follow(FollowTurn("s", receipt.turn_id))
        if do is not None:
            await do(registry, receipt)
        found = []
        while (batch := await reader.read()) or not reader.ended:
            found.append(batch)
        reader.close()
        return found


async def test_a_turn_is_written_from_its_start_to_its_end() -> None:
    fold = Kinds()
    writing = JsonEvents(fold)
    written = [writing.begin()]
    written += [writing.write(batch) for batch in await batches(chatty, "2")]
    written.append(writing.end())
    assert data_of(b"".join(written)) == [{"type": each} for each in ("Started", "Data", "Data", "Ended")]
    assert isinstance(fold.given[-1], Ended), "the stream's own end is not told after the turn's"


async def test_a_session_that_is_closed_ends_a_turn_before_its_stream() -> None:
    fold = Kinds()
    writing = JsonEvents(fold)

    async def close(registry: Any, _receipt: Any) -> None:
        await registry.close("s")

    for batch in await batches(ScriptedAgent(), "hello", close):
        writing.write(batch)
    writing.end()
    assert fold.kinds == ["Started", "Ended"]


@pytest.mark.parametrize("why", StreamEnd)
def test_a_stream_that_ends_before_its_turn_says_so_once(why: StreamEnd) -> None:
    fold = Kinds()
    writing = JsonEvents(fold)
    writing.write([delta({"text": "hi"}), CLOSES[why]])
    writing.end()
    assert fold.given == [Text("hi"), StreamClosed(why)]


def test_a_reader_that_has_fallen_behind_is_told_so_at_the_end() -> None:
    fold = Kinds()
    writing = JsonEvents(fold, last=DONE)
    assert data_of(writing.write([delta({"text": "hi"})])) == [{"type": "Text"}]
    assert writing.end() == b'data: {"type":"StreamClosed"}\n\n' + DONE
    assert fold.given[-1] == StreamClosed(None)


def test_something_may_come_before_the_turn_and_is_not_the_folds() -> None:
    fold = Kinds()
    writing = JsonEvents(fold, first=[{"type": "a"}, {"type": "b"}], named_by="type")
    assert [each.event for each in EventSourceParser().feed(writing.begin())] == ["a", "b"]
    assert fold.given == []
    assert JsonEvents(fold).begin() == b""


def test_events_may_have_names() -> None:
    writing = JsonEvents(Kinds(), named_by="type", headers={"X-Wire": "v1"})
    [message] = EventSourceParser().feed(writing.write([delta({"text": "hi"})]))
    assert (message.event, message.json) == ("Text", {"type": "Text"})
    assert writing.headers == {"X-Wire": "v1"}


@given(st.lists(any_json))
def test_any_json_arrives_as_it_was(values: list[Any]) -> None:
    writing = JsonEvents(lambda said: values)
    assert data_of(writing.write([delta({"text": "hi"})])) == values


def test_a_heartbeat_is_nothing_to_a_client() -> None:
    assert EventSourceParser().feed(JsonEvents(Kinds()).heartbeat) == []
