"""The turns of one session that wait to be started, and whose readers have left."""

import asyncio
from collections.abc import Callable

from turnkeeper.actors.model.records import TurnId


class Deserted:
    """Calls ``ring`` with a turn once the given time has passed since a reader of it left last."""

    __slots__ = ("_alarms", "_loop", "_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[TurnId], object]) -> None:
        self._loop = loop
        self._ring = ring
        self._alarms: dict[TurnId, asyncio.TimerHandle] = {}

    def left(self, turn_id: TurnId, alone: float) -> None:
        """A reader has left that turn, which may have none for ``alone`` seconds."""
        before = self._alarms.pop(turn_id, None)
        if before is not None:
            before.cancel()
        self._alarms[turn_id] = self._loop.call_later(alone, self._due, turn_id)

    def _due(self, turn_id: TurnId) -> None:
        del self._alarms[turn_id]
        self._ring(turn_id)
