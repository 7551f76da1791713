"""The domain of turnkeeper: sessions, their turns, and the actors that keep them. Knows no HTTP.

The layout, in the order in which data flows::

    values, exceptions, ids      what everything is made of
    records                      what can be said of a turn
    messages                     the words: commands, queries, reports and answers
    states, effects, views       who holds a session, what it wants done, what can be told of it
    session                      the life of one session: step(state, message, now)        (pure)
    events, event_log            what a session published                                  (pure)
    policy                       settings, and how those of one turn resolve               (pure)
    directory                    which sessions there are                                  (pure)
    future, runtime              where Pykka meets asyncio
    context, household, turn     the conversation; what sessions share; what the host's coroutine gets
    subscription, readers        one reader of a session; all of them
    pipeline                     the stages around the agent
    aftermath                    what is still to be done when a session's actor has failed
    session_actor                performs what a session decides
    receipt                      an accepted send, and the way to its end
    under_way                    what a registry has under way
    registry_actor, registry     starts, routes, lists, ends; and the friendly front to it
    services                     the service functions by their old names
"""

if not __name__.startswith("turnkeeper."):
    raise ImportError(f"import turnkeeper.actors, not {__name__}: the bare name belongs to others")

from .context import Context
from .events import Event
from .exceptions import (
    AgentError,
    AlreadyStarted,
    BlockingCallOnLoop,
    ContextLoadFailed,
    ContextNotCopyable,
    ContextSaveFailed,
    EventNotJson,
    InvalidRequest,
    LoopClosed,
    NoRegistry,
    NotAnAgent,
    PreconditionFailed,
    ReservedEvent,
    RuntimeMisuse,
    SessionBusy,
    SessionClosed,
    SessionError,
    SessionLost,
    ShuttingDown,
    StageFailed,
    TooManyUnresponsive,
    TurnCancelled,
    TurnFailed,
    TurnIdReused,
    TurnkeeperError,
    TurnNotCompleted,
    TurnOver,
    UnknownAgent,
    UnknownSession,
    UnknownTurn,
    WaitsForItself,
    WrongThread,
)
from .messages import (
    Accepted,
    ActiveTurn,
    AwaitTurn,
    Cancel,
    CancelAnswer,
    Cleanup,
    Close,
    Conversation,
    Counts,
    GetCounts,
    GetMessages,
    GetSession,
    GetTurn,
    ListActive,
    Query,
    Send,
    SessionView,
    Subscribe,
    Superseded,
    TurnEnd,
)
from .policy import Settings
from .receipt import Receipt
from .records import (
    HOST,
    Asker,
    CancelCode,
    LateEnd,
    Moment,
    Reason,
    SessionId,
    SessionState,
    Strategy,
    TurnError,
    TurnId,
    TurnOptions,
    TurnRecord,
    TurnStatus,
    Verdict,
)
from .registry import SessionRegistry, open_registry
from .runtime import AsyncioActor, AsyncioFuture, AsyncioRef, ask
from .subscription import Subscription
from .turn import Turn
from .views import timeline

__all__ = [
    # context
    "Context",
    # events
    "Event",
    # exceptions
    "AgentError",
    "AlreadyStarted",
    "BlockingCallOnLoop",
    "ContextLoadFailed",
    "ContextNotCopyable",
    "ContextSaveFailed",
    "EventNotJson",
    "InvalidRequest",
    "LoopClosed",
    "NoRegistry",
    "NotAnAgent",
    "PreconditionFailed",
    "ReservedEvent",
    "RuntimeMisuse",
    "SessionBusy",
    "SessionClosed",
    "SessionError",
    "SessionLost",
    "ShuttingDown",
    "StageFailed",
    "TooManyUnresponsive",
    "TurnCancelled",
    "TurnFailed",
    "TurnIdReused",
    "TurnkeeperError",
    "TurnNotCompleted",
    "TurnOver",
    "UnknownAgent",
    "UnknownSession",
    "UnknownTurn",
    "WaitsForItself",
    "WrongThread",
    # messages
    "Accepted",
    "ActiveTurn",
    "AwaitTurn",
    "Cancel",
    "CancelAnswer",
    "Cleanup",
    "Close",
    "Conversation",
    "Counts",
    "GetCounts",
    "GetMessages",
    "GetSession",
    "GetTurn",
    "ListActive",
    "Query",
    "Send",
    "SessionView",
    "Subscribe",
    "Superseded",
    "TurnEnd",
    # policy
    "Settings",
    # receipt
    "Receipt",
    # records
    "HOST",
    "Asker",
    "CancelCode",
    "LateEnd",
    "Moment",
    "Reason",
    "SessionId",
    "SessionState",
    "Strategy",
    "TurnError",
    "TurnId",
    "TurnOptions",
    "TurnRecord",
    "TurnStatus",
    "Verdict",
    # registry
    "SessionRegistry",
    "open_registry",
    # runtime
    "AsyncioActor",
    "AsyncioFuture",
    "AsyncioRef",
    "ask",
    # subscription
    "Subscription",
    # turn
    "Turn",
    # views
    "timeline",
]
