"""How a turn gets hold of its session, how it lets go of it, and how the session is closed."""

from typing import Final

from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    ReplyAddress,
    Superseded,
    Tick,
    TurnEnded,
)
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    Extras,
    LateEnd,
    Outcome,
    Stopped,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import (
    OnRestart,
    Place,
    Rollback,
    StreamEnd,
    TurnStatus,
    Verdict,
    WaitsFor,
)

from .consequences import CAUSES, ENDS, ended_late_as, error_of, is_run_again
from .due import due, line_due
from .effects import (
    AnnouncePlaces,
    AskSlot,
    CloseStreams,
    Decision,
    Effect,
    EndAttempt,
    EndTurn,
    MoveWaiting,
    NoteClosed,
    NoteLateEnd,
    Quarantine,
    Reply,
    ReplyPlaced,
    SetTimer,
    StartTurn,
)
from .line import CALLED_UP, Line, Waiting, called_up, with_front
from .record import kept_result, record_of, remember, unstarted, waiting_record
from .slots import Slot, claim_of, drawn_ticket, left, needs_slot, serves, slot_of
from .states import Closed, Closing, Ending, Holder, Idle, Memory, Queued, Running, Winding
from .views import lasting_cancel, view

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us, and every turn passes here.
RUNNING: Final = TurnStatus.RUNNING


def drawn(last: Epoch, now: float) -> Epoch:
    """A new epoch, larger than the ``last`` one.

    The clock may stand still, or step back over a restart; an epoch that has been drawn never comes again.
    """
    epoch = int(now * 1000)
    return epoch if epoch > last else last + 1


def start(
    memory: Memory,
    spec: TurnSpec,
    now: float,
    to: ReplyAddress | None,
    superseded: Superseded | None,
    queued_at: float | None = None,
    attempt: int = 1,
    line: Line | None = None,
    ticket: Ticket | None = None,
) -> tuple[Running, tuple[Effect, ...]]:
    """Let a turn hold the session, and answer its sender, which is the last effect.

    ``ticket`` is the one of its slot, if it needs one.
    """
    epoch = drawn(memory.last_epoch, now)
    turn = Holder(spec, epoch, now, queued_at, attempt, ticket)
    started = StartTurn(spec, epoch, now, queued_at, attempt)
    head = spec.head
    answer = Accepted(spec.session_id, head.turn_id, epoch, RUNNING, superseded, own_policy=head.own_policy)
    reply = Reply(to, answer)
    timeout = spec.timeout
    if timeout is None and line is None:
        return Running(memory, turn, None), (started, reply)
    running = Running(memory, turn, None if timeout is None else now + timeout, line)
    moment = due(running)
    if moment is None:
        return running, (started, reply)
    return running, (started, SetTimer(moment), reply)


def go(
    memory: Memory,
    line: Line | None,
    now: float,
    superseded: Superseded | None = None,
    slot: Slot | None = None,
) -> Decision:
    """Nothing holds the session any more: let the next turn start, wait for a moment or a slot, or rest.

    ``superseded`` is what became of the turn that the one called up takes the place of, ``slot`` what that
    had or had asked for: it is for the one called up, if its claim is the same. This is the only way on for a
    session that was held, and for one in which only turns wait.
    """
    if line is None:
        return Idle(memory), left(slot)
    front, behind = line.front, None
    if front is None or line.rest or line.later:  # else the usual one without a call: it alone waits
        front, behind = called_up(line)
    if front is None or (front.not_before is not None and now < front.not_before):
        moment = line_due(line)
        timer = () if moment is None else (SetTimer(moment),)
        return Queued(memory, line), (*left(slot), *timer)
    if slot is not None or needs_slot(front.spec):
        return _go_by_slot(memory, line, front, behind, now, superseded, slot)
    running, effects = start(
        memory, front.spec, now, front.to, superseded, front.queued_at, front.attempt, behind
    )
    return running, effects if line.front is front else (*effects, AnnouncePlaces())


# -- A slot -------------------------------------------------------------------------------------------


def _go_by_slot(
    memory: Memory,
    line: Line,
    front: Waiting,
    behind: Line | None,
    now: float,
    superseded: Superseded | None,
    slot: Slot | None,
) -> Decision:
    """Go on where the turn that is called up needs a slot, or the one before it had one."""
    was_called_up = line.front is front
    places = () if was_called_up else (AnnouncePlaces(),)
    ticket = None
    leaves: tuple[Effect, ...] = ()
    if slot is not None and was_called_up and serves(slot, front.spec):
        if not slot.granted:
            return _go_on_asking(memory, line, front, slot.ticket, superseded)
        ticket = slot.ticket
    else:
        leaves = left(slot)
        if needs_slot(front.spec):
            moved = () if was_called_up else (MoveWaiting(front.spec.turn_id, Place.FRONT),)
            asking, effects = ask(memory, front, behind, now, superseded)
            return asking, (*leaves, *moved, *effects, *places)
    running, effects = start(
        memory, front.spec, now, front.to, superseded, front.queued_at, front.attempt, behind, ticket
    )
    return running, (*leaves, *effects, *places)


def ask(
    memory: Memory, turn: Waiting, behind: Line | None, now: float, superseded: Superseded | None = None
) -> tuple[Queued, tuple[Effect, ...]]:
    """Let a turn wait for a slot, called up before those ``behind`` it; its sender hears where it stands."""
    memory, ticket = drawn_ticket(memory)
    claim = claim_of(memory.home.owner, turn.spec)
    line = Line(turn) if behind is None else replace(behind, front=turn)
    asking, effects = _go_on_asking(memory, line, turn, ticket, superseded)
    return asking, (AskSlot(ticket, claim), *effects)


def _go_on_asking(
    memory: Memory, line: Line, front: Waiting, ticket: Ticket, superseded: Superseded | None
) -> tuple[Queued, tuple[Effect, ...]]:
    """Wait with this ticket for a slot for the turn that is called up."""
    to, head = front.to, front.spec.head
    if to is not None or front.not_before is not None:
        line = replace(line, front=replace(front, to=None, not_before=None))
    effects: tuple[Effect, ...] = ()
    if to is not None:
        waits = Accepted(
            front.spec.session_id,
            head.turn_id,
            None,
            TurnStatus.QUEUED,
            superseded,
            own_policy=head.own_policy,
            position=CALLED_UP,
            waits_for=WaitsFor.START,
        )
        effects = (ReplyPlaced(to, waits, ticket),)
    moment = line.due
    return Queued(memory, line, ticket), effects if moment is None else (*effects, SetTimer(moment))


def granted(state: Queued, ticket: Ticket, now: float) -> tuple[Running, tuple[Effect, ...]]:
    """There is a slot for the turn that is called up: let it hold the session."""
    front, behind = called_up(state.line)
    assert front is not None, "a slot is asked for the turn that is called up"
    return start(
        state.memory, front.spec, now, front.to, None, front.queued_at, front.attempt, behind, ticket
    )


# -- The end of a turn --------------------------------------------------------------------------------


def settle(
    state: Ending,
    message: TurnEnded | Tick | Winding,
    status: TurnStatus,
    outcome: Outcome | None,
    now: float,
    rollback: Rollback | None = None,
) -> Decision:
    """The cancelled turn lets go of the session.

    ``outcome`` is ``None`` for a turn that is given up: its coroutine still runs. ``rollback`` is how far it
    was undone, if it was to be.
    """
    error = error_of(outcome) if status is TurnStatus.FAILED else None
    result = kept_result(outcome, state.memory)
    first_event_at, began, extras = message.first_event_at, message.began, message.extras
    record = record_of(state, status, now, error, first_event_at, began, result, extras)
    if rollback is not None:
        record = replace(record, rollback=rollback)
    effects: list[Effect] = [EndTurn(record, outcome, state.turn.spec.ended_to)]
    if outcome is None:
        # Over, but not out: it counts against the bound until its coroutine ends, which is noted then.
        epoch = state.turn.epoch
        effects.append(Quarantine(epoch))
        if type(message) is Winding and message.late is not None:
            late = LateEnd(ended_late_as(message.late.outcome), now)
            memory = remember(state.memory, replace(record, ended_late=late), now)
            effects.append(NoteLateEnd(record.turn_id, late))
        else:
            quarantined = (*state.memory.quarantined, record)
            memory = replace(state.memory, last_epoch=epoch, quarantined=quarantined)
    else:
        memory = remember(state.memory, record, now)
    return let_go(state, memory, record, effects, now)


def let_go(state: Ending, memory: Memory, record: TurnRecord, effects: list[Effect], now: float) -> Decision:
    """The turn has ended, as its ``record`` says: answer those who waited for that, and go on.

    ``effects`` are those of its end, ``memory`` is what is remembered now.
    """
    line = state.line
    end = ENDS[record.status]
    ends_streams = False
    for ask in state.asks:
        if ask.to is not None:
            ms = (now - ask.at) * 1000.0
            effects.append(Reply(ask.to, CancelAnswer(end.verdict, record, ms, None, ask.cleared)))
        ends_streams = ends_streams or CAUSES[ask.reason.code].ends_streams
    if state.closing is not None:
        closed, closing = close(memory, state.closing, line, end.stream, now, slot_of(state))
        return closed, (*effects, *closing)
    front = None if line is None else line.front
    if front is None:
        # Only where no turn starts: with one that does the session goes on, and so do its streams.
        if ends_streams and (line is None or line.next is None):
            effects.append(CloseStreams(end.stream))
        after, more = go(memory, line, now, None, slot_of(state))
        return after, (*effects, *more)
    ms = (now - front.spec.submitted_at) * 1000.0
    superseded = Superseded(record.head.turn_id, end.verdict, ms, record.rollback, record.still_running)
    after, more = go(memory, line, now, superseded, slot_of(state))
    return after, (*effects, *more)


# -- Turns that outlive their process -----------------------------------------------------------------


def may_run_again(memory: Memory, turn: Holder | Waiting) -> bool:
    """Whether there is another attempt of a turn that was cut off, or is this one."""
    limits = memory.home.limits
    attempt = turn.attempt + 1 if type(turn) is Holder else turn.attempt
    return is_run_again(limits.on_restart_of(turn.spec)) and attempt <= limits.attempts


def cut_off(turn: Holder, memory: Memory, now: float) -> tuple[Memory, Waiting]:
    """A turn that will be run again waits for that; the epoch is drawn in which that is said."""
    # Who waits for its end here waits in vain.
    spec = turn.spec if turn.spec.ended_to is None else replace(turn.spec, ended_to=None)
    waiting = Waiting(spec, turn.attempt + 1, turn.queued_at)
    return replace(memory, last_epoch=drawn(turn.epoch, now)), waiting


def goes_on_elsewhere(state: Ending, outcome: Outcome | None) -> bool:
    """Whether nothing but the end of this process stops the turn, and another one runs it again."""
    memory, closing = state.memory, state.closing
    if closing is None or closing.for_good is not None or not memory.home.limits.durable:
        return False
    if outcome is not None and type(outcome) is not Stopped:
        return False
    return not state.asks and lasting_cancel(state) is None and may_run_again(memory, state.turn)


def hand_over(state: Ending, closing: Closing, outcome: Outcome | None, now: float) -> Decision:
    """The turn goes on in another process, and the session is closed in this one."""
    turn = state.turn
    memory, waiting = cut_off(turn, state.memory, now)
    ended = end_attempt(memory, waiting, now, outcome, turn.spec.ended_to)
    fled = () if outcome is not None else (Quarantine(turn.epoch),)
    line = with_front(state.line, waiting)
    closed, effects = close(memory, closing, line, StreamEnd.SHUTDOWN, now, slot_of(state))
    return closed, (ended, *fled, *effects)


def end_attempt(
    memory: Memory, waiting: Waiting, now: float, outcome: Outcome | None, ended_to: ReplyAddress | None
) -> EndAttempt:
    """End the attempt of a turn that waits for its next one since then."""
    from_start = memory.home.limits.on_restart_of(waiting.spec) is OnRestart.RERUN
    return EndAttempt(waiting_record(waiting, memory.last_epoch), now, outcome, ended_to, from_start)


def interrupted(
    state: Running | Ending, now: float, rollback: Rollback | None = None, extras: Extras | None = None
) -> tuple[Memory, EndTurn]:
    """End a turn whose process is gone; ``rollback`` is how far it was undone, if it was to be."""
    turn, spec = state.turn, state.turn.spec
    record = record_of(state, TurnStatus.INTERRUPTED, now, extras=extras)
    record = replace(record, epoch=drawn(turn.epoch, now), rollback=rollback)
    return remember(state.memory, record, now), EndTurn(record, None, spec.ended_to, anew=True, spec=spec)


def end_waiting(
    memory: Memory,
    turn: Waiting,
    status: TurnStatus,
    now: float,
    asked: Cancellation | None = None,
    by: TurnId | None = None,
    *,
    undo: bool = False,
) -> tuple[Memory, EndTurn]:
    """End a turn that waits to be started.

    One that was started before has shown itself to readers, so its end has an id, in an epoch of its own. If
    it is to be undone, nothing of it is kept; what it had registered besides is gone with its process.
    """
    spec = turn.spec
    if turn.attempt == 1:
        record = unstarted(spec, status, turn.queued_at, asked, now, superseded_by=by)
        return remember(memory, record, now), EndTurn(record, None, spec.ended_to)
    record = replace(
        waiting_record(turn, memory.last_epoch),
        epoch=drawn(memory.last_epoch, now),
        status=status,
        cancellation=asked,
        ended_at=now,
        superseded_by=by,
        rollback=Rollback.PARTLY if undo else None,
    )
    return remember(memory, record, now), EndTurn(record, None, spec.ended_to, anew=True, spec=spec)


def merge(memory: Memory, turn: Waiting, into: TurnId, now: float) -> tuple[Memory, EndTurn]:
    """End a turn whose message another one has: it never begins."""
    ended = unstarted(turn.spec, TurnStatus.MERGED, turn.queued_at, None, now)
    record = replace(ended, merged_into=into)
    return remember(memory, record, now), EndTurn(record, None, turn.spec.ended_to)


def drop(
    memory: Memory,
    turns: tuple[Waiting, ...],
    asked: Cancellation,
    now: float,
    by: TurnId | None = None,
    behind: Holder | None = None,
    *,
    undo: bool = False,
) -> tuple[Memory, tuple[Effect, ...]]:
    """Cancel turns that wait, and answer their senders: they never begin. ``behind`` is who held the session.

    The only end of a turn that waits, but for a restart's and for a `merge`.
    """
    effects: list[Effect] = []
    for turn in turns:
        memory, end = end_waiting(memory, turn, TurnStatus.CANCELLED, now, asked, by, undo=undo)
        effects.append(end)
        if turn.to is not None:
            effects.append(Reply(turn.to, accepted(turn.spec, TurnStatus.CANCELLED, behind)))
    return memory, tuple(effects)


def accepted(spec: TurnSpec, status: TurnStatus, behind: Holder | None) -> Accepted:
    """The answer to a send whose turn waits for the one in flight, or waited for it in vain."""
    superseded = None if behind is None else Superseded(behind.spec.turn_id, Verdict.REQUESTED, None)
    waits = status is TurnStatus.QUEUED
    return Accepted(
        spec.session_id,
        spec.turn_id,
        None,
        status,
        superseded,
        began=None if waits else False,
        own_policy=spec.head.own_policy,
        position=CALLED_UP if waits else None,
        waits_for=WaitsFor.SESSION_BUSY if waits else None,
    )


# -- Closing ------------------------------------------------------------------------------------------


def close(
    memory: Memory,
    closing: Closing,
    line: Line | None,
    end: StreamEnd,
    now: float,
    slot: Slot | None = None,
) -> Decision:
    """Nothing holds the session: close it. ``end`` is why its streams end, if the close does not say.

    ``line`` are the turns that wait for another process, ``slot`` is what the session has or has asked for.
    """
    closed = Closed(memory, closing.reason, closing.for_good, line)
    noted = () if closing.for_good is None else (NoteClosed(closing.for_good, now),)
    answers = (Reply(to, view(closed)) for to in closing.to if to is not None)
    ends = CloseStreams(CAUSES[closing.reason.code].closes_as or end)
    return closed, (*noted, *left(slot), ends, *answers)
