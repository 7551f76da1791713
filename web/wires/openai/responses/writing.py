"""A response's events on a connection, from any of them on."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.openai.refusals import NEVER_AGAIN, GoesOn
from turnkeeper.web.wires.said import Said, StreamClosed
from turnkeeper.web.wires.writing import JsonEvents

from .fold import Fold
from .item import Json

#: The number of the last event that is seen of a stream before its first one.
NONE: Final = -1


def last_id(events: Sequence[Event]) -> str | None:
    """The id of the last one of these that has one."""
    return next((event.id for event in reversed(events) if event.id is not None), None)


def lost(end: StreamEnd | None, response: str) -> Problem:
    """Why a response cannot be followed to its end, of whose stream this is; ``None``: it broke off."""
    match end:
        case StreamEnd.SHUTDOWN:
            return GoesOn(response)
        case StreamEnd.SESSION_LOST:
            text = "the conversation failed inside and was opened anew"
            return Problem(Code.SESSION_LOST, text, headers=NEVER_AGAIN)
        case _:
            return Problem(Code.EVENTS_LOST, "what the response says next is no longer kept")


class ResponseWriting(JsonEvents):
    """Writes the stream of a response, for `Call.stream`."""

    def __init__(self, fold: Fold, after: int = NONE) -> None:
        """It begins behind the event of the number ``after``."""
        self._response = fold
        self._after = after
        #: What comes of the events that were read before the stream begins.
        self._ahead = b""
        super().__init__(self._events_of, named_by="type", first=self._due(fold.begin()))

    async def catch_up(self, there: AsyncGenerator[Sequence[Event]]) -> str | None:
        """Read up to the event behind which to begin, of the events that ``there`` are of the turn.

        Returns the id of the turn's event after which to go on. Raises `Problem` if there is no such event.
        Cancelling it ends the stream.
        """
        seen: str | None = None
        async with aclosing(there):
            while self._response.next <= self._after:
                batch = await anext(there, None)
                if batch is None:
                    last = self._response.next - 1
                    text = f"starting_after must be the number of an event, and the last one is {last}"
                    raise Problem(Code.UNSUPPORTED_PARAMETER, text, field="starting_after")
                seen = last_id(batch) or seen
                self._ahead += self.write(batch)
        return seen

    def begin(self) -> bytes:
        """The first event, and what came behind the one behind which to begin."""
        return super().begin() + self._ahead

    def _events_of(self, what: Said | StreamClosed) -> Iterable[Json]:
        if self._response.response is not None:
            return ()  # a turn that never started has an end without an id, which is read again
        if not isinstance(what, StreamClosed):
            return self._due(self._response.take(what))
        problem = lost(what.why, self._response.identity.id)
        error = {
            "type": "error",
            "code": problem.code.lower(),
            "message": problem.detail,
            "param": None,
            # A client that goes on behind it is to miss nothing.
            "sequence_number": self._response.next - 1,
        }
        return [error]

    def _due(self, events: Iterable[Json]) -> Iterable[Json]:
        return [event for event in events if event["sequence_number"] > self._after]
