"""What a session does with a send, by its strategy: now, or at the moment that it waits for."""

from typing import assert_never

from turnkeeper.actors.model.messages import Accepted, ReplyAddress, Submit, Superseded
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import Cancellation, Reason, TurnSpec
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import (
    CancelCode,
    OnFull,
    Place,
    Strategy,
    TurnStatus,
    Verdict,
    WaitsFor,
)
from turnkeeper.actors.session import ladder
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
from turnkeeper.actors.session.holding import accepted, drop, go, start
from turnkeeper.actors.session.line import (
    Line,
    Waiting,
    behind,
    for_a_moment,
    front_of,
    with_front,
    without,
)
from turnkeeper.actors.session.refusals import busy, closed, queue_full, refuse
from turnkeeper.actors.session.states import Closed, Ending, Idle, Memory, Queued, Running, State
from turnkeeper.actors.session.views import line_of

from . import gate, rollbacks
from .joins import join

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us.
QUEUED, SUPERSEDED, COLLAPSE = TurnStatus.QUEUED, CancelCode.SUPERSEDED, Strategy.COLLAPSE
#: A session that takes sends, and in which there is something in their way.
Busy = Running | Ending | Queued


def idle(state: Idle, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a send does where there is nothing in its way."""
    answered = gate.answered(state, message, now, to)
    if answered is not None:
        return answered
    if message.not_before is not None:
        return _wait_for_a_moment(state, message, message.not_before, now, to)
    if message.strategy is COLLAPSE:
        return _collapse(state, message, now, to)
    return start(state.memory, message.spec, now, to, None)


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
    if message.not_before is not None:
        return _wait_for_a_moment(state, message, message.not_before, now, to)
    if type(state) is Queued and state.line.front is None and message.strategy is not COLLAPSE:
        # Nothing is in its way: those that wait for a moment are not there yet.
        return start(state.memory, message.spec, now, to, None, line=state.line)
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
            return placed(*gathered)
    if type(state) is Queued and front_of(line) is None:
        started, effects = go(state.memory, with_front(line, turn), now)
        return started, (*effects, AnnouncePlaces())
    turn_id, strategy = turn.spec.turn_id, turn.spec.strategy
    match strategy:
        case Strategy.INTERRUPT | Strategy.ROLLBACK:
            undo = strategy is Strategy.ROLLBACK
            after, effects = take_the_place(state, line, turn, now, undo=undo)
            if type(after) is not Running:
                effects = (*effects, MoveWaiting(turn_id, Place.FRONT))
        case Strategy.REJECT:
            asked = Cancellation(Reason(CancelCode.POLICY, text="a turn was in flight"), now)
            memory, effects = drop(state.memory, (turn,), asked, now)
            after = with_line(state, memory, line)
        case Strategy.ENQUEUE | Strategy.COLLAPSE:
            after = with_line(state, state.memory, behind(line, turn))
            effects = (MoveWaiting(turn_id, Place.REST),)
        case _:
            assert_never(strategy)
    return placed(after, effects)


def placed(after: State, effects: tuple[Effect, ...]) -> Decision:
    """One that waited for a moment has its place now; the session looks again when the next one has come."""
    moment = due(after)
    timer = () if moment is None else (SetTimer(moment),)
    return after, (*effects, AnnouncePlaces(), *timer)


def with_line(state: Busy | Idle, memory: Memory, line: Line | None) -> Busy | Idle:
    """The same session, with those who wait in it."""
    if type(state) is Queued or type(state) is Idle:
        return Idle(memory) if line is None else Queued(memory, line)
    return replace(state, memory=memory, line=line)


# -- Taking the place of a turn -----------------------------------------------------------------------


def _interrupt(
    state: Busy, message: Submit, now: float, to: ReplyAddress | None, *, undo: bool = False
) -> Decision:
    spec = message.spec
    if type(state) is Queued:
        return take_the_place(state, state.line, Waiting(spec, 1, None, to), now, undo=undo)
    turn = Waiting(spec, 1, now, to if message.wait else None)
    after, effects = take_the_place(state, state.line, turn, now, undo=undo)
    announced = AnnounceQueued(spec, now)
    if message.wait:
        return after, (*effects, announced)
    return after, (*effects, announced, Reply(to, accepted(spec, QUEUED, state.turn)))


def take_the_place(
    state: Busy, line: Line | None, turn: Waiting, now: float, *, undo: bool = False
) -> Decision:
    """Cancel what is in flight, if that has not been done, and start once it has settled.

    It takes the place of the turn that was called up before it, too; those behind that keep theirs. ``undo``:
    what has started of these is undone.
    """
    spec = turn.spec
    reason = Reason(SUPERSEDED, spec.head.user)
    if type(state) is Running:
        line = Line(turn) if line is None else with_front(line, turn)
        entered = ladder.enter(state, reason, now, line=line)
        return rollbacks.wished(entered, now) if undo else entered
    memory, before, line = state.memory, front_of(line), with_front(line, turn)
    effects: tuple[Effect, ...] = ()
    if before is not None:
        holder = state.turn if type(state) is Ending else None
        asked = Cancellation(reason, now)
        memory, effects = drop(memory, (before,), asked, now, spec.turn_id, holder, undo=undo)
    if type(state) is Ending:
        ending = replace(state, memory=memory, line=line), effects
        return rollbacks.wished(ending, now) if undo else ending
    superseded = None
    if before is not None:
        ms = (now - spec.submitted_at) * 1000.0
        rollback = memory.records[-1].rollback
        superseded = Superseded(before.spec.turn_id, Verdict.CANCELLED, ms, rollback)
    started, more = go(memory, line, now, superseded)
    return started, (*effects, *more)


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
        return start(state.memory, spec, now, to, None, line=line)
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
            asked = Cancellation(Reason(SUPERSEDED, spec.user), now)
            memory, effects = drop(state.memory, (own[0],), asked, now, spec.turn_id)
            return with_line(state, memory, without(line, own[0])), effects
        case _:
            assert_never(policy.on_full)


def _policy(spec: TurnSpec) -> Policy:
    return spec.policy
