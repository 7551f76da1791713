"""The vocabulary: states, statuses, verdicts, strategies and reasons, each word with its meaning. Data only.

A new word is a type error wherever something has to be decided about it.
"""

from enum import Enum
from typing import assert_never

from .word import Word, word


class SessionState(Word):
    """The states of a session."""

    IDLE = word("idle", "no turn is in flight")
    QUEUED = word(
        "queued", "no turn is in flight, and one waits for a slot, for a moment, or after a restart"
    )
    RUNNING = word("running", "a turn runs")
    CANCELLING = word("cancelling", "a turn has been cancelled and has not settled yet")
    CLOSED = word("closed", "it takes no more messages")


class TurnStatus(Word):
    """``queued -> running -> (cancelling ->)`` and then exactly one of the others."""

    QUEUED = word("queued", "it was accepted, or cut off by a restart, and waits to be started")
    RUNNING = word("running", "it holds its session")
    CANCELLING = word("cancelling", "a cancel was requested, and it has not settled yet")
    COMPLETED = word("completed", "the coroutine returned")
    FAILED = word("failed", "the coroutine raised, or what has to run before or after it did")
    CANCELLED = word("cancelled", "it was cancelled, and the coroutine ended because of that or never began")
    TIMED_OUT = word("timed_out", "its time was up, and the coroutine was cancelled for that")
    INTERRUPTED = word("interrupted", "its process ended while it ran, or turnkeeper itself failed")
    UNRESPONSIVE = word(
        "unresponsive",
        "the coroutine, or what it had begun, did not end within the whole grace, and was quarantined",
    )
    MERGED = word("merged", "its message joined another one that waited: it never began")


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
            | TurnStatus.MERGED
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
    UNRESPONSIVE = word(
        "unresponsive", "the coroutine, or what it had begun, did not end within the whole grace"
    )
    NOT_RUNNING = word("not_running", "there was nothing to cancel")
    REQUESTED = word("requested", "the cancel was requested, and its outcome was not waited for")


class Strategy(Word):
    """What a send does when a turn is in flight."""

    INTERRUPT = word("interrupt", "cancel that turn, and start when it has settled")
    REJECT = word("reject", "refuse the send")
    ENQUEUE = word("enqueue", "wait behind it, and behind those that wait already")
    COLLAPSE = word("collapse", "join the last message of the same sender that waits, else wait for others")
    ROLLBACK = word("rollback", "interrupt, and undo that turn: the conversation is as it was before it")


class Rollback(Word):
    """How far a turn was undone."""

    DONE = word("done", "nothing it did to the conversation was kept, and every hook ran to its end")
    PARTLY = word(
        "partly", "nothing it did to the conversation was kept, but a hook failed, took too long or was lost"
    )


class ToolStatus(Word):
    """How a call of a tool ended."""

    DONE = word("done", "the tool returned")
    FAILED = word("failed", "the tool raised an error")
    CANCELLED = word("cancelled", "it was cut off, and nothing is known of what it did")


class Place(Word):
    """Where a turn waits for its session."""

    FRONT = word("front", "it is called up: it starts as soon as nothing holds the session")
    REST = word("rest", "it waits behind the one that is called up, first in, first out")
    LATER = word("later", "it waits for a moment, and takes its place then")
    WINDOW = word("window", "the same, and messages that come until then may join it")


class WaitsFor(Word):
    """What a turn waits for."""

    SESSION_BUSY = word("session_busy", "other turns of its session come first")
    NOT_BEFORE = word("not_before", "it is not to start before a moment")
    SERVER_CAP = word("server_cap", "as many turns are in flight as there may be in all")
    USER_CAP = word("user_cap", "the user has as many turns in flight as one may have")
    AGENT_CAP = word("agent_cap", "its agent has as many turns in flight as it may have")
    START = word("start", "nothing any more: it has its slot, and is about to start")


class MoveTo(Word):
    """Where a turn that waits is moved."""

    FIRST = word("first", "before all that wait behind the one that is called up")
    LAST = word("last", "behind all that wait for their turn")
    NOW = word("now", "it takes the place of the turn in flight, as if it were sent now to interrupt that")


class QueueMode(Word):
    """What a cancel does to the turns that wait for the session."""

    KEEP = word("keep", "they go on waiting")
    CLEAR = word("clear", "they are cancelled, too, if the turn that was aimed at is alive")


class OnFull(Word):
    """What becomes of a send that finds as many waiting as may wait."""

    REJECT = word("reject", "it is refused")
    DROP_OLDEST = word("drop_oldest", "the first in the line of the same sender's is cancelled to make room")


class OnCap(Word):
    """What becomes of a send that finds as many turns in flight as there may be."""

    REFUSE = word("refuse", "it is refused, unless it waits for a moment first")
    WAIT = word("wait", "its turn waits until there is a slot for it")


class OnDisconnect(Word):
    """What becomes of a turn that has no reader, and whose end no caller waits for."""

    CONTINUE = word("continue", "it goes on")
    CANCEL = word("cancel", "it is cancelled, once that has been so for as long as `abandon_after` says")


class Priority(Word):
    """How urgent a turn is beside those of others."""

    INTERACTIVE = word("interactive", "a person waits for it")
    NORMAL = word("normal", "it is as urgent as most")
    BACKGROUND = word("background", "it can wait for the others")


class WhoMayStop(Word):
    """Who may stop a turn, beside admins."""

    OWNER = word("owner", "the user whose session it is")
    SENDER = word("sender", "the user who sent its message")


class Layer(Word):
    """Who says how turns are run, each above the one before."""

    DEFAULT = word("default", "the settings")
    AGENT = word("agent", "the host, about an agent")
    USER = word("user", "the host, about a user")
    REQUEST = word("request", "the send itself")


class Durability(Word):
    """What survives when the machine loses its power; what has landed survives the process in any case."""

    FULL = word("full", "all that has landed")
    MIXED = word("mixed", "all but what agents emitted in the last moments")
    NORMAL = word("normal", "all but the last moments")


class CancelCode(Word):
    """Why a turn was cancelled (``reason.code``)."""

    USER_REQUEST = word("user_request", "the user, or the host on the user's behalf, asked for it")
    SUPERSEDED = word("superseded", "a newer message took its place")
    PARENT_CANCELLED = word(
        "parent_cancelled", "the turn that had sent its message was cancelled, has ended or gave it up"
    )
    CLIENT_DISCONNECTED = word(
        "client_disconnected", "the client went away, or it had no reader for as long as `abandon_after` says"
    )
    TIMEOUT = word("timeout", "its time was up")
    BUDGET_EXCEEDED = word(
        "budget_exceeded", "it emitted or used more than it may; the text says more of what"
    )
    STALLED = word("stalled", "it emitted nothing for as long as `stall_timeout` says")
    SHUTDOWN = word("shutdown", "the server shut down")
    ADMIN = word("admin", "an admin who is not the owner asked for it")
    POLICY = word("policy", "a rule of the host's")
    SESSION_CLOSED = word("session_closed", "the session was closed")
    JOURNAL_LOST = word("journal_lost", "too much of it waited to be written into the journal")


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


class Return(Enum):
    """When a reader whose stream has ended may come back for more."""

    NOW = "now"
    """The session goes on: its next turn is read on a new stream, or on the same one if that stays open."""
    LATER = "later"
    """No turn of the session runs on here; it may run again."""
    NEVER = "never"
    """The session is over."""


def returning(end: StreamEnd) -> Return:
    """When to come back after this end."""
    match end:
        case StreamEnd.TASK_CANCELLED | StreamEnd.TASK_FINISHED | StreamEnd.TASK_UNRESPONSIVE:
            return Return.NOW
        case StreamEnd.SESSION_LOST | StreamEnd.SHUTDOWN:
            return Return.LATER
        case StreamEnd.SESSION_CLOSED:
            return Return.NEVER
        case _:
            assert_never(end)


def is_final(end: StreamEnd) -> bool:
    """Whether nothing that the stream was about can follow on another one: no turn of the session runs on."""
    return returning(end) is not Return.NOW


#: To compare with the text of a ``close``, which an older or newer server may have sent.
FINAL_ENDS: frozenset[str] = frozenset(end for end in StreamEnd if is_final(end))


class CloseOn(Word):
    """What ends a stream, beside the ends that are final and end every stream."""

    CANCELLED = word("cancelled", "the stream ends when a user or an admin has cancelled a turn")
    SUPERSEDED = word("superseded", "it also ends when a newer message has taken the place of a turn")
    NEVER = word("never", "it stays open: after a cancel `close` is written, and the next turn follows")


class OnRestart(Word):
    """What becomes of a turn whose process has ended while it ran."""

    INTERRUPT = word("interrupt", "the turn ends as `interrupted`")
    RERUN = word("rerun", "the turn is run again, from its beginning")
    CONTINUE = word("continue", "the turn is run again, and its agent is given what it had said")


class Step(Word):
    """The steps of a turn's timeline, in the order in which those of one moment are listed."""

    SUBMITTED = word("submitted", "the message arrived")
    QUEUED = word("queued", "it began to wait: for another turn to settle, for a moment, or for a slot")
    STARTED = word("started", "it got hold of the session")
    FIRST_EVENT = word("first_event", "its agent emitted its first event")
    CHILD_SENT = word("child_sent", "it sent a message to another session, for a turn that is its child")
    CHILD_ENDED = word("child_ended", "that turn ended, with this `status`")
    CANCEL_REQUESTED = word("cancel_requested", "the first cancel was requested; `ms` may be negative")
    CANCEL_DELIVERED = word(
        "cancel_delivered", "the critical section that the cancel had waited for was over, or its time was up"
    )
    CANCELLED_AGAIN = word("cancelled_again", "it had not stopped at half the grace")
    SETTLED = word("settled", "it was cancelled, and let go of the session")
    ENDED = word("ended", "it got its final status")
    ENDED_LATE = word("ended_late", "it was unresponsive, and has ended, with all that it had begun")
