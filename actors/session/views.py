"""A session as it is seen from outside: its state in public words, its turns as records. Only reads."""

from typing import assert_never

import msgspec

from turnkeeper.actors.model.messages import (
    AwaitTurn,
    GetTurn,
    QueuedTurn,
    ReplyAddress,
    SessionView,
    TurnEnd,
)
from turnkeeper.actors.model.records import (
    Cancellation,
    ChildTurn,
    Extras,
    Moment,
    Reason,
    Returned,
    SessionId,
    TurnId,
    TurnOptions,
    TurnRecord,
    TurnRef,
)
from turnkeeper.actors.model.slots import Standing
from turnkeeper.actors.model.words import OnCap, SessionState, Step, TurnStatus, WaitsFor

from .consequences import CAUSES
from .line import CALLED_UP, Line, Waiting, waiting_turns
from .record import record_of, waiting_record
from .states import Closed, Ending, Held, Idle, Queued, Running, State


class InFlight(msgspec.Struct, eq=False):
    """The turn that holds a session, as an `ActiveTurn`. Made when it starts: a list makes nothing."""

    # A struct is made in C, and every turn makes one.
    _state: Running | Ending

    @property
    def session_id(self) -> SessionId:
        """The session that it holds."""
        return self._state.turn.spec.session_id

    @property
    def owner(self) -> str:
        """The owner of that session."""
        return self._state.memory.home.owner

    @property
    def turn_id(self) -> TurnId:
        """The turn."""
        return self._state.turn.spec.turn_id

    @property
    def agent(self) -> str:
        """The name of the agent that runs."""
        return self._state.turn.spec.agent

    @property
    def options(self) -> TurnOptions | None:
        """What the caller handed to it with the message."""
        return self._state.turn.spec.options

    @property
    def started_at(self) -> float:
        """When it started."""
        return self._state.turn.started_at

    @property
    def parent(self) -> TurnRef | None:
        """The turn that sent its message, if one did."""
        return self._state.turn.spec.parent

    @property
    def held(self) -> bool:
        """Whether its cancel waits for a critical section."""
        return type(self._state) is Ending and type(self._state.phase) is Held

    @property
    def turn(self) -> TurnRecord:
        """Its record."""
        return record_of(self._state)

    def __repr__(self) -> str:
        return f"<Turn {self.turn_id} in flight in {self.session_id} of {self.owner}>"


def current_turn(
    state: State,
    first_event_at: float | None = None,
    began: bool | None = None,
    extras: Extras | None = None,
) -> TurnRecord | None:
    """The turn that holds the session, else the last one that did, which may wait to do so again."""
    if isinstance(state, Running | Ending):
        return record_of(state, first_event_at=first_event_at, began=began, extras=extras)
    memory = state.memory
    known = (*memory.records, *memory.quarantined, *queued_turns(state))
    started = (record for record in known if record.epoch is not None)
    return max(started, key=lambda record: record.epoch or 0, default=None)


def lasting_cancel(state: Ending) -> Cancellation | None:
    """The first cancel of the turn in flight that counts after a restart as well."""
    asks = tuple(Cancellation(ask.reason, ask.at) for ask in state.asks)
    asked = asks if state.cancellation is None else (state.cancellation, *asks)
    return next((each for each in asked if CAUSES[each.reason.code].lasts), None)


def line_of(state: State) -> Line | None:
    """Who waits for the session: here, or for another process."""
    if type(state) is Running or type(state) is Ending or type(state) is Queued:
        return state.line
    if type(state) is Closed:
        return state.left
    if type(state) is Idle:
        return None
    assert_never(state)


def queued_turns(state: State) -> tuple[TurnRecord, ...]:
    """The turns that wait for the session, in order: here, or for another process."""
    line = line_of(state)
    if line is None:
        return ()
    last_epoch = state.memory.last_epoch
    return tuple([waiting_record(turn, last_epoch) for turn in line.turns])


def queue_of(state: State, standing: Standing | None = None) -> tuple[QueuedTurn, ...]:
    """The turns that wait for the session, in order, each with its place and what it waits for.

    ``standing`` is where the one that is called up stands, if it waits for a slot: one that has asked for one
    and does not stand anywhere has it, and is about to start.
    """
    line, last_epoch = line_of(state), state.memory.last_epoch
    if line is None:
        return ()
    has_slot = standing is None and type(state) is Queued and state.asked is not None
    return tuple(
        [
            QueuedTurn(
                waiting_record(turn, last_epoch),
                position,
                WaitsFor.START if has_slot and position == CALLED_UP else waits_for(turn, position, standing),
                turn.not_before,
                turn.spec.message,
                standing if position == CALLED_UP else None,
            )
            for turn, position in line.places
        ]
    )


def waits_for(turn: Waiting, position: int | None, standing: Standing | None = None) -> WaitsFor:
    """What a turn at that place waits for, ``standing`` as in `queue_of`."""
    if position == CALLED_UP and standing is not None:
        return standing.waits_for
    moment = position is None or (position == CALLED_UP and turn.not_before is not None)
    return WaitsFor.NOT_BEFORE if moment else WaitsFor.SESSION_BUSY


def turns_of(state: State) -> tuple[TurnRecord, ...]:
    """All turns that are known, each once."""
    held = (record_of(state),) if isinstance(state, Running | Ending) else ()
    return (*state.memory.records, *state.memory.quarantined, *held, *queued_turns(state))


def find_turn(
    state: State,
    turn_id: str,
    first_event_at: float | None = None,
    began: bool | None = None,
    extras: Extras | None = None,
) -> TurnRecord | None:
    """The turn of that id: in flight, waiting, quarantined or remembered.

    ``first_event_at``, ``began`` and ``extras`` are those of the turn in flight, which its state does not
    know.
    """
    if isinstance(state, Running | Ending) and state.turn.spec.turn_id == turn_id:
        return record_of(state, first_event_at=first_event_at, began=began, extras=extras)
    memory = state.memory
    for record in (*queued_turns(state), *memory.quarantined, *memory.records):
        if record.turn_id == turn_id:
            return record
    return None


def outcome_of(record: TurnRecord) -> Returned | None:
    """How a turn's coroutine ended, as far as its record has it: what it returned, if that was kept."""
    if record.status is not TurnStatus.COMPLETED:
        return None
    result = record.result
    if result is None:
        return Returned(None)
    return None if result.left_out else Returned(result.value)


def answer_about(message: GetTurn | AwaitTurn, record: TurnRecord) -> TurnRecord | TurnEnd:
    """What is answered to a question about a turn: its record, or, if its end was asked for, also that."""
    return TurnEnd(record, outcome_of(record)) if type(message) is AwaitTurn else record


def state_name(state: State) -> SessionState:
    """The state by its public name."""
    match state:
        case Idle():
            return SessionState.IDLE
        case Queued():
            return SessionState.QUEUED
        case Running() | Ending(cancellation=None):
            return SessionState.RUNNING
        case Ending():
            return SessionState.CANCELLING
        case Closed():
            return SessionState.CLOSED
        case _:
            assert_never(state)


def view(
    state: State,
    subscribers: int = 0,
    first_event_at: float | None = None,
    began: bool | None = None,
    extras: Extras | None = None,
) -> SessionView:
    """The session as it is seen from outside."""
    memory = state.memory
    return SessionView(
        memory.home.session_id,
        memory.home.owner,
        state_name(state),
        current_turn(state, first_event_at, began, extras),
        queued_turns(state),
        memory.records,
        memory.quarantined,
        subscribers,
    )


def hold_left(state: State, now: float) -> float:
    """For how many seconds a cancel of its turn waits for critical sections, or would wait, from now on."""
    until = now
    if type(state) is Running and state.sections:
        until = max([section.until for section in state.sections])
    elif type(state) is Ending and type(state.phase) is Held:
        until = state.phase.until
    return max(0.0, until - now)


def was_superseded(record: TurnRecord) -> bool:
    """Whether a turn had started, and had to make way for another one."""
    by_another = record.reason is not None and CAUSES[record.reason.code].supersedes
    return record.epoch is not None and (by_another or record.superseded_by is not None)


def owed_answers(state: State) -> list[ReplyAddress | None]:
    """The addresses that the session has not answered yet."""
    owed: list[ReplyAddress | None] = []
    if isinstance(state, Running | Ending):
        owed.append(state.turn.spec.ended_to)
    if isinstance(state, Ending):
        owed += [ask.to for ask in state.asks]
        if state.closing is not None:
            owed += state.closing.to
    for turn in waiting_turns(line_of(state)):
        owed += (turn.to, turn.spec.ended_to)
    return owed


def _behind_a_wait(on_cap: OnCap) -> tuple[str, ...]:
    """The fields of its policy that may have a turn wait, and say for how long."""
    match on_cap:
        case OnCap.REFUSE:
            return ("strategy",)
        case OnCap.WAIT:
            return ("strategy", "on_cap", "priority")
        case _:
            assert_never(on_cap)


def _of_child(child: ChildTurn, began: float) -> tuple[Moment, ...]:
    """What is known of a turn that another one, which ``began`` then, has sent for."""
    ref, at = TurnRef(child.session_id, child.turn_id), child.ended_at
    sent = Moment(Step.CHILD_SENT, child.sent_at, (child.sent_at - began) * 1000.0, turn=ref)
    if at is None:
        return (sent,)
    return sent, Moment(Step.CHILD_ENDED, at, (at - began) * 1000.0, status=child.status, turn=ref)


def timeline(record: TurnRecord) -> tuple[Moment, ...]:
    """What happened to a turn and when, in the order in which it happened.

    What did not happen, or not yet, is left out. A cancel that came before its send counts back from it.
    """
    began, asked, ended = record.submitted_at, record.cancel_requested_at, record.ended_at
    moments: list[Moment] = []

    def add(
        step: Step,
        at: float | None,
        reason: Reason | None = None,
        status: TurnStatus | None = None,
        after: float | None = None,
        by: tuple[str, ...] = (),
        waited: float | None = None,
    ) -> None:
        if at is not None:
            moments.append(Moment(step, at, (at - began) * 1000.0, reason, status, after, by, waited))

    reason = record.reason
    # What a user asked for, such as a caller who has gone, no policy has.
    cause = () if reason is None or reason.by is not None else CAUSES[reason.code].decided_by
    given_up = ("cancel_grace",) if record.status is TurnStatus.UNRESPONSIVE else ()
    add(Step.SUBMITTED, began)
    queued_at, started_at = record.queued_at, record.started_at
    waited = None if queued_at is None or started_at is None else (started_at - queued_at) * 1000.0
    add(Step.QUEUED, queued_at, by=_behind_a_wait(record.policy.on_cap))
    add(Step.STARTED, started_at, waited=waited)
    add(Step.FIRST_EVENT, record.first_event_at)
    for child in record.children:
        moments += _of_child(child, began)
    add(Step.CANCEL_REQUESTED, asked, reason, by=cause)
    add(Step.CANCEL_DELIVERED, record.cancel_delivered_at, by=("max_hold",))
    add(Step.CANCELLED_AGAIN, record.cancelled_again_at, by=("cancel_grace",))
    if asked is not None and ended is not None and record.started_at is not None:
        add(Step.SETTLED, ended, None, record.status, (ended - asked) * 1000.0)
    merged = ("strategy",) if record.status is TurnStatus.MERGED else given_up
    add(Step.ENDED, ended, None, record.status, by=merged)
    if record.ended_late is not None:
        add(Step.ENDED_LATE, record.ended_late.at, None, record.ended_late.outcome)
    # Stable: what happened in the same moment stays in the order above.
    return tuple(sorted(moments, key=lambda moment: moment.at))
