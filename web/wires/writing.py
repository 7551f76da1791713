"""How most wires are written: as Server-Sent Events of JSON, which a fold makes of a turn's events. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from turnkeeper.actors.events.event import CLOSE, Event
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.web.http.sse import HEARTBEAT

from .said import Ended, Said, StreamClosed, said

#: Makes a wire's own events, each a dict, of what a turn's event says. It is given each thing once, in order,
#: and at last either the turn's end or that of the stream.
Fold: TypeAlias = Callable[[Said | StreamClosed], Iterable[Any]]
#: What follows the last event in the wires that have their clients look for it.
DONE: Final = b"data: [DONE]\n\n"
_NO_HEADERS: Final[Mapping[str, str]] = {}


class JsonEvents:
    """Writes a turn as Server-Sent Events: each one's data is the JSON of one thing that ``fold`` makes.

    For `Call.stream`. It is for one stream, as its fold is.
    """

    heartbeat = HEARTBEAT

    def __init__(
        self,
        fold: Fold,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        named_by: str | None = None,
        first: Iterable[Any] = (),
        last: bytes = b"",
    ) -> None:
        """``headers`` are those of the answer. ``named_by`` is the key of what is also the event's name.

        ``first`` is written at once, also where the turn waits. ``last`` is written behind all events, such
        as `DONE`.
        """
        self.headers = headers
        self._fold = fold
        self._first = first
        self._named_by = named_by
        self._last = last
        #: Whether the fold was given an end.
        self._over = False

    def begin(self) -> bytes:
        """What comes first, whatever the turn does: mostly nothing."""
        return b"".join(map(self._encoded, self._first))

    def write(self, events: Sequence[Event], /) -> bytes:
        """What the fold makes of these."""
        return b"".join([self._encoded(made) for event in events for made in self._made_of(event)])

    def end(self) -> bytes:
        """What the fold makes of the stream's end, if the turn's has not come, and what is written last."""
        return b"".join(map(self._encoded, self._closed(None))) + self._last

    def _made_of(self, event: Event) -> Iterable[Any]:
        if event.name == CLOSE:
            return self._closed(StreamEnd(event.data))
        what = said(event)
        if what is None:
            return ()
        self._over = self._over or type(what) is Ended
        return self._fold(what)

    def _closed(self, why: StreamEnd | None) -> Iterable[Any]:
        over, self._over = self._over, True
        return () if over else self._fold(StreamClosed(why))

    def _encoded(self, made: Any) -> bytes:
        data = msgspec.json.encode(made)
        if self._named_by is None:
            return b"data: %b\n\n" % data
        return b"event: %b\ndata: %b\n\n" % (made[self._named_by].encode(), data)
