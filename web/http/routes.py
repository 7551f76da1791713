"""The routes: one table. What is served, refused with 405 and documented comes from it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import assert_never

from turnkeeper.actors.model.ids import RESERVED_IDS
from turnkeeper.web.openapi.operation import EVENT_STREAM, PROBLEM_JSON, TEXT, Answer, Operation, Who

from . import codec, handlers
from .body import AdmissionBody, CancelManyBody, ChangeBody, SendJSON, StreamBody, TicketBody, TitleBody
from .mount import Handler
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
    LAST_IDS,
    LIMIT,
    LOG_ID,
    LOG_IDS,
    QUEUE,
    STATE,
    STREAM,
    STREAM_NAME,
    TASK_ID,
    TICKET,
    USER,
    WAIT,
    Q,
)
from .problems import Code

#: The groups of routes, with what each is about.
TAGS = {
    "turns": "Send a message, and stop what it set off.",
    "sessions": "What a session does and did, and what was said in it.",
    "streams": "Follow a session's events as they happen.",
    "lists": "All of a user's sessions; for an admin, those of all users.",
    "admission": "How many turns are in flight at a time, and who goes first.",
    "health": "For load balancers and supervisors.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Operation):
    """One route, with the function that answers it."""

    handler: Handler
    asked_for: bool = False
    """Whether it is there only where the mount asks for it: ``metrics=True``."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Its method, and HEAD, which is as GET but for the body. A stream has no end to be measured."""
        head = self.method == "GET" and all(each.media != EVENT_STREAM for each in self.answers.values())
        return (self.method, "HEAD") if head else (self.method,)


#: What every route may refuse with, and what those may that ask who asks, name a session, or take a body.
OF_ALL = (Code.MALFORMED_REQUEST, Code.EXPECTATION_FAILED, Code.INTERNAL)
OF_USERS = (
    Code.UNAUTHORIZED,
    Code.SCOPE_MISSING,
    Code.FOREIGN_PEER,
    Code.FOREIGN_HOST,
    Code.FOREIGN_ORIGIN,
    Code.FORWARDED,
    Code.SHUTTING_DOWN,
    Code.JOURNAL_DOWN,
)
OF_PARAMETERS = (Code.INVALID_REQUEST,)
OF_BODIES = (
    Code.BODY_INCOMPLETE,
    Code.BODY_TIMEOUT,
    Code.BODY_TOO_LARGE,
    Code.INVALID_JSON,
    Code.INVALID_REQUEST,
    Code.MESSAGE_TOO_LARGE,
    Code.TOO_MANY_UPLOADS,
    Code.UPLOADS_FULL,
)


def _complete(route: Route) -> Route:
    """The route with the refusals that it has because of what it is, beside its own."""
    may = [*OF_ALL, *route.refusals, *_of_who(route.who)]
    may += OF_PARAMETERS if route.parameters else ()
    may += OF_BODIES if route.body is not None else ()
    return replace(route, refusals=tuple(code for code in Code if code in may))


def _of_who(who: Who) -> tuple[Code, ...]:
    match who:
        case Who.USERS | Who.TICKETS | Who.SCRAPERS:
            return OF_USERS
        case Who.ANYONE | Who.VISITORS:
            return ()
        case _:
            assert_never(who)


_TABLE = (
    Route(
        method="GET",
        path="/chat/active_send_tasks",
        handler=handlers.all_active,
        tag="lists",
        summary="All turns in flight, and those that wait for a slot",
        about="The user's own; all of them for an admin.",
        answers={200: Answer(codec.ActiveListAnswer, "The turns, by session.")},
    ),
    Route(
        method="GET",
        path="/chat/events",
        handler=handlers.several_events,
        tag="streams",
        summary="Follow several sessions (SSE)",
        about="The data of each event names its session, and its id says where all of them go on. The stream "
        "stays open over a cancel. Each session counts as a stream.",
        who=Who.TICKETS,
        parameters=(LOG_IDS, STREAM, LAST_IDS, LAST_EVENT_ID_QUERY, TICKET),
        answers={200: Answer(str, "The events.", EVENT_STREAM)},
        refusals=(Code.STREAM_TOO_WIDE, Code.TOO_MANY_STREAMS, Code.SESSION_LOST),
    ),
    Route(
        method="PATCH",
        path="/chat/events",
        handler=handlers.change_stream,
        tag="streams",
        summary="Add and drop the sessions of a stream",
        about="Of one that is open under this name, and yours.",
        parameters=(STREAM_NAME,),
        body=StreamBody,
        examples={"open another chat": {"add": ["s3"], "drop": ["s1"]}},
        answers={200: Answer(codec.StreamAnswer, "The stream as it is now.")},
        refusals=(Code.UNKNOWN_STREAM, Code.STREAM_TOO_WIDE, Code.TOO_MANY_STREAMS, Code.SESSION_LOST),
    ),
    Route(
        method="GET",
        path="/chat",
        handler=handlers.sessions,
        tag="lists",
        summary="The sessions",
        about="The user's own, and for an admin those of all users: the last active first, awake or asleep. "
        "All pages have the order of the first one, whatever has been active since.",
        parameters=(USER, STATE, Q, BEFORE, LIMIT),
        answers={200: Answer(codec.SessionsAnswer, "A page of sessions.")},
    ),
    Route(
        method="POST",
        path="/chat/cleanup_completed_tasks",
        handler=handlers.cleanup,
        tag="lists",
        summary="Put idle sessions to sleep",
        about="Those without readers, now instead of after `idle_ttl`. Their turns and conversations stay "
        "known. The user's own; all of them for an admin.",
        answers={200: Answer(codec.CleanupAnswer, "The sessions that were put to sleep.")},
    ),
    Route(
        method="POST",
        path="/chat/cancel_send_tasks",
        handler=handlers.cancel_many,
        tag="turns",
        summary="Cancel many turns",
        about="Those in flight and those that wait, of which every filter holds; `all` where there is none. "
        "The user's own; for an admin those of all users. A turn that is sent after the request has come is "
        "never stopped. Answers when all have settled, at most `cancel_grace` + `wind_grace` + 0.5 seconds "
        "later: it waits no longer for a step that must not be interrupted.",
        parameters=(WAIT,),
        body=CancelManyBody,
        examples={
            "all of mine": {"all": True},
            "what runs too long": {"older_than": 600, "state": "running"},
            "a user's, only to see which": {"user": "ada", "dry_run": True},
        },
        answers={
            200: Answer(codec.CancelManyAnswer, "What came of each."),
            202: Answer(codec.CancelManyAnswer, "The same; some have not settled, and are `requested`."),
        },
        refusals=(Code.UNKNOWN_AGENT,),
    ),
    Route(
        method="GET",
        path="/chat/admission",
        handler=handlers.admission,
        tag="admission",
        summary="How turns are let in",
        about="The caps and lanes as they are now, by default and of single agents and users, and how many "
        "turns are in flight and wait for a slot. For admins.",
        answers={200: Answer(codec.AdmissionAnswer, "How turns are let in, and how that goes.")},
    ),
    Route(
        method="PUT",
        path="/chat/admission",
        handler=handlers.set_admission,
        tag="admission",
        summary="Change how turns are let in",
        about="What is given changes, for the sends from now on, and nothing else: all of it, or nothing "
        "where something is refused. More slots are given out at once; fewer stop no turn, and let fewer "
        "start. It lasts until the server stops. For admins.",
        body=AdmissionBody,
        examples={
            "twenty slots, and no refusal beyond them": {"max_in_flight_in_all": 20, "on_cap": "wait"},
            "one agent's": {"agents": {"default": {"max_of_agent": 5, "priority": "background"}}},
            "one user's, and another one's no more": {"users": {"ada": {"max_in_flight": 2}, "bob": {}}},
        },
        answers={200: Answer(codec.AdmissionAnswer, "How turns are let in now, and how that goes.")},
        refusals=(
            Code.UNKNOWN_AGENT,
            Code.UNKNOWN_PRIORITY,
            Code.INVALID_CAP,
            Code.TOO_MANY_POLICIES,
        ),
    ),
    Route(
        method="POST",
        path="/chat/ticket",
        handler=handlers.ticket,
        tag="streams",
        summary="Get a ticket for a stream's URL",
        about="For an EventSource, which cannot send headers. It may be used again, by reconnects.",
        body=TicketBody,
        examples={"one session": {"log_ids": ["s1"]}},
        answers={200: Answer(codec.TicketAnswer, "The ticket.")},
        refusals=(Code.TOO_MANY_TICKETS,),
    ),
    Route(
        method="POST",
        path="/chat",
        handler=handlers.make_id,
        tag="sessions",
        summary="Make an id for a session",
        about="One that cannot be guessed. Nothing is opened: that is done by the first send to it.",
        answers={200: Answer(codec.IdAnswer, "The id.")},
    ),
    Route(
        method="POST",
        path="/chat/{log_id}/send",
        handler=handlers.send,
        tag="turns",
        summary="Send a message",
        about="Cancels the turn in flight and starts when that has settled, or does as `multitask_strategy` "
        "says. Answers once the turn has started, or has ended already because it was superseded or "
        "cancelled while it waited; at once if it is to wait behind others, or for a moment.",
        parameters=(LOG_ID, WAIT, IF_MATCH, IDEMPOTENCY_KEY),
        body=SendJSON,
        examples={
            "a text": {"message": "hello"},
            "a list of parts": [{"type": "text", "text": "hello"}],
            "behind those that wait": {"message": "and then?", "multitask_strategy": "enqueue"},
            "later": {"message": "how is it going?", "after_seconds": 60},
            "with options": {
                "message": "hello",
                "multitask_strategy": "reject",
                "task_id": "t1",
                "timeout": 60,
            },
        },
        answers={
            202: Answer(
                codec.SendAnswer, "The message was accepted.", headers={"Location": "The turn's path."}
            )
        },
        refusals=(
            Code.SESSION_ID_TAKEN,
            Code.SESSION_BUSY,
            Code.SESSION_CLOSED,
            Code.PRECONDITION_FAILED,
            Code.UNKNOWN_AGENT,
            Code.PART_NOT_TAKEN,
            Code.POLICY_NOT_ALLOWED,
            Code.UNKNOWN_PRIORITY,
            Code.INVALID_CAP,
            Code.INVALID_DELAY,
            Code.TURN_ID_REUSED,
            Code.IDEMPOTENCY_KEY_REUSED,
            Code.QUEUE_FULL,
            Code.TOO_MANY_UNRESPONSIVE,
            Code.TOO_MANY_SESSIONS,
            Code.TOO_MANY_TURNS,
            Code.TOO_MANY_OF_AGENT,
            Code.TOO_MANY_WAITING,
            Code.TOO_MUCH_KEPT,
            Code.OWNER_NOT_KNOWN,
            Code.SESSION_LOST,
        ),
    ),
    Route(
        method="POST",
        path="/chat/{log_id}/cancel_send_task",
        handler=handlers.cancel_session,
        tag="turns",
        summary="Cancel whatever a session does",
        about="The turn in flight, and those that wait, unless `queue=keep`. Answers when the turn has "
        "settled, at most `cancel_grace` + `wind_grace` + 0.5 seconds later, and after what is left of a "
        "step that must not be interrupted (`max_hold` at most).",
        parameters=(LOG_ID, WAIT, QUEUE, FORCE, IF_MATCH),
        answers={
            200: Answer(codec.SessionCancelAnswer, "What the cancel came to."),
            202: Answer(
                codec.SessionCancelAnswer, "The cancel was requested, and its outcome not waited for."
            ),
        },
        refusals=(Code.NOT_YOURS_TO_STOP, Code.PRECONDITION_FAILED, Code.SESSION_LOST),
    ),
    Route(
        method="POST",
        path="/chat/{log_id}/{task_id}/cancel",
        handler=handlers.cancel,
        tag="turns",
        summary="Cancel one turn",
        about="That turn, in flight or waiting, and no other one. With `queue=clear` also those that wait, "
        "unless it had ended before. Answers when it has settled, at most `cancel_grace` + `wind_grace` + "
        "0.5 seconds later, and after what is left of a step that must not be interrupted (`max_hold` at "
        "most).",
        parameters=(LOG_ID, TASK_ID, WAIT, QUEUE, FORCE, IF_MATCH),
        answers={
            200: Answer(codec.CancelAnswer, "What the cancel came to."),
            202: Answer(codec.CancelAnswer, "The cancel was requested, and its outcome not waited for."),
            404: Answer(
                codec.UnknownTurnProblem,
                "There is no such turn. A send with this id that arrives soon will be cancelled.",
                PROBLEM_JSON,
            ),
        },
        refusals=(Code.NOT_YOURS_TO_STOP, Code.PRECONDITION_FAILED, Code.SESSION_LOST),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}/active_tasks",
        handler=handlers.active,
        tag="sessions",
        summary="What a session does",
        about="Empty inside when it does nothing, or is not known.",
        parameters=(LOG_ID,),
        answers={200: Answer(codec.ActiveAnswer, "The turn in flight.")},
        refusals=(Code.SESSION_LOST,),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}/events",
        handler=handlers.events,
        tag="streams",
        summary="Follow a session (SSE)",
        about="Server-Sent Events without an end. Leaving the stream cancels nothing. Without a cursor it "
        "starts with a `snapshot` and the turn in flight from its first event. With one it waits, if the "
        "session is not known, for the first send. With `follow=false` it ends after what is kept.",
        who=Who.TICKETS,
        parameters=(LOG_ID, LAST_EVENT_ID, LAST_EVENT_ID_QUERY, CLOSE_ON, FOLLOW, TICKET),
        answers={
            200: Answer(str, "The events.", EVENT_STREAM),
            204: Answer(
                None, "The session is closed, and nothing comes after the cursor: do not connect again."
            ),
        },
        refusals=(Code.TOO_MANY_STREAMS, Code.SESSION_LOST),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}/messages",
        handler=handlers.messages,
        tag="sessions",
        summary="The conversation",
        about="What was said, as it was recorded or as the agent keeps it. It is there also while the "
        "session sleeps. Where a host keeps its conversations itself, it is asked for them.",
        parameters=(LOG_ID, BEFORE_MESSAGE, LIMIT),
        answers={200: Answer(codec.MessagesAnswer, "The last messages.")},
        refusals=(
            Code.UNKNOWN_SESSION,
            Code.HOST_KEEPS_MESSAGES,
            Code.OWNER_NOT_KNOWN,
            Code.SESSION_LOST,
        ),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}/policy",
        handler=handlers.policy,
        tag="sessions",
        summary="How turns are run",
        about="What holds for the turns that the session's user sends to an agent: each field, which layer "
        "says so, and whether a send may set it.",
        parameters=(LOG_ID, AGENT),
        answers={200: Answer(codec.PolicyAnswer, "The policy.")},
        refusals=(Code.UNKNOWN_SESSION, Code.UNKNOWN_AGENT, Code.SESSION_LOST),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}/queue",
        handler=handlers.queue,
        tag="turns",
        summary="The turns that wait",
        about="In the order in which they start, each with its place and what it waits for.",
        parameters=(LOG_ID,),
        answers={200: Answer(codec.QueueAnswer, "The turns that wait.")},
        refusals=(Code.UNKNOWN_SESSION, Code.SESSION_LOST),
    ),
    Route(
        method="PATCH",
        path="/chat/{log_id}/turns/{task_id}",
        handler=handlers.change_queued,
        tag="turns",
        summary="Move or edit a turn that waits",
        about="Either of them. One that waited for a moment takes the place that it is moved to at once. An "
        "edited one keeps its place, and is still known by what it was sent with.",
        parameters=(LOG_ID, TASK_ID),
        body=ChangeBody,
        examples={
            "to the head of the queue": {"move": "first"},
            "in place of the turn in flight": {"move": "now"},
            "something else": {"message": "rather in Rome"},
        },
        answers={200: Answer(codec.QueueAnswer, "The turns that wait now.")},
        refusals=(
            Code.UNKNOWN_SESSION,
            Code.UNKNOWN_TURN,
            Code.POLICY_NOT_ALLOWED,
            Code.NOT_YOURS_TO_EDIT,
            Code.NOT_WAITING,
            Code.PART_NOT_TAKEN,
            Code.TOO_MUCH_KEPT,
            Code.SESSION_CLOSED,
            Code.SESSION_LOST,
        ),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}/turns",
        handler=handlers.turns,
        tag="sessions",
        summary="The turns of a session",
        about="Those that are known, the one sent last first. They are there also while the session sleeps.",
        parameters=(LOG_ID, BEFORE, LIMIT),
        answers={200: Answer(codec.TurnsAnswer, "A page of turns.")},
        refusals=(Code.UNKNOWN_SESSION,),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}/turns/{task_id}",
        handler=handlers.turn,
        tag="sessions",
        summary="One turn, with its timeline",
        parameters=(LOG_ID, TASK_ID),
        answers={200: Answer(codec.TurnAnswer, "The turn.")},
        refusals=(Code.UNKNOWN_SESSION, Code.UNKNOWN_TURN, Code.SESSION_LOST),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}/turns/{task_id}/events",
        handler=handlers.turn_events,
        tag="streams",
        summary="Follow one turn (SSE)",
        about="Server-Sent Events from the turn's event 0, or from the one after the cursor, to its terminal "
        "event, and then `close`. It begins when the turn starts; of one that never started there is the "
        "terminal event. Leaving the stream leaves the turn alone.",
        who=Who.TICKETS,
        parameters=(LOG_ID, TASK_ID, LAST_EVENT_ID, LAST_EVENT_ID_QUERY, FOLLOW, TICKET),
        answers={
            200: Answer(str, "The events.", EVENT_STREAM),
            204: Answer(None, "Nothing of the turn comes after the cursor: do not connect again."),
        },
        refusals=(
            Code.UNKNOWN_SESSION,
            Code.UNKNOWN_TURN,
            Code.EVENTS_LOST,
            Code.TOO_MANY_STREAMS,
            Code.SESSION_LOST,
        ),
    ),
    Route(
        method="GET",
        path="/chat/{log_id}",
        handler=handlers.session,
        tag="sessions",
        summary="The session, with its turns",
        parameters=(LOG_ID,),
        answers={200: Answer(codec.SessionAnswer, "The session.")},
        refusals=(Code.UNKNOWN_SESSION, Code.SESSION_LOST),
    ),
    Route(
        method="PATCH",
        path="/chat/{log_id}",
        handler=handlers.name,
        tag="sessions",
        summary="Give a session a title",
        about="Without one its title is made of the first words said in it.",
        parameters=(LOG_ID,),
        body=TitleBody,
        examples={"a title": {"title": "What is a turn?"}},
        answers={200: Answer(codec.NamedAnswer, "The session with its new title.")},
        refusals=(Code.UNKNOWN_SESSION, Code.TITLE_TOO_LONG),
    ),
    Route(
        method="DELETE",
        path="/chat/{log_id}",
        handler=handlers.close,
        tag="sessions",
        summary="Close a session",
        about="Cancels what is in flight, ends the streams and forgets the conversation; answers when that "
        "is done. Later sends are refused until the session is forgotten. `If-Match` is not supported.",
        parameters=(LOG_ID, FREE),
        answers={200: Answer(codec.ClosedAnswer, "The session as it was closed.")},
        refusals=(Code.UNKNOWN_SESSION, Code.SESSION_LOST),
    ),
    Route(
        method="GET",
        path="/healthz",
        handler=handlers.health,
        tag="health",
        summary="The process is alive",
        who=Who.ANYONE,
        answers={200: Answer(codec.HealthAnswer, "It is.")},
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=handlers.ready,
        tag="health",
        summary="Sends are taken",
        who=Who.ANYONE,
        answers={200: Answer(codec.ReadyAnswer, "They are.")},
        refusals=(Code.SHUTTING_DOWN, Code.JOURNAL_DOWN),
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=handlers.metrics,
        asked_for=True,
        tag="health",
        summary="The figures, for Prometheus",
        about="In its text format. On in `turnkeeper serve`; in an app of your own with `metrics=True`.",
        who=Who.SCRAPERS,
        answers={200: Answer(str, "The figures.", TEXT)},
        refusals=(Code.METRICS_NOT_INSTALLED,),
    ),
)

#: All of them.
ROUTES = tuple(map(_complete, _TABLE))


def routes(*, metrics: bool) -> tuple[Route, ...]:
    """Those of a mount that asks for metrics, or of one that does not."""
    return tuple(route for route in ROUTES if metrics or not route.asked_for)


def allowed_methods(routes: Iterable[Route]) -> dict[str, str]:
    """The methods of each path, as in ``Allow``, so that the others are refused.

    A path that is a reserved word has no entry: it is that word as an id that is refused.
    """
    found: dict[str, list[str]] = {}
    for route in routes:
        if "{" in route.path or route.path.rsplit("/", 1)[-1] not in RESERVED_IDS:
            found.setdefault(route.path, []).extend(route.methods)
    return {path: ", ".join(names) for path, names in found.items()}
