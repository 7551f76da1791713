"""The words the actors speak: commands, queries, reports and answers. Data only.

Commands are imperatives (`Send`, `Cancel`, `Close`), queries say what they return (`ListActive`),
reports are past participles (`TurnEnded`). A `Query[R]` carries the type of its reply, for `ask()`.
"""

from collections.abc import Mapping
from typing import Any, Protocol, final

from turnkeeper.actors.runtime.query import Query as Query

from .exceptions import AgentError, SessionError
from .policy import Decided, Policy
from .records import (
    HOST,
    Asker,
    ChildTurn,
    Epoch,
    Extras,
    Outcome,
    Reason,
    SessionId,
    StillRunning,
    TurnId,
    TurnOptions,
    TurnRecord,
    TurnRef,
    TurnSpec,
)
from .slots import Standing, Ticket
from .value import value
from .words import (
    CancelCode,
    CloseOn,
    Layer,
    MoveTo,
    Priority,
    Rollback,
    SessionState,
    Strategy,
    TurnStatus,
    Verdict,
    WaitsFor,
)


class ReplyAddress(Protocol):
    """Where an answer goes. Only the actors know that it is a future."""

    def set(self, value: Any = None, /) -> None:
        """Answer."""
        ...


# -- Answers ------------------------------------------------------------------------------------------


@value
class Superseded:
    """What became of the turn that was in flight when a send came.

    ``rollback`` is how far it was undone, ``still_running`` what of it was seen to run on at its end.
    """

    turn_id: TurnId
    verdict: Verdict
    settled_after_ms: float | None
    rollback: Rollback | None = None
    still_running: StillRunning | None = None

    @property
    def rolled_back(self) -> bool | None:
        """Whether all of it was undone; ``None`` while that is not known."""
        return None if self.verdict is Verdict.REQUESTED else self.rollback is Rollback.DONE


@value
class Accepted:
    """The answer to a send: its turn has started, is queued, or has ended already, as ``status`` says.

    ``repeated`` says that the turn was known before: this send was a retry and started nothing. ``began`` is
    that of the turn's record, ``own_policy`` that of its head.
    Of a turn that waits, ``waits_for`` says for what, ``position`` is its place
    among those that wait for the session: 0 if it is called up, from 1 behind that. ``not_before`` is the
    moment before which it does not start. ``standing`` is where it stands that waits for a slot.
    ``merged_into`` is the turn that its message has joined, if it has: then there is none of its own.
    """

    session_id: SessionId
    turn_id: TurnId
    epoch: Epoch | None
    status: TurnStatus
    superseded: Superseded | None = None
    repeated: bool = False
    began: bool | None = None
    own_policy: Policy | None = None
    position: int | None = None
    waits_for: WaitsFor | None = None
    not_before: float | None = None
    merged_into: TurnId | None = None
    standing: Standing | None = None

    @property
    def capped(self) -> Mapping[str, Decided]:
        """The fields of its policy in which the turn got less than its send asked for, by their names."""
        return {} if self.own_policy is None else self.own_policy.capped


@value
class CancelAnswer:
    """The answer to a cancel. ``turn`` is the turn it was about, if there was one.

    ``cleared`` are the turns that waited for the session and were cancelled with it, in their order.
    """

    verdict: Verdict
    turn: TurnRecord | None = None
    settled_after_ms: float | None = None
    remembered_for: float | None = None
    cleared: tuple[TurnId, ...] = ()

    @property
    def still_running(self) -> StillRunning | None:
        """What of the turn was seen to run on when it was cancelled or given up.

        The record of one that has finished first has what ran then: that may have ended long since.
        """
        if self.turn is None or self.verdict not in (Verdict.CANCELLED, Verdict.UNRESPONSIVE):
            return None
        return self.turn.still_running


@value
class StoppedTurn:
    """One turn of a bulk cancel, with what its cancel came to.

    ``status`` is how the turn stood when it was found. ``verdict`` is ``None`` in a dry run, and where the
    session refused the cancel: ``error`` is the code of that. ``cleared`` are the turns that waited for the
    session and were cancelled with it, ``still_running`` is what of it was seen to run on.
    """

    session_id: SessionId
    turn_id: TurnId
    owner: str
    agent: str
    status: TurnStatus
    verdict: Verdict | None = None
    settled_after_ms: float | None = None
    error: str | None = None
    cleared: tuple[TurnId, ...] = ()
    still_running: StillRunning | None = None


@value
class CancelledMany:
    """The answer to a bulk cancel: how many turns matched, and what came of each.

    ``truncated`` of them are not among the ``results`` and were left alone. ``as_of`` is the moment of the
    snapshot, in Unix seconds: no turn that was sent later was looked at.
    """

    matched: int
    results: tuple[StoppedTurn, ...]
    truncated: int
    as_of: float

    @property
    def still_running(self) -> StillRunning | None:
        """What of all of them was seen to run on, in sum."""
        found = [each.still_running for each in self.results if each.still_running is not None]
        return sum(found, StillRunning()) if found else None


@value
class TurnEnd:
    """The end of a turn, with what its coroutine returned or raised."""

    turn: TurnRecord
    outcome: Outcome | None


@value
class QueuedTurn:
    """A turn that waits for its session: its record, its place, and what it waits for, as in `Accepted`.

    ``position`` is 0 for the one that is called up, and ``None`` while it waits for a moment. ``message`` is
    what it will be given, ``standing`` where it stands if it waits for a slot.
    """

    turn: TurnRecord
    position: int | None
    waits_for: WaitsFor
    not_before: float | None = None
    message: Any = None
    standing: Standing | None = None


@value
class SessionView:
    """A session as it is seen from outside."""

    session_id: SessionId
    user: str
    state: SessionState
    turn: TurnRecord | None = None
    queue: tuple[TurnRecord, ...] = ()
    recent: tuple[TurnRecord, ...] = ()
    quarantined: tuple[TurnRecord, ...] = ()
    subscribers: int = 0


@value
class Conversation:
    """What was said in a session, as the turns that have ended left it; what runs has no part in it yet.

    The messages are read-only. ``omitted`` is how many there were before these that are no longer kept.
    ``cursor`` is the id of the last event of the turn that last changed it: the events after it are what
    followed. ``None`` where nothing is kept.
    """

    session_id: SessionId
    messages: tuple[Any, ...] = ()
    cursor: str | None = None
    omitted: int = 0


@value
class SessionSummary:
    """A session in a list: its title, when it was last active, and how many turns it has.

    It was active when a turn last started or ended. ``turns_in_flight`` hold it, ``turns_queued`` wait for
    it, and ``unresponsive_turns`` were given up and still run.
    """

    session_id: SessionId
    user: str
    title: str | None
    state: SessionState
    last_active_at: float
    turns_in_flight: int = 0
    turns_queued: int = 0
    unresponsive_turns: int = 0
    subscribers: int = 0


@value
class SessionPage:
    """One page of a list of sessions. ``before`` asks for the next one; ``None`` at the end of the list."""

    sessions: tuple[SessionSummary, ...] = ()
    before: str | None = None


@value
class TurnPage:
    """One page of a session's turns. ``before`` asks for the next one; ``None`` at the end."""

    turns: tuple[TurnRecord, ...] = ()
    before: str | None = None


@value
class PolicyView:
    """How the turns are run that a user sends to an agent, and which fields of that such a send may set."""

    agent: str
    user: str
    policy: Policy
    may_be_set: frozenset[str] = frozenset()


@value
class WaitingTurn:
    """A turn that is called up in its session and waits for a slot, as it stood when the list was made.

    ``owner`` is whose session that is. ``since`` is when it came to wait, in Unix seconds.
    """

    session_id: SessionId
    owner: str
    turn_id: TurnId
    agent: str
    priority: Priority
    since: float
    standing: Standing


@value
class Admission:
    """How turns are let in, and how that goes.

    ``fields`` is what is said by default, by the settings' names, ``agents`` and ``users`` what is said of
    single ones. ``of_agents`` are the turns ``in_flight`` of each agent that has any. ``active_users`` are
    those who have a turn in flight, or one that waits for a slot; ``waiting`` is how many wait, by lane and
    by what for.
    """

    fields: Mapping[str, Any]
    agents: Mapping[str, Mapping[str, Any]]
    users: Mapping[str, Mapping[str, Any]]
    in_flight: int
    of_agents: Mapping[str, int]
    active_users: int
    waiting: Mapping[tuple[Priority, WaitsFor], int]

    @property
    def share(self) -> float:
        """How many turns in flight each active user may have before others who have fewer go first."""
        in_all: int = self.fields["max_in_flight_in_all"]
        return in_all / max(1, self.active_users)


class ActiveTurn(Protocol):
    """A turn in flight, in the list of all of them, as it stood when the list was made."""

    @property
    def session_id(self) -> SessionId:
        """The session that it holds."""
        ...

    @property
    def owner(self) -> str:
        """Whose session that is."""
        ...

    @property
    def turn_id(self) -> TurnId:
        """The turn."""
        ...

    @property
    def agent(self) -> str:
        """The name of the agent that runs."""
        ...

    @property
    def started_at(self) -> float:
        """When it started."""
        ...

    @property
    def parent(self) -> TurnRef | None:
        """The turn that sent its message, if one did."""
        ...

    @property
    def held(self) -> bool:
        """Whether its cancel waits for a critical section."""
        ...

    @property
    def turn(self) -> TurnRecord:
        """Its record, made when it is asked for: lists are long, and most readers want only the above."""
        ...


@value
class LoopLag:
    """How many seconds late the event loop is, now and at most, and how often later than ``slow_loop``."""

    now: float = 0.0
    max: float = 0.0
    count: int = 0


@value
class Counts:
    """How much there is of what, and the counters since the registry opened.

    ``asleep`` of the sessions are asleep; ``kept`` is about how many bytes of events and messages there are.
    """

    sessions: int
    asleep: int
    turns_in_flight: int
    unresponsive: int
    subscribers: int
    kept: int
    counters: Mapping[str, int]
    loop_lag: LoopLag = LoopLag()


# -- Commands and queries to the registry -----------------------------------------------------------


@final
@value
class Send(Query[Accepted]):
    """Run one turn. ``turn_id`` may be the client's own; ``None`` everywhere means the default.

    ``key``, in place of a ``turn_id``, is an idempotency key: user, session and key make up that id.
    ``policy`` is what else the send says about how its turn is run: values by the names of a `Policy`'s
    fields. ``wait=False`` answers at once instead of when the turn has started. ``after``: as if it were sent
    so many seconds later; it is answered at once. ``parent`` is the turn that sends it, if one does: then
    ``turn_id`` was drawn for it, or stands for its ``key``, and ``inherits`` is the priority of that turn.
    ``params`` is what it says to the agent beside the message: what JSON can say, by names.
    """

    session_id: str
    message: Any
    asker: Asker = HOST
    agent: str | None = None
    strategy: str | None = None
    turn_id: str | None = None
    timeout: float | None = None
    wait: bool = True
    ended_to: ReplyAddress | None = None
    options: TurnOptions | None = None
    if_match: str | None = None
    key: str | None = None
    policy: Mapping[str, Any] | None = None
    after: float | None = None
    parent: TurnRef | None = None
    inherits: Priority | None = None
    params: Mapping[str, Any] | None = None


@final
@value
class Cancel(Query[CancelAnswer]):
    """Stop the turn ``turn_id``, or, without one, whatever the session is doing.

    ``wait=False`` answers ``requested`` at once. ``code`` is ``user_request`` by default, and ``admin`` when
    an admin stops another user's session. ``queue`` says what becomes of the turns that wait: a word of
    `QueueMode`, ``keep`` by default for a cancel that names a turn, and ``clear`` for one that does not.
    ``force``: it waits for no critical section. Only for those who see all sessions.
    """

    session_id: str
    turn_id: str | None = None
    asker: Asker = HOST
    wait: bool = True
    text: str | None = None
    code: CancelCode | None = None
    if_match: str | None = None
    queue: str | None = None
    force: bool = False


@final
@value
class CancelMany(Query[CancelledMany]):
    """Stop the turns, in flight or waiting, that every filter lets through; without any, ``all`` must be set.

    They are the turns of a snapshot of the sessions that the asker may see; after a restart it is taken when
    those of the process before are there, as far as they can be read, at the latest after ``within`` (10)
    seconds. ``turns`` names some, each by its session's id and its own: those that have ended do not
    match. ``owner`` is whose session it is, ``state`` the turn's status; ``older_than``: its send came more
    than so many seconds before the snapshot. ``as_of``, of an earlier answer, takes the moment of that
    snapshot for this one. ``dry_run`` stops nothing. At most ``limit`` turns are stopped (10,000). After
    ``within`` seconds those that have not settled are ``requested``; with ``wait=False`` all are. ``queue``
    and ``force`` are those of each `Cancel`: those that wait and do not match are kept, unless ``queue`` is
    ``clear``.
    """

    asker: Asker = HOST
    all: bool = False
    turns: tuple[tuple[str, str], ...] | None = None
    sessions: tuple[str, ...] | None = None
    owner: str | None = None
    agent: str | None = None
    state: str | None = None
    strategy: str | None = None
    older_than: float | None = None
    as_of: float | None = None
    dry_run: bool = False
    limit: int | None = None
    wait: bool = True
    within: float | None = None
    text: str | None = None
    code: CancelCode | None = None
    queue: str | None = None
    force: bool = False


@final
@value
class Close(Query[SessionView]):
    """Close the session: cancel what it does, take no more sends. Answered when it is closed.

    ``free``: forget it then, and whose it was, so that anyone may open a session of this id. Only for those
    who see all sessions.
    """

    session_id: str
    asker: Asker = HOST
    code: CancelCode = CancelCode.SESSION_CLOSED
    grace: float | None = None
    free: bool = False


@final
@value
class GetSession(Query[SessionView]):
    """One session: its state, current turn, queue and recent turns."""

    session_id: str
    asker: Asker = HOST


@final
@value
class GetTurn(Query[TurnRecord]):
    """One turn, current or remembered."""

    session_id: str
    turn_id: str
    asker: Asker = HOST


@final
@value
class GetQueue(Query[tuple[QueuedTurn, ...]]):
    """The turns that wait for a session, in order."""

    session_id: str
    asker: Asker = HOST


@final
@value
class GetMessages(Query[Conversation]):
    """The conversation of a session, also of one that is asleep, or of which only the conversation is left.

    The answer holds the messages themselves and no copies: read them, do not change them. ``before``: only
    those before so many, such as the ``omitted`` of an answer. ``limit``: of these only the last ones.
    ``room``: few more are read from a journal than take so many bytes of memory.
    """

    session_id: str
    asker: Asker = HOST
    before: int | None = None
    limit: int | None = None
    room: int | None = None


@final
@value
class GetTurns(Query[TurnPage]):
    """The known turns of a session, the one sent last first; ``before`` is that of an earlier page."""

    session_id: str
    asker: Asker = HOST
    before: str | None = None
    limit: int | None = None


@final
@value
class AwaitTurn(Query[TurnEnd]):
    """The end of one turn: answered when it has ended, at once if it has already."""

    session_id: str
    turn_id: str
    asker: Asker = HOST


@final
@value
class ListActive(Query[tuple[ActiveTurn, ...]]):
    """All turns that hold a session, of everyone the asker may see."""

    asker: Asker = HOST


@final
@value
class ListWaiting(Query[tuple[WaitingTurn, ...]]):
    """All turns that wait for a slot, of everyone the asker may see: first those that asked first."""

    asker: Asker = HOST


@final
@value
class ListSessions(Query[SessionPage]):
    """The sessions that the asker may see, the last active first, also those that are asleep.

    ``owner``: only that user's. ``q``: only those whose title has this text in it, in whatever case.
    ``state``: only those in that state; without it all but the closed ones. ``before`` is that of an earlier
    answer: what comes after that page, in the order of the first one, whatever has been active since.
    """

    asker: Asker = HOST
    owner: str | None = None
    state: SessionState | None = None
    q: str | None = None
    before: str | None = None
    limit: int | None = None


@final
@value
class SetTitle(Query[SessionSummary]):
    """Give a session a title: a text of 1 to ``title_length`` characters."""

    session_id: str
    title: str
    asker: Asker = HOST


@final
@value
class Cleanup(Query[tuple[SessionId, ...]]):
    """Put sessions to sleep that have nothing to do and no subscribers."""

    asker: Asker = HOST


@final
@value
class ChangeQueued(Query[tuple[QueuedTurn, ...]]):
    """Move a turn that waits behind others or for a moment, or have one say something else; never both.

    ``to`` is a word of `MoveTo`. A turn that waited for a moment takes its place at once. With another
    ``message`` it keeps its place, also if it is called up. Answered with the turns that wait then.
    """

    session_id: str
    turn_id: str
    asker: Asker = HOST
    to: str | None = None
    message: Any = None


@final
@value
class GetPolicy(Query[PolicyView]):
    """How the turns are run that the session's owner sends to ``agent``, or to the default one."""

    session_id: str
    agent: str | None = None
    asker: Asker = HOST


@final
@value
class SetPolicy(Query[None]):
    """Say how turns are run, for the sends from now on: by default, of the agent or of the user ``name``.

    ``fields`` are those of `PolicyFields`: all that this layer says, and not only what changes; by default,
    what the settings say stays below. Only for those who see all sessions.
    """

    layer: Layer
    name: str | None
    fields: Mapping[str, Any]
    asker: Asker = HOST


@final
@value
class GetAdmission(Query[Admission]):
    """How turns are let in, and how that goes. Only for those who see all sessions."""

    asker: Asker = HOST


@final
@value
class SetAdmission(Query[Admission]):
    """Let turns in otherwise from now on: ``fields`` are those of `AdmissionFields` that are to change.

    Fewer slots stop no turn, more are given out at once. Answered with what holds then. Only for those who
    see all sessions.
    """

    fields: Mapping[str, Any]
    asker: Asker = HOST


@final
@value
class GetCounts(Query[Counts]):
    """The figures of the whole registry."""


@final
@value
class Subscribe(Query[Any]):
    """Follow a session's events after ``cursor``, until what ``close_on`` names.

    ``cursor`` is ``None`` (the current turn, then live), or a text ``<epoch>-<n>`` or ``0``. A reader of a
    session that is not known, or is another user's, opens nothing: it waits until a send opens a session of
    that id which the asker may see.
    """

    session_id: str
    cursor: str | None = None
    asker: Asker = HOST
    close_on: CloseOn = CloseOn.CANCELLED


@final
@final
@value
class FollowTurn(Query[Any]):
    """Follow one turn from its event 0, or from the one after the id ``after``, to its terminal event.

    A turn that waits is followed from its start on; of one that never started there is the terminal event.
    ``has_room``: the asker has seen to it that there is room for the stream, which is counted already.
    """

    session_id: str
    turn_id: str
    after: str | None = None
    asker: Asker = HOST
    has_room: bool = False


@final
@value
class Shutdown(Query[None]):
    """Stop everything: every turn may clean up first. Answered when all sessions are closed."""

    deadline: float | None = None


# -- Messages to a session ----------------------------------------------------------------------------


@final
@value
class Submit:
    """A send with everything resolved: what the registry makes of `Send`.

    ``bounded``: how much one user may have holds for its sender. ``no_room`` is why no other turn may start
    now, or ``None``; the session's actor says it when the send is decided. ``granted`` is the ticket of a
    slot that it has taken then for the turn, if there is one and the turn needs it. ``not_before``: it takes
    its place at that moment, as if it were sent then. ``past`` is the turn of its id that the session has let
    go of and its log still has: the session's actor looks for it.
    """

    spec: TurnSpec
    strategy: Strategy
    wait: bool = True
    if_match: str | None = None
    bounded: bool = True
    no_room: SessionError | None = None
    not_before: float | None = None
    past: TurnRecord | None = None
    granted: Ticket | None = None


@value
class Edit:
    """What a turn's message becomes, and about how many bytes of memory that takes, as in `TurnSpec`."""

    message: Any
    size: int = 0


@final
@value
class Stop:
    """A cancel with its reason resolved: what the registry makes of `Cancel`.

    ``clear``: the turns that wait are cancelled, too. ``asker`` is the user who asks, and who may stop only
    what its policy lets that user stop; ``None`` may stop every turn. ``force``: it waits for no critical
    section.
    """

    turn_id: TurnId | None
    reason: Reason
    wait: bool = True
    if_match: str | None = None
    clear: bool = False
    asker: str | None = None
    force: bool = False


@final
@value
class Shut:
    """A close with its reason resolved: what the registry makes of `Close`."""

    reason: Reason
    grace: float | None = None


@final
@value
class Rearrange:
    """A turn that waits is moved, ``to`` there, or its message is ``edited``: what is made of `ChangeQueued`.

    ``by`` is the user who asks. An edited turn keeps its place, and the fingerprint of what was sent.
    ``bounded`` as in `Submit`; ``no_room`` is why nothing more may be kept now, as the session's actor says.
    ``sees_all`` as in `Asker`.
    """

    turn_id: TurnId
    by: str
    to: MoveTo | None = None
    edited: Edit | None = None
    bounded: bool = True
    no_room: SessionError | None = None
    sees_all: bool = False


@final
@value
class Recover:
    """The process in which the session's turns ran is gone, and another one has loaded the session.

    ``winds``: there is something to be run at the end of every turn. ``extras`` are those of the turn that
    held the session, as far as its events have them.
    """

    winds: bool = False
    extras: Extras | None = None


@final
@value
class TurnReturned:
    """The coroutine of the turn with this epoch has ended, and something that it has begun still runs."""

    epoch: Epoch


@final
@value
class TurnEnded:
    """The turn with this epoch has ended: its coroutine, and all that it had begun.

    ``first_event_at`` is when it emitted its first event, ``began`` whether the agent's function was entered.
    ``winds``: there is something to be run before it lets go of its session.
    """

    epoch: Epoch
    outcome: Outcome
    first_event_at: float | None = None
    began: bool | None = None
    extras: Extras | None = None
    winds: bool = False


@final
@value
class Tick:
    """A moment for which the session set its timer has come.

    The others are those of the turn in flight, as in `TurnEnded`, for its record if this ends it. ``ended``
    is its end, if nothing but the turns that it has sent messages to keeps it from that.
    """

    first_event_at: float | None = None
    began: bool | None = None
    extras: Extras | None = None
    winds: bool = False
    ended: TurnEnded | None = None


@final
@value
class WoundUp:
    """What the end of the turn with this epoch runs has been run; ``failed`` hooks that undo it failed.

    ``children`` are the turns that it has sent messages to, as they stand by now.
    """

    epoch: Epoch
    failed: int = 0
    children: tuple[ChildTurn, ...] = ()


@final
@value
class Hold(Query[float]):
    """The turn with this epoch asks for a critical section, and gives it this ``number``.

    Answered with the moment, in Unix seconds, at which a cancel waits for it no longer: ``span`` seconds from
    now, or as its policy says if that is sooner; that of the section ``inside`` which it begins, if it does.
    """

    epoch: Epoch
    number: int
    span: float | None = None
    inside: int | None = None


@final
@value
class Unhold(Query[None]):
    """A critical section of the turn with this epoch is over. Answered when that is taken account of."""

    epoch: Epoch
    number: int


@final
@value
class Granted:
    """There is a slot for the turn that asked for it with this ticket."""

    ticket: Ticket


@final
@value
class StandingChanged:
    """The turn that asks for a slot with this ticket stands elsewhere than its readers were shown."""

    ticket: Ticket


@final
@value
class TaskExited:
    """A task or a callback of the turn with this epoch raised what would have ended the process."""

    session_id: SessionId
    epoch: Epoch
    error: AgentError


@value
class Unsubscribe:
    """A reader has gone."""

    subscription: Any


@value
class TurnDeserted:
    """A turn that waits has been left by its reader for as long as it may have none."""

    turn_id: TurnId


@value
class Sleep:
    """Go to sleep if there is nothing to do."""


@final
@value
class Retitle:
    """The session has another title: write it into the journal, then answer with ``summary``."""

    title: str
    summary: SessionSummary | None = None


@final
@value
class TurnRead:
    """What the journal has of the turn that a send names: ``None`` for nothing, or why it cannot say."""

    send: Submit
    turn: TurnRecord | None = None
    error: SessionError | None = None


@final
@value
class Flush:
    """Write what waits to be written into the journal."""


# -- Reports to the registry --------------------------------------------------------------------------


@final
@value
class StopTurns:
    """These turns are to stop, for this reason: all of them at once."""

    turns: tuple[TurnRef, ...]
    reason: Reason


@final
@value
class SessionEnded:
    """The session is closed; the directory has its state already."""

    actor: Any
    session_id: SessionId


@final
@value
class Slept:
    """What is left of a session that went to sleep; ``state`` is ``None`` if it stayed awake.

    ``head`` is where its log in the journal stands.
    """

    actor: Any
    session_id: SessionId
    state: Any
    log: Any
    head: Any = None


@final
@value
class ToBeFreed:
    """A session is closed, and is to be forgotten, so that its id is free. Answered with ``view``."""

    view: SessionView


@final
@value
class KeptTooMuch:
    """A send to a session of this owner's was refused because too much is kept."""

    owner: str


@final
@value
class OwnerFound:
    """The host has said whose session that is; ``None``: anyone may open it. ``failed``: it could not say."""

    session_id: SessionId
    owner: str | None
    failed: bool = False


@final
@value
class SessionRead:
    """What the journal has of a session: ``loaded``, ``None`` for nothing, or why it cannot be read."""

    session_id: SessionId
    loaded: Any = None
    error: SessionError | None = None


@final
@value
class Recovering:
    """These sessions have turns that had not ended when another process ran them."""

    sessions: tuple[SessionId, ...]


@final
@value
class Recovered:
    """It is decided what becomes of the turns of another process in a session that was read; or it waits."""

    actor: Any
    session_id: SessionId


@final
@value
class SessionFailed:
    """The session's actor failed and is gone, with its turn's coroutine; ``state`` and ``log`` are left."""

    actor: Any
    session_id: SessionId
    state: Any
    log: Any


@final
@value
class Sweep:
    """Look for sessions that have been idle for long enough to sleep, or asleep for long enough to forget."""


@final
@value
class ShutdownOverdue:
    """The shutdown deadline has come."""
