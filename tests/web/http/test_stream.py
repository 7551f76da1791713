import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import aiohttp
import pytest
from aiohttp import web

from tests.fakes import ScriptedAgent, VirtualClock, chatty, done, opened, settle, virtual_time
from tests.web.fakes_web import (
    PATIENCE,
    EventSourceParser,
    Message,
    Transport,
    Writer,
    by_token,
    serving,
    streaming_request,
    until,
)
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.messages import Close
from turnkeeper.actors.model.words import CloseOn
from turnkeeper.actors.registry import decisions
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import WebSettings
from turnkeeper.web.http.sse import HEARTBEAT, PIECE
from turnkeeper.web.http.stream import Streams

# -- One connection, held in the hand ---------------------------------------------------------------


@dataclass
class Connection:
    """A stream being served."""

    streams: Streams
    writer: Writer
    transport: Transport
    task: asyncio.Task[Any]

    @property
    def messages(self) -> list[Message]:
        parser = EventSourceParser()
        return parser.feed(b"".join(self.writer.writes))

    @property
    def names(self) -> list[str]:
        return [message.event for message in self.messages]

    @property
    def heartbeats(self) -> int:
        return self.writer.writes.count(HEARTBEAT)


@asynccontextmanager
async def connected(
    registry: SessionRegistry,
    log_id: str = "s",
    streams: Streams | None = None,
    *,
    after: str | None = None,
    stuck: bool = False,
    prepare: Any = None,
) -> AsyncIterator[Connection]:
    own = streams is None
    streams = Streams(WebSettings(), Meter()) if streams is None else streams
    writer = Writer()
    transport = Transport(writer)
    if stuck:
        writer.get_stuck()
    subscription = await registry.subscribe(log_id, after=after)
    request = streaming_request(writer, transport, prepare)
    task = asyncio.create_task(streams.serve(request, subscription))
    try:
        await settle()
        yield Connection(streams, writer, transport, task)
    finally:
        task.cancel()
        await asyncio.wait({task})
        await settle()
        if own or not len(streams):
            streams.close()


async def readers(registry: SessionRegistry) -> int:
    return (await registry.counts()).subscribers


async def test_first_comes_when_to_reconnect_then_the_snapshot() -> None:
    async with opened(done) as registry, connected(registry) as stream:
        assert stream.writer.writes[0] == b"retry: 2000\n\n"
        assert stream.names == ["snapshot"]
        assert stream.messages[0].own_id is None


async def test_whatever_waits_goes_out_with_one_write() -> None:
    # The words follow `turn.started` within no time, however busy the machine is.
    async with virtual_time(), opened(chatty) as registry, connected(registry) as stream:
        receipt = await registry.send("s", "200")
        await receipt.ended()
        await settle()

        assert stream.names.count("word") == 200
        carriers = [write for write in stream.writer.writes if b"event: word" in write]
        assert len(carriers) == 1
        assert len(stream.writer.writes) <= 5


async def test_what_is_published_while_a_write_is_stuck_goes_out_with_the_next_one() -> None:
    async with (
        opened({"default": chatty, "slow": ScriptedAgent()}) as registry,
        connected(registry) as stream,
    ):
        stream.writer.get_stuck()
        for _ in range(3):
            await (await registry.send("s", "20")).ended()
            await settle()
        before = len(stream.writer.writes)
        stream.writer.flowing.set()
        await settle()

        # The write that was stuck, and one for all the rest.
        assert len(stream.writer.writes) == before + 2
        assert stream.names.count("word") == 60
        assert stream.names.count("turn.completed") == 3


async def test_a_quiet_stream_keeps_nothing_of_what_it_has_written() -> None:
    async with opened(chatty) as registry:
        await (await registry.send("s", "200")).ended()
        async with connected(registry, after="0") as stream:
            held_by_the_list_alone = [b"".join([b"a", b"b"])]
            assert stream.names == ["turn.started", *["word"] * 200, "turn.completed"]
            assert sys.getrefcount(stream.writer.writes[-1]) == sys.getrefcount(held_by_the_list_alone[0])


async def test_a_long_replay_is_written_piece_by_piece_for_a_peer_that_reads_slowly() -> None:
    async def heavy(turn: Turn) -> None:
        for n in range(100):
            turn.emit("word", f"{n}" + "x" * 5_000)

    async with opened(heavy) as registry:
        await (await registry.send("s", "go")).ended()
        async with connected(registry, after="0") as stream:
            assert stream.names == ["turn.started", *["word"] * 100, "turn.completed"]
            assert max(map(len, stream.writer.writes)) < PIECE + 6_000
            assert len(stream.writer.writes) < 12


async def test_a_stream_ends_with_its_close() -> None:
    async with opened(ScriptedAgent()) as registry, connected(registry) as stream:
        await registry.send("s", "hello")
        await registry.cancel("s")
        await stream.task

        assert stream.names[-2:] == ["turn.cancelled", "close"]
        assert stream.writer.writes[-1] == b"retry: 20\n\nevent: close\ndata: Task cancelled\n\n"
        assert stream.writer.ended
        assert len(stream.streams) == 0
        await settle()
        assert await readers(registry) == 0


async def test_a_quiet_stream_beats_at_least_every_heartbeat() -> None:
    async with (
        virtual_time() as clock,
        opened(done, idle_ttl=1e5) as registry,
        connected(registry, streams=Streams(WebSettings(heartbeat=15.0), Meter())) as stream,
    ):
        quiet_since, longest, seen = clock.elapsed, 0.0, 0
        for _ in range(600):
            await clock.advance(0.5)
            if stream.heartbeats > seen:
                longest = max(longest, clock.elapsed - quiet_since)
                quiet_since, seen = clock.elapsed, stream.heartbeats
        assert longest <= 15.5
        assert 20 <= seen <= 35
        assert stream.names == ["snapshot"], "to a reader it is nothing"


async def test_a_stream_that_is_not_quiet_needs_no_heartbeat() -> None:
    async with (
        virtual_time() as clock,
        opened(done) as registry,
        connected(registry, streams=Streams(WebSettings(heartbeat=15.0), Meter())) as stream,
    ):
        for _ in range(30):
            await (await registry.send("s", "x")).ended()
            await clock.advance(4.0)
        assert stream.heartbeats == 0


async def test_one_timer_looks_after_all_streams_and_goes_when_the_last_one_has() -> None:
    async with virtual_time() as clock, opened(done) as registry:
        streams = Streams(WebSettings(heartbeat=3.0), Meter())
        async with connected(registry, "a", streams) as one, connected(registry, "b", streams) as other:
            timer = streams._timer
            async with connected(registry, "c", streams):
                assert streams._timer is timer
                assert len(streams) == 3
            await clock.advance(10)
            assert one.heartbeats >= 3
            assert other.heartbeats >= 3
        assert len(streams) == 0


async def test_beats_for_many_streams_come_in_batches_that_let_others_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnkeeper.web.http.stream.WAKE_BATCH", 3)
    poked: list[int] = []
    passes = 0

    class Reader:
        def poke(self) -> None:
            poked.append(passes)

    streams = Streams(WebSettings(), Meter())
    streams._open = [  # type: ignore[assignment]
        SimpleNamespace(transport=None, quiet_since=None, subscription=Reader()) for _ in range(8)
    ]
    streams._look(asyncio.get_running_loop())
    for _ in range(5):
        passes += 1
        await asyncio.sleep(0)
    streams.close()

    assert [poked.count(number) for number in range(4)] == [3, 3, 2, 0]


async def test_a_look_at_many_streams_that_is_under_way_at_the_end_leaves_no_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnkeeper.web.http.stream.WAKE_BATCH", 3)
    async with virtual_time() as clock, opened(ScriptedAgent()) as registry:
        streams = Streams(WebSettings(), Meter())
        async with AsyncExitStack() as stack:
            for _ in range(8):
                await stack.enter_async_context(connected(registry, "s", streams))
            assert streams._timer is not None
            streams._look(asyncio.get_running_loop())
            streams.close()
            await settle()
            assert streams._timer is None
            await clock.advance(60)
            assert streams._timer is None


# -- Who has left -------------------------------------------------------------------------------------


async def test_a_reader_who_has_left_is_noticed_at_the_next_write_and_the_turn_goes_on() -> None:
    agent = ScriptedAgent()
    async with virtual_time(), opened(agent) as registry, connected(registry) as stream:
        await registry.send("s", "hello")
        run = await agent.run()
        stream.writer.cut()
        run.turn.emit("delta", 1)
        await stream.task
        await settle()

        assert await readers(registry) == 0
        assert not run.turn.cancel_requested
        assert (await registry.session("s")).state == "running"


async def test_a_reader_who_has_left_a_quiet_stream_is_noticed_by_the_timer() -> None:
    async with (
        virtual_time() as clock,
        opened(ScriptedAgent()) as registry,
        connected(registry, streams=Streams(WebSettings(heartbeat=15.0), Meter())) as stream,
    ):
        await registry.send("s", "hello")
        await settle()
        stream.transport.closing = True
        stream.writer.cut()
        await clock.advance(5.1)

        assert stream.task.done()
        assert await readers(registry) == 0
        assert (await registry.session("s")).state == "running"


async def test_a_handler_that_is_cancelled_unsubscribes_and_the_turn_goes_on() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry, connected(registry) as stream:
        await registry.send("s", "hello")
        stream.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream.task
        await settle()

        assert (len(stream.streams), await readers(registry)) == (0, 0)
        assert not (await agent.run()).turn.cancel_requested


# -- Who does not read ----------------------------------------------------------------------------------


async def test_a_reader_that_lags_too_far_behind_is_cut_off_and_woken_and_no_other_notices() -> None:
    agent = ScriptedAgent()
    async with (
        opened(agent, subscriber_buffer=100) as registry,
        connected(registry) as slow,
        connected(registry) as other,
    ):
        await registry.send("s", "hello")
        run = await agent.run()
        slow.writer.get_stuck()
        for n in range(300):
            run.turn.emit("delta", n)
            if n % 50 == 0:
                await settle()
        await settle()

        assert slow.transport.aborted.is_set()
        assert slow.task.done()
        assert (await registry.counts()).counters["sse_overflow_total"] == 1
        assert await readers(registry) == 1
        run.finish()
        await settle()
        assert [message.json for message in other.messages if message.event == "delta"] == list(range(300))
        assert other.names[-1] == "turn.completed"


async def test_what_a_reader_missed_is_had_with_its_cursor_or_shown_as_a_gap() -> None:
    agent = ScriptedAgent()
    async with opened(agent, subscriber_buffer=64, log_events=500) as registry:
        await registry.send("s", "hello")
        run = await agent.run()
        async with connected(registry) as slow:
            slow.writer.get_stuck()
            for n in range(400):
                run.turn.emit("delta", n)
            await settle()
            last = slow.messages[-1].last_event_id if slow.messages else "0"
        async with connected(registry, after=last) as again:
            ids = [message.own_id for message in slow.messages + again.messages if message.own_id]
            assert ids == [f"{run.turn.epoch}-{n}" for n in range(401)]


WHERE = ["the first write", "an event", "a heartbeat", "the end"]


@pytest.mark.parametrize("where", WHERE)
async def test_a_write_that_is_stuck_for_too_long_ends_its_connection(where: str) -> None:
    agent = ScriptedAgent()
    settings = WebSettings(heartbeat=15.0, write_timeout=30.0)
    async with virtual_time() as clock, opened(agent) as registry:
        await registry.send("s", "hello")
        run = await agent.run()
        async with connected(registry, streams=Streams(settings, Meter()), stuck=where == WHERE[0]) as stream:
            await _get_stuck(where, stream, run.turn, clock, registry)
            began = clock.elapsed
            while not stream.task.done() and clock.elapsed - began < 120:
                await clock.advance(1.0)

            assert stream.transport.aborted.is_set()
            assert stream.task.done()
            assert clock.elapsed - began <= 30 + 15 + 2
            await settle()
            assert await readers(registry) == 0


async def _get_stuck(
    where: str, stream: Connection, turn: Turn, clock: VirtualClock, registry: SessionRegistry
) -> None:
    match where:
        case "an event":
            stream.writer.get_stuck()
            turn.emit("delta", 1)
        case "a heartbeat":
            stream.writer.get_stuck()
            await clock.advance(15.0)
        case "the end":
            # The last write still went into a buffer; the end waits for the buffer.
            write = stream.writer.write

            async def last_write(chunk: Any, *_args: Any, **_kwargs: Any) -> None:
                await write(chunk)
                if b"event: close" in chunk:
                    stream.writer.get_stuck()

            stream.writer.write = last_write  # type: ignore[method-assign]
            await registry.cancel("s")
            await settle()
    await settle()


async def test_a_peer_that_does_not_take_what_was_written_last_is_cut_off_without_a_heartbeat() -> None:
    settings = WebSettings(heartbeat=15.0, write_timeout=30.0)
    async with (
        virtual_time() as clock,
        opened(ScriptedAgent()) as registry,
        connected(registry, streams=Streams(settings, Meter())) as stream,
    ):
        stream.writer.get_stuck()
        await clock.advance(29.0)
        assert not stream.transport.aborted.is_set()
        await clock.advance(7.0)
        assert stream.transport.aborted.is_set()
        assert stream.heartbeats == 0


HOST_SAYS = [({}, True), ({"Content-Encoding": "deflate"}, False), ({"Content-Length": "1000000"}, False)]


@pytest.mark.parametrize(("headers", "pushed"), HOST_SAYS, ids=["nothing", "compress", "so many bytes"])
async def test_what_a_host_has_aiohttp_change_goes_through_aiohttp(
    headers: dict[str, str], pushed: bool
) -> None:
    agent = ScriptedAgent()

    async def prepare(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)

    async with opened(agent) as registry, connected(registry, prepare=prepare) as stream:
        await registry.send("s", "hello")
        run = await agent.run()
        await settle()
        before = stream.transport.pushes
        run.turn.emit("delta", 1)
        await settle()
        assert stream.names[-1] == "delta"
        assert stream.transport.pushes - before == pushed


# -- Over HTTP ----------------------------------------------------------------------------------------


async def test_a_stream_says_what_it_is_and_that_it_must_not_be_cached_or_changed() -> None:
    async with serving(done, retry=0.5) as house, house.stream("s") as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert {word.strip() for word in headers["Cache-Control"].split(",")} == {"no-cache", "no-transform"}
        assert headers["X-Accel-Buffering"] == "no"
        assert "Content-Length" not in headers
        assert "Content-Encoding" not in headers
        await stream.until("snapshot")
        assert stream.parser.retry == 500


async def test_the_snapshot_shows_the_session_its_state_its_turn_and_what_waits() -> None:
    async with serving(ScriptedAgent()) as house:
        async with house.stream("s") as stream:
            assert (await stream.next()).json == {
                "session": "s", "state": "idle", "turn": None, "queue": [], "cursor": "0",
            }  # fmt: skip
        task = await house.sent("s")
        async with house.stream("s") as stream:
            snapshot = (await stream.next()).json
            assert (snapshot["state"], snapshot["turn"]["task_id"]) == ("running", task)


async def test_a_snapshots_cursor_is_where_a_stream_goes_on_that_was_cut_before_its_first_event() -> None:
    """G7."""
    agent = ScriptedAgent()
    async with serving({"default": agent, "chatty": chatty}) as house:
        await house.sent("s", "2", agent="chatty")
        async with house.stream("s") as idle:
            cursor = (await idle.next()).json["cursor"]
        meanwhile = await house.sent("s")
        (await agent.run()).turn.emit("word", 1)
        async with house.stream("s", f"?last_event_id={cursor}") as again:
            assert (await again.next()).json["task_id"] == meanwhile
        async with house.stream("s") as running:
            snapshot = await running.next()
            await running.until("word")
        async with house.stream("s", headers={"Last-Event-ID": snapshot.json["cursor"]}) as again:
            await again.until("word")
        assert again.ids == running.ids
        assert again.names == running.names[1:]


async def test_every_event_of_a_turn_has_the_next_id_and_one_line_of_data() -> None:
    async with serving(chatty) as house, house.stream("s") as stream:
        await house.sent("s", "5")
        await stream.until("turn.completed")

        epoch = stream.ids[0].split("-")[0]
        assert stream.ids == [f"{epoch}-{n}" for n in range(7)]
        assert stream.names == ["snapshot", "turn.started", *["word"] * 5, "turn.completed"]
        assert all("\n" not in message.data for message in stream.seen)


async def test_a_quiet_stream_gets_comments() -> None:
    async with serving(done, heartbeat=0.06) as house, house.stream("s") as stream:
        await stream.until("snapshot")
        await stream.comment()
        await stream.comment()
        assert stream.names == ["snapshot"]


async def test_a_client_that_leaves_is_unsubscribed_and_its_turn_goes_on() -> None:
    agent = ScriptedAgent()
    async with serving(agent, heartbeat=0.06) as house:
        await house.sent("s")
        async with house.stream("s") as stream:
            await stream.until("turn.started")
        await until(lambda: _nobody_reads(house.registry))
        assert (await house.get("/chat/s")).body["state"] == "running"
        assert not (await agent.run()).turn.cancel_requested


async def _nobody_reads(registry: SessionRegistry) -> bool:
    return await readers(registry) == 0


async def test_a_stream_may_ask_to_be_closed_when_its_turn_is_superseded() -> None:
    async with serving(ScriptedAgent()) as house:
        first = await house.sent("s")
        async with house.stream("s", "?close_on=superseded") as closing, house.stream("s") as staying:
            await closing.until("turn.started")
            second = await house.sent("s")
            *_, terminal, close = await closing.rest()
            assert (terminal.event, terminal.json["task_id"]) == ("turn.cancelled", first)
            assert terminal.json["reason"]["code"] == "superseded"
            assert terminal.json["superseded_by"] == second
            assert (close.event, close.data) == ("close", "Task cancelled")
            assert (await staying.until("turn.cancelled")).json["reason"]["code"] == "superseded"
            assert (await staying.until("turn.started")).json["task_id"] == second


# -- When to come back --------------------------------------------------------------------------------


async def test_after_a_stop_an_eventsource_comes_back_at_once_and_later_as_before() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        for _ in range(2):
            await house.sent("s")
            async with house.stream("s") as stream:
                await stream.until("turn.started")
                assert stream.parser.retry == 2000
                await house.post("/chat/s/cancel_send_task")
                assert (await stream.rest())[-1].data == "Task cancelled"
                assert stream.parser.retry == 20


async def test_an_eventsource_that_comes_back_sooner_than_that_is_not_slowed_down() -> None:
    async with serving(ScriptedAgent(), retry=0.005) as house:
        await house.sent("s")
        async with house.stream("s") as stream:
            await stream.until("turn.started")
            await house.post("/chat/s/cancel_send_task")
            await stream.rest()
            assert stream.parser.retry == 5


async def _close(registry: SessionRegistry) -> None:
    await registry.close("s")


async def _lose(registry: SessionRegistry) -> None:
    with mock.patch.object(decisions, "step", side_effect=ZeroDivisionError):
        registry.ref.tell(Close("s"))
        await settle()


async def _drain(registry: SessionRegistry) -> None:
    await registry.drain()


@pytest.mark.parametrize(
    ("end", "text"),
    [(_close, "Session closed"), (_lose, "Session lost"), (_drain, "Server shutting down")],
    ids=["closed", "lost", "shutdown"],
)
async def test_before_an_end_that_is_final_the_usual_time_counts(end: Any, text: str) -> None:
    async with serving(done) as house, house.stream("s") as stream:
        await house.sent("s")
        await stream.until("turn.completed")
        await end(house.registry)
        assert (await stream.rest())[-1].data == text
        assert stream.parser.retry == 2000


async def test_a_stream_that_stays_open_writes_the_same_and_no_time_to_come_back() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, house.stream("s", "?close_on=never") as stream:
        for _ in range(2):
            task = await house.sent("s")
            await house.post("/chat/s/cancel_send_task")
            assert (await stream.until("turn.cancelled")).json["task_id"] == task
            close = await stream.next()
            assert (close.event, close.data, close.own_id) == ("close", "Task cancelled", None)
        assert stream.parser.retry == 2000
        await house.delete("/chat/s")
        assert [(each.event, each.data) for each in await stream.rest()] == [("close", "Session closed")]


@pytest.mark.parametrize("setting", CloseOn)
@pytest.mark.parametrize("asked", [None, *CloseOn])
async def test_what_ends_a_stream_its_reader_says_or_else_the_mount(
    setting: CloseOn, asked: CloseOn | None
) -> None:
    query = "" if asked is None else f"?close_on={asked}"
    async with serving(ScriptedAgent(), close_on=setting) as house, house.stream("s", query) as stream:
        await house.sent("s")
        await stream.until("turn.started")
        await house.sent("s", "superseding")
        chosen = setting if asked is None else asked
        if chosen is CloseOn.SUPERSEDED:
            assert (await stream.rest())[-1].data == "Task cancelled"
            return
        await stream.until("turn.started")
        await house.post("/chat/s/cancel_send_task")
        await stream.until("close")
        if chosen is CloseOn.CANCELLED:
            assert await stream.rest() == []
        else:
            await house.sent("s", "the next")
            await stream.until("turn.started")
        assert stream.names.count("close") == 1


# -- Coming back ----------------------------------------------------------------------------------------


async def test_a_reader_comes_back_to_a_closed_session_for_what_it_has_missed_and_then_no_more() -> None:
    """WHATWG HTML 9.2.3: after 204 an EventSource does not connect again."""
    async with serving(chatty) as house:
        await house.sent("s", "1")
        await until(lambda: _is_idle(house.registry))
        await house.delete("/chat/s")
        async with house.stream("s", "?last_event_id=0") as stream:
            await stream.rest()
        assert stream.names == ["turn.started", "word", "turn.completed", "close"]
        last = stream.parser.last_event_id
        for way in ({"headers": {"Last-Event-ID": last}}, {"query": f"?last_event_id={last}"}):
            answer = await house.get(f"/chat/s/events{way.get('query', '')}", headers=way.get("headers"))  # type: ignore[arg-type]
            assert (answer.status, answer.text, answer.headers["Cache-Control"]) == (204, "", "no-store")
        assert await readers(house.registry) == 0


async def _is_idle(registry: SessionRegistry) -> bool:
    return (await registry.session("s")).state == "idle"


async def test_a_reader_without_a_cursor_learns_that_the_session_is_closed() -> None:
    async with serving(done) as house:
        await house.sent("s")
        await house.delete("/chat/s")
        async with house.stream("s") as stream:
            snapshot, close = await stream.rest()
        assert (snapshot.json["state"], close.data) == ("closed", "Session closed")


async def test_no_reader_of_a_closed_session_comes_back_for_ever() -> None:
    """Whatever its cursor was: an EventSource repeats its last id, and gets 204 in the end."""
    async with serving(chatty) as house:
        await house.sent("s", "1")
        await house.delete("/chat/s")
        for first in ("0", "7-1", "99999999999999-0", "x", "-"):
            async with house.stream("s", headers={"Last-Event-ID": first}) as stream:
                await stream.rest()
            last = stream.parser.last_event_id
            assert (await house.get("/chat/s/events", headers={"Last-Event-ID": last})).status == 204


async def test_a_reader_with_a_cursor_waits_for_a_session_that_is_not_open_and_opens_nothing() -> None:
    """G7, G12."""
    async with (
        serving(chatty, authenticate=by_token) as house,
        house.stream("s", headers={"Last-Event-ID": "7-1"}, token="ada-token") as stream,
        house.stream("s", "?last_event_id=0", token="bob-token") as foreign,
    ):
        gap, snapshot = await stream.next(), await stream.next()
        assert gap.json == {"since": "7-1", "min_available": None}
        assert (snapshot.json["state"], snapshot.own_id) == ("idle", None)
        assert (await house.get("/chat/s", token="ada-token")).code == "UNKNOWN_SESSION"
        task = await house.sent("s", "1", token="ada-token")
        assert (await stream.until("turn.started")).json["task_id"] == task
        await stream.until("turn.completed")
        assert await readers(house.registry) == 2
        await house.runner.cleanup()
        assert [each.event for each in await foreign.rest()] == ["snapshot", "close"]


async def test_a_client_that_stops_reading_is_cut_off_with_bounded_memory_and_others_read_on() -> None:
    arrived: asyncio.Queue[int] = asyncio.Queue()
    overflowed = asyncio.Event()
    line = "x" * 2_000

    async def flood(turn: Turn) -> None:
        for n in range(1_000):
            for _ in range(50):
                turn.emit("delta", {"n": n, "text": line})
            await arrived.get()
            if overflowed.is_set():
                return

    async with serving(flood) as house:
        loop = asyncio.get_running_loop()
        with house.connect(receive_buffer=4096) as plain:
            await loop.sock_connect(plain, ("127.0.0.1", house.port))
            await loop.sock_sendall(
                plain, f"GET /chat/s/events HTTP/1.1\r\nHost: {house.host}\r\n\r\n".encode()
            )
            await until(lambda: _has_readers(house.registry, 1))
            largest = 0
            async with house.stream("s") as fast:
                await house.sent("s")
                last = 0
                while (message := await fast.next()).event != "turn.completed":
                    if message.event == "delta":
                        last += 1
                        if last % 50 == 0:
                            server = house.runner.server
                            assert server is not None
                            buffers = [each.transport.get_write_buffer_size() for each in server.connections
                                       if each.transport is not None]  # fmt: skip
                            largest = max([largest, *buffers])
                            if await house.counted("sse_overflow_total"):
                                overflowed.set()
                            arrived.put_nowait(last)
                assert overflowed.is_set(), "it was cut off"
                assert [message.own_id for message in fast.seen if message.event == "delta"] == [
                    f"{fast.ids[0].split('-')[0]}-{n + 1}" for n in range(last)
                ]
                assert largest < 2**20
                assert await readers(house.registry) == 1
                assert await house.counted("sse_overflow_total") == 1


async def _has_readers(registry: SessionRegistry, count: int) -> bool:
    return await readers(registry) == count


async def test_a_client_that_stops_reading_while_little_comes_is_cut_off_and_others_read_on() -> None:
    """G8: what was written for it went straight to its transport, and its task has nothing to write."""
    agent = ScriptedAgent()
    async with serving(agent, write_timeout=1.0, heartbeat=60.0) as house:
        loop = asyncio.get_running_loop()
        with house.connect(receive_buffer=4096) as plain:
            await loop.sock_connect(plain, ("127.0.0.1", house.port))
            await loop.sock_sendall(
                plain, f"GET /chat/s/events HTTP/1.1\r\nHost: {house.host}\r\n\r\n".encode()
            )
            await until(lambda: _has_readers(house.registry, 1))
            async with house.stream("s") as other:
                await house.sent("s")
                turn = (await agent.run()).turn
                await other.until("turn.started")
                server = house.runner.server
                assert server is not None
                sent = 0
                while not any(
                    each.transport is not None and each.transport.get_write_buffer_size()
                    for each in server.connections
                ):
                    turn.emit("delta", [sent, "x" * 2_000])
                    assert (await other.until("delta")).json[0] == sent
                    sent += 1
                assert await readers(house.registry) == 2
                await until(lambda: _has_readers(house.registry, 1))
                turn.emit("delta", [sent])
                assert (await other.until("delta")).json == [sent]
                assert await house.counted("sse_overflow_total") == 0


async def test_a_client_stuck_in_one_write_is_cut_off_after_the_write_timeout() -> None:
    async def heavy(turn: Turn) -> None:
        for _ in range(200):
            turn.emit("delta", "x" * 60_000)

    async with serving(heavy, write_timeout=0.2, log_bytes=20_000_000) as house:
        loop = asyncio.get_running_loop()
        with house.connect(receive_buffer=4096) as plain:
            await loop.sock_connect(plain, ("127.0.0.1", house.port))
            await loop.sock_sendall(
                plain, f"GET /chat/s/events HTTP/1.1\r\nHost: {house.host}\r\n\r\n".encode()
            )
            await until(lambda: _has_readers(house.registry, 1))
            await house.sent("s")
            await until(lambda: _nobody_reads(house.registry))
            assert await house.counted("sse_overflow_total") == 0
        assert (await house.get("/healthz")).status == 200


async def test_over_tls_a_stream_brings_everything_and_a_client_that_stops_reading_is_cut_off() -> None:
    """G7, G8: what a transport has left to write is found above TLS as well."""
    over = asyncio.Event()
    sizes = [*[10] * 20, 100_000, *[10] * 20, *[60_000] * 5, 10]

    async def agent(turn: Turn) -> None:
        for size in sizes:
            turn.emit("delta", "x" * size)
            await asyncio.sleep(0)
        while not over.is_set():
            turn.emit("more", "x" * 2_000)
            await asyncio.sleep(0)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(__file__).parents[1] / "localhost.pem")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with serving(agent) as house:
        await web.TCPSite(house.runner, "127.0.0.1", 0, ssl_context=context).start()
        address = ("127.0.0.1", house.runner.addresses[1][1])

        async def opened_stream(plain: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            await asyncio.get_running_loop().sock_connect(plain, address)
            stream = await asyncio.open_connection(sock=plain, ssl=trusting, server_hostname="localhost")
            stream[1].write(b"GET /chat/s/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
            await stream[0].readuntil(b"event: snapshot")
            return stream

        reader, writer = await opened_stream(house.connect())
        _, stuck = await opened_stream(house.connect(receive_buffer=4096))
        stuck.transport.pause_reading()  # type: ignore[attr-defined]
        await house.sent("s")
        parser, seen, largest = EventSourceParser(), list[Message](), 0
        await reader.readuntil(b"\n\n")
        while await readers(house.registry) == 2:
            seen += parser.feed(await reader.read(1 << 20))
            server = house.runner.server
            assert server is not None
            buffers = [each.transport.get_write_buffer_size() for each in server.connections
                       if each.transport is not None]  # fmt: skip
            largest = max([largest, *buffers])
        over.set()
        while not seen or seen[-1].event != "turn.completed":
            seen += parser.feed(await reader.read(1 << 20))
        assert [len(each.json) for each in seen if each.event == "delta"] == sizes
        numbers = [int(str(each.own_id).partition("-")[2]) for each in seen]
        assert numbers == list(range(len(seen)))
        assert largest < 2**21
        for each in (writer, stuck):
            each.transport.abort()
        await until(lambda: _nobody_reads(house.registry))


async def test_the_old_protocol_without_chunks_is_served_as_well() -> None:
    async with serving(ScriptedAgent()) as house:
        await house.sent("s")
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"GET /chat/s/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"event: turn.started")
        await house.post("/chat/s/cancel_send_task")
        rest = await asyncio.wait_for(reader.read(), PATIENCE)
        assert rest.endswith(b"event: close\ndata: Task cancelled\n\n")
        writer.close()


async def test_more_streams_than_a_browser_may_open_are_no_trouble() -> None:
    async with serving(chatty) as house:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as client:
            opened_ = [await client.get(house.url("/chat/s/events")) for _ in range(50)]
            await house.sent("s", "3")
            await house.delete("/chat/s")
            for response in opened_:
                parser = EventSourceParser()
                events = parser.feed(await response.read())
                assert [each.event for each in events][-1] == "close"
                assert next(str(each.own_id) for each in events if each.event == "word").endswith("-1")


async def test_a_stream_that_fails_is_cut_off_and_never_answered_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(ScriptedAgent()) as house:
        await house.registry.send("s", "hello", user="cannot be encoded \udcff")
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(f"GET /chat/s/events?last_event_id=0 HTTP/1.1\r\nHost: {house.host}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()

        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.count(b"HTTP/1.1") == 1
        assert b"0\r\n\r\n" not in answer, "it did not end, it broke off"
        assert "a stream failed" in caplog.text
        assert await readers(house.registry) == 0
