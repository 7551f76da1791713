"""What a session does with a send, by its strategy: now, or at the moment that it waits for."""

from typing import assert_never

from turnkeeper.actors.model.messages import Accepted, ReplyAddress, Submit
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import Cancellation, Reason, TurnSpec
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import (
    CancelCode,
    MoveTo,
    OnFull,
    Place,
    Strategy,
    TurnStatus,
    WaitsFor,
)
from turnkeeper.actors.session.due import due
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    AnnounceQueued,
    Decision,
    Effect,
    MoveWaiting,
    Reply,
    SetTimer,
)
from turnkeeper.actors.session.holding import accepted, ask, drop, start
from turnkeeper.actors.session.line import (
    Line,
    Waiting,
    behind,
    for_a_moment,
    without,
)
from turnkeeper.actors.session.refusals import busy, closed, queue_full, refuse
from turnkeeper.actors.session.slots import WAIT, needs_slot
from turnkeeper.actors.session.states import Closed, Ending, Idle, Memory, Queued
from turnkeeper.actors.session.views import line_of

from . import gate
from .joins import join
from .places import Busy, announced, is_free, put, take_the_place, with_line

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us.
QUEUED, COLLAPSE = TurnStatus.QUEUED, Strategy.COLLAPSE


def idle(state: Idle, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a send does where there is nothing in its way."""
    answered = gate.answered(state, message, now, to)
    if answered is not None:
        return answered
    moment = message.not_before
    if moment is not None and now < moment:
        return _wait_for_a_moment(state, message, moment, now, to)
    if message.strategy is COLLAPSE:
        return _collapse(state, message, now, to)
    policy = message.spec.head.own_policy
    if policy is None or policy.on_cap is not WAIT:  # the usual one without a call: it needs no slot
        return start(state.memory, message.spec, now, to, None)
    return _begin(state.memory, message, now, to)


def closed_session(state: Closed, message: Submit, to: ReplyAddress | None) -> Decision:
    """Say what a send does to a session that is closed."""
    return gate.known(state, message, to) or refuse(state, to, closed(state))


def busy_session(state: Busy, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a send does to a session in which a turn is in flight, or some wait."""
    if type(state) is Ending and state.closing is not None:
        return gate.known(state, message, to) or refuse(state, to, closed(state))
    answered = gate.answered(state, message, now, to)
    if answered is not None:
        return answered
    moment = message.not_before
    if moment is not None and now < moment:
        return _wait_for_a_moment(state, message, moment, now, to)
    if type(state) is Queued and state.line.front is None and message.strategy is not COLLAPSE:
        # Nothing is in its way: those that wait for a moment are not there yet.
        return _begin(state.memory, message, now, to, state.line)
    match message.strategy:
        case Strategy.INTERRUPT:
            return _interrupt(state, message, now, to)
        case Strategy.ROLLBACK:
            return _interrupt(state, message, now, to, undo=True)
        case Strategy.REJECT:
            return refuse(state, to, busy(_in_the_way(state), waits=type(state) is Queued))
        case Strategy.ENQUEUE:
            return _enqueue(state, message, now, to)
        case Strategy.COLLAPSE:
            return _collapse(state, message, now, to)
        case _:
            assert_never(message.strategy)


def come_due(state: Busy, now: float) -> Decision:
    """Place the first of those whose moment has come, by its strategy, as if it were sent now.

    Its sender was answered when it was accepted. One in each step: the next one finds what this one does.
    """
    line = line_of(state)
    if line is None or not line.later:
        raise ValueError("no turn waits for a moment")
    first = line.later[0]
    turn, line = replace(first, not_before=None, collects=False), without(line, first)
    if turn.spec.strategy is COLLAPSE and not first.collects:
        gathered = _gather(state, line, turn, now)
        if gathered is not None:
            return announced(*gathered)
    strategy, by = turn.spec.strategy, turn.spec.user
    match strategy:
        case Strategy.INTERRUPT | Strategy.ROLLBACK:
            return put(state, line, turn, MoveTo.NOW, now, by, undo=strategy is Strategy.ROLLBACK)
        case Strategy.REJECT if is_free(state, line):
            return put(state, line, turn, MoveTo.NOW, now, by)
        case Strategy.REJECT:
            asked = Cancellation(Reason(CancelCode.POLICY, text="a turn was in flight"), now)
            memory, effects = drop(state.memory, (turn,), asked, now)
            return announced(with_line(state, memory, line), effects)
        case Strategy.ENQUEUE | Strategy.COLLAPSE:
            return put(state, line, turn, MoveTo.LAST, now, by)
        case _:
            assert_never(strategy)


def _begin(
    memory: Memory, message: Submit, now: float, to: ReplyAddress | None, line: Line | None = None
) -> Decision:
    """Nothing in the session is in the way of the turn: let it start, or wait for a slot if it needs one."""
    spec, ticket = message.spec, message.granted
    if ticket is not None:
        memory = replace(memory, last_ticket=ticket.number)
    elif needs_slot(spec):
        asking, effects = ask(memory, Waiting(spec, 1, now, to), line, now)
        return asking, (AnnounceQueued(spec, now), *effects)
    return start(memory, spec, now, to, None, line=line, ticket=ticket)


# -- Taking the place of a turn -----------------------------------------------------------------------


def _interrupt(
    state: Busy, message: Submit, now: float, to: ReplyAddress | None, *, undo: bool = False
) -> Decision:
    spec = message.spec
    if type(state) is Queued:
        waits = needs_slot(spec)  # else it starts in this step, and is never said to wait
        turn = Waiting(spec, 1, now if waits else None, to)
        after, effects = take_the_place(state, state.line, turn, now, spec.head.user, undo=undo)
        return after, (*effects, AnnounceQueued(spec, now)) if waits else effects
    turn = Waiting(spec, 1, now, to if message.wait else None)
    after, effects = take_the_place(state, state.line, turn, now, spec.head.user, undo=undo)
    announced = AnnounceQueued(spec, now)
    if message.wait:
        return after, (*effects, announced)
    return after, (*effects, announced, Reply(to, accepted(spec, QUEUED, state.turn)))


def _in_the_way(state: Busy) -> TurnSpec:
    """The turn that holds the session, or is called up to."""
    if type(state) is not Queued:
        return state.turn.spec
    front = state.line.front
    if front is None:
        raise ValueError("nothing is in the way of a send")
    return front.spec


# -- Waiting behind others, and for a moment ----------------------------------------------------------


def _enqueue(state: Busy, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Wait behind all that wait for their turn."""
    spec = message.spec
    found = _with_place(state, spec, now)
    if found is None:
        return refuse(state, to, queue_full(_policy(spec).queue_limit))
    roomy, effects = found
    line = behind(line_of(roomy), Waiting(spec, 1, now))
    reply = Accepted(
        spec.session_id,
        spec.turn_id,
        None,
        QUEUED,
        own_policy=spec.head.own_policy,
        position=len(line.rest),
        waits_for=WaitsFor.SESSION_BUSY,
    )
    announced = AnnounceQueued(spec, now, Place.REST), AnnouncePlaces()
    return with_line(roomy, roomy.memory, line), (*effects, *announced, Reply(to, reply))


def _wait_for_a_moment(
    state: Busy | Idle,
    message: Submit,
    moment: float,
    now: float,
    to: ReplyAddress | None,
    place: Place = Place.LATER,
) -> Decision:
    """Take a place among those that wait for a moment, whatever the session is doing."""
    spec = message.spec
    found = _with_place(state, spec, now)
    if found is None:
        return refuse(state, to, queue_full(_policy(spec).queue_limit))
    roomy, effects = found
    line = for_a_moment(line_of(roomy), Waiting(spec, 1, now, None, moment, collects=place is Place.WINDOW))
    reply = Accepted(
        spec.session_id,
        spec.turn_id,
        None,
        QUEUED,
        own_policy=spec.head.own_policy,
        waits_for=WaitsFor.NOT_BEFORE,
        not_before=moment,
    )
    after = with_line(roomy, roomy.memory, line)
    announced = AnnounceQueued(spec, now, place, moment), AnnouncePlaces()
    first = due(after)
    timer = SetTimer(moment if first is None else first)
    return after, (*effects, *announced, timer, Reply(to, reply))


def _collapse(state: Busy | Idle, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Join the last message that waits of the same sender and agent.

    Where there is none: wait in its window for those that join it, and without a window start if nothing is
    in its way, else wait behind the others.
    """
    spec, line = message.spec, line_of(state)
    found = join(state.memory, line, Waiting(spec), now)
    if found is not None:
        memory, line, effects, into = found
        reply = Accepted(
            spec.session_id,
            spec.turn_id,
            None,
            TurnStatus.MERGED,
            began=False,
            own_policy=spec.head.own_policy,
            merged_into=into,
        )
        return with_line(state, memory, line), (*effects, Reply(to, reply))
    window = spec.policy.collapse_window
    if window > 0.0:
        return _wait_for_a_moment(state, message, now + window, now, to, Place.WINDOW)
    if type(state) is Idle or (type(state) is Queued and state.line.front is None):
        return _begin(state.memory, message, now, to, line)
    return _enqueue(state, message, now, to)


def _gather(
    state: Busy, line: Line | None, turn: Waiting, now: float
) -> tuple[Busy | Idle, tuple[Effect, ...]] | None:
    """What `_collapse` does with a message that was sent for this moment, whose sender has been answered.

    ``None`` if it neither joins another one nor waits for those that join it.
    """
    found = join(state.memory, line, turn, now)
    if found is not None:
        memory, line, effects, _ = found
        return with_line(state, memory, line), effects
    window = turn.spec.policy.collapse_window
    if window <= 0.0:
        return None
    moment, head = now + window, turn.spec.head
    line = for_a_moment(line, replace(turn, not_before=moment, collects=True))
    moved = MoveWaiting(head.turn_id, Place.WINDOW, not_before=moment)
    return with_line(state, state.memory, line), (moved,)


def _with_place(
    state: Busy | Idle, spec: TurnSpec, now: float
) -> tuple[Busy | Idle, tuple[Effect, ...]] | None:
    """The session with room for one more that waits; ``None`` if there is none, nor can be made."""
    line, policy = line_of(state), _policy(spec)
    if line is None or len(line.rest) + len(line.later) < policy.queue_limit:
        return (state, ()) if policy.queue_limit else None
    match policy.on_full:
        case OnFull.REJECT:
            return None
        case OnFull.DROP_OLDEST:
            own = [turn for turn in (*line.rest, *line.later) if turn.spec.user == spec.user]
            if not own or not policy.queue_limit:
                return None
            asked = Cancellation(Reason(CancelCode.SUPERSEDED, spec.user), now)
            memory, effects = drop(state.memory, (own[0],), asked, now, spec.turn_id)
            return with_line(state, memory, without(line, own[0])), effects
        case _:
            assert_never(policy.on_full)


def _policy(spec: TurnSpec) -> Policy:
    return spec.policy
