"""What a turn's end is to a caller that wants its result."""

import asyncio
from collections.abc import Callable
from typing import Any, assert_never

from turnkeeper.actors.model.exceptions import (
    ResultNotKept,
    TurnCancelled,
    TurnFailed,
    TurnMerged,
    TurnNotCompleted,
)
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import Raised, Returned
from turnkeeper.actors.model.words import TurnStatus


def failure_of(end: TurnEnd) -> TurnNotCompleted | None:
    """The error that a turn's end is to a caller that wanted its result; ``None`` if it completed.

    What the agent raised is the ``__cause__`` of a `TurnFailed`.
    """
    record = end.turn
    turn_id, status = record.turn_id, record.status
    match status:
        case TurnStatus.COMPLETED:
            return None
        case TurnStatus.FAILED:
            text = f"turn {turn_id} failed" + (f": {record.error.code}" if record.error else "")
            failed = TurnFailed(text, turn_id=turn_id, status=status)
            failed.__cause__ = end.outcome.error if isinstance(end.outcome, Raised) else None
            return failed
        case TurnStatus.CANCELLED | TurnStatus.TIMED_OUT | TurnStatus.INTERRUPTED | TurnStatus.UNRESPONSIVE:
            reason = record.reason
            text = f"turn {turn_id} ended as {status}" + (f": {reason.code}" if reason else "")
            return TurnCancelled(
                text, turn_id=turn_id, status=status, reason=None if reason is None else reason.code
            )
        case TurnStatus.MERGED:
            into = record.merged_into
            text = f"turn {turn_id} ended as merged: turn {into} has its message"
            return TurnMerged(text, turn_id=turn_id, status=status, merged_into=into)
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            raise ValueError(f"turn {turn_id} is {status}, which is no end")
        case _:
            assert_never(status)


def result_of(end: TurnEnd, stops: Callable[[], bool]) -> Any:
    """What the agent returned.

    Raises `ResultNotKept` and `TurnNotCompleted`, or CancelledError in a turn that was asked to stop as well,
    which ``stops`` says: that one wins, also in a task of the turn's which its own cancellation has not
    reached yet.
    """
    outcome = end.outcome
    if type(outcome) is Returned:
        return outcome.result
    failure = failure_of(end)
    if failure is None:
        turn_id = end.turn.turn_id
        raise ResultNotKept(f"the result of turn {turn_id} was too large to be kept", turn_id=turn_id)
    if isinstance(failure, TurnCancelled) and stops():
        raise asyncio.CancelledError
    raise failure
