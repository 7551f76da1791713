"""The tree of errors.

::

    TurnkeeperError                     everything below; `code` is stable, the text is for people
    +-- SessionError                    a message that a session or the registry refused
    |   +-- UnknownSession              this id is not known, or it is another user's
    |   +-- SessionIdTaken              a send to a session of another user's
    |   +-- OwnerNotKnown               the host's `owner_of` could not say whose a session is
    |   +-- UnknownTurn                 the session does not know (or no longer knows) this turn
    |   +-- EventsLost                  the first events of a turn, or those after a cursor, are gone
    |   +-- UnknownAgent                no agent of that name
    |   +-- SessionBusy                 a turn is in flight and the strategy is `reject`
    |   +-- SessionClosed               the session was closed
    |   +-- TooManyUnresponsive         too many turns ignored being cancelled and still run
    |   +-- TooManySessions             there are as many sessions as there may be, of the user's or in all
    |   +-- TooManyTurns                ... as many turns in flight
    |   |   +-- TooManyOfAgent          ... as many turns of one agent in flight
    |   +-- TooManyWaiting              ... as many turns that wait for a slot
    |   +-- NotWaiting                  the turn that is to be moved or edited has started, or has ended
    |   +-- QueueFull                   as many turns wait for the session as may
    |   +-- TooManyStreams              ... as many streams
    |   +-- TooMuchKept                 ... as many bytes of events and messages
    |   +-- TooManyPolicies             as many users have a policy of their own as may
    |   +-- TurnIdReused                this turn id stands for another message already
    |   |   +-- IdempotencyKeyReused    ... and it was made of an idempotency key
    |   +-- NotYoursToStop              a cancel of a turn that its policy lets only others stop
    |   +-- NotYoursToEdit              a change of the message of a turn that another user has sent
    |   +-- HoldRefused                 a critical section of a turn that was cancelled, or has too many
    |   +-- OwnLineage                  a turn sends to its own session, or to that of a turn it descends from
    |   +-- TooDeep                     a tree of turns would have more levels than it may
    |   +-- TooManyChildren             a turn has sent as many messages as it may
    |   +-- ChildNotStarted             a turn that another one has sent for had to wait for too long
    |   +-- PreconditionFailed          `If-Match` named another turn
    |   +-- SessionLost                 the session's actor failed; the session starts anew
    |   +-- InvalidRequest              a field breaks its rule; `field` names it
    |   |   +-- MessageTooLarge         a message, or what is said beside it, is larger than it may be
    |   |   +-- PartNotTaken            a message has a part of a type that its agent does not take
    |   |   +-- TitleTooLong            a session's title has more characters than one may have
    |   |   +-- PolicyNotAllowed        a send sets a field of its policy that it may not set
    |   |   +-- UnknownPriority         a priority is none of those that there are
    |   |   +-- InvalidCap              a cap is no whole number above 0
    |   |   +-- InvalidDelay            a send is to wait for longer than it may, or for no span of time
    |   +-- ScopeMissing                only for those who see all sessions
    |   +-- ShuttingDown                the registry accepts nothing more
    |   +-- HostKeepsMessages           the host keeps this conversation, and does not show it
    |   +-- JournalDown                 the journal cannot be written, or read, now
    +-- TurnNotCompleted                the turn has ended otherwise than `completed`
    |   +-- TurnCancelled               ... as `cancelled`, `timed_out`, `interrupted` or `unresponsive`
    |   +-- TurnMerged                  ... as `merged`: another turn has its message
    |   +-- TurnFailed                  ... as `failed`; `__cause__` is what the agent raised
    +-- ResultNotKept                   the turn has completed, but its result was too large to be kept
    +-- JournalNotOpened                the journal cannot be opened
    |   +-- JournalInUse                ... because another process has it
    |   +-- JournalCorrupt              ... because what is in it cannot be read
    |   +-- JournalTooNew               ... because a newer turnkeeper has written it
    +-- AgentError                      what the host's coroutine did wrong, raised there
    |   +-- TurnOver                    emit or a context change after the turn's end
    |   +-- ReservedEvent               an agent may not emit an event of ours
    |   +-- EventNotJson                event data that cannot be written as JSON
    |   +-- TooManyOpenCalls            the turn has as many calls of tools open as one may have
    |   +-- MessageNotJson              a message for a journal that cannot be written as JSON
    |   +-- OutsideTurn                 what only a task of the turn's may do, done by another one
    |   +-- SectionReused               a critical section that was entered before
    |   +-- InvalidUsage                a report of what a turn has used that is no number of tokens
    |   +-- WaitsForItself              a turn that waits for its own end
    |   +-- ContextLoadFailed           the host's `load_context` raised
    |   +-- ContextSaveFailed           the host's `save_context` raised
    |   +-- ContextNotCopyable          the `data` of the session's context cannot be copied
    |   +-- ReadOnlyMessage             what is kept of a turn, such as a message, was to be changed
    |   +-- TooManyTasks                the turn has as many tasks as one may have
    |   +-- TooManyProcesses            as many processes run as may, of the user's turns or of all
    |   +-- ProcessNotStarted           a process that a turn wanted cannot be started
    |   +-- ThreadNotStarted            the system gives no thread for a function of a turn's
    |   +-- NotAnAgent                  neither a coroutine function nor an async generator function
    |   +-- AgentExited                 the agent raised SystemExit, as `sys.exit()` does
    |   +-- AgentInterrupted            the agent raised KeyboardInterrupt, and no operator did
    |   +-- StageFailed                 a stage raised, or returned no dict; `stage` names it
    +-- RuntimeMisuse                   the actors were used from the wrong place
        +-- BlockingCallOnLoop          a blocking ask, get or stop on the loop's own thread
        +-- WrongThread                 a call that belongs on the loop's thread
        +-- LoopClosed                  the actors' event loop is closed or was never there
        +-- NoRegistry                  a service function without an open registry on this loop
        +-- AlreadyStarted              a registry that is open, or was, is opened again or given a stage
"""

from turnkeeper.actors.runtime.errors import BlockingCallOnLoop as BlockingCallOnLoop
from turnkeeper.actors.runtime.errors import LoopClosed as LoopClosed
from turnkeeper.actors.runtime.errors import RuntimeMisuse as RuntimeMisuse
from turnkeeper.actors.runtime.errors import TurnkeeperError as TurnkeeperError


class SessionError(TurnkeeperError):
    """A message that a session or the registry refused. Nothing has changed."""


class UnknownSession(SessionError):
    """The session is not known, or it belongs to another user (the same answer, on purpose)."""

    code = "UNKNOWN_SESSION"


class SessionIdTaken(SessionError):
    """A send to a session of another user's."""

    code = "SESSION_ID_TAKEN"


class OwnerNotKnown(SessionError):
    """The host's ``owner_of`` raised, or answered with something other than a user's name or ``None``."""

    code = "OWNER_NOT_KNOWN"


class UnknownTurn(SessionError):
    """The session does not know this turn, or no longer does."""

    code = "UNKNOWN_TURN"


class EventsLost(SessionError):
    """A turn cannot be followed: its first events, or the ones after the cursor, are no longer kept."""

    code = "EVENTS_LOST"


class UnknownAgent(SessionError):
    """No agent of that name was registered. ``field`` names what has named it."""

    code = "UNKNOWN_AGENT"

    def __init__(self, text: str, *, field: str = "agent") -> None:
        super().__init__(text)
        self.field = field


class SessionBusy(SessionError):
    """A turn holds the session and the send's strategy is ``reject``. ``turn_id`` names the holder."""

    code = "SESSION_BUSY"

    def __init__(self, text: str, *, turn_id: str | None = None) -> None:
        super().__init__(text)
        self.turn_id = turn_id


class QueueFull(SessionError):
    """As many turns wait for the session as the policy of the send allows: ``limit``."""

    code = "QUEUE_FULL"

    def __init__(self, text: str, *, limit: int | None = None) -> None:
        super().__init__(text)
        self.limit = limit


class NotWaiting(SessionError):
    """The turn does not wait for its session any more: it cannot be moved or edited.

    Or it is called up: then it cannot be moved, nor edited if it was cut off and is tried again.
    """

    code = "NOT_WAITING"


class SessionClosed(SessionError):
    """The session was closed; it takes no sends until it is forgotten."""

    code = "SESSION_CLOSED"


class TooManyUnresponsive(SessionError):
    """So many turns ignored being cancelled, and still run, that the session takes no more.

    They are the session's own, its owner's, or those of all users together.
    """

    code = "TOO_MANY_UNRESPONSIVE"


class TooManySessions(SessionError):
    """The user has as many sessions as one may have, or all have together as many as there may be."""

    code = "TOO_MANY_SESSIONS"


class TooManyTurns(SessionError):
    """The user has as many turns in flight as one may have, or there are as many as there may be in all."""

    code = "TOO_MANY_TURNS"


class TooManyOfAgent(TooManyTurns):
    """The agent has as many turns in flight as it may have."""

    code = "TOO_MANY_OF_AGENT"


class TooManyWaiting(SessionError):
    """As many of the user's turns wait for a slot or a moment as may wait, or of all users' together."""

    code = "TOO_MANY_WAITING"


class TooManyStreams(SessionError):
    """The user has as many streams open as one may have, or there are as many as there may be in all."""

    code = "TOO_MANY_STREAMS"


class TooMuchKept(SessionError):
    """As many bytes of events and messages are kept as may be, of the user's sessions or in all."""

    code = "TOO_MUCH_KEPT"


class TooManyPolicies(SessionError):
    """As many users have a policy of their own as may."""

    code = "TOO_MANY_POLICIES"


class TurnIdReused(SessionError):
    """A client-chosen turn id that already stands for another message in this session."""

    code = "TURN_ID_REUSED"


class IdempotencyKeyReused(TurnIdReused):
    """An idempotency key that already stands for another message of this user's in this session."""

    code = "IDEMPOTENCY_KEY_REUSED"


class HoldRefused(SessionError):
    """A critical section was not granted: the turn was cancelled or is over, or it has too many of them."""

    code = "HOLD_REFUSED"


class OwnLineage(SessionError):
    """A turn sends to its own session, or to one of a turn it descends from: each would await the other."""

    code = "OWN_LINEAGE"


class TooDeep(SessionError):
    """A turn sends whose tree has as many levels as it may: ``max_depth``."""

    code = "TOO_DEEP"


class TooManyChildren(SessionError):
    """A turn has sent as many messages to other sessions as it may: ``max_children``."""

    code = "TOO_MANY_CHILDREN"


class ChildNotStarted(SessionError):
    """A turn that another one has sent for did not start in time: it was cancelled. ``turn_id`` names it."""

    code = "CHILD_NOT_STARTED"

    def __init__(self, text: str, *, turn_id: str | None = None) -> None:
        super().__init__(text)
        self.turn_id = turn_id


class NotYoursToStop(SessionError):
    """A cancel of a turn that its policy lets only others stop. ``turn_id`` names it."""

    code = "NOT_YOURS_TO_STOP"

    def __init__(self, text: str, *, turn_id: str | None = None) -> None:
        super().__init__(text)
        self.turn_id = turn_id


class NotYoursToEdit(SessionError):
    """A change of the message of a turn that waits, and that another user has sent. ``turn_id`` names it."""

    code = "NOT_YOURS_TO_EDIT"

    def __init__(self, text: str, *, turn_id: str | None = None) -> None:
        super().__init__(text)
        self.turn_id = turn_id


class PreconditionFailed(SessionError):
    """``If-Match`` named a turn that is not the session's current or last one."""

    code = "PRECONDITION_FAILED"


class SessionLost(SessionError):
    """The session's actor failed and was replaced; what was in flight is gone."""

    code = "SESSION_LOST"


class InvalidRequest(SessionError):
    """A field breaks its rule. ``field`` names it, the text says the rule."""

    code = "INVALID_REQUEST"

    def __init__(self, text: str, *, field: str | None = None) -> None:
        super().__init__(text)
        self.field = field


class MessageTooLarge(InvalidRequest):
    """A message has more text, or more parts, than a message may have, or a send has more ``params``."""

    code = "MESSAGE_TOO_LARGE"


class PartNotTaken(InvalidRequest):
    """A message has a part of another type than its agent takes: ``part``. ``agent`` is the agent's name."""

    code = "PART_NOT_TAKEN"

    def __init__(self, text: str, *, part: str, agent: str) -> None:
        super().__init__(text, field="message")
        self.part = part
        self.agent = agent


class TitleTooLong(InvalidRequest):
    """A session's title has more characters than a title may have."""

    code = "TITLE_TOO_LONG"


class PolicyNotAllowed(InvalidRequest):
    """A send, or a move, sets what the host does not let it set of a policy. ``field`` names it."""

    code = "POLICY_NOT_ALLOWED"


class UnknownPriority(InvalidRequest):
    """A priority that there is not. ``field`` names where it was said."""

    code = "UNKNOWN_PRIORITY"


class InvalidCap(InvalidRequest):
    """A cap that is no whole number above 0. ``field`` names it."""

    code = "INVALID_CAP"


class InvalidDelay(InvalidRequest):
    """A send is to wait for longer than it may, or for what is no span of time. ``field`` names it."""

    code = "INVALID_DELAY"


class ScopeMissing(SessionError):
    """Only those who see all sessions may do this."""

    code = "SCOPE_MISSING"


class ShuttingDown(SessionError):
    """The registry is stopping and accepts nothing more."""

    code = "SHUTTING_DOWN"


class HostKeepsMessages(SessionError):
    """The host keeps what was said in this session, and shows no messages of it."""

    code = "HOST_KEEPS_MESSAGES"


class JournalDown(SessionError):
    """The journal cannot be written, or read, now; try again in a while."""

    code = "JOURNAL_DOWN"


class JournalNotOpened(TurnkeeperError):
    """The journal cannot be opened, and nothing was changed in it."""

    code = "JOURNAL_NOT_OPENED"


class JournalInUse(JournalNotOpened):
    """Another process has the journal open; the text names it."""

    code = "JOURNAL_IN_USE"


class JournalCorrupt(JournalNotOpened):
    """What is in the journal cannot be read."""

    code = "JOURNAL_CORRUPT"


class JournalTooNew(JournalNotOpened):
    """A newer turnkeeper has written the journal."""

    code = "JOURNAL_TOO_NEW"


class TurnNotCompleted(TurnkeeperError):
    """The turn one waited for did not complete. ``status`` is its terminal status."""

    code = "TURN_NOT_COMPLETED"

    def __init__(self, text: str, *, turn_id: str, status: str) -> None:
        super().__init__(text)
        self.turn_id = turn_id
        self.status = status


class TurnCancelled(TurnNotCompleted):
    """The turn ended as ``cancelled``, ``timed_out``, ``interrupted`` or ``unresponsive``.

    In a turn, this is how another turn's end that it waits for is told: CancelledError always means that the
    turn itself is to stop. A turn that lets it through fails with ``turn_cancelled``.
    ``reason`` is why it was cancelled, a word of `CancelCode`, if it was.
    """

    code = "TURN_CANCELLED"
    expected = True

    def __init__(self, text: str, *, turn_id: str, status: str, reason: str | None = None) -> None:
        super().__init__(text, turn_id=turn_id, status=status)
        self.reason = reason


class TurnMerged(TurnNotCompleted):
    """The turn ended as ``merged``: its message is part of the one of the turn ``merged_into``."""

    code = "TURN_MERGED"
    expected = True

    def __init__(self, text: str, *, turn_id: str, status: str, merged_into: str | None) -> None:
        super().__init__(text, turn_id=turn_id, status=status)
        self.merged_into = merged_into


class TurnFailed(TurnNotCompleted):
    """The turn ended as ``failed``. What the agent raised is the ``__cause__``."""

    code = "TURN_FAILED"


class ResultNotKept(TurnkeeperError):
    """The turn one waited for has completed, but what it returned was too large to be kept (``kept_result``).

    Only those are told that who asked after its end.
    """

    code = "RESULT_NOT_KEPT"

    def __init__(self, text: str, *, turn_id: str) -> None:
        super().__init__(text)
        self.turn_id = turn_id


class AgentError(TurnkeeperError):
    """What the host's coroutine did wrong, raised where it did it."""


class TurnOver(AgentError):
    """The turn has reached its end (or was fenced off): nothing more of it is published or kept."""

    code = "TURN_OVER"


class ReservedEvent(AgentError):
    """An agent emitted an event under a name that is turnkeeper's own."""

    code = "RESERVED_EVENT"


class EventNotJson(AgentError):
    """Event data that cannot be written as JSON."""

    code = "EVENT_NOT_JSON"


class TooManyOpenCalls(AgentError):
    """The turn has as many calls of tools open as one may have."""

    code = "TOO_MANY_OPEN_CALLS"


class MessageNotJson(AgentError):
    """A turn left a message in ``context.messages`` that cannot be written as JSON, for a journal."""

    code = "MESSAGE_NOT_JSON"


class OutsideTurn(AgentError):
    """Only a task of the turn's, or one that such a task has started, may do that."""

    code = "OUTSIDE_TURN"


class SectionReused(AgentError):
    """A critical section was entered before: there is one for each ``async with``."""

    code = "SECTION_REUSED"


class InvalidUsage(AgentError):
    """What a turn reports that it has used is no number of tokens."""

    code = "INVALID_USAGE"


class WaitsForItself(AgentError):
    """A turn waited for the end of its own session's turn, which is itself: it would wait for ever."""

    code = "WAITS_FOR_ITSELF"


class ContextLoadFailed(AgentError):
    """``load_context`` raised; what it raised is the ``__cause__``."""

    code = "CONTEXT_LOAD_FAILED"


class ContextSaveFailed(AgentError):
    """``save_context`` raised; what it raised is the ``__cause__``."""

    code = "CONTEXT_SAVE_FAILED"


class ContextNotCopyable(AgentError):
    """The ``data`` of the session's context cannot be copied; what the copy raised is the ``__cause__``."""

    code = "CONTEXT_NOT_COPYABLE"


class ReadOnlyMessage(AgentError):
    """A message kept from an earlier turn was to be changed. Assign another one in its place."""

    code = "READ_ONLY_MESSAGE"


class TooManyTasks(AgentError):
    """The turn has as many tasks of its own running as one may have: ``max_tasks``."""

    code = "TOO_MANY_TASKS"


class TooManyProcesses(AgentError):
    """As many processes run as the turns of one user may have, or those of all: ``max_processes``."""

    code = "TOO_MANY_PROCESSES"


class ProcessNotStarted(AgentError):
    """A process that a turn wanted cannot be started. What the system said is the ``__cause__``."""

    code = "PROCESS_NOT_STARTED"


class ThreadNotStarted(AgentError):
    """The system gives no other thread, which a function of a turn's was to run in."""

    code = "THREAD_NOT_STARTED"


class NotAnAgent(AgentError):
    """The agent is neither a coroutine function nor an async generator function."""

    code = "NOT_AN_AGENT"


class AgentExited(AgentError):
    """The agent raised SystemExit, as ``sys.exit()`` does. That is the ``__cause__``."""

    code = "SYSTEM_EXIT"


class AgentInterrupted(AgentError):
    """The agent raised KeyboardInterrupt, and it was not the operator's Ctrl-C."""

    code = "KEYBOARD_INTERRUPT"


class StageFailed(AgentError):
    """A stage raised, or returned no dict. ``stage`` is ``<name>:<function>``, the cause what it raised."""

    code = "STAGE_FAILED"

    def __init__(self, text: str, *, stage: str) -> None:
        super().__init__(text)
        self.stage = stage


class WrongThread(RuntimeMisuse):
    """A call that only the event loop's thread may make."""

    code = "WRONG_THREAD"


class NoRegistry(RuntimeMisuse):
    """A service function was called, but no registry is open on the running loop."""

    code = "NO_REGISTRY"


class AlreadyStarted(RuntimeMisuse):
    """A registry is started once, and given its stages before that; make another one."""

    code = "ALREADY_STARTED"
