"""What a session does with a cancel, by the turn that it names and by what the session is doing."""

from turnkeeper.actors.model.messages import CancelAnswer, ReplyAddress, Stop
from turnkeeper.actors.model.records import Cancellation, Reason, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.consequences import CAUSES, ENDS
from turnkeeper.actors.session.effects import (
    CloseStreams,
    Decision,
    Effect,
    NoteCancel,
    NoteEarlyCancel,
    Reply,
)
from turnkeeper.actors.session.holding import drop, go
from turnkeeper.actors.session.line import Line, Waiting, find, front_of, without
from turnkeeper.actors.session.record import record_of, remember_cancel
from turnkeeper.actors.session.states import Ask, Closed, EarlyCancel, Ending, Idle, Queued, Running, State
from turnkeeper.actors.session.views import find_turn, lasting_cancel


def at_rest(state: Idle | Closed, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does where no turn is in flight."""
    left = state.left if type(state) is Closed else None
    waiting = _meant(left, message)
    if type(state) is Closed and waiting is not None:
        memory, dropped = drop(state.memory, (waiting,), Cancellation(message.reason, now), now)
        after = replace(state, memory=memory, left=without(left, waiting))
        return after, (*dropped, Reply(to, _dropped(after, waiting)))
    if message.turn_id is None:
        return state, (Reply(to, CancelAnswer(Verdict.NOT_RUNNING)),)
    return _other(state, message.turn_id, message, now, to)


def queued(state: Queued, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does while turns only wait: the one that is meant is over at once."""
    waiting = _meant(state.line, message)
    if waiting is None:
        if message.turn_id is None:
            return state, (Reply(to, CancelAnswer(Verdict.NOT_RUNNING)),)
        return _other(state, message.turn_id, message, now, to)
    memory, dropped = drop(state.memory, (waiting,), Cancellation(message.reason, now), now)
    line = without(state.line, waiting)
    after, effects = go(memory, line, now)
    reply = Reply(to, _dropped(after, waiting))
    if type(after) is Idle and CAUSES[message.reason.code].ends_streams:
        return after, (*dropped, reply, CloseStreams(ENDS[TurnStatus.CANCELLED].stream))
    return after, (*dropped, reply, *effects)


def running(state: Running, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does while a turn runs: unless it names another one, the ladder begins."""
    if message.turn_id is not None and message.turn_id != state.turn.spec.turn_id:
        waiting = find(state.line, message.turn_id)
        if waiting is None:
            return _other(state, message.turn_id, message, now, to)
        memory, dropped = drop(state.memory, (waiting,), Cancellation(message.reason, now), now)
        after = replace(state, memory=memory, line=without(state.line, waiting))
        return after, (*dropped, Reply(to, _dropped(after, waiting)))
    asks = (Ask(to if message.wait else None, now, message.reason),)
    ending, effects = ladder.enter(state, message.reason, now, asks, state.line)
    return ending, (*effects, *_requested(ending, message, to))


def ending(state: Ending, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does while a turn is on its way out.

    Two cancels are one: the coroutine is not cancelled again, its ladder goes on.
    """
    waiting = None if message.turn_id is None else find(state.line, message.turn_id)
    if waiting is not None:
        front = front_of(state.line)
        after, effects = _without(state, waiting, message.reason, now)
        if waiting is front:
            # Nothing takes the turn's place: at its end the streams may end, too, if a person asked.
            after = replace(after, asks=_joined(after.asks, Ask(None, now, message.reason)))
        return after, (*effects, Reply(to, _dropped(after, waiting)))
    if message.turn_id is not None and message.turn_id != state.turn.spec.turn_id:
        return _other(state, message.turn_id, message, now, to)
    effects = ()
    asked = state
    front = front_of(state.line)
    if message.turn_id is None and front is not None:
        asked, effects = _without(state, front, message.reason, now)
    asked = replace(asked, asks=_joined(asked.asks, Ask(to if message.wait else None, now, message.reason)))
    return asked, (*_noted(state, message.reason, now), *effects, *_requested(asked, message, to))


def _meant(line: Line | None, message: Stop) -> Waiting | None:
    """The waiting turn that a cancel is about where none is in flight: without a name, the one called up."""
    return front_of(line) if message.turn_id is None else find(line, message.turn_id)


def _without(state: Ending, turn: Waiting, reason: Reason, now: float) -> tuple[Ending, tuple[Effect, ...]]:
    # Over a shutdown its sender was answered already.
    memory, effects = drop(state.memory, (turn,), Cancellation(reason, now), now, behind=state.turn)
    return replace(state, memory=memory, line=without(state.line, turn)), effects


def _dropped(after: State, turn: Waiting) -> CancelAnswer:
    return CancelAnswer(Verdict.CANCELLED, find_turn(after, turn.spec.turn_id), 0.0)


def _noted(state: Ending, reason: Reason, now: float) -> tuple[Effect, ...]:
    """The first cancel that outlives a shutdown which had already cancelled the turn."""
    if lasting_cancel(state) is not None or not CAUSES[reason.code].lasts:
        return ()
    return (NoteCancel(state.turn.spec.turn_id, reason, now),)


def _joined(asks: tuple[Ask, ...], ask: Ask) -> tuple[Ask, ...]:
    """An asker that does not wait is kept for its reason only, and once: a flood of Stops stays small."""
    if ask.to is None and any(other.reason.code is ask.reason.code for other in asks):
        return asks
    return (*asks, ask)


def _requested(state: Ending, message: Stop, to: ReplyAddress | None) -> tuple[Effect, ...]:
    return () if message.wait else (Reply(to, CancelAnswer(Verdict.REQUESTED, record_of(state))),)


def said_late(effects: tuple[Effect, ...], by: float) -> tuple[Effect, ...]:
    """The same effects, performed ``by`` seconds after they were decided: early cancels last for less."""
    return tuple(_said_late(effect, by) for effect in effects)


def _said_late(effect: Effect, by: float) -> Effect:
    answer = effect.answer if type(effect) is Reply else None
    if type(effect) is not Reply or type(answer) is not CancelAnswer or answer.remembered_for is None:
        return effect
    return Reply(effect.to, replace(answer, remembered_for=max(0.0, answer.remembered_for - by)))


def _other(state: State, turn_id: TurnId, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """A cancel that names a turn which neither holds the session nor waits: it is over, or not sent yet."""
    memory = state.memory
    record = find_turn(state, turn_id)
    if record is not None:
        fled = record.status is TurnStatus.UNRESPONSIVE and record.ended_late is None
        verdict = Verdict.UNRESPONSIVE if fled else Verdict.FINISHED_FIRST
        return state, (Reply(to, CancelAnswer(verdict, record, 0.0)),)
    limits = memory.home.limits
    early = EarlyCancel(turn_id, message.reason, now)
    kept = remember_cancel(memory.early, early, limits)
    answer = CancelAnswer(Verdict.NOT_RUNNING, remembered_for=limits.early_cancel_ttl)
    return replace(state, memory=replace(memory, early=kept)), (NoteEarlyCancel(early), Reply(to, answer))
