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
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.value import replace, value
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.session.line import Line, Waiting, line_of
from turnkeeper.actors.session.record import waiting_record as record_of_waiting
from turnkeeper.actors.session.states import (
    Asked,
    Closed,
    EarlyCancel,
    Ending,
    Holder,
    Home,
    Idle,
    Memory,
    Queued,
    Running,
    State,
)
from turnkeeper.actors.session.views import lasting_cancel
from turnkeeper.actors.session.views import line_of as line_in


@value
class OpenTurn:
    """A turn that has not ended. ``epoch`` and ``started_at`` are those of its attempt, if that has started.
    Of one that waits ``attempt`` is the one that comes next, ``not_before`` the moment it waits for, and
    ``joined`` how many messages make up its own; with ``collects`` others may join it until that moment.
    ``undo`` is since when it is to be undone, if it is.

    Its spec has no address to answer, and no options: those were another process's.
    """

    spec: TurnSpec
    epoch: Epoch | None = None
    started_at: float | None = None
    queued_at: float | None = None
    attempt: int = 1
    cancellation: Cancellation | None = None
    not_before: float | None = None
    joined: int = 1
    collects: bool = False
    undo: float | None = None


@value
class Durable:
    """One session, as its log says; with its id alone, one that has no log.

    ``holder`` holds it. Those who wait for it stand as in a `Line`: ``front``, ``rest`` and ``later``.
    ``closed`` is why it was closed, if it was.
    """

    session_id: SessionId
    owner: str = ""
    last_epoch: Epoch = 0
    records: tuple[TurnRecord, ...] = ()
    early: tuple[EarlyCancel, ...] = ()
    quarantined: tuple[TurnRecord, ...] = ()
    holder: OpenTurn | None = None
    front: OpenTurn | None = None
    rest: tuple[OpenTurn, ...] = ()
    later: tuple[OpenTurn, ...] = ()
    closed: Reason | None = None


def waiting_turns(durable: Durable) -> tuple[OpenTurn, ...]:
    """All turns that wait, in order."""
    front = () if durable.front is None else (durable.front,)
    return (*front, *durable.rest, *durable.later)


def open_turns(durable: Durable) -> tuple[OpenTurn, ...]:
    """All turns that have not ended: the one that holds it, and those that wait, in order."""
    holder = () if durable.holder is None else (durable.holder,)
    return (*holder, *waiting_turns(durable))


def only_open(durable: Durable) -> Durable:
    """The turns that have not ended, and nothing else."""
    return replace(durable, last_epoch=0, records=(), early=(), quarantined=(), closed=None)


def has_open_turns(durable: Durable) -> bool:
    """Whether one of its turns has not ended."""
    return bool(open_turns(durable))


def waiting_record(durable: Durable, turn_id: TurnId) -> TurnRecord:
    """A turn that waits, as a record. Raises `ValueError` if it does not."""
    return record_of_waiting(_waiting(_waiting_turn(durable, turn_id)), durable.last_epoch)


def waiting_spec(durable: Durable, turn_id: TurnId) -> TurnSpec:
    """What a turn that waits is to be. Raises `ValueError` if it does not wait."""
    return _waiting_turn(durable, turn_id).spec


def _waiting_turn(durable: Durable, turn_id: TurnId) -> OpenTurn:
    for turn in waiting_turns(durable):
        if turn.spec.turn_id == turn_id:
            return turn
    raise ValueError(f"turn {turn_id} does not wait")


def durable(state: State) -> Durable:
    """What would be left of this state after a restart.

    Addresses, options, the rungs of a cancel and whatever a shutdown asks for are not; of messages and
    results there is what JSON says. Raises `EventNotJson` for a message that it cannot say.
    """
    memory = state.memory
    last_epoch = memory.last_epoch
    holder = closed = None
    if isinstance(state, Running | Ending):
        last_epoch = state.turn.epoch
        holder = _held(state)
    elif type(state) is Closed:
        closed = state.for_good
    home, line = memory.home, line_in(state) or Line()
    return Durable(
        home.session_id,
        home.owner,
        last_epoch,
        _each(memory.records),
        memory.early,
        _each(memory.quarantined),
        holder,
        None if line.front is None else _waits(line.front),
        tuple([_waits(turn) for turn in line.rest]),
        tuple([_waits(turn) for turn in line.later]),
        closed,
    )


def restored(durable: Durable, home: Home) -> State:
    """The state of a session of which this is left, for a `Recover` to go on from.

    A turn that holds it has no coroutine here, and one that waits for no other waits for that.
    """
    records = durable.records
    results = sum([record.size for record in records])
    memory = Memory(home, durable.last_epoch, records, durable.early, durable.quarantined, results)
    holder, line = durable.holder, _line(durable)
    if durable.closed is not None:
        return Closed(memory, durable.closed, durable.closed)
    if holder is None:
        return Idle(memory) if line is None else Queued(memory, line)
    if holder.epoch is None or holder.started_at is None:
        raise ValueError(f"turn {holder.spec.turn_id} holds the session, and has not started")
    spec, asked = holder.spec, holder.cancellation
    turn = Holder(spec, holder.epoch, holder.started_at, holder.queued_at, holder.attempt)
    front = durable.front
    if asked is None and front is not None:
        # It made way for another one while a shutdown was stopping it.
        asked = Cancellation(Reason(CancelCode.SUPERSEDED, front.spec.user), front.spec.submitted_at)
    if asked is not None:
        phase = Asked(asked.asked_at + spec.grace / 2, asked.asked_at + spec.grace)
        return Ending(memory, turn, asked, phase, (), line, None, holder.undo)
    return Running(memory, turn, None if spec.timeout is None else holder.started_at + spec.timeout, line)


def _line(durable: Durable) -> Line | None:
    front = None if durable.front is None else _waiting(durable.front)
    rest, later = map(_waiting, durable.rest), map(_waiting, durable.later)
    return line_of(front, tuple(rest), tuple(later))


def _held(state: Running | Ending) -> OpenTurn:
    turn = state.turn
    cancellation = undo = None
    if type(state) is Ending:
        cancellation, undo = _first(lasting_cancel(state)), state.undo
    return OpenTurn(
        _spec(turn.spec),
        turn.epoch,
        turn.started_at,
        turn.queued_at,
        turn.attempt,
        cancellation,
        undo=undo,
    )


def _waiting(turn: OpenTurn) -> Waiting:
    return Waiting(turn.spec, turn.attempt, turn.queued_at, None, turn.not_before, turn.joined, turn.collects)


def _waits(turn: Waiting) -> OpenTurn:
    # When another attempt is due is decided anew in each process.
    not_before = turn.not_before if turn.attempt == 1 else None
    return OpenTurn(
        _spec(turn.spec),
        queued_at=turn.queued_at,
        attempt=turn.attempt,
        not_before=not_before,
        joined=turn.joined,
        collects=turn.collects,
    )


def _first(cancellation: Cancellation | None) -> Cancellation | None:
    if cancellation is None or (cancellation.again_at is None and cancellation.delivered_at is None):
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
