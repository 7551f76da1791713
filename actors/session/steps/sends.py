"""What a session does with a send, by its strategy, and with the turn that waits meanwhile."""

from typing import assert_never

from turnkeeper.actors.model.messages import ReplyAddress, Submit, Superseded
from turnkeeper.actors.model.records import Cancellation, Reason
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, Strategy, TurnStatus, Verdict
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.effects import AnnounceQueued, Decision, Effect, Reply
from turnkeeper.actors.session.holding import accepted, drop, go, start
from turnkeeper.actors.session.line import Line, Waiting, front_of, with_front
from turnkeeper.actors.session.refusals import busy, closed, refuse
from turnkeeper.actors.session.states import Closed, Ending, Idle, Queued, Running

from . import gate

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us.
QUEUED, SUPERSEDED = TurnStatus.QUEUED, CancelCode.SUPERSEDED


def idle(state: Idle, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a send does where there is nothing in its way."""
    return gate.answered(state, message, now, to) or start(state.memory, message.spec, now, to, None)


def closed_session(state: Closed, message: Submit, to: ReplyAddress | None) -> Decision:
    """Say what a send does to a session that is closed."""
    return gate.known(state, message, to) or refuse(state, to, closed(state))


def busy_session(
    state: Running | Ending | Queued, message: Submit, now: float, to: ReplyAddress | None
) -> Decision:
    """Say what a send does to a session in which a turn is in flight, or waits to be started."""
    if type(state) is Ending and state.closing is not None:
        return gate.known(state, message, to) or refuse(state, to, closed(state))
    answered = gate.answered(state, message, now, to)
    if answered is not None:
        return answered
    match message.strategy:
        case Strategy.INTERRUPT:
            if type(state) is Queued:
                return _take_the_place(state, message, now, to)
            return _interrupt(state, message, now, to)
        case Strategy.REJECT:
            return _reject(state, message, now, to)
        case _:
            assert_never(message.strategy)


def _reject(
    state: Running | Ending | Queued, message: Submit, now: float, to: ReplyAddress | None
) -> Decision:
    """Refuse it, if there is a turn that holds the session or is called up to."""
    if type(state) is Queued:
        front = state.line.front
        if front is not None:
            return refuse(state, to, busy(front.spec, waits=True))
        return start(state.memory, message.spec, now, to, None, line=state.line)
    return refuse(state, to, busy(state.turn.spec, waits=False))


def _interrupt(state: Running | Ending, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Cancel what is in flight, if that has not been done, and start once it has settled.

    It takes the place of the turn that was called up before it, too; those behind that keep theirs.
    """
    spec = message.spec
    reason = Reason(SUPERSEDED, spec.head.user)
    front = Waiting(spec, 1, now, to if message.wait else None)
    after: Ending
    effects: tuple[Effect, ...]
    if type(state) is Running:
        line = Line(front) if state.line is None else with_front(state.line, front)
        after, effects = ladder.enter(state, reason, now, line=line)
    elif type(state) is Ending:
        memory, effects = state.memory, ()
        before = front_of(state.line)
        if before is not None:
            asked = Cancellation(reason, now)
            memory, effects = drop(memory, (before,), asked, now, spec.turn_id, state.turn)
        after = replace(state, memory=memory, line=with_front(state.line, front))
    else:
        assert_never(state)
    announced = AnnounceQueued(spec, now)
    if message.wait:
        return after, (*effects, announced)
    return after, (*effects, announced, Reply(to, accepted(spec, QUEUED, state.turn)))


def _take_the_place(state: Queued, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Start at once, in the place of the turn that waits to be tried again."""
    spec, front, memory = message.spec, state.line.front, state.memory
    turn = Waiting(spec, 1, None, to)
    if front is None:
        return go(memory, with_front(state.line, turn), now)
    asked = Cancellation(Reason(SUPERSEDED, spec.user), now)
    memory, dropped = drop(memory, (front,), asked, now, spec.turn_id)
    ms = (now - spec.submitted_at) * 1000.0
    superseded = Superseded(front.spec.turn_id, Verdict.CANCELLED, ms)
    running, started = go(memory, with_front(state.line, turn), now, superseded)
    return running, (*dropped, *started)
