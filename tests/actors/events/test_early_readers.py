"""Readers that came with a cursor before their session was opened (G7, G9, G10, G12)."""

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.fakes import names, settle, waiting
from turnkeeper.actors.events.early_readers import EarlyReaders
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.readers import END_BATCH
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.records import HOST, Asker, SessionId
from turnkeeper.actors.model.words import CloseOn, StreamEnd
from turnkeeper.actors.session.settings import Settings

S1, S2 = SessionId("s1"), SessionId("s2")
ADA, BOB = Asker("ada"), Asker("bob")


@dataclass
class Place:
    """Early readers, without a registry around them. Who leaves is noted."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    settings: Settings = field(default_factory=Settings)
    meter: Meter = field(default_factory=Meter)
    gone: list[Subscription] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.early = EarlyReaders(self, self.gone.append)

    def reader(self, session: SessionId = S1, asker: Asker = ADA, cursor: str = "0") -> Subscription:
        return self.early.add(session, asker, cursor, CloseOn.CANCELLED)


@pytest.mark.parametrize("cursor", ["7-1", "99999999999999-0", "", "x"])
async def test_a_reader_that_has_missed_events_gets_a_gap_and_the_snapshot_of_an_idle_session(
    cursor: str,
) -> None:
    gap, snapshot = waiting(Place().reader(cursor=cursor))
    assert gap.data == {"since": cursor, "min_available": None}
    assert snapshot.data == {"session": "s1", "state": "idle", "turn": None, "queue": [], "cursor": "0"}
    assert (gap.id, snapshot.id) == (None, None)


@pytest.mark.parametrize("cursor", ["0", "-"])
async def test_a_reader_that_asks_for_the_beginning_has_missed_nothing(cursor: str) -> None:
    assert names(waiting(Place().reader(cursor=cursor))) == ["snapshot"]


async def test_a_session_that_is_opened_gets_its_readers_and_no_others() -> None:
    place = Place()
    ours, other = place.reader(), place.reader(S2)
    foreign, admin = place.reader(asker=BOB), place.reader(asker=HOST)
    assert place.early.take(S1, "ada") == [ours, admin]
    assert len(place.early) == 2
    assert place.early.take(S1, "ada") == []
    assert place.early.take(S1, "bob") == [foreign]
    assert place.early.take(S2, "ada") == [other]
    assert len(place.early) == 0


async def test_a_reader_that_leaves_is_let_go_of() -> None:
    place = Place()
    reader, stays = place.reader(), place.reader()
    reader.close()
    assert place.gone == [reader]
    for _ in range(2):
        place.early.remove(reader)
    assert place.early.take(S1, "ada") == [stays]
    assert len(place.early) == 0


async def test_the_last_one_to_leave_leaves_nothing_behind() -> None:
    place = Place()
    for reader in [place.reader(), place.reader(), place.reader(S2)]:
        place.early.remove(reader)
    assert len(place.early) == 0
    assert not place.early._by_session


async def test_a_reader_that_is_handed_over_reads_its_sessions_log_from_the_beginning() -> None:
    place = Place()
    reader = place.reader(cursor="7-1")
    log = EventLog()
    gone: list[Subscription] = []
    for moved in place.early.take(S1, "ada"):
        moved.move(log, gone.append)
    log.append(Event("turn.started", 8, 0, "{}"), 10, 1 << 20)
    assert names(waiting(reader)) == ["gap", "snapshot", "turn.started"]
    reader.end(StreamEnd.TASK_CANCELLED)
    assert names(waiting(reader)) == ["close"]
    reader.close()
    assert (gone, place.gone) == ([reader], [])


async def test_at_the_end_every_stream_is_closed_batch_by_batch() -> None:
    """G9, G10."""
    place = Place()
    readers = [place.reader() for _ in range(2 * END_BATCH + 1)]
    place.early.end(StreamEnd.SHUTDOWN)
    assert sum(reader.ended for reader in readers) == END_BATCH
    await settle()
    assert {waiting(reader)[-1].data for reader in readers} == {"Server shutting down"}
