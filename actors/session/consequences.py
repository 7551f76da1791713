"""What follows from why a turn was cancelled, and from how it ended. Every code and status is decided here.

A new `CancelCode` or `TurnStatus` is a type error in this file until it is decided what it means.
"""

from typing import Final, assert_never

from turnkeeper.actors.model.exceptions import StageFailed
from turnkeeper.actors.model.records import Outcome, Raised, Returned, Stopped, TurnError
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import TERMINAL, CancelCode, OnRestart, StreamEnd, TurnStatus, Verdict

# -- Why a turn was cancelled -------------------------------------------------------------------------


@value
class Cause:
    """What a cancel with this code means to the turn and to the session's streams.

    ``stopped_as`` is the status of a turn that stopped because of it. ``ends_streams``: a person pressed
    Stop, so the session's streams end with the turn. ``supersedes``: another turn takes the session over.
    ``closes_as`` is why the streams end when the session is closed with this code; ``None``: as its last turn
    ended. ``lasts``: it counts after a restart as well, because it is about more than this process.
    ``decided_by`` are the fields of the turn's policy that are behind it, if no user is.
    ``ran_out``: the turn has used up what it had, and no one asked for its end.
    """

    stopped_as: TurnStatus = TurnStatus.CANCELLED
    ends_streams: bool = False
    supersedes: bool = False
    closes_as: StreamEnd | None = None
    lasts: bool = True
    decided_by: tuple[str, ...] = ()
    ran_out: bool = False


#: The fields of a policy that say how much a turn may emit and use.
BUDGETS = ("max_events", "max_event_bytes", "max_tokens")


def _cause(code: CancelCode) -> Cause:
    match code:
        case CancelCode.USER_REQUEST | CancelCode.ADMIN:
            return Cause(ends_streams=True)
        case CancelCode.SUPERSEDED:
            return Cause(supersedes=True)
        case CancelCode.TIMEOUT:
            return Cause(stopped_as=TurnStatus.TIMED_OUT, decided_by=("turn_timeout",), ran_out=True)
        case CancelCode.BUDGET_EXCEEDED:
            return Cause(decided_by=BUDGETS, ran_out=True)
        case CancelCode.STALLED:
            return Cause(decided_by=("stall_timeout",), ran_out=True)
        case CancelCode.SHUTDOWN:
            return Cause(closes_as=StreamEnd.SHUTDOWN, lasts=False)
        case CancelCode.CLIENT_DISCONNECTED:
            return Cause(decided_by=("on_disconnect", "abandon_after"))
        case (
            CancelCode.PARENT_CANCELLED
            | CancelCode.POLICY
            | CancelCode.SESSION_CLOSED
            | CancelCode.JOURNAL_LOST
        ):
            return Cause()
        case _:
            assert_never(code)


#: Asked once for each code: a look-up costs a tenth of the call.
CAUSES = {code: _cause(code) for code in CancelCode}

# -- What becomes of a turn at a restart --------------------------------------------------------------


def is_run_again(policy: OnRestart | None) -> bool:
    """Whether a turn is started again when its process has ended; ``None``: there is no such agent."""
    match policy:
        case OnRestart.RERUN | OnRestart.CONTINUE:
            return True
        case OnRestart.INTERRUPT | None:
            return False
        case _:
            assert_never(policy)


# -- How a turn ended ---------------------------------------------------------------------------------


#: The code of a turn whose coroutine raised CancelledError that no one had asked for.
SPONTANEOUS_CANCEL: Final = "spontaneous_cancel"


@value
class End:
    """What a terminal status means to those who waited: the verdict of a cancel, the end of a stream."""

    verdict: Verdict
    stream: StreamEnd


def _end(status: TurnStatus) -> End:
    match status:
        case TurnStatus.CANCELLED:
            return End(Verdict.CANCELLED, StreamEnd.TASK_CANCELLED)
        case TurnStatus.UNRESPONSIVE:
            return End(Verdict.UNRESPONSIVE, StreamEnd.TASK_UNRESPONSIVE)
        case (
            TurnStatus.COMPLETED
            | TurnStatus.FAILED
            | TurnStatus.TIMED_OUT
            | TurnStatus.INTERRUPTED
            | TurnStatus.MERGED
        ):
            return End(Verdict.FINISHED_FIRST, StreamEnd.TASK_FINISHED)
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            raise ValueError(f"a turn that is {status} has not ended")
        case _:
            assert_never(status)


#: By terminal status.
ENDS = {status: _end(status) for status in TERMINAL}


def settled_as(outcome: Outcome, code: CancelCode | None) -> TurnStatus:
    """The status of a turn that was cancelled with this code, if it was, and whose coroutine ended like this.

    A cancellation that was not asked for is a failure.
    """
    if type(outcome) is Stopped:
        return TurnStatus.FAILED if code is None else CAUSES[code].stopped_as
    if type(outcome) is Returned:
        return TurnStatus.COMPLETED
    if type(outcome) is Raised:
        return TurnStatus.FAILED
    assert_never(outcome)


def ended_late_as(outcome: Outcome) -> TurnStatus:
    """What is noted of a quarantined turn whose coroutine has ended after all."""
    match outcome:
        case Returned():
            return TurnStatus.COMPLETED
        case Raised():
            return TurnStatus.FAILED
        case Stopped():
            return TurnStatus.CANCELLED
        case _:
            assert_never(outcome)


def error_of(outcome: Outcome | None) -> TurnError | None:
    """What the record of a failed turn says of it. A cancellation that was not asked for is a failure."""
    match outcome:
        case Raised(StageFailed() as error, code):
            return TurnError(code, type(error.__cause__).__name__, error.stage)
        case Raised(error, code):
            return TurnError(code, type(error).__name__)
        case Stopped():
            return TurnError(SPONTANEOUS_CANCEL, "CancelledError")
        case Returned() | None:
            return None
        case _:
            assert_never(outcome)
