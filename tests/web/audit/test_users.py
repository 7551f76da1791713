"""The crowd against a server that notes what it is asked: each act does what it is called."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from turnkeeper.web.audit.adapters.adapter import Adapter, Stop
from turnkeeper.web.audit.adapters.verb import Verb
from turnkeeper.web.audit.log import AuditLog, ModelRequest
from turnkeeper.web.audit.plan import Act, Fate, Pace, Plan, PlannedAct, PlannedUser
from turnkeeper.web.audit.target import Target
from turnkeeper.web.audit.tokens import token
from turnkeeper.web.audit.upstream import Upstream
from turnkeeper.web.audit.users import run_crowd

PACE = Pace(token=0.001, lost_after=0.01, patience=60.0)
#: Seconds to wait for what will not come. What has to come before may need more of them, up to the last.
SPANS = (0.3, 3.0, 30.0)
ADAPTER = Adapter(
    send=Verb(path="/send", body='{"session": "{session}", "message": "{message}", "turn": "{turn}"}'),
    stop_turn=Stop(request=Verb(path="/stop/{turn}")),
    cursor_header="Last-Event-ID",
)


#: The id under which the model made both answers, as far as the crowd knows.
MODELS = "0123abcd"


@dataclass
class Notes:
    """What the server was asked, in that order; its stream is five tokens, then nothing.

    ``first`` is how many of them the first connection is given.
    """

    first: int = 5
    asked: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)

    async def send(self, request: web.Request) -> web.Response:
        self.asked.append("send " + (await request.json())["turn"])
        return web.json_response({"status": "ok"})

    async def stop(self, request: web.Request) -> web.Response:
        self.asked.append("stop " + request.match_info.get("turn", "any"))
        return web.json_response({"status": "stopped"})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        cursor = int(request.headers.get("Last-Event-ID", "-1"))
        self.asked.append("stream")
        self.cursors.append(request.headers.get("Last-Event-ID", ""))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        texts = [(k, json.dumps({"text": token(MODELS, k)})) for k in range(5)]
        mine = texts[: self.first] if cursor < 0 else texts[cursor + 1 :]
        await response.write("".join(f"id: {k}\ndata: {text}\n\n" for k, text in mine).encode())
        await asyncio.Event().wait()
        raise AssertionError


@asynccontextmanager
async def serving(notes: Any, pace: Pace, adapter: Adapter) -> AsyncGenerator[Target]:
    app = web.Application()
    app.router.add_post("/send", notes.send)
    app.router.add_post("/stop", notes.stop)
    app.router.add_post("/stop/{turn}", notes.stop)
    app.router.add_get("/stream/{session}", notes.stream)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Target(client, f"http://127.0.0.1:{runner.addresses[0][1]}", adapter, pace)
    finally:
        await runner.cleanup()


async def live(
    act: Act,
    notes: Any,
    *,
    names_turn: bool = False,
    answered: bool = True,
    pace: Pace = PACE,
    adapter: Adapter = ADAPTER,
    seconds: float = 60.0,
) -> AuditLog:
    """Let a user do that. ``answered``: the model was asked, so that its answer has an end to wait for."""
    user = PlannedUser("s", (PlannedAct(act, 0, 2, names_turn, 0.0),))
    plan, log = Plan((user,), {("s", 0): 5, ("s", 1): 5}, pace), AuditLog()
    if answered:
        log.requests += [ModelRequest(MODELS, "s", n, 0.0) for n in range(2)]
    async with serving(notes, pace, adapter) as server:
        await run_crowd(plan, server, Upstream(plan, log), log, seconds)
    return log


@pytest.mark.parametrize(
    ("act", "asked"),
    [
        (Act.READ, "stream, send s-0"),
        (Act.STOP_THEN_SEND, "stream, send s-0, stop any, send s-1"),
        (Act.STOP_EARLY, "stream, send s-0, stop any"),
        (Act.TWO_QUICKLY, "stream, send s-0, send s-1"),
        (Act.STOP_TWICE, "stream, send s-0, stop any, stop any"),
        (Act.LATE_STOP, "stream, send s-0, send s-1, stop s-0"),
        (Act.DROP, "stream, send s-0, stream"),
        (Act.SLOW, "stream, send s-0"),
        (Act.LEAVE, "stream, send s-0"),
    ],
)
async def test_an_act_does_what_it_is_called(act: Act, asked: str) -> None:
    notes = Notes(first=2 if act is Act.DROP else 5)
    log = await live(act, notes)
    assert ", ".join(notes.asked) == asked
    assert len(log.sends) == asked.count("send")
    assert len(log.stops) == asked.count("stop")
    assert [stop.late for stop in log.stops] == [act is Act.LATE_STOP] * len(log.stops)
    fates = [sent.fate for sent in log.sends]
    assert (Fate.STOP in fates) == (act.name.startswith("STOP"))
    assert (fates[-1] is Fate.ANY) == (act is Act.LEAVE)
    (seen,) = log.reads
    assert seen.tokens == tuple((MODELS, k) for k in range(5))
    assert log.out_of_time == 0


async def test_a_stop_may_race_its_send_and_names_it() -> None:
    notes = Notes()
    log = await live(Act.STOP_RACING, notes)
    assert sorted(notes.asked) == ["send s-0", "stop s-0", "stream"]
    assert log.stops[0].asked <= log.sends[0].answered


async def test_a_user_of_a_server_without_sessions_stops_the_first_of_two_messages() -> None:
    notes = Notes()
    await live(
        Act.TWO_QUICKLY, notes, adapter=replace(ADAPTER, send=Verb(path="/send", body='{"turn": "{turn}"}'))
    )
    assert ", ".join(notes.asked) == "stream, send s-0, stop any, send s-1"


async def test_a_stop_names_its_turn_where_it_is_to() -> None:
    notes = Notes()
    (stop,) = (await live(Act.STOP_EARLY, notes, names_turn=True)).stops
    assert notes.asked[-1] == "stop s-0"
    assert (stop.status, stop.said_stopped) == (200, True)


async def test_a_reader_comes_back_with_the_cursor() -> None:
    notes = Notes(first=2)
    await live(Act.DROP, notes)
    assert notes.cursors == ["", "1"]


class Broken(Notes):
    """Refuses streams, and does not answer to a Stop."""

    async def stream(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPServiceUnavailable

    async def stop(self, request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return await super().stop(request)


async def test_what_is_refused_or_never_answered_holds_nothing_up() -> None:
    log = await live(Act.STOP_EARLY, Broken(), pace=replace(PACE, patience=SPANS[0]))
    (stop,) = log.stops
    assert (stop.status, stop.said_stopped) == (0, False)
    assert log.reads[0].tokens == ()


async def test_a_user_who_is_not_done_in_time_is_counted_and_what_they_saw_is_kept() -> None:
    for seconds in SPANS:
        log = await live(Act.READ, Notes(), answered=False, seconds=seconds)
        assert log.out_of_time == 1
        if log.reads[0].tokens:
            break
    assert len(log.reads[0].tokens) == 5


class Elsewhere(Notes):
    """Sends everyone to another machine."""

    async def send(self, request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("http://192.0.2.1/send")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("http://192.0.2.1/stream")


async def test_a_redirect_leads_no_user_off_this_machine() -> None:
    for patience in SPANS:
        log = await live(Act.READ, Elsewhere(), answered=False, pace=replace(PACE, patience=patience))
        if log.sends[0].status:
            break
    assert [sent.status for sent in log.sends] == [307]
