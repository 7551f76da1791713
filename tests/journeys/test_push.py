"""Streams on their two ways: straight to the transport, or by their own task, whichever comes when.

The transport is scripted: how much its peer takes, and when, is part of the journey. All above it is real,
aiohttp's server included. Hypothesis makes up the journeys.
"""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any, assert_never

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import CountingLoop, settle
from tests.web.fakes_web import EventSourceParser, Message
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.readers import BURST, WAKE_BATCH, Readers
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import CloseOn, StreamEnd
from turnkeeper.web import WebSettings
from turnkeeper.web.http.sse import PIECE
from turnkeeper.web.http.stream import Streams

#: The marks of asyncio's own transports.
HIGH, LOW = 65_536, 16_384
ENDLESS = 1 << 40
#: More than one event of the largest size that is written here.
LARGEST = 80_000


class Pipe(asyncio.Transport):
    """A transport to a peer that takes ``room`` more bytes; what is written beyond that waits here."""

    def __init__(self, protocol: Any, room: int) -> None:
        super().__init__()
        self.arrived = bytearray()
        self.waits = bytearray()
        self.room = room
        #: How often it was written to by `Readers`, and by the stream's task.
        self.pushes = self.writes = 0
        self.task: asyncio.Task[Any] | None = None
        #: The most that has ever waited here.
        self.most = 0
        self._protocol = protocol
        self._paused = self._closing = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        if asyncio.current_task() is self.task:
            self.writes += 1
        else:
            self.pushes += 1
        assert not self._closing
        self.waits += data
        self._pass_on()
        self.most = max(self.most, len(self.waits))
        if len(self.waits) > HIGH and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def takes(self, count: int) -> None:
        """The peer reads."""
        self.room += count
        self._pass_on()
        if self._paused and len(self.waits) <= LOW:
            self._paused = False
            self._protocol.resume_writing()

    def _pass_on(self) -> None:
        count = min(self.room, len(self.waits))
        self.arrived += self.waits[:count]
        del self.waits[:count]
        self.room -= count

    def get_write_buffer_size(self) -> int:
        return len(self.waits)

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self.waits.clear()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def close(self) -> None:
        self._closing = True
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


class Peer:
    """A reader, its stream, and what has arrived at its end."""

    def __init__(self, stage: "Stage", version: str, room: int) -> None:
        self.reader = stage.reader()
        self.overflowed = False
        self._chunked = version == "1.1"
        protocol = web.Server(self._serve, access_log=None)()
        self.pipe = Pipe(protocol, room)
        self._streams = stage.streams
        protocol.connection_made(self.pipe)
        protocol.data_received(f"GET / HTTP/{version}\r\nHost: here\r\n\r\n".encode())

    async def _serve(self, request: Any) -> web.StreamResponse:
        self.writer = request.writer
        self.pipe.task = asyncio.current_task()
        return await self._streams.serve(request, self.reader)

    @property
    def got(self) -> list[str]:
        """What the client's EventSource has dispatched."""
        return [_shown(message) for message in EventSourceParser().feed(self._body[0])]

    @property
    def ended(self) -> bool:
        """Whether the answer has come to its proper end."""
        return self._body[1] if self._chunked else self.pipe.is_closing()

    @property
    def _body(self) -> tuple[bytes, bool]:
        head, separator, rest = bytes(self.pipe.arrived).partition(b"\r\n\r\n")
        assert not separator or head.startswith((b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK"))
        return _without_chunks(rest) if self._chunked else (rest, False)


def _without_chunks(rest: bytes) -> tuple[bytes, bool]:
    """The body, as far as its chunks have arrived whole, and whether that was all (RFC 9112, 7.1)."""
    body = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        if len(rest) < count + 2:
            break
        assert rest[count : count + 2] == b"\r\n"
        body, rest = body + rest[:count], rest[count + 2 :]
        if count == 0:
            assert not rest
            return body, True
    return body, False


def _shown(message: Message) -> str:
    return f"close {message.data}" if message.event == "close" else f"{message.own_id} {len(message.data)}"


class Stage:
    """A session's log with its readers, and the clients of their streams."""

    def __init__(self, max_lag: int) -> None:
        self.log = EventLog()
        self.loop = CountingLoop()
        self.readers = Readers(self.loop)  # type: ignore[arg-type]
        self.streams = Streams(WebSettings(), Meter())
        self.published: list[str] = []
        self._max_lag = max_lag

    def reader(self) -> Subscription:
        reader = Subscription(
            self.log, self.log.head, [], self._max_lag, self._gone, lambda: None, close_on=CloseOn.NEVER
        )
        self.readers.add(reader)
        return reader

    def _gone(self, reader: Subscription) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def publish(self, count: int, size: int) -> None:
        for _ in range(count):
            event = Event("word", epoch=1, n=self.log.head, text="x" * size)
            self.log.append(event, 1_000_000, ENDLESS)
            self.published.append(f"{event.id} {size}")
            self.readers.published(self.log.head)

    def end(self, end: StreamEnd) -> None:
        self.readers.end(self.log.head, end)
        self.published.append(f"close {end}")


@value
class Publish:
    """So many events of that size."""

    count: int
    size: int


@value
class Pass:
    """The loop goes on."""

    times: int


@value
class Wait:
    """So much time goes by that what is published next is no part of a burst."""


@value
class Take:
    """A peer reads."""

    peer: int
    count: int


@value
class Stop:
    """A turn is cancelled."""


@value
class Beat:
    """A heartbeat is due, or the timer looks for another reason."""

    peer: int


PEERS = 3
which = st.integers(0, PEERS - 1)
steps = st.one_of(
    st.builds(Publish, st.sampled_from([1, 1, 1, 2, 70, 300]), st.sampled_from([1, 40, 700])),
    st.builds(Publish, st.just(1), st.sampled_from([9_000, 30_000, 70_000])),
    st.builds(Pass, st.integers(1, 4)),
    st.builds(Take, which, st.sampled_from([1, 50, 3_000, 70_000, 400_000])),
    st.builds(Wait),
    st.builds(Stop),
    st.builds(Beat, which),
)
Step = Publish | Pass | Wait | Take | Stop | Beat
rooms = st.sampled_from([0, 300, 2_000, 100_000, ENDLESS])


async def play(script: list[Step], peers: list[tuple[str, int]], max_lag: int) -> list[Peer]:
    stage = Stage(max_lag)
    clients = [Peer(stage, *peer) for peer in peers]
    await settle()
    try:
        for step in script:
            match step:
                case Publish():
                    stage.publish(step.count, step.size)
                case Pass():
                    await settle(step.times)
                case Wait():
                    stage.loop.now += BURST
                case Take():
                    clients[step.peer].pipe.takes(step.count)
                case Stop():
                    stage.end(StreamEnd.TASK_CANCELLED)
                case Beat():
                    clients[step.peer].reader.poke()
                case _:
                    assert_never(step)
        await settle()
        for client in clients:
            client.pipe.takes(ENDLESS)
        await settle()
        stage.end(StreamEnd.SHUTDOWN)
        await settle()
        for client in clients:
            if client.reader.overflowed:
                assert client.got == stage.published[: len(client.got)], "up to where it was cut off"
            else:
                assert client.got == stage.published
                assert client.ended
            assert client.pipe.most <= HIGH + 2 * (PIECE + LARGEST), "a peer that does not read holds no more"
            assert not client.reader.parked
        assert not len(stage.streams)
    finally:
        for client in clients:
            client.pipe.abort()
        await settle()
        stage.streams.close()
    return clients


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(steps, max_size=40),
    st.lists(st.tuples(st.sampled_from(["1.1", "1.1", "1.0"]), rooms), min_size=PEERS, max_size=PEERS),
    st.sampled_from([8, 400, 1_000_000]),
)
def test_on_whichever_way_they_come_every_reader_gets_every_event_once_and_in_order(
    script: list[Step], peers: list[tuple[str, int]], max_lag: int
) -> None:
    """G2, G7, G8."""
    asyncio.run(play(script, peers, max_lag))


async def test_a_journey_goes_both_ways() -> None:
    script: list[Step] = []
    for size in (40, 9_000, 70_000, 40):
        script += [
            Publish(1, size),
            Pass(9),
            Publish(2, size),
            Pass(9),
            Stop(),
            Take(0, 20_000),
            Pass(9),
            Wait(),
        ]
    peers = [("1.1", 15_000), ("1.0", ENDLESS), ("1.1", ENDLESS)]
    for client in await play(script, peers, 1_000):
        assert client.pipe.pushes > 3
        assert client.pipe.writes > 3


# -- Which way when ---------------------------------------------------------------------------------


async def one_peer(room: int = ENDLESS, max_lag: int = 1_000) -> tuple[Stage, Peer]:
    stage = Stage(max_lag)
    peer = Peer(stage, "1.1", room)
    await settle()
    peer.pipe.pushes = peer.pipe.writes = 0
    stage.loop.now += BURST
    return stage, peer


async def over(stage: Stage, *peers: Peer) -> None:
    for peer in peers:
        peer.reader.close()
    await settle()
    assert not len(stage.streams)
    for peer in peers:
        peer.pipe.abort()
    await settle()
    stage.streams.close()


async def test_an_event_is_written_as_it_is_published_and_the_rest_of_a_burst_with_one_write() -> None:
    stage, peer = await one_peer()
    for _ in range(3):
        stage.publish(4, 10)
        assert peer.got == stage.published[:-3]
        await asyncio.sleep(0)
        assert peer.got == stage.published
        stage.loop.now += BURST
    assert (peer.pipe.pushes, peer.pipe.writes) == (6, 0)
    assert peer.writer.output_size == len(peer.pipe.arrived), "as the access log has it"
    await over(stage, peer)


async def test_readers_at_the_same_position_share_one_chunk() -> None:
    class Counting(Pipe):
        def write(self, data: bytes) -> None:  # type: ignore[override]
            chunks.append(data)
            super().write(data)

    chunks: list[bytes] = []
    stage = Stage(1_000)
    peers = [Peer(stage, "1.1", ENDLESS) for _ in range(3)]
    for peer in peers:
        peer.pipe.__class__ = Counting
    await settle()
    chunks.clear()
    stage.publish(1, 10)
    await settle()
    assert len(chunks) == 3
    assert all(chunk is chunks[0] for chunk in chunks)
    await over(stage, *peers)


@pytest.mark.parametrize(
    ("room", "publish", "pushed"),
    [
        (-1, lambda stage: stage.publish(1, 10), 0),
        (ENDLESS, lambda stage: stage.publish(1, PIECE), 0),
        (ENDLESS, lambda stage: stage.publish(300, 1), 1),  # the first one, alone
    ],
    ids=["something is left to write", "too much for one write", "too many at once"],
)
async def test_the_task_writes_what_may_have_to_wait(
    room: int, publish: Callable[[Stage], None], pushed: int
) -> None:
    stage, peer = await one_peer()
    if room < 0:
        peer.pipe.room = 10
        stage.publish(1, 100)
        await settle()
        assert (peer.pipe.pushes, peer.pipe.writes) == (1, 0)
        peer.pipe.pushes = 0
    publish(stage)
    await settle()
    assert peer.pipe.pushes == pushed
    assert peer.pipe.writes >= 1
    peer.pipe.takes(ENDLESS)
    await settle()
    assert peer.got == stage.published
    await over(stage, peer)


async def test_a_peer_that_has_left_is_not_written_to_and_its_stream_ends() -> None:
    stage, peer = await one_peer()
    peer.pipe._closing = True  # as asyncio has it before it says that the connection is lost
    stage.publish(1, 10)
    await settle()
    assert (peer.pipe.pushes, peer.pipe.writes) == (0, 0)
    assert len(stage.streams) == 0
    stage.streams.close()


async def test_what_a_transport_does_not_take_ends_that_stream_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Pipe):
        def write(self, data: bytes) -> None:  # type: ignore[override]
            raise RuntimeError("broken")

    stage = Stage(1_000)
    peers = [Peer(stage, "1.1", ENDLESS) for _ in range(3)]
    await settle()
    peers[1].pipe.__class__ = Broken
    stage.publish(1, 10)
    await settle()
    assert len(stage.streams) == 2
    assert peers[1].pipe.is_closing()
    assert peers[0].got == peers[2].got == stage.published
    assert [record.message for record in caplog.records] == ["a stream failed"]
    await over(stage, peers[0], peers[2])


async def test_many_readers_are_written_to_batch_by_batch_and_miss_nothing() -> None:
    """G9."""
    stage = Stage(1_000)
    peers = [Peer(stage, "1.1", ENDLESS) for _ in range(2 * WAKE_BATCH + 1)]
    await settle()
    stage.publish(1, 10)
    reached = [0]
    while reached[-1] < len(peers):
        await asyncio.sleep(0)
        reached.append(sum(peer.pipe.pushes > 0 for peer in peers))
        if len(reached) == 3:
            stage.publish(1, 10)
    assert max(after - before for before, after in pairwise(reached)) == WAKE_BATCH
    await settle()
    assert all(peer.got == stage.published for peer in peers)
    assert sum(peer.pipe.writes for peer in peers) == len(peers) * peers[0].pipe.writes
    await over(stage, *peers)
