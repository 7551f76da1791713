"""What a busy session does with a send, by its strategy, and with the turn that waits meanwhile."""

from typing import assert_never

from turnkeeper.actors.model.messages import Accepted, ReplyAddress, Submit, Superseded
from turnkeeper.actors.model.records import Cancellation, Reason, TurnId, TurnSpec
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, Strategy, TurnStatus, Verdict

from . import gate, ladder
from .effects import AnnounceQueued, Decision, Effect, EndTurn, Reply
from .record import follower, remember, unstarted
from .refusals import busy, closed, refuse
from .states import Cancelling, Closing, Running, Successor, Waiting

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us.
QUEUED, SUPERSEDED = TurnStatus.QUEUED, CancelCode.SUPERSEDED


def submit(state: Running | Cancelling, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a send does to a session in which a turn is in flight."""
    if type(state) is Cancelling and type(state.then) is Closing:
        return gate.known(state, message, to) or refuse(state, to, closed(state))
    answered = gate.answered(state, message, now, to)
    if answered is not None:
        return answered
    match message.strategy:
        case Strategy.INTERRUPT:
            return _interrupt(state, message, now, to)
        case Strategy.REJECT:
            return refuse(state, to, busy(state))
        case _:
            assert_never(message.strategy)


def _interrupt(state: Running | Cancelling, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Cancel what is in flight, if that has not been done, and start once it has settled."""
    spec = message.spec
    reason = Reason(SUPERSEDED, spec.head.user)
    then = Successor(spec, to if message.wait else None, now)
    after: Cancelling
    if type(state) is Running:
        after, effects = ladder.enter(state, reason, now, then=then)
    elif type(state) is Cancelling:
        dropped, effects = drop_successor(state, reason, now, by=spec.turn_id)
        after = replace(dropped, then=then)
    else:
        assert_never(state)
    announced = AnnounceQueued(spec, now)
    if message.wait:
        return after, (*effects, announced)
    return after, (*effects, announced, Reply(to, _queued(state, spec)))


def drop_successor(
    state: Cancelling, reason: Reason, now: float, by: TurnId | None = None
) -> tuple[Cancelling, tuple[Effect, ...]]:
    """End the waiting turn, if there is one, before it has begun."""
    waiting, then = follower(state), state.then
    if waiting is None:
        return state, ()
    spec = waiting.spec
    asked = Cancellation(reason, now)
    record = unstarted(spec, TurnStatus.CANCELLED, waiting.queued_at, asked, now, superseded_by=by)
    memory, end = remember(state.memory, record, now), EndTurn(record, None, spec.ended_to)
    if type(then) is Closing:  # its sender was answered when the shutdown came
        return replace(state, memory=memory, then=replace(then, left=None)), (end,)
    superseded = Superseded(state.turn.spec.turn_id, Verdict.REQUESTED, None)
    accepted = Accepted(spec.session_id, spec.turn_id, None, TurnStatus.CANCELLED, superseded, began=False)
    to = then.to if type(then) is Successor else None
    return replace(state, memory=memory, then=None), (end, Reply(to, accepted))


def leave_successor(state: Cancelling) -> tuple[Waiting | None, tuple[Effect, ...]]:
    """The waiting turn, if there is one, as it waits for another process: this one shuts down."""
    waiting = follower(state)
    if type(waiting) is not Successor:
        return waiting, ()
    spec = waiting.spec
    return Waiting(spec, 1, waiting.queued_at), (Reply(waiting.to, _queued(state, spec)),)


def _queued(state: Running | Cancelling, spec: TurnSpec) -> Accepted:
    superseded = Superseded(state.turn.spec.turn_id, Verdict.REQUESTED, None)
    return Accepted(spec.session_id, spec.turn_id, None, QUEUED, superseded)
