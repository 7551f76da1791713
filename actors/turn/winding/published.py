"""What a turn has published, as far as its events are kept."""

from collections.abc import Iterable

from turnkeeper.actors.events.event import STARTED, TOOL_CALL, TOOL_RESULT, Event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.model.records import ToolCall, TurnId
from turnkeeper.actors.model.words import OnRestart, ToolStatus
from turnkeeper.actors.turn.recorder import DELTA, Said


def text_in(log: EventLog, turn_id: TurnId, on_restart: OnRestart, most: int) -> str:
    """The text that a turn has published: in its last attempt, or all if it goes on."""
    said = Said(most)
    for event in _events_of(log, turn_id):
        if event.name == STARTED and on_restart is not OnRestart.CONTINUE:
            said = Said(most)
        elif event.name == DELTA and event.epoch is not None:
            said.hear(event.data)
    return said.text


def open_calls_in(log: EventLog, turn_id: TurnId, *, stopped: bool) -> tuple[ToolCall, ...]:
    """The calls of tools that a turn has not come back from in its last attempt.

    ``stopped``: it was asked to stop, so that those that were cut off are among them.
    """
    calls: dict[str, ToolCall] = {}
    for event in _events_of(log, turn_id):
        if event.name == STARTED:
            calls = {}
        elif event.name == TOOL_CALL:
            calls[event.data["id"]] = ToolCall(event.data["id"], event.data["name"])
        elif event.name == TOOL_RESULT and not (stopped and event.data["outcome"] == ToolStatus.CANCELLED):
            calls.pop(event.data["id"], None)
    return tuple(calls.values())


def _events_of(log: EventLog, turn_id: TurnId) -> Iterable[Event]:
    """What a turn that holds its session, or was the last one to, has published, as far as it is kept."""
    first = log.started_at(turn_id)
    # Where its first event is no longer kept, nothing is of what came before it.
    return log.read(log.first if first is None else first, log.head)
