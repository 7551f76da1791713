"""The life of one session.

Rule 1: everything that decides what happens to a session is in this package.
Rule 2: nothing here waits, reads a clock, or touches the world.

`step` takes a state, a message and the time, and answers with the next state and with what is to be done, in
order. The session's actor performs that; it decides nothing itself. What `step` may do is laid down as data
in `table`, and held there by a search through every sequence of messages up to a length.

What a session is
-----------------
One conversation, which runs at most one turn at a time. A turn is a coroutine of the host's, and asyncio can
only *ask* a coroutine to stop: it may clean up first, finish anyway, or ignore it. So a cancelled turn goes
on holding its session until its coroutine has returned, or until it has ignored its whole grace. This is what
most of the states and races below are about.

    Idle       nothing runs, and nothing waits
    Queued     nothing runs, and turns wait: each for its moment
    Running    a turn holds the session
    Ending     a turn holds the session and is on its way out: what `phase` says; then comes the close, if
               there is a `closing`, or the next turn
    Closed     nothing will run here any more; what ran can still be asked about

A turn is more than its coroutine: tasks, threads, processes that it has begun, and what its end runs. It goes
through these phases on its way out, and may leave at each of them:

    Held       a cancel was asked, and waits for critical sections that the session had granted before: at
               most until the time of the last one is up
    Asked      it was cancelled; or its coroutine has returned by itself, and what it has begun was stopped
    Again      at half of its grace it was cancelled, or that was stopped, once more
    Winding    it has ended, or has ignored its whole grace: what its end runs is being run

How it ended is decided before the last of these, and nothing that is run there changes it. One that is on its
way out by itself has no `cancellation`, is called ``running``, and may still be asked to stop: that is noted,
and gets a verdict, but does not begin the ladder anew.

Three things look like states and are none. Turns that wait stand in the `line`, in any state but `Idle`: they
have no epoch, no coroutine and no event with an id, and can be dropped without anyone having to stop. A turn
that ignored its grace is in `memory.quarantined`: it runs, but holds nothing and may say nothing. A cancel
that came before its send is in `memory.early`. They stand beside the states, so that five states times
whatever comes stay five. Nor is a critical section a state: it is an entry of the turn that runs, and a phase
only once a cancel has come.

Four mechanisms keep that from becoming a thicket. `holding.go` is the only way on for a session that nothing
holds: the next in line starts, or waits for its moment, or the session rests. `holding.settle` is the only
end of a turn that was cancelled, `holding.drop` the only end of one that waits. `due.due` is the one moment
at which a session has to look again, whatever it waits for.

Processes end, and where there is a journal another one loads what is durable (`journal.durable`). The first
message to a session then is `Recover`: a turn that held it has no coroutine any more, and `steps.restarts`
says what becomes of it. A shutdown leaves what waits as it is, in `Closed.left`, and cuts off what would be
run again after a crash.

Two kinds of messages
---------------------
`Submit`, `Stop`, `Shut`, `Rearrange` and `Hold` are wishes: they may be refused, and each is answered exactly
once, now or when the turn in flight has settled. `TurnReturned`, `TurnEnded`, `WoundUp`, `Unhold`, `Granted`,
`Tick` and `Recover` are facts: they are never refused, but all but the last may be stale.

The races, and the rule that answers each
-----------------------------------------
* *A Stop and the turn's own end.* Whichever message is first. After a Stop the coroutine's outcome decides:
  what returned or raised had `finished_first`, and only what raised CancelledError is `cancelled`.
* *A Stop and the next turn.* A Stop that names a turn hits that turn or none (`stops`).
* *A Stop and its own send.* A Stop that names a turn which has not been sent is kept for a while, and the
  send is over at once.
* *Two Stops.* They are one: the coroutine is not cancelled again, the ladder goes on, both get the verdict.
* *A Stop and a critical section.* Whichever message is first. A section exists once it is granted: a cancel
  waits for it. Once that was delivered, every other one is refused. While it waits others may begin, and end
  no later than those for which it waits. By force it waits for none.
* *A Stop and the return of a coroutine whose work goes on.* The same: after the return nothing is cancelled,
  and what came of the coroutine stands, whatever becomes of its work; unless that ignores the whole grace.
* *What the end of a turn runs, and all else.* The turn holds its session until that has been run, or its time
  is up; what comes meanwhile waits. A wish to undo the turn comes too late then.
* *A send while a turn is on its way out.* The newest send waits; the one that waited before is over, and its
  sender is answered.
* *A send and the bounds.* Whether there is room for a turn is known when the send is decided, and not before:
  many sends may be on their way. A retry is answered in any case.
* *A send and its own retry.* The same turn id with the same fingerprint is the same turn, and is looked at
  before the precondition, because the first try may be what made that fail.
* *The end of a turn that was given up.* Its epoch is not that of the turn in flight: it is noted, not
  believed. The epoch is drawn when a turn starts, and grows even where the clock does not.
* *A tick and what it was set for.* A tick carries no meaning: `step` looks at what is due. One that comes too
  soon sets the timer again, one that comes too late skips no rung of the ladder.
* *A cancel and a restart.* A turn whose cancel was asked, by anything but a shutdown, has no other attempt.
* *A shutdown and what the end of a turn runs.* A turn that goes on in another process has not come to its
  end: nothing is run. One of whose end something was run does not go on there.
* *What a reader saw and the log does not have.* What is said of a turn after its coroutine is gone has an
  epoch of its own, so that no id stands for two events.
* *A close and everything else.* It cancels first, drops what waits, and from then on sends are refused. A
  later close waits for the same end; once it is a shutdown, it stays one.

The order of effects
--------------------
A turn's end is published before any asker is answered, and both before the next turn starts. An asker that is
answered finds the directory up to date, because the actor writes the state down before it performs the first
effect.

What is weak
------------
* Nothing comes back from an effect. If one raises, the actor gives up the session (`after_failure`) rather
  than guess how much of the decision was done.
* Records are let go of when another turn ends (`record.remember`), not by time: a quiet session keeps its old
  ones until it is forgotten. Early cancels are bounded, and in a flood of them the oldest is lost.
* Without a journal, which is asked for older ones, a retry is recognised only while the record of its turn
  is kept; after that the same id starts a new turn.
* `find_turn` walks through what is remembered, which is cheap for the twenty records that are kept by
  default.
* A grace of nothing still takes two ticks: the second cancel is never skipped.
* What its end runs is run before the end of a turn is in the log. A process that ends meanwhile leaves a turn
  that is interrupted, or run again, and of whose end something was run already.
"""

from typing import TypeAlias, assert_never

from turnkeeper.actors.model.messages import (
    Granted,
    Hold,
    Rearrange,
    Recover,
    ReplyAddress,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    TurnReturned,
    Unhold,
    WoundUp,
)
from turnkeeper.actors.model.records import Extras, LateEnd, Reason, Returned
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, Rollback, TurnStatus

from . import ladder, refusals
from .consequences import ended_late_as, error_of
from .due import due, rung_due
from .effects import CountStale, Decision, EndTurn, LeaveSlot, NoteLateEnd, SetTimer
from .holding import go, granted
from .record import kept_result, record_of, remember
from .refusals import refuse
from .slots import slot_of, taken_or_left
from .states import Closed, Ending, Idle, Queued, Running, State, Winding
from .steps import closes, gate, rearranging, restarts, sections, sends, stops, winding
from .views import queued_turns

Message: TypeAlias = (
    Submit
    | TurnEnded
    | TurnReturned
    | Stop
    | Tick
    | Shut
    | Rearrange
    | Hold
    | Unhold
    | WoundUp
    | Granted
    | Recover
)

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us, and every turn passes here.
COMPLETED, FAILED = TurnStatus.COMPLETED, TurnStatus.FAILED

# -- The machine --------------------------------------------------------------------------------------


def step(state: State, message: Message, now: float, to: ReplyAddress | None = None) -> Decision:
    """Say what a message does to a session: the next state, and what is to be done about it.

    ``now`` is in Unix seconds. ``to`` is where the asker of this message waits; it is answered by one
    `Reply` or `Refuse`, in this step or in a later one.
    """
    # By type and not by class pattern, which costs 550 instructions more: every message passes here. The
    # classes are final, so the type checkers see as well that none is missing.
    if type(message) is Submit:
        if type(state) is Idle:
            decided = sends.idle(state, message, now, to)
        elif type(state) is Running or type(state) is Ending or type(state) is Queued:
            decided = sends.busy_session(state, message, now, to)
        elif type(state) is Closed:
            decided = sends.closed_session(state, message, to)
        else:
            assert_never(state)
        return decided if message.granted is None else taken_or_left(decided, message.granted)
    if type(message) is TurnEnded:
        if type(state) is Running:
            if message.epoch != state.turn.epoch:
                return _ended_late(state, message, now)
            return _ended_running(state, message, now)
        if type(state) is Ending:
            if message.epoch != state.turn.epoch:
                return _ended_late(state, message, now)
            if type(state.phase) is Winding:
                return winding.ended_late(state, state.phase, message)
            return winding.stopped(state, message, now)
        if type(state) is Idle or type(state) is Queued or type(state) is Closed:
            return _ended_late(state, message, now)
        assert_never(state)
    if type(message) is Stop:
        if message.if_match is not None and not gate.matches(state, message.if_match):
            return refuse(state, to, refusals.precondition_failed(message.if_match))
        if message.asker is not None and (turn := stops.forbidden(state, message)) is not None:
            return refuse(state, to, refusals.not_yours_to_stop(turn))
        if type(state) is Running:
            return stops.running(state, message, now, to)
        if type(state) is Ending:
            return stops.ending(state, message, now, to)
        if type(state) is Queued:
            return stops.queued(state, message, now, to)
        if type(state) is Idle or type(state) is Closed:
            return stops.at_rest(state, message, now, to)
        assert_never(state)
    if type(message) is Tick:
        if type(state) is Running:
            return _tick_running(state, now)
        if type(state) is Ending:
            return _tick_ending(state, message, now)
        if type(state) is Queued:
            return _tick_queued(state, now)
        if type(state) is Idle or type(state) is Closed:
            return state, ()
        assert_never(state)
    if type(message) is Shut:
        if type(state) is Idle:
            return closes.idle(state, message, now, to)
        if type(state) is Running:
            return closes.running(state, message, now, to)
        if type(state) is Ending:
            return closes.ending(state, message, now, to)
        if type(state) is Queued:
            return closes.queued(state, message, now, to)
        if type(state) is Closed:
            return closes.closed(state, message, now, to)
        assert_never(state)
    if type(message) is Rearrange:
        return rearranging.rearrange(state, message, now, to)
    if type(message) is WoundUp:
        if type(state) is Ending and state.turn.epoch == message.epoch and type(state.phase) is Winding:
            return winding.wound_up(state, state.phase, message, now)
        return state, (CountStale(),)
    if type(message) is Granted:
        if type(state) is Queued and state.asked == message.ticket:
            return granted(state, message.ticket, now)
        return state, (CountStale(),)  # it was given back before
    if type(message) is Hold:
        return sections.hold(state, message, now, to)
    if type(message) is Unhold:
        return sections.unhold(state, message, now, to)
    if type(message) is TurnReturned:
        return _returned(state, message, now)
    if type(message) is Recover:
        return restarts.recover(state, message, now)
    assert_never(message)


# -- Time -------------------------------------------------------------------------------------------


def _tick_running(state: Running, now: float) -> Decision:
    deadline = state.deadline
    if deadline is not None and now >= deadline:
        return ladder.enter(state, Reason(CancelCode.TIMEOUT), now, line=state.line)
    return _tick_of_line(state, now)


def _tick_queued(state: Queued, now: float) -> Decision:
    front = state.line.front
    if state.asked is None and front is not None and (front.not_before is None or now >= front.not_before):
        return go(state.memory, state.line, now)
    return _tick_of_line(state, now)


def _tick_ending(state: Ending, message: Tick, now: float) -> Decision:
    if now < rung_due(state.phase):
        return _tick_of_line(state, now)
    climbed = ladder.climb(state, now)
    return winding.given_up(state, message, now) if climbed is None else climbed


def _tick_of_line(state: Running | Ending | Queued, now: float) -> Decision:
    """Nothing else is due: place the first of those that wait for a moment, if that has come."""
    moment = due(state)
    if moment is None:
        return state, ()
    return (state, (SetTimer(moment),)) if now < moment else sends.come_due(state, now)


# -- The end of a turn --------------------------------------------------------------------------------


def _returned(state: State, message: TurnReturned, now: float) -> Decision:
    """The coroutine of a turn has returned, and what it has begun runs on."""
    if type(state) is Running and state.turn.epoch == message.epoch:
        return ladder.returned(state, now)
    if type(state) is Ending and state.turn.epoch == message.epoch:
        return winding.returned(state, now)
    return state, (CountStale(),)


def _ended_running(state: Running, message: TurnEnded, now: float) -> Decision:
    if message.winds:
        return winding.ended_by_itself(state, message, now)
    outcome, first, began = message.outcome, message.first_event_at, message.began
    if type(outcome) is Returned:
        result = kept_result(outcome, state.memory)
        record = record_of(state, COMPLETED, now, None, first, began, result, message.extras)
    else:
        # A cancellation too: it was not asked for.
        record = record_of(state, FAILED, now, error_of(outcome), first, began, None, message.extras)
    memory = remember(state.memory, record, now)
    ended = EndTurn(record, outcome, state.turn.spec.ended_to)
    if state.line is None:
        ticket = state.turn.ticket
        return Idle(memory), (ended,) if ticket is None else (ended, LeaveSlot(ticket))
    after, effects = go(memory, state.line, now, None, slot_of(state))
    return after, (ended, *effects)


def _ended_late(state: State, message: TurnEnded, now: float) -> Decision:
    """A coroutine that does not hold the session has ended: note it if it was quarantined."""
    memory = state.memory
    for record in memory.quarantined:
        if record.epoch == message.epoch:
            late = LateEnd(ended_late_as(message.outcome), now)
            rest = tuple(other for other in memory.quarantined if other is not record)
            memory = remember(replace(memory, quarantined=rest), replace(record, ended_late=late), now)
            return replace(state, memory=memory), (NoteLateEnd(record.turn_id, late),)
    return state, (CountStale(),)


# -- When turnkeeper fails ----------------------------------------------------------------------------


def after_failure(
    state: State,
    now: float,
    first_event_at: float | None = None,
    began: bool | None = None,
    extras: Extras | None = None,
) -> Idle | Closed:
    """What is left of a session whose actor failed: the turns in flight and in wait are ``interrupted``.

    ``first_event_at``, ``began`` and ``extras`` are those of the turn in flight. The late end of a
    quarantined turn will not be reported any more, so its record is kept as it is.
    """
    memory = replace(state.memory, quarantined=())
    for record in state.memory.quarantined:
        memory = remember(memory, record, now)
    for queued in queued_turns(state):
        began_before = False if queued.epoch is None else None
        interrupted = replace(queued, status=TurnStatus.INTERRUPTED, ended_at=now, began=began_before)
        memory = remember(memory, interrupted, now)
    if isinstance(state, Running | Ending):
        record = record_of(state, TurnStatus.INTERRUPTED, now, None, first_event_at, began, extras=extras)
        if type(state) is Ending and state.undo is not None:
            record = replace(record, rollback=Rollback.PARTLY)
        memory = remember(memory, record, now)
    return replace(state, memory=memory, left=None) if type(state) is Closed else Idle(memory)
