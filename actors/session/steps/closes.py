"""What a session does with a close or the shutdown: it cancels first, and takes no sends from then on."""

from turnkeeper.actors.model.messages import ReplyAddress, Shut
from turnkeeper.actors.model.records import Cancellation
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import StreamEnd, TurnStatus
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.consequences import CAUSES, ENDS
from turnkeeper.actors.session.effects import Decision, Effect, NoteClosed, Reply, SetTimer
from turnkeeper.actors.session.holding import accepted, close, drop
from turnkeeper.actors.session.line import Line, line_of, waiting_turns
from turnkeeper.actors.session.slots import slot_of
from turnkeeper.actors.session.states import (
    Closed,
    Closing,
    Ending,
    Holder,
    Idle,
    Memory,
    Queued,
    Running,
    Winding,
)
from turnkeeper.actors.session.views import view


def idle(state: Idle, message: Shut, now: float, to: ReplyAddress | None) -> Decision:
    """Close a session in which there is nothing to do."""
    return close(state.memory, _closing(message, to), None, StreamEnd.SESSION_CLOSED, now)


def queued(state: Queued, message: Shut, now: float, to: ReplyAddress | None) -> Decision:
    """Close a session in which turns only wait. Over a shutdown they go on waiting, for another process."""
    closing = _closing(message, to)
    memory, left, effects = _leave_or_drop(state.memory, state.line, closing, None, now)
    closed, more = close(memory, closing, left, ENDS[TurnStatus.CANCELLED].stream, now, slot_of(state))
    return closed, (*effects, *more)


def running(state: Running, message: Shut, now: float, to: ReplyAddress | None) -> Decision:
    """Cancel the turn in flight first."""
    closing = _closing(message, to)
    if message.grace is not None:
        closing = replace(closing, by=now + message.grace)
    memory, left, effects = _leave_or_drop(state.memory, state.line, closing, state.turn, now)
    if effects:
        state = replace(state, memory=memory)
    after, more = ladder.enter(state, message.reason, now, line=left, closing=closing, grace=message.grace)
    return after, (*effects, *more)


def ending(state: Ending, message: Shut, now: float, to: ReplyAddress | None) -> Decision:
    """Close the session once the turn has settled that is on its way out."""
    closing = _closing(message, to)
    memory, left, effects = _leave_or_drop(state.memory, state.line, closing, state.turn, now)
    before = state.closing
    if before is not None:
        # A close that comes after a shutdown does not change why the streams end.
        reason = closing.reason if CAUSES[before.reason.code].closes_as is None else before.reason
        closing = Closing(reason, (*before.to, to), before.for_good or closing.for_good, before.by)
    phase = state.phase
    if message.grace is not None:
        # A shutdown may leave less time than the turn's grace; it never leaves more.
        grace = message.grace
        by = now + grace if closing.by is None else min(closing.by, now + grace)
        closing = replace(closing, by=by)
        if state.undo is not None:
            # What undoes the turn has as long as is left to the turn itself.
            grace = grace if type(phase) is Winding else grace / 2
        phase = ladder.shortened(phase, now, grace)
    shut = replace(state, memory=memory, line=left, closing=closing, phase=phase)
    shut, noted = ladder.asked(shut, message.reason, now)
    return shut, (*effects, *noted, SetTimer(ladder.next_due(shut)))


def closed(state: Closed, message: Shut, now: float, to: ReplyAddress | None) -> Decision:
    """A session that a shutdown has closed may be closed for good as well."""
    for_good = _closing(message, to).for_good
    if for_good is None or state.for_good is not None:
        return state, (Reply(to, view(state)),)
    memory, effects = drop(state.memory, waiting_turns(state.left), Cancellation(for_good, now), now)
    after = Closed(memory, state.reason, for_good)
    return after, (*effects, NoteClosed(for_good, now), Reply(to, view(after)))


def _closing(message: Shut, to: ReplyAddress | None) -> Closing:
    reason = message.reason
    return Closing(reason, (to,), reason if CAUSES[reason.code].lasts else None)


def _leave_or_drop(
    memory: Memory, line: Line | None, closing: Closing, holder: Holder | None, now: float
) -> tuple[Memory, Line | None, tuple[Effect, ...]]:
    """What becomes of those who wait: another process goes on with them, or they never begin."""
    if line is None:
        return memory, None, ()
    if closing.for_good is None and memory.home.limits.durable:
        return _leave(memory, line, holder)
    memory, effects = drop(memory, line.turns, Cancellation(closing.reason, now), now, behind=holder)
    return memory, None, effects


def _leave(
    memory: Memory, line: Line, holder: Holder | None
) -> tuple[Memory, Line | None, tuple[Effect, ...]]:
    """They wait for another process: the senders that wait for a start get that answer."""
    front = line.front
    if front is None or front.to is None:
        return memory, line, ()
    reply = Reply(front.to, accepted(front.spec, TurnStatus.QUEUED, holder))
    return memory, line_of(replace(front, to=None), line.rest, line.later), (reply,)
