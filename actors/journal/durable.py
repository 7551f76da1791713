"""What of a session survives its process: the durable part of its state. Pure."""

from typing import Any

import msgspec

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    KeptResult,
    Reason,
    SessionId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.value import replace, value
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.session.record import follower
from turnkeeper.actors.session.record import waiting_record as record_of_waiting
from turnkeeper.actors.session.states import (
    Asked,
    Cancelling,
    Closed,
    EarlyCancel,
    Holder,
    Home,
    Idle,
    Memory,
    Queued,
    Running,
    State,
    Successor,
    Waiting,
)
from turnkeeper.actors.session.views import lasting_cancel, waiting_turn


@value
class OpenTurn:
    """A turn that has not ended. ``epoch`` and ``started_at`` are those of its attempt, if that has started.
    Of one that waits ``attempt`` is the one that comes next.

    Its spec has no address to answer, and no options: those were another process's.
    """

    spec: TurnSpec
    epoch: Epoch | None = None
    started_at: float | None = None
    queued_at: float | None = None
    attempt: int = 1
    cancellation: Cancellation | None = None


@value
class Durable:
    """One session, as its log says; with its id alone, one that has no log.

    ``holder`` holds it, ``waiting`` waits for it. ``closed`` is why it was closed, if it was.
    """

    session_id: SessionId
    owner: str = ""
    last_epoch: Epoch = 0
    records: tuple[TurnRecord, ...] = ()
    early: tuple[EarlyCancel, ...] = ()
    quarantined: tuple[TurnRecord, ...] = ()
    holder: OpenTurn | None = None
    waiting: OpenTurn | None = None
    closed: Reason | None = None


def waiting_record(durable: Durable) -> TurnRecord:
    """The turn that waits, as a record. Raises `ValueError` if none does."""
    turn = durable.waiting
    if turn is None:
        raise ValueError("no turn waits")
    return record_of_waiting(_waiting(turn), durable.last_epoch)


def durable(state: State) -> Durable:
    """What would be left of this state after a restart.

    Addresses, options, the rungs of a cancel and whatever a shutdown asks for are not; of messages and
    results there is what JSON says. Raises `EventNotJson` for a message that it cannot say.
    """
    memory = state.memory
    last_epoch = memory.last_epoch
    holder = waiting = closed = None
    if isinstance(state, Running | Cancelling):
        last_epoch = state.turn.epoch
        cancellation = None
        if type(state) is Cancelling:
            cancellation = _first(lasting_cancel(state))
            waiting = _waits(follower(state))
        holder = _held(state.turn, cancellation)
    else:
        waiting = _waits(waiting_turn(state))
        closed = state.for_good if type(state) is Closed else None
    home = memory.home
    records, quarantined = _each(memory.records), _each(memory.quarantined)
    return Durable(
        home.session_id, home.owner, last_epoch, records, memory.early, quarantined, holder, waiting, closed
    )


def restored(durable: Durable, home: Home) -> State:
    """The state of a session of which this is left, for a `Recover` to go on from.

    A turn that holds it has no coroutine here, and one that waits for no other waits for that.
    """
    records = durable.records
    results = sum([record.result.size for record in records if record.result is not None])
    memory = Memory(home, durable.last_epoch, records, durable.early, durable.quarantined, results)
    holder, waiting = durable.holder, durable.waiting
    if durable.closed is not None:
        return Closed(memory, durable.closed, durable.closed)
    if holder is None:
        if waiting is not None:
            return Queued(memory, _waiting(waiting), due=0.0)
        return Idle(memory)
    if holder.epoch is None or holder.started_at is None:
        raise ValueError(f"turn {holder.spec.turn_id} holds the session, and has not started")
    spec, asked = holder.spec, holder.cancellation
    turn = Holder(spec, holder.epoch, holder.started_at, holder.queued_at, holder.attempt)
    then = None if waiting is None else Successor(waiting.spec, None, waiting.queued_at)
    if asked is None and waiting is not None:
        # It made way for another one while a shutdown was stopping it.
        asked = Cancellation(Reason(CancelCode.SUPERSEDED, waiting.spec.user), waiting.spec.submitted_at)
    if asked is not None:
        rung = Asked(asked.asked_at + spec.grace / 2, asked.asked_at + spec.grace)
        return Cancelling(memory, turn, asked, rung, (), then)
    return Running(memory, turn, None if spec.timeout is None else holder.started_at + spec.timeout)


def _held(turn: Holder, cancellation: Cancellation | None) -> OpenTurn:
    return OpenTurn(
        _spec(turn.spec),
        turn.epoch,
        turn.started_at,
        turn.queued_at,
        turn.attempt,
        cancellation,
    )


def _waiting(turn: OpenTurn) -> Waiting:
    return Waiting(turn.spec, turn.attempt, turn.queued_at)


def _waits(turn: Successor | Waiting | None) -> OpenTurn | None:
    if turn is None:
        return None
    attempt = turn.attempt if type(turn) is Waiting else 1
    return OpenTurn(_spec(turn.spec), queued_at=turn.queued_at, attempt=attempt)


def _first(cancellation: Cancellation | None) -> Cancellation | None:
    if cancellation is None or cancellation.again_at is None:
        return cancellation
    return Cancellation(cancellation.reason, cancellation.asked_at)


def _spec(spec: TurnSpec) -> TurnSpec:
    return replace(spec, message=_as_json(spec.message), options=None, ended_to=None)


def _each(records: tuple[TurnRecord, ...]) -> tuple[TurnRecord, ...]:
    return tuple([_record(record) for record in records])


def _record(record: TurnRecord) -> TurnRecord:
    result = record.result
    if result is None or result.left_out or (type(result.value) is str and result.value.isascii()):
        return record
    try:
        said = _as_json(result.value)
    except EventNotJson:
        return replace(record, result=KeptResult(None, 0, left_out=True))
    return replace(record, result=KeptResult(said, result.size))


def _as_json(said: Any) -> Any:
    """What JSON makes of it."""
    return said if type(said) is str and said.isascii() else msgspec.json.decode(to_json(said))
