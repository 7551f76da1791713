"""Which calls of tools of one turn are open: those that it has not come back from."""

from turnkeeper.actors.model.records import ToolCall
from turnkeeper.actors.model.words import ToolStatus


class OpenCalls:
    """The open calls of one turn, in the order in which they were begun.

    A call that was cut off because the turn was stopped stays open: nothing has come of it.
    """

    __slots__ = ("_begun", "_cut_off")

    def __init__(self) -> None:
        #: When each of those was begun that go on, by its id.
        self._begun: dict[str, tuple[ToolCall, float]] = {}
        self._cut_off: dict[str, ToolCall] = {}

    def __len__(self) -> int:
        """How many are open."""
        return len(self._begun) + len(self._cut_off)

    def __contains__(self, call_id: object) -> bool:
        """Whether the call of that id is open."""
        return call_id in self._begun or call_id in self._cut_off

    @property
    def open(self) -> tuple[ToolCall, ...]:
        """Those that are open: first those that were cut off."""
        return (*self._cut_off.values(), *self.running)

    @property
    def running(self) -> tuple[ToolCall, ...]:
        """Those of them that go on."""
        return tuple(call for call, _ in self._begun.values())

    def begin(self, call: ToolCall, now: float) -> None:
        """A call is begun, of whose id none is open."""
        self._begun[call.id] = call, now

    def end(self, call_id: str, status: ToolStatus, now: float, *, stopped: bool) -> float:
        """A call has ended; ``stopped``: its turn was asked to stop. For how many seconds it went on."""
        call, began = self._begun.pop(call_id)
        if status is ToolStatus.CANCELLED and stopped:
            self._cut_off[call_id] = call
        return now - began
