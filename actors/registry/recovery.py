"""What is left to do when a session's actor has failed: publish what is missing, wait for the coroutine."""

import asyncio
from collections.abc import Callable

from turnkeeper.actors.events.event import END_NAMES, Event, EventName
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.session.states import State
from turnkeeper.actors.session.views import current_turn, find_turn, queued_turns


def missing_terminal_events(
    before: State, left: State, last: Event | None
) -> list[tuple[TurnRecord | None, Event]]:
    """The terminal events that a session still owes: of the turn that waited, and of the last that began.

    Each with the record of its turn, if that is remembered.

    ``before`` is the state in which it failed, ``left`` what is left of that, ``last`` its last event with an
    id, which shows how far it got.
    """
    ends: list[tuple[TurnRecord | None, Event]] = []
    for queued in queued_turns(before):
        record = find_turn(left, queued.turn_id)
        ends.append((record, Event(EventName.INTERRUPTED, source=record)))
    record = current_turn(left)
    if record is None or record.epoch is None:
        return ends
    reached = 0 if last is None else last.epoch or 0
    if reached > record.epoch:
        return ends  # another turn has begun since, so this one's end was published
    begun = last if reached == record.epoch else None
    if begun is None or begun.name not in END_NAMES.values():
        n = 0 if begun is None else begun.n + 1
        ends.append((record, Event(END_NAMES[record.status], epoch=record.epoch, n=n, source=record)))
    return ends


def when_ended(task: "asyncio.Future[object] | None", grace: float, then: Callable[[], None]) -> None:
    """Do ``then`` once a cancelled task has ended or had its grace, at half of which it is cancelled again.

    Now, if there is none: the session's next turn may begin after this, and never before.
    """
    if task is None or task.done():
        then()
        return
    loop = task.get_loop()

    def over(task: "asyncio.Future[object]") -> None:
        task.remove_done_callback(over)
        for timer in timers:
            timer.cancel()
        then()

    timers = loop.call_later(grace / 2, task.cancel), loop.call_later(grace, over, task)
    task.add_done_callback(over)
