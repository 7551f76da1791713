"""What a turn is and how it stands: ids, statuses, reasons, records, and how a coroutine ended. Data only.

Every moment is in Unix seconds, read from a clock that never goes back; every span is in seconds
unless its name says milliseconds.
"""

from typing import Any, NewType, TypeAlias, assert_never

from .value import value
from .word import Word, word

#: Names a session: 1 to 200 of ``A-Z a-z 0-9 . _ : @ -`` (``log_id`` over HTTP).
SessionId = NewType("SessionId", str)
#: Names a turn, by the same rule (``task_id`` over HTTP).
TurnId = NewType("TurnId", str)
#: The number that a turn draws when it starts: it fences off everything that belongs to an older one.
Epoch: TypeAlias = int


# -- Who asks ---------------------------------------------------------------------------------------


@value
class Asker:
    """On whose behalf a message is sent. ``sees_all``: admins and the host's own code."""

    user: str
    sees_all: bool = False

    def may_see(self, owner: str) -> bool:
        """Whether the asker may know of a session that belongs to ``owner``."""
        return self.sees_all or self.user == owner


#: The host's own code, which may see every session.
HOST = Asker("local", True)

# -- The words for how it stands -----------------------------------------------------------------------


class SessionState(Word):
    """The states of a session."""

    IDLE = word("idle", "no turn is in flight")
    RUNNING = word("running", "a turn runs")
    CANCELLING = word("cancelling", "a turn has been cancelled and has not settled yet")
    CLOSED = word("closed", "it takes no more messages")


class TurnStatus(Word):
    """``queued -> running -> (cancelling ->)`` and then exactly one of the others."""

    QUEUED = word("queued", "it was accepted, and waits for the turn before it to settle")
    RUNNING = word("running", "it holds its session")
    CANCELLING = word("cancelling", "a cancel was requested, and it has not settled yet")
    COMPLETED = word("completed", "the coroutine returned")
    FAILED = word("failed", "the coroutine raised, or what has to run before or after it did")
    CANCELLED = word("cancelled", "it was cancelled, and the coroutine ended because of that or never began")
    TIMED_OUT = word("timed_out", "its time was up, and the coroutine was cancelled for that")
    INTERRUPTED = word("interrupted", "turnkeeper itself failed")
    UNRESPONSIVE = word(
        "unresponsive",
        "the coroutine ignored being cancelled for the whole grace, and was quarantined",
    )


def is_terminal(status: TurnStatus) -> bool:
    """Whether a turn of this status has ended."""
    match status:
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            return False
        case (
            TurnStatus.COMPLETED
            | TurnStatus.FAILED
            | TurnStatus.CANCELLED
            | TurnStatus.TIMED_OUT
            | TurnStatus.INTERRUPTED
            | TurnStatus.UNRESPONSIVE
        ):
            return True
        case _:
            assert_never(status)


#: The statuses of turns that have ended.
TERMINAL = frozenset(status for status in TurnStatus if is_terminal(status))


class Verdict(Word):
    """What a cancel came to."""

    CANCELLED = word("cancelled", "the coroutine has ended, because it was cancelled")
    FINISHED_FIRST = word(
        "finished_first",
        "the coroutine ended by itself, now or long ago; the turn's status says how",
    )
    UNRESPONSIVE = word("unresponsive", "the coroutine ignored being cancelled for the whole grace")
    NOT_RUNNING = word("not_running", "there was nothing to cancel")
    REQUESTED = word("requested", "the cancel was requested, and its outcome was not waited for")


class Strategy(Word):
    """What a send does when a turn is in flight."""

    INTERRUPT = word("interrupt", "cancel that turn, and start when it has settled")
    REJECT = word("reject", "refuse the send")


class CancelCode(Word):
    """Why a turn was cancelled (``reason.code``)."""

    USER_REQUEST = word("user_request", "the user, or the host on the user's behalf, asked for it")
    SUPERSEDED = word("superseded", "a newer message took its place")
    CLIENT_DISCONNECTED = word("client_disconnected", "the client went away")
    TIMEOUT = word("timeout", "its time was up")
    SHUTDOWN = word("shutdown", "the server shut down")
    ADMIN = word("admin", "an admin who is not the owner asked for it")
    POLICY = word("policy", "a rule of the host's")
    SESSION_CLOSED = word("session_closed", "the session was closed")


class StreamEnd(Word):
    """Why a stream of events ended: the text of its last event, ``close``."""

    TASK_CANCELLED = word("Task cancelled", "a user or an admin cancelled the turn, and it has stopped")
    TASK_FINISHED = word("Task finished", "a user or an admin cancelled the turn, but it had finished first")
    TASK_UNRESPONSIVE = word(
        "Task unresponsive", "a user or an admin cancelled the turn, but it did not stop"
    )
    SESSION_CLOSED = word("Session closed", "the session was closed")
    SESSION_LOST = word("Session lost", "the session failed inside turnkeeper")
    SHUTDOWN = word("Server shutting down", "the server is shutting down")


def is_final(end: StreamEnd) -> bool:
    """Whether nothing that the stream was about can follow on another one: no turn of the session runs on.

    The others end the stream of one turn; the session's next turn is read on a new stream.
    """
    match end:
        case StreamEnd.SESSION_CLOSED | StreamEnd.SESSION_LOST | StreamEnd.SHUTDOWN:
            return True
        case StreamEnd.TASK_CANCELLED | StreamEnd.TASK_FINISHED | StreamEnd.TASK_UNRESPONSIVE:
            return False
        case _:
            assert_never(end)


#: To compare with the text of a ``close``, which an older or newer server may have sent.
FINAL_ENDS: frozenset[str] = frozenset(end for end in StreamEnd if is_final(end))


@value
class Reason:
    """Why a cancel was asked, by whom, and in whose words."""

    code: CancelCode
    by: str | None = None
    text: str | None = None


@value
class TurnError:
    """Why a turn failed: a stable ``code``, the type of what was raised, and the stage that raised it."""

    code: str
    type: str | None = None
    stage: str | None = None


@value
class LateEnd:
    """How an unresponsive turn ended after all."""

    outcome: TurnStatus
    at: float


@value
class TurnOptions:
    """What a caller inside the process hands to its turn: passed on as it is."""

    max_iterations: int | None = None
    context: Any = None


@value
class TurnHead:
    """What is known of a turn from its send on, and stays in its record. It never changes.

    A new field of a send that its record shows goes here: the spec and the record then both have it.
    """

    turn_id: TurnId
    user: str
    agent: str
    submitted_at: float
    fingerprint: bytes | None = None


class _Headed:
    """What a spec and a record read from the head that they share."""

    __slots__ = ()
    head: TurnHead

    @property
    def turn_id(self) -> TurnId:
        """Which turn (``task_id`` over HTTP)."""
        return self.head.turn_id

    @property
    def user(self) -> str:
        """Who sent its message."""
        return self.head.user

    @property
    def agent(self) -> str:
        """The name of the agent that runs it."""
        return self.head.agent

    @property
    def submitted_at(self) -> float:
        """When its send arrived."""
        return self.head.submitted_at

    @property
    def fingerprint(self) -> bytes | None:
        """A digest of its message and agent, if the client chose its id."""
        return self.head.fingerprint


@value
class TurnSpec(_Headed):
    """One accepted message and how its turn is to be run. It never changes.

    ``ended_to`` is where its sender waits for the turn's end.
    """

    head: TurnHead
    session_id: SessionId
    message: Any
    timeout: float | None
    grace: float
    options: TurnOptions | None = None
    ended_to: Any = None


@value
class Cancellation:
    """A turn was asked to stop: why, when, and when its coroutine was cancelled for the second time."""

    reason: Reason
    asked_at: float
    again_at: float | None = None


@value
class TurnRecord(_Headed):
    """What is remembered of a turn. In flight it is a snapshot, after that it is the truth.

    ``queued_at`` is set if it had to wait for the session, ``first_event_at`` if its agent emitted anything
    (in flight: where it was asked for by `GetTurn` or `GetSession`).
    """

    head: TurnHead
    epoch: Epoch | None
    status: TurnStatus
    queued_at: float | None = None
    started_at: float | None = None
    first_event_at: float | None = None
    cancellation: Cancellation | None = None
    ended_at: float | None = None
    error: TurnError | None = None
    superseded_by: TurnId | None = None
    ended_late: LateEnd | None = None

    @property
    def reason(self) -> Reason | None:
        """Why it was asked to stop, if it was."""
        return None if self.cancellation is None else self.cancellation.reason

    @property
    def cancel_requested_at(self) -> float | None:
        """When it was asked to stop, if it was."""
        return None if self.cancellation is None else self.cancellation.asked_at

    @property
    def cancelled_again_at(self) -> float | None:
        """When its coroutine was cancelled for the second time, if it was."""
        return None if self.cancellation is None else self.cancellation.again_at


class Step(Word):
    """The steps of a turn's timeline, in the order in which those of one moment are listed."""

    SUBMITTED = word("submitted", "the message arrived")
    QUEUED = word("queued", "it began to wait for another turn to settle")
    STARTED = word("started", "it got hold of the session")
    FIRST_EVENT = word("first_event", "its agent emitted its first event")
    CANCEL_REQUESTED = word("cancel_requested", "the first cancel was requested; `ms` may be negative")
    CANCELLED_AGAIN = word("cancelled_again", "it had not stopped at half the grace")
    SETTLED = word("settled", "it was cancelled, and let go of the session")
    ENDED = word("ended", "it got its final status")
    ENDED_LATE = word("ended_late", "it was unresponsive, and its coroutine has ended")


@value
class Moment:
    """One step of a turn's timeline; ``ms`` counts from the turn's submission.

    ``reason`` is that of a cancel, ``status`` the turn's last one (of ``ended_late``: what its coroutine did
    in the end), ``settled_after_ms`` how long after the cancel the turn let go of its session.
    """

    step: Step
    at: float
    ms: float
    reason: Reason | None = None
    status: TurnStatus | None = None
    settled_after_ms: float | None = None


# -- How a coroutine ended ----------------------------------------------------------------------------


@value
class Returned:
    """The coroutine returned ``result``."""

    result: Any = None


@value
class Raised:
    """The coroutine raised ``error``, which is not CancelledError."""

    error: BaseException
    code: str = "AGENT_ERROR"


@value
class Stopped:
    """The coroutine raised CancelledError. The session knows whether it was asked to."""


#: How a coroutine ended.
Outcome: TypeAlias = Returned | Raised | Stopped
