"""What is listed of a session that its log says: its state, and its turns as records. Pure."""

import math
import sys

from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import SessionState, TurnStatus
from turnkeeper.actors.session.record import unstarted
from turnkeeper.actors.session.states import Limits

from .durable import Durable, OpenTurn, waiting_turns

#: Those of a fold that is to keep everything.
EVERYTHING = Limits(
    kept_turns=sys.maxsize,
    turn_retention=math.inf,
    early_cancels=sys.maxsize,
    early_cancel_ttl=math.inf,
    quarantined=sys.maxsize,
    result=sys.maxsize,
)


def state_of(durable: Durable) -> SessionState:
    """The state of the session, by its public name."""
    if durable.closed is not None:
        return SessionState.CLOSED
    if durable.holder is None:
        return SessionState.QUEUED if waiting_turns(durable) else SessionState.IDLE
    return SessionState.RUNNING if durable.holder.cancellation is None else SessionState.CANCELLING


def turns_of(durable: Durable) -> tuple[TurnRecord, ...]:
    """All its turns, each once; those that have not ended as they stand."""
    held = () if durable.holder is None else (_held(durable.holder),)
    queued = [
        unstarted(waiting.spec, TurnStatus.QUEUED, waiting.queued_at) for waiting in waiting_turns(durable)
    ]
    return (*durable.records, *durable.quarantined, *held, *queued)


def _held(turn: OpenTurn) -> TurnRecord:
    status = TurnStatus.RUNNING if turn.cancellation is None else TurnStatus.CANCELLING
    return TurnRecord(
        turn.spec.head, turn.epoch, status, turn.queued_at, turn.started_at, None, turn.cancellation
    )
