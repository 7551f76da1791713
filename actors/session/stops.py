"""What a session does with a cancel, by the turn that it names and by what the session is doing."""

from turnkeeper.actors.model.messages import CancelAnswer, ReplyAddress, Stop
from turnkeeper.actors.model.records import Cancellation, Reason, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TurnStatus, Verdict

from . import ladder
from .busy import drop_successor
from .consequences import CAUSES
from .effects import Decision, Effect, NoteCancel, NoteEarlyCancel, Reply
from .holding import end_waiting
from .record import follower, record_of, remember_cancel
from .states import Ask, Cancelling, Closed, EarlyCancel, Idle, Running, State
from .views import find_turn, lasting_cancel


def at_rest(state: Idle | Closed, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does where no turn is in flight."""
    if type(state) is Closed and state.left is not None:
        left, asked = state.left, Cancellation(message.reason, now)
        if message.turn_id in (None, left.spec.turn_id):
            memory, end = end_waiting(state.memory, left, TurnStatus.CANCELLED, now, asked)
            answer = CancelAnswer(Verdict.CANCELLED, end.record, 0.0)
            return replace(state, memory=memory, left=None), (end, Reply(to, answer))
    if message.turn_id is None:
        return state, (Reply(to, CancelAnswer(Verdict.NOT_RUNNING)),)
    return other(state, message.turn_id, message, now, to)


def running(state: Running, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does while a turn runs: unless it names another one, the ladder begins."""
    if message.turn_id is not None and message.turn_id != state.turn.spec.turn_id:
        return other(state, message.turn_id, message, now, to)
    asks = (Ask(to if message.wait else None, now, message.reason),)
    cancelling, effects = ladder.enter(state, message.reason, now, asks)
    return cancelling, (*effects, *_requested(cancelling, message, to))


def cancelling(state: Cancelling, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does while a turn is on its way out.

    Two cancels are one: the coroutine is not cancelled again, its ladder goes on.
    """
    waiting = follower(state)
    if waiting is not None and message.turn_id == waiting.spec.turn_id:
        dropped, effects = drop_successor(state, message.reason, now)
        record = find_turn(dropped, waiting.spec.turn_id)
        # Nothing follows any more: at the end of the turn in flight the streams end too, if a person asked.
        dropped = replace(dropped, asks=_joined(dropped.asks, Ask(None, now, message.reason)))
        return dropped, (*effects, Reply(to, CancelAnswer(Verdict.CANCELLED, record, 0.0)))
    if message.turn_id is not None and message.turn_id != state.turn.spec.turn_id:
        return other(state, message.turn_id, message, now, to)
    effects = ()
    asked = state
    if message.turn_id is None:
        asked, effects = drop_successor(state, message.reason, now)
    asked = replace(asked, asks=_joined(asked.asks, Ask(to if message.wait else None, now, message.reason)))
    return asked, (*_noted(state, message.reason, now), *effects, *_requested(asked, message, to))


def _noted(state: Cancelling, reason: Reason, now: float) -> tuple[Effect, ...]:
    """The first cancel that outlives a shutdown which had already cancelled the turn."""
    if lasting_cancel(state) is not None or not CAUSES[reason.code].lasts:
        return ()
    return (NoteCancel(state.turn.spec.turn_id, reason, now),)


def _joined(asks: tuple[Ask, ...], ask: Ask) -> tuple[Ask, ...]:
    """An asker that does not wait is kept for its reason only, and once: a flood of Stops stays small."""
    if ask.to is None and any(other.reason.code is ask.reason.code for other in asks):
        return asks
    return (*asks, ask)


def _requested(state: Cancelling, message: Stop, to: ReplyAddress | None) -> tuple[Effect, ...]:
    return () if message.wait else (Reply(to, CancelAnswer(Verdict.REQUESTED, record_of(state))),)


def said_late(effects: tuple[Effect, ...], by: float) -> tuple[Effect, ...]:
    """The same effects, performed ``by`` seconds after they were decided: early cancels last for less."""
    return tuple(_said_late(effect, by) for effect in effects)


def _said_late(effect: Effect, by: float) -> Effect:
    answer = effect.answer if type(effect) is Reply else None
    if type(effect) is not Reply or type(answer) is not CancelAnswer or answer.remembered_for is None:
        return effect
    return Reply(effect.to, replace(answer, remembered_for=max(0.0, answer.remembered_for - by)))


def other(state: State, turn_id: TurnId, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """A cancel that names a turn which does not hold the session: it is over, or has not been sent yet."""
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
