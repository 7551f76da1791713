"""The calls of tools that a turn makes."""

from threading import get_ident
from typing import Any

from turnkeeper.actors.events.event import MAX_NAME, TOOL_CALL, TOOL_RESULT
from turnkeeper.actors.events.wire import tool_call_data, tool_result_data
from turnkeeper.actors.metrics.meter import TOO_MANY_OPEN_CALLS
from turnkeeper.actors.model.exceptions import (
    EventNotJson,
    InvalidRequest,
    TooManyOpenCalls,
    TurnOver,
    WrongThread,
)
from turnkeeper.actors.model.records import ToolCall
from turnkeeper.actors.model.words import ToolStatus
from turnkeeper.actors.turn.tools.call import Call
from turnkeeper.actors.turn.tools.open_calls import OpenCalls

from .stoppable import Stoppable

#: How many characters an event about a call may take beside what is shown of it.
_BESIDE = 2_000


class Calling(Stoppable):
    """What a turn knows of the calls of tools that it makes."""

    __slots__ = ()
    stop_asked: bool

    def tool_call(self, call_id: str, name: str, arguments: Any = None) -> Call:
        """A call of a tool, in ``async with``: readers, hooks and the turn's record see it while it is open.

        ``call_id`` is the model's id for it, ``name`` the tool's; ``arguments`` are shown to readers. Raises
        `InvalidRequest` for an id or a name that is not a text of 1 to 200 printable characters, and
        `EventNotJson` for arguments that are not JSON. Entering it raises `InvalidRequest` while a call of
        that id is open, `TooManyOpenCalls` beyond ``max_open_calls``, `TurnOver` once the turn has ended,
        `OutsideTurn` in a task that is not the turn's, and `WrongThread` off the loop's thread; or
        CancelledError, as `emit` does.

        It ends with the block, as ``done``, ``failed`` or ``cancelled``. One that is cancelled because the
        turn was stopped stays among the `open_calls`.
        """
        for field, text in {"call_id": call_id, "name": name}.items():
            _check_text(text, field)
        return Call(self, ToolCall(call_id, name), arguments)

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that it has not come back from: they go on, or were cut off when it stopped."""
        calls = None if self.own is None else self.own.calls
        return () if calls is None else calls.open

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    def publish(self, event: str, data: Any) -> None:
        """Publish an event, whatever its name."""
        raise NotImplementedError

    def begin_call(self, call: ToolCall, shown: dict[str, Any]) -> None:
        """Say that a call is begun."""
        host, own = self._host, self.made_own
        if get_ident() != host.thread:
            raise WrongThread("a call of a tool belongs on the loop")
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: it calls no tools")
        self.check_inside("tool_call")
        if own.calls is None:
            own.calls = OpenCalls()
        if call.id in own.calls:
            raise InvalidRequest(f"a call {call.id!r} is open already", field="call_id")
        if len(own.calls) >= host.most_open_calls:
            host.meter.count(TOO_MANY_OPEN_CALLS)
            raise TooManyOpenCalls(f"the turn has {len(own.calls)} calls of tools open")
        self.publish(TOOL_CALL, tool_call_data(self.turn_id, call, shown))
        own.calls.begin(call, host.clock())

    def end_call(self, call: ToolCall, status: ToolStatus, shown: dict[str, Any]) -> None:
        """Say how a call has ended."""
        calls = self.made_own.calls
        if calls is None or self.over:
            return  # what is known of it stays as it was at the turn's end
        seconds = calls.end(call.id, status, self._host.clock(), stopped=self.stop_asked)
        self.publish(TOOL_RESULT, tool_result_data(self.turn_id, call, status, seconds * 1000.0, shown))

    def check_shown(self, text: str) -> None:
        """Raise `EventNotJson` for what is too long to be shown."""
        most = self._host.max_event_size - _BESIDE
        if len(text) > most:
            raise EventNotJson(f"the data takes {len(text)} characters, more than {most}")


def _check_text(text: Any, field: str) -> None:
    if not isinstance(text, str) or not 0 < len(text) <= MAX_NAME or not text.isprintable():
        raise InvalidRequest(f"{field} has 1 to {MAX_NAME} printable characters", field=field)
