"""One stream of several sessions, as what writes streams sees it: events whose data names their session."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from turnkeeper.actors.events.event import CLOSE, SNAPSHOT, Event
from turnkeeper.actors.events.outlet import Encode, Outlet
from turnkeeper.actors.events.together import Together
from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.records import SessionId
from turnkeeper.web.http.sse import CHUNK, encode_chunk, encode_event

from .cursors import DROPPED, check_sessions, encode_cursors


class Several:
    """A reader of several sessions. Every event carries, as its id, where all of them go on."""

    def __init__(self, together: Together, named: Iterable[SessionId], on_close: Callable[[], None]) -> None:
        """``named`` are the sessions of its URL; ``on_close`` is called when it is closed."""
        self._together = together
        #: Where each goes on that is followed, or that the URL names.
        self._cursors: dict[SessionId, str] = dict.fromkeys(named, DROPPED)
        self._named = frozenset(self._cursors)
        self._on_close = on_close
        self._outlet: Outlet | None = None
        self._told = False

    # -- Which sessions ---------------------------------------------------------------------------------

    @property
    def sessions(self) -> tuple[SessionId, ...]:
        """Those that are followed."""
        return self._together.sessions

    async def follow(self, sessions: Mapping[SessionId, str]) -> None:
        """Follow these, each from there on, too. What is refused leaves those that it follows already.

        Raises `Problem` 422, `TooManyStreams` and `ShuttingDown`.
        """
        new = [session for session in sessions if session not in self.sessions]
        check_sessions([*self.sessions, *new], "add")
        added: list[SessionId] = []
        try:
            for session in new:
                self._cursors[session] = sessions[session]
                added.append(session)
                await self._together.add(session, sessions[session] or None)
        except BaseException:
            self.drop(added)
            raise

    def drop(self, sessions: Iterable[SessionId]) -> None:
        """Follow these no longer."""
        for session in sessions:
            self._together.drop(session)
            if session in self._named:
                self._cursors[session] = DROPPED
            else:
                self._cursors.pop(session, None)

    # -- What it writes ---------------------------------------------------------------------------------

    def _sealed(self, session: SessionId, event: Event) -> Event:
        """The event as it is written: its data with its session, its id with where all sessions go on."""
        if event.id is not None:
            self._cursors[session] = event.id
        elif event.name == SNAPSHOT:
            self._cursors[session] = event.data["cursor"]
        data = to_json(event.data) if event.name == CLOSE else event.json
        return self._written(event.name, f'{{"log_id":"{session}","data":{data}}}')

    def _written(self, name: str, text: str) -> Event:
        sealed = Event(name, text=text)
        head = f"id: {encode_cursors(self._cursors)}\nevent: {name}\n"
        sealed.encoded = f"{head}data: {text}\n\n".encode()
        return sealed

    async def read(self) -> list[Event]:
        """What waits, as it is written; an empty list is the end, or a `poke`."""
        batch = await self._together.read()
        end = self._together.ending
        if not batch and end is not None and not self._told:
            self._told = True
            return [self._written(CLOSE, json.dumps({"log_id": None, "data": end}))]
        return [self._sealed(session, event) for session, event in batch]

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._together.ended and (self._told or self._together.ending is None)

    @property
    def invites_back(self) -> bool:
        """Never: it stays open over a cancel."""
        return False

    @property
    def outlet(self) -> Outlet | None:
        """Where events go at once while the reader waits for them."""
        return self._outlet

    @outlet.setter
    def outlet(self, outlet: Outlet | None) -> None:
        self._outlet = outlet
        if outlet is not None:
            self._together.connect(lambda session: _Lane(self, session, outlet))

    @property
    def on_overflow(self) -> Callable[[], None] | None:
        """Called when it lags behind too far."""
        return self._together.on_overflow

    @on_overflow.setter
    def on_overflow(self, call: Callable[[], None] | None) -> None:
        self._together.on_overflow = call

    def poke(self) -> None:
        """Let `read` return now."""
        self._together.poke()

    def end(self, end: Any) -> None:
        """End it with a `close`, unless it has ended."""
        self._together.end(end)

    def close(self) -> None:
        """Stop reading. May be called more than once."""
        self._together.close()
        self._on_close()


class _Lane:
    """Where the events of one session go at once. What was not written has not moved the session's cursor."""

    __slots__ = ("_before", "_outlet", "_session", "_several")

    def __init__(self, several: Several, session: SessionId, outlet: Outlet) -> None:
        self._several = several
        self._session = session
        self._outlet = outlet
        self._before: str | None = None

    @property
    def encode(self) -> Encode:
        """How this session's events are written."""
        return self._encode

    def _encode(self, events: list[Event], /) -> bytes:
        cursors, session = self._several._cursors, self._session
        self._before = cursors.get(session)
        try:
            wires = [encode_event(self._several._sealed(session, event)) for event in events]
        except Exception:
            self._undo()
            raise
        wire = b"".join(wires)
        return CHUNK % (len(wire), wire) if self._outlet.encode is encode_chunk else wire

    def write(self, data: bytes, /) -> bool:
        """Write it, if that takes no waiting."""
        written = self._outlet.write(data)
        if not written:
            self._undo()
        return written

    def _undo(self) -> None:
        if self._before is not None:
            self._several._cursors[self._session] = self._before
