"""What is left to do when a session's actor has failed: publish what is missing, wait for the coroutine."""

import asyncio
from collections.abc import Callable

from turnkeeper.actors.events.event import END_NAMES, Event, cut_off_event
from turnkeeper.actors.events.log import Reached
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session.states import State
from turnkeeper.actors.session.views import current_turn, find_turn, queued_turns


def missing_terminal_events(
    before: State, left: State, reached: Reached | None
) -> list[tuple[TurnRecord, Event]]:
    """The terminal events that a session still owes: of the turn that waited, and of the last that began.

    Each with the record of its turn. ``before`` is the state in which it failed, ``left`` what is left of
    that, ``reached`` how far its events got.
    """
    ends: list[tuple[TurnRecord, Event]] = []
    for queued in queued_turns(before):
        # Where only one turn is remembered it is another one.
        record = find_turn(left, queued.turn_id) or replace(queued, status=TurnStatus.INTERRUPTED)
        ends.append((record, cut_off_event(record, None)))
    current = current_turn(left)
    if current is None or current.epoch is None:
        return ends
    if reached is not None and reached.epoch > current.epoch:
        return ends  # another turn has begun since, so this one's end was published
    begun = reached if reached is not None and reached.epoch == current.epoch else None
    if begun is None or begun.name not in END_NAMES.values():
        n = 0 if begun is None else begun.n + 1
        event = cut_off_event(current, None if begun is None else begun.id, n)
        if current.status is not TurnStatus.INTERRUPTED:
            event = Event(END_NAMES[current.status], current.epoch, n, source=current)
        ends.append((current, event))
    return ends


def when_ended(
    task: "asyncio.Future[object] | None",
    grace: float,
    then: Callable[[], None],
    cut_short: set[Callable[[], None]],
) -> None:
    """Do ``then`` once a cancelled task has ended or had its grace, at half of which it is cancelled again.

    Now, if there is none: the session's next turn may begin after this, and never before. Meanwhile
    ``cut_short`` holds what ends the grace early: it cancels the task again, and ``then`` is not done.
    """
    if task is None or task.done():
        then()
        return
    loop = task.get_loop()

    def forget() -> None:
        task.remove_done_callback(over)
        for timer in timers:
            timer.cancel()
        cut_short.discard(give_up)

    def over(_task: "asyncio.Future[object]") -> None:
        forget()
        then()

    def give_up() -> None:
        forget()
        task.cancel()

    timers = loop.call_later(grace / 2, task.cancel), loop.call_later(grace, over, task)
    task.add_done_callback(over)
    cut_short.add(give_up)
