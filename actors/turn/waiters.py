"""Reply addresses that wait for the end of a turn of one session."""

from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import TurnId
from turnkeeper.actors.runtime import ReplyTo, answer, is_awaited, refuse


class Waiters:
    """The askers of turns that have not ended yet."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[TurnId, list[ReplyTo]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, turn_id: TurnId, to: ReplyTo) -> None:
        """Answer this one, too, when the turn ends."""
        self._waiting.setdefault(turn_id, []).append(to)

    def wait_for(self, turn_id: TurnId) -> bool:
        """Whether one of them waits for this turn, and has not given up."""
        return any(map(is_awaited, self._waiting.get(turn_id, ())))

    def answer(self, end: TurnEnd) -> None:
        """The turn has ended: answer all that waited for it."""
        for to in self._waiting.pop(end.turn.turn_id, ()):
            answer(to, end)

    def refuse(self, error: BaseException) -> None:
        """No turn will end any more: answer all with this error."""
        waiting, self._waiting = self._waiting, {}
        for addresses in waiting.values():
            for to in addresses:
                refuse(to, error)
