"""The domain of turnkeeper: sessions, their turns, and the actors that keep them.

Nothing of the web is imported here. The JSON of events and turns is the domain's own: `events.wire`.

The layout, in the order in which data flows::

    runtime     where Pykka meets asyncio: actors on an event loop
    metrics     what is counted                                                           (pure)
    model       the words: ids, records, messages, errors
    session     the life of one session: step(state, message, now)                        (pure)
    policy      how turns are run: what the settings, agents, users and sends say         (pure)
    events      what a session published, and its readers
    turn        what the host's coroutine is given, and how it runs
    admission   how much a user may have, and how much there may be in all                (pure)
    journal     the log of each session: what survives the process
    registry    the living: session actors, the registry actor, and the front to them
    services    the service functions by their old names

A room names only rooms above it in this list; the way back is a message. `setup.cfg` holds that.
"""

if not __name__.startswith("turnkeeper."):
    raise ImportError(f"import turnkeeper.actors, not {__name__}: the bare name belongs to others")

from .events.event import Event
from .events.subscription import Subscription
from .events.together import Together
from .model.exceptions import (
    AgentError,
    AgentExited,
    AgentInterrupted,
    AlreadyStarted,
    BlockingCallOnLoop,
    ContextLoadFailed,
    ContextNotCopyable,
    ContextSaveFailed,
    EventNotJson,
    EventsLost,
    HostKeepsMessages,
    IdempotencyKeyReused,
    InvalidRequest,
    JournalCorrupt,
    JournalDown,
    JournalInUse,
    JournalNotOpened,
    JournalTooNew,
    LoopClosed,
    MessageNotJson,
    NoRegistry,
    NotAnAgent,
    OwnerNotKnown,
    PolicyNotAllowed,
    PreconditionFailed,
    ReadOnlyMessage,
    ReservedEvent,
    ResultNotKept,
    RuntimeMisuse,
    ScopeMissing,
    SessionBusy,
    SessionClosed,
    SessionError,
    SessionIdTaken,
    SessionLost,
    ShuttingDown,
    StageFailed,
    TitleTooLong,
    TooManyPolicies,
    TooManySessions,
    TooManyStreams,
    TooManyTurns,
    TooManyUnresponsive,
    TooMuchKept,
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
from .model.messages import (
    Accepted,
    ActiveTurn,
    AwaitTurn,
    Cancel,
    CancelAnswer,
    Cleanup,
    Close,
    Conversation,
    Counts,
    FollowTurn,
    GetCounts,
    GetMessages,
    GetPolicy,
    GetSession,
    GetTurn,
    GetTurns,
    ListActive,
    ListSessions,
    LoopLag,
    PolicyView,
    Query,
    ReplyAddress,
    Send,
    SessionPage,
    SessionSummary,
    SessionView,
    SetPolicy,
    SetTitle,
    Shutdown,
    Subscribe,
    Superseded,
    TurnEnd,
    TurnPage,
)
from .model.policy import Decided, Mark, Policy
from .model.records import (
    HOST,
    Asker,
    Cancellation,
    Epoch,
    KeptResult,
    LateEnd,
    Moment,
    Outcome,
    Raised,
    Reason,
    Returned,
    SessionId,
    Stopped,
    TurnError,
    TurnHead,
    TurnId,
    TurnOptions,
    TurnRecord,
)
from .model.words import (
    TERMINAL,
    CancelCode,
    CloseOn,
    Layer,
    OnDisconnect,
    OnFull,
    OnRestart,
    Priority,
    SessionState,
    Step,
    Strategy,
    StreamEnd,
    TurnStatus,
    Verdict,
    WhoMayStop,
)
from .policy.said import PolicyFields
from .registry.front import SessionRegistry, open_registry
from .registry.receipt import Receipt
from .runtime import AsyncioActor, AsyncioFuture, AsyncioRef, ask
from .session.settings import Settings
from .session.views import timeline
from .turn.agent import Agent, AgentFunction
from .turn.context import Context
from .turn.turn import Turn

__all__ = [
    # events.event
    "Event",
    # events.subscription
    "Subscription",
    # events.together
    "Together",
    # model.exceptions
    "AgentError",
    "AgentExited",
    "AgentInterrupted",
    "AlreadyStarted",
    "BlockingCallOnLoop",
    "ContextLoadFailed",
    "ContextNotCopyable",
    "ContextSaveFailed",
    "EventNotJson",
    "EventsLost",
    "HostKeepsMessages",
    "IdempotencyKeyReused",
    "InvalidRequest",
    "JournalCorrupt",
    "JournalDown",
    "JournalInUse",
    "JournalNotOpened",
    "JournalTooNew",
    "LoopClosed",
    "MessageNotJson",
    "NoRegistry",
    "NotAnAgent",
    "OwnerNotKnown",
    "PolicyNotAllowed",
    "PreconditionFailed",
    "ReadOnlyMessage",
    "ReservedEvent",
    "ResultNotKept",
    "RuntimeMisuse",
    "ScopeMissing",
    "SessionBusy",
    "SessionClosed",
    "SessionError",
    "SessionIdTaken",
    "SessionLost",
    "ShuttingDown",
    "StageFailed",
    "TitleTooLong",
    "TooManyPolicies",
    "TooManySessions",
    "TooManyStreams",
    "TooManyTurns",
    "TooManyUnresponsive",
    "TooMuchKept",
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
    # model.messages
    "Accepted",
    "ActiveTurn",
    "AwaitTurn",
    "Cancel",
    "CancelAnswer",
    "Cleanup",
    "Close",
    "Conversation",
    "Counts",
    "FollowTurn",
    "GetCounts",
    "GetMessages",
    "GetPolicy",
    "GetSession",
    "GetTurn",
    "GetTurns",
    "ListActive",
    "ListSessions",
    "LoopLag",
    "PolicyView",
    "Query",
    "ReplyAddress",
    "Send",
    "SessionPage",
    "SessionSummary",
    "SessionView",
    "SetPolicy",
    "SetTitle",
    "Shutdown",
    "Subscribe",
    "Superseded",
    "TurnEnd",
    "TurnPage",
    # model.policy
    "Decided",
    "Mark",
    "Policy",
    # model.records
    "HOST",
    "Asker",
    "Cancellation",
    "Epoch",
    "KeptResult",
    "LateEnd",
    "Moment",
    "Outcome",
    "Raised",
    "Reason",
    "Returned",
    "SessionId",
    "Stopped",
    "TurnError",
    "TurnHead",
    "TurnId",
    "TurnOptions",
    "TurnRecord",
    # model.words
    "TERMINAL",
    "CancelCode",
    "CloseOn",
    "Layer",
    "OnDisconnect",
    "OnFull",
    "OnRestart",
    "Priority",
    "SessionState",
    "Step",
    "Strategy",
    "StreamEnd",
    "TurnStatus",
    "Verdict",
    "WhoMayStop",
    # policy.said
    "PolicyFields",
    # registry.front
    "SessionRegistry",
    "open_registry",
    # registry.receipt
    "Receipt",
    # runtime
    "AsyncioActor",
    "AsyncioFuture",
    "AsyncioRef",
    "ask",
    # session.settings
    "Settings",
    # session.views
    "timeline",
    # turn.agent
    "Agent",
    "AgentFunction",
    # turn.context
    "Context",
    # turn.turn
    "Turn",
]
