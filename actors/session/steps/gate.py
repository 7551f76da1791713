"""The gate that every send passes before it becomes a turn, whatever the session is doing."""

from turnkeeper.actors.model.messages import Accepted, ReplyAddress, Submit
from turnkeeper.actors.model.records import Cancellation, TurnSpec
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session.effects import Decision, EndTurn, Reply, ReplyPlaced
from turnkeeper.actors.session.line import CALLED_UP
from turnkeeper.actors.session.record import early_cancel, remember, unstarted
from turnkeeper.actors.session.refusals import crowded, precondition_failed, refuse, reused
from turnkeeper.actors.session.rights import may_stop
from turnkeeper.actors.session.states import Queued, State
from turnkeeper.actors.session.views import current_turn, find_turn, queue_of


def answered(state: State, message: Submit, now: float, to: ReplyAddress | None) -> Decision | None:
    """The answer to a send that does not become a turn; mostly there is none.

    The send is a repeated one, its precondition does not hold, too many turns of the session were given up
    and still run, its cancel came before it, or there is no room for it.
    """
    head = message.spec.head
    if (
        head.fingerprint is None
        and message.if_match is None
        and message.no_room is None
        and not state.memory.quarantined
    ):
        return None
    return (
        known(state, message, to)
        or _crowded(state, to)
        or _born_dead(state, message.spec, now, to)
        or _without_room(state, message, to)  # last: what starts nothing needs none
    )


def known(state: State, message: Submit, to: ReplyAddress | None) -> Decision | None:
    """The answer to a turn id that this session or its log knows, or to a precondition that does not hold.

    In this order: the first try of a repeated send may be what made its precondition fail.
    """
    head = message.spec.head
    record = None if head.fingerprint is None else find_turn(state, head.turn_id) or message.past
    if record is None:
        if message.if_match is not None and not matches(state, message.if_match):
            return refuse(state, to, precondition_failed(message.if_match))
        return None
    if record.fingerprint != head.fingerprint:
        return refuse(state, to, reused(head.turn_id))
    session_id = message.spec.session_id
    accepted = Accepted(
        session_id,
        head.turn_id,
        record.epoch,
        record.status,
        repeated=True,
        began=record.began,
        own_policy=record.head.own_policy,
        merged_into=record.merged_into,
    )
    for each in queue_of(state):
        if each.turn.turn_id == head.turn_id:
            accepted = replace(
                accepted, position=each.position, waits_for=each.waits_for, not_before=each.not_before
            )
            if each.position == CALLED_UP and type(state) is Queued and state.asked is not None:
                return state, (ReplyPlaced(to, accepted, state.asked),)
    return state, (Reply(to, accepted),)


def matches(state: State, if_match: str) -> bool:
    """Whether the session's current turn, else the last one that held it, is the one that is meant."""
    current = current_turn(state)
    return current is not None and current.turn_id == if_match


def _crowded(state: State, to: ReplyAddress | None) -> Decision | None:
    memory = state.memory
    if len(memory.quarantined) < memory.home.limits.quarantined:
        return None
    return refuse(state, to, crowded(state))


def _without_room(state: State, message: Submit, to: ReplyAddress | None) -> Decision | None:
    return None if message.no_room is None else refuse(state, to, message.no_room)


def _born_dead(state: State, spec: TurnSpec, now: float, to: ReplyAddress | None) -> Decision | None:
    """A turn whose cancel came before its send is accepted, and over."""
    memory = state.memory
    early = early_cancel(memory, spec.turn_id, now)
    if early is None or not may_stop(spec, memory.home.owner, early.asker):
        return None
    asked = Cancellation(early.reason, early.asked_at)
    record = unstarted(spec, TurnStatus.CANCELLED, cancellation=asked, ended_at=now)
    rest = tuple(other for other in memory.early if other is not early)
    memory = remember(replace(memory, early=rest), record, now)
    accepted = Accepted(
        spec.session_id,
        spec.turn_id,
        None,
        TurnStatus.CANCELLED,
        began=False,
        own_policy=spec.head.own_policy,
    )
    return replace(state, memory=memory), (EndTurn(record, None, spec.ended_to), Reply(to, accepted))
