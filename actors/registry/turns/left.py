"""What a turn leaves at its end, and that it is kept."""

from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.model.records import Outcome, Returned, TurnRecord, TurnSpec
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.session.states import Closed, State
from turnkeeper.actors.turn.changes import Changes
from turnkeeper.actors.turn.kept import Kept
from turnkeeper.actors.turn.recorder import Reply, Said, recorded
from turnkeeper.actors.turn.tools.answers import answered
from turnkeeper.actors.turn.turn import Turn, reply_of
from turnkeeper.actors.turn.winding.published import text_in


@value
class Left:
    """What a turn leaves at its end.

    That is the number of the event that ends it, and what it has made of the conversation that it was given,
    if anything of that is to be kept.
    """

    n: int
    given: Kept | None = None
    changes: Changes | None = None


def left_by(shared: Shared, turn: Turn, record: TurnRecord, outcome: Outcome | None, state: State) -> Left:
    """Close the turn. It leaves no conversation where the host keeps that, it is undone, or to be forgotten.

    Without an outcome the turn was given up: what it has changed is refused, and what it has published is
    recorded all the same.
    """
    n = turn.n if turn.over else turn.close()
    if record.rollback is not None:
        return Left(n)
    context = turn.own_context
    if shared.load_context is not None or (type(state) is Closed and state.for_good is not None):
        return Left(n)
    reply = reply_of(turn, outcome.result if type(outcome) is Returned else None)
    if reply is None and (context is None or outcome is None):
        return Left(n)
    if context is None:
        context = shared.contexts.context_for(turn.session_id, turn.owner, turn.agent)
    said = context.kept.transcript
    changes = Changes(said.count) if outcome is None else context.changes()
    if changes.add and outcome is not None and _cut_off_calls(turn, record):
        changes = changes._replace(add=tuple(answered(changes.add)))
    if reply is not None:
        stopped = record.status is not TurnStatus.COMPLETED
        error = None if record.error is None else record.error.code
        changes = recorded(changes, said.messages, turn.message, reply, stopped=stopped, error=error)
    return Left(n, context.kept, changes)


def _cut_off_calls(turn: Turn, record: TurnRecord) -> bool:
    """Whether it may have been stopped in the middle of calls of tools."""
    return record.status is not TurnStatus.COMPLETED and turn.own is not None and turn.own.calls is not None


def left_cut_off(shared: Shared, log: EventLog, spec: TurnSpec, record: TurnRecord, state: State) -> Left:
    """What a turn leaves whose process is gone: its message, and what it had published of its reply."""
    closed = type(state) is Closed and state.for_good is not None
    undone = record.rollback is not None
    if shared.load_context is not None or closed or undone or not shared.records.get(record.agent, False):
        return Left(0)
    home = state.memory.home
    given = shared.contexts.context_for(home.session_id, home.owner, record.agent).kept
    said = Said(shared.most_recorded)
    on_restart = spec.policy.on_restart
    said.hear({"text": text_in(log, record.turn_id, on_restart, shared.max_event_size)})
    reply, before = Reply(said, None, shared.most_recorded), given.transcript
    changes = recorded(Changes(before.count), before.messages, spec.message, reply, stopped=True)
    return Left(0, given, changes)


def keep(shared: Shared, left: Left, state: State, cursor: str) -> None:
    """Keep the conversation as a turn leaves it; ``cursor`` is the id of the event that ends the turn."""
    if left.changes is not None and left.given is not None and type(state) is not Closed:
        shared.contexts.apply(state.memory.home.session_id, left.given, left.changes, cursor)
