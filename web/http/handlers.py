"""One function per route: read the request, ask the actors, answer."""

import asyncio
import secrets
from importlib import metadata
from typing import assert_never

from aiohttp import web

from turnkeeper.actors.events.reaction import close_on_named
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest, JournalDown, ShuttingDown, UnknownSession
from turnkeeper.actors.model.messages import (
    Cancel,
    CancelAnswer,
    Cleanup,
    Close,
    FollowTurn,
    GetAdmission,
    GetMessages,
    GetPolicy,
    GetQueue,
    GetSession,
    GetTurn,
    GetTurns,
    ListActive,
    ListSessions,
    ListWaiting,
    QueuedTurn,
    SetTitle,
    Subscribe,
)
from turnkeeper.actors.model.records import Asker, SessionId, TurnId
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.runtime import batches
from turnkeeper.web.openapi.operation import PROBLEM_JSON

from . import body, codec
from .mount import UNSEEN, Handler, Mount, cursors_of, respond
from .parameters import (
    AGENT,
    BEFORE,
    BEFORE_MESSAGE,
    CLOSE_ON,
    FOLLOW,
    FORCE,
    FREE,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LAST_EVENT_ID,
    LAST_EVENT_ID_QUERY,
    LIMIT,
    LOG_ID,
    LOG_IDS,
    QUEUE,
    STATE,
    STREAM,
    STREAM_NAME,
    TASK_ID,
    USER,
    WAIT,
    Q,
)
from .problems import Code, Problem, other_method

#: Read once: looking it up reads files.
VERSION = metadata.version("turnkeeper")
#: Beyond what is left of a hold and the graces, for the answer itself.
CANCEL_MARGIN = 0.5
#: How many turns of a list are encoded in one pass of the loop.
LISTED = 1_000
#: How many random bytes a new id is made of.
ID_BYTES = 16


def method_not_allowed(allowed: str) -> Handler:
    """The answer to any other method on a path of ours. A reserved word as an id is refused as such first."""

    async def refuse(_mount: Mount, request: web.Request, _asker: Asker) -> web.StreamResponse:
        for part in (LOG_ID, TASK_ID):
            if part.name in request.match_info:
                part.of(request)
        raise other_method(allowed)

    return refuse


async def not_found(_mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
    """The answer to a path that is ours and leads nowhere."""
    raise Problem(Code.NOT_FOUND, "there is no such path")


# -- Turns ------------------------------------------------------------------------------------------


async def send(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/{log_id}/send``."""
    log_id = LOG_ID.of(request)
    wait = WAIT.of(request)
    if_match, key = IF_MATCH.of(request), IDEMPOTENCY_KEY.of(request)
    said = body.decode_send(await mount.uploads.read(request, asker))
    message = said.send(log_id, asker, wait=wait, if_match=if_match, key=key)
    accepted = await mount.registry.ref.ask_now(message)
    await asyncio.sleep(0)  # the agent's first step comes before anything else that this client asks
    # From the path as it came: only the host knows where a subapp of its is mounted.
    location = request.rel_url.raw_path.removesuffix("send") + f"turns/{accepted.turn_id}"
    return respond(codec.encode_accepted(accepted), 202, {"Location": location})


async def cancel(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/{log_id}/{task_id}/cancel``."""
    turn_id = TASK_ID.of(request)
    answer = await _cancel(mount, request, LOG_ID.of(request), turn_id, asker)
    if answer.verdict is Verdict.NOT_RUNNING and ids.drawn_by(turn_id) not in (
        None,
        mount.registry.incarnation,
    ):
        mount.registry.meter.refuse(Code.TURN_OF_ANOTHER_PROCESS)
        return respond(codec.encode_turn_of_another_process(), 404, media=PROBLEM_JSON)
    if answer.verdict is Verdict.NOT_RUNNING:
        mount.registry.meter.refuse(Code.UNKNOWN_TURN)
        return respond(codec.encode_unknown_turn(answer), 404, media=PROBLEM_JSON)
    return respond(codec.encode_cancel(answer), _STATUS[answer.verdict])


async def cancel_session(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/{log_id}/cancel_send_task``."""
    log_id = LOG_ID.of(request)
    answer = await _cancel(mount, request, log_id, None, asker)
    return respond(codec.encode_cancel_session(log_id, answer), _STATUS[answer.verdict])


async def _cancel(
    mount: Mount, request: web.Request, log_id: SessionId, turn_id: TurnId | None, asker: Asker
) -> CancelAnswer:
    wait, if_match, queue, force = (
        WAIT.of(request),
        IF_MATCH.of(request),
        QUEUE.of(request),
        FORCE.of(request),
    )
    message = Cancel(log_id, turn_id, asker, wait, if_match=if_match, queue=queue, force=force)
    registry = mount.registry
    return await mount.patience.ask(registry.ref, message, lambda: registry.hold_left(log_id))


async def cancel_many(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/cancel_send_tasks``."""
    wait = WAIT.of(request)
    said = body.decode_cancel_many(await mount.uploads.read(request, asker))
    answer = await mount.registry.ask(said.cancel(asker, wait=wait, within=mount.patience.seconds))
    results: list[codec.StoppedTask] = []
    async for some in batches(answer.results, LISTED):
        results += map(codec.encode_stopped, some)
    still = any(each.verdict is Verdict.REQUESTED for each in results)
    status = _STATUS[Verdict.REQUESTED if still else Verdict.CANCELLED]
    return respond(codec.encode_cancelled_many(answer, results, dry_run=said.dry_run), status)


def _status_of(verdict: Verdict) -> int:
    match verdict:
        case Verdict.REQUESTED:
            return 202
        case Verdict.CANCELLED | Verdict.FINISHED_FIRST | Verdict.UNRESPONSIVE | Verdict.NOT_RUNNING:
            return 200
        case _:
            assert_never(verdict)


_STATUS = {verdict: _status_of(verdict) for verdict in Verdict}


async def turn(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/turns/{task_id}``."""
    log_id = LOG_ID.of(request)
    record = await mount.registry.ask(GetTurn(log_id, TASK_ID.of(request), asker))
    return respond(codec.encode_turn(log_id, record))


async def turns(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/turns``."""
    log_id = LOG_ID.of(request)
    page = await mount.registry.ask(GetTurns(log_id, asker, BEFORE.of(request), LIMIT.of(request)))
    return respond(codec.encode_turns(log_id, page))


async def queue(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/queue``."""
    log_id = LOG_ID.of(request)
    return _queue(mount, log_id, await mount.registry.ask(GetQueue(log_id, asker)))


async def change_queued(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``PATCH /chat/{log_id}/turns/{task_id}``."""
    log_id, task_id = LOG_ID.of(request), TASK_ID.of(request)
    said = body.decode_change(await mount.uploads.read(request, asker))
    return _queue(mount, log_id, await mount.registry.ask(said.change(log_id, task_id, asker)))


def _queue(mount: Mount, log_id: SessionId, waiting: tuple[QueuedTurn, ...]) -> web.StreamResponse:
    settings = mount.settings
    return respond(codec.encode_queue(log_id, waiting, settings.log_bytes // 2, settings.shown_part))


# -- Sessions ---------------------------------------------------------------------------------------


async def make_id(_mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
    """``POST /chat``."""
    # Nothing is kept: an id that cannot be guessed is as good as one that is reserved.
    return respond(codec.IdAnswer(log_id=secrets.token_urlsafe(ID_BYTES)))


async def session(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}``."""
    return respond(codec.encode_session(await mount.registry.ask(GetSession(LOG_ID.of(request), asker))))


async def policy(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/policy``."""
    log_id = LOG_ID.of(request)
    return respond(
        codec.encode_policy(log_id, await mount.registry.ask(GetPolicy(log_id, AGENT.of(request), asker)))
    )


async def sessions(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat``."""
    wanted = ListSessions(
        asker,
        USER.of(request),
        STATE.of(request),
        Q.of(request),
        BEFORE.of(request),
        LIMIT.of(request),
    )
    return respond(codec.encode_sessions(await mount.registry.ask(wanted)))


async def name(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``PATCH /chat/{log_id}``."""
    log_id = LOG_ID.of(request)
    said = body.decode_title(await mount.uploads.read(request, asker))
    return respond(codec.encode_named(await mount.registry.ask(SetTitle(log_id, said.title, asker))))


async def messages(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/messages``."""
    before, limit, settings = BEFORE_MESSAGE.of(request), LIMIT.of(request), mount.settings
    wanted = GetMessages(LOG_ID.of(request), asker, before, limit, settings.log_bytes)
    conversation = await mount.registry.ask(wanted)
    return respond(codec.encode_messages(conversation, settings.log_bytes, settings.shown_part))


async def close(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``DELETE /chat/{log_id}``."""
    log_id = LOG_ID.of(request)
    if "If-Match" in request.headers:  # a condition must not be passed over where all would be lost
        raise InvalidRequest("DELETE does not support If-Match", field="If-Match")
    view = await mount.registry.ask(Close(log_id, asker, free=FREE.of(request)))
    return respond(codec.encode_closed(view))


async def active(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/active_tasks``."""
    try:
        view = await mount.registry.ask(GetSession(LOG_ID.of(request), asker))
    except UnknownSession:
        view = None  # existing clients ask before their first send
    return respond(codec.encode_active(view))


async def all_active(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/active_send_tasks``."""
    active = await mount.registry.ask(ListActive(asker))
    in_flight = [codec.encode_listed(each) async for each in batches(active, LISTED)]
    waiting = await mount.registry.ask(ListWaiting(asker))
    waits = [codec.encode_waiting(each) async for each in batches(waiting, LISTED)]
    return respond(codec.encode_all_active(in_flight, waits))


async def cleanup(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/cleanup_completed_tasks``."""
    cleaned = await mount.registry.ask(Cleanup(asker))
    return respond(codec.CleanupAnswer(cleaned_up=list(cleaned)))


# -- Admission --------------------------------------------------------------------------------------


async def admission(mount: Mount, _request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/admission``."""
    return respond(codec.encode_admission(await mount.registry.ask(GetAdmission(asker))))


async def set_admission(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``PUT /chat/admission``."""
    said = body.decode_admission(await mount.uploads.read(request, asker))
    return respond(codec.encode_admission(await mount.registry.ask(said.set(asker))))


# -- Streams ----------------------------------------------------------------------------------------


async def events(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/events``."""
    log_id = LOG_ID.of(request)
    # A reconnecting EventSource keeps its old URL, so its header is the newer of the two.
    cursor = LAST_EVENT_ID.of(request) or LAST_EVENT_ID_QUERY.of(request)
    close_on = CLOSE_ON.of(request) or close_on_named(mount.settings.close_on)
    follow = FOLLOW.of(request)
    subscription = await mount.registry.follow(Subscribe(log_id, cursor, asker, close_on))
    return await _stream(mount, request, subscription, cursor, follow=follow)


async def turn_events(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/turns/{task_id}/events``."""
    log_id, task_id = LOG_ID.of(request), TASK_ID.of(request)
    cursor = LAST_EVENT_ID.of(request) or LAST_EVENT_ID_QUERY.of(request)
    follow = FOLLOW.of(request)
    reader = await mount.registry.follow(FollowTurn(log_id, task_id, cursor, asker))
    return await _stream(mount, request, reader, cursor, follow=follow)


async def several_events(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/events``."""
    cursors = cursors_of(request)
    named, name = LOG_IDS.of(request), STREAM.of(request)
    several = mount.several.open(mount.registry.follow, asker, name, named)
    try:
        await several.follow(cursors)
    except BaseException:
        several.close()
        raise
    return await mount.streams.serve(request, several)


async def change_stream(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``PATCH /chat/events``."""
    name = STREAM_NAME.of(request)
    said = body.decode_stream(await mount.uploads.read(request, asker))
    add, drop = [ids.session_id(each) for each in said.add], [ids.session_id(each) for each in said.drop]
    several = mount.several.find(asker, name)
    several.drop(drop)
    await several.follow(dict.fromkeys(add, ""))
    return respond(codec.StreamAnswer(stream=name, log_ids=list(several.sessions)))


async def _stream(
    mount: Mount, request: web.Request, subscription: Subscription, cursor: str | None, *, follow: bool
) -> web.StreamResponse:
    if not follow:
        subscription.end_here()
    if cursor is not None and subscription.spent:
        # WHATWG HTML 9.2.3: an EventSource that is answered like this does not connect again.
        subscription.close()
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
    return await mount.streams.serve(request, subscription)


async def ticket(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/ticket``."""
    said = body.decode_ticket(await mount.uploads.read(request, asker))
    sessions = frozenset(map(ids.session_id, said.log_ids))
    name = mount.tickets.issue(asker, sessions)
    return respond(
        codec.TicketAnswer(ticket=name, log_ids=sorted(sessions), expires_in=mount.settings.ticket_ttl)
    )


# -- Health -----------------------------------------------------------------------------------------


async def health(mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
    """``GET /healthz``: the process is alive."""
    registry = mount.registry
    lag = codec.encode_lag(registry.loop_lag)
    return respond(codec.HealthAnswer(incarnation=registry.incarnation, version=VERSION, loop_lag=lag))


async def metrics(mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
    """``GET /metrics``: the figures, for Prometheus."""
    assert mount.scrape is not None, "a mount without it has no such path"
    headers = {"Content-Type": mount.scrape.content_type, **UNSEEN}
    return web.Response(body=await mount.scrape.text(), headers=headers)


async def ready(mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
    """``GET /readyz``: sends are taken."""
    registry = mount.registry
    if not registry.accepting:
        raise ShuttingDown("the server is shutting down")
    down = None if registry.journal is None else registry.journal.down
    if down is not None:
        raise JournalDown(str(down))
    return respond(codec.ReadyAnswer())
