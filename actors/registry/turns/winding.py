"""What is run at the end of a turn, before it lets go of its session."""

import asyncio
from collections import Counter
from contextvars import copy_context
from functools import partial
from typing import Any, assert_never

from turnkeeper.actors.events.feed import Feed
from turnkeeper.actors.metrics import meter
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.messages import WoundUp
from turnkeeper.actors.model.records import NO_EXTRAS, ChildTurn, Reason, TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import Rollback, TurnStatus
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.runtime import AsyncioRef
from turnkeeper.actors.session.effects import WindUp
from turnkeeper.actors.session.states import State
from turnkeeper.actors.turn.run import saved
from turnkeeper.actors.turn.turn import Turn, current, write_down
from turnkeeper.actors.turn.winding.hooks import InterruptedTurn, OnTurnEnd, UndoneTurn
from turnkeeper.actors.turn.winding.published import text_in
from turnkeeper.actors.turn.winding.winding_up import Kind, Step, WindingUp


def wind_up(
    effect: WindUp, state: State, shared: Shared, feed: Feed, turn: Turn | None, actor: AsyncioRef[Any]
) -> WindingUp | None:
    """Run what the end of a turn runs, and report that; ``turn`` is the one that runs here, if one does."""
    spec, record = effect.spec, effect.record
    epoch = record.epoch or 0
    if turn is not None and turn.epoch != epoch:
        turn = None
    failed = Counter[Kind]()
    if turn is not None and not turn.over:
        turn.close()
    steps = _steps(effect, state.memory.home.owner, shared, feed, turn, failed)
    given_up = record.status is TurnStatus.UNRESPONSIVE
    if turn is not None and not given_up and turn.own is not None and turn.own.awaits_children:
        # Where hooks are to be called, their time is not all spent on this.
        span = spec.policy.wind_grace / 2 if steps else None
        begun = turn.own.made_begun
        begun.settle()  # the turn has ended, but for them
        none_runs = asyncio.Event()
        begun.when_none_runs(none_runs.set)  # from now on: the last one may end before any step is run
        steps.insert(0, Step(None, partial(_children_end, none_runs, span, shared.meter)))
    if not steps:
        actor.tell_if_alive(WoundUp(epoch))
        return None

    def report() -> None:
        close(turn)
        count_failed(shared.meter, failed)
        children = _children_of(turn)
        actor.tell_if_alive(WoundUp(epoch, failed[Kind.ON_ROLLBACK], children), now=True)

    if turn is not None:
        turn.made_own.winds_up = True
    context = copy_context()
    context.run(current.set, turn)
    name = f"turn {spec.head.turn_id} of session {spec.session_id}"
    winding = WindingUp(name, steps, failed, report, shared.loop, context)
    # It is held there until it has ended, whatever its session makes of it.
    shared.orphaned_tasks.add(winding.task)
    winding.task.add_done_callback(shared.orphaned_tasks.discard)
    return winding


def cut(winding: WindingUp, turn: Turn | None, meter: Meter) -> None:
    """The time is up for what the end of a turn runs, which is the ``turn``, if that runs here."""
    close(turn)
    for kind, times in winding.cut().items():
        meter.count(_overdue(kind), times)
    count_failed(meter, winding.failed)


def close(turn: Turn | None) -> None:
    """Nothing of what its end runs is run any more: its context is closed."""
    if turn is not None and turn.own is not None:
        turn.own.winds_up = turn.own.context_is_open = False


# -- The steps ----------------------------------------------------------------------------------------


async def _children_end(none_runs: asyncio.Event, span: float | None, counts: Meter) -> None:
    """Wait until none of the turn's children runs any more; so long at most."""
    try:
        async with asyncio.timeout(span):
            await none_runs.wait()
    except TimeoutError:
        pass
    finally:
        if not none_runs.is_set():
            counts.count(meter.CHILDREN_NOT_AWAITED)


def _children_of(turn: Turn | None) -> tuple[ChildTurn, ...]:
    """The turns that it has sent messages to, as they stand now."""
    branch = None if turn is None or turn.own is None else turn.own.branch
    return () if branch is None else tuple(branch.sent.values())


def _steps(
    effect: WindUp, owner: str, shared: Shared, feed: Feed, turn: Turn | None, failed: Counter[Kind]
) -> list[Step]:
    """The hooks that are to be called, in order."""
    spec, record, host, steps = effect.spec, effect.record, shared.hooks, list[Step]()
    reason, status = record.reason, record.status
    was_stopped = reason is not None and status is not TurnStatus.COMPLETED
    if turn is not None and was_stopped and reason is not None:
        steps += _of_cancel(effect, reason, shared, turn)
    is_gone = status is TurnStatus.INTERRUPTED
    if host is not None and host.on_interrupt is not None and (was_stopped or is_gone):
        if turn is None:
            said = text_in(feed.log, spec.turn_id, spec.policy.on_restart, shared.most_recorded)
        else:
            said = turn.said
        interrupted = InterruptedTurn(spec.session_id, owner, spec.message, record, said)
        steps.append(Step(Kind.ON_INTERRUPT, partial(host.on_interrupt, interrupted)))
    if effect.undo:
        steps += _of_rollback(effect, owner, shared, turn)
    if host is not None and host.on_turn_end is not None:
        at_end = partial(_at_end, host.on_turn_end, record, turn, failed, undo=effect.undo)
        steps.append(Step(Kind.ON_TURN_END, at_end))
    return steps


def _of_cancel(effect: WindUp, reason: Reason, shared: Shared, turn: Turn) -> list[Step]:
    """The hooks that the turn has registered for its being stopped.

    They find the conversation as it is kept; what they make of it is handed to the host that keeps it.
    """
    own, record = turn.own, effect.record
    if own is None or not own.on_cancel:
        return []
    steps = [Step(Kind.ON_CANCEL, partial(hook, reason, turn.said)) for hook in own.on_cancel]
    if record.status is TurnStatus.UNRESPONSIVE:
        return steps  # its coroutine may still change it
    own.context_is_open = True
    if not effect.undo:
        write_down(turn, None, stopped=True, error=None if record.error is None else record.error.code)
        save = shared.save_context
        if save is not None and turn.brought_context is None:
            steps.append(Step(Kind.ON_CANCEL, partial(saved, save, turn, stopped=True)))
    return steps


def _of_rollback(effect: WindUp, owner: str, shared: Shared, turn: Turn | None) -> list[Step]:
    """What undoes the turn: first what it has registered last, and at the end the host's hook."""
    spec, record, host = effect.spec, effect.record, shared.hooks
    hooks = [] if turn is None or turn.undo is None else turn.undo.hooks
    steps = [Step(Kind.ON_ROLLBACK, hook) for hook in reversed(hooks)]
    reason = record.reason
    if host is not None and host.on_rollback is not None and reason is not None:
        head = spec.head
        undone = UndoneTurn(
            spec.session_id,
            head.turn_id,
            owner,
            head.user,
            head.agent,
            spec.message,
            record.status,
            reason,
            record.attempt,
        )
        steps.append(Step(Kind.ON_ROLLBACK, partial(host.on_rollback, undone)))
    return steps


def _at_end(
    hook: OnTurnEnd, record: TurnRecord, turn: Turn | None, failed: Counter[Kind], *, undo: bool
) -> Any:
    """Call the host's hook for every turn: by then it is known how far it was undone.

    And what has become of the turns that it has sent messages to.
    """
    if children := _children_of(turn):
        record = replace(record, extras=replace(record.extras or NO_EXTRAS, children=children))
    if undo:
        wholly = not failed[Kind.ON_ROLLBACK] and record.status is not TurnStatus.INTERRUPTED
        record = replace(record, rollback=Rollback.DONE if wholly else Rollback.PARTLY)
    return hook(record)


# -- The counters -------------------------------------------------------------------------------------


def count_failed(counts: Meter, failed: Counter[Kind]) -> None:
    """Count hooks that have failed."""
    for kind, times in failed.items():
        if times:
            counts.count(_failed(kind), times)


def _failed(kind: Kind) -> meter.Counter:
    match kind:
        case Kind.ON_CANCEL:
            return meter.CANCEL_HOOKS_FAILED
        case Kind.ON_INTERRUPT:
            return meter.INTERRUPT_HOOKS_FAILED
        case Kind.ON_ROLLBACK:
            return meter.ROLLBACK_HOOKS_FAILED
        case Kind.ON_TURN_END:
            return meter.TURN_END_HOOKS_FAILED
        case _:
            assert_never(kind)


def _overdue(kind: Kind) -> meter.Counter:
    match kind:
        case Kind.ON_CANCEL:
            return meter.CANCEL_HOOKS_OVERDUE
        case Kind.ON_INTERRUPT:
            return meter.INTERRUPT_HOOKS_OVERDUE
        case Kind.ON_ROLLBACK:
            return meter.ROLLBACK_HOOKS_OVERDUE
        case Kind.ON_TURN_END:
            return meter.TURN_END_HOOKS_OVERDUE
        case _:
            assert_never(kind)
