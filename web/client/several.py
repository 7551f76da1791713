"""Several sessions on one stream: more are added, and some are dropped, while it is open.

Where each session goes on is kept here, by its own events: every connection is asked for the sessions as they
are then. What changes while it is open is also said to the server. What is said after a connection was asked
for and before it is open would be lost, so that is said again once it is.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import NamedTuple

from turnkeeper.actors.events.event import CLOSE, SNAPSHOT
from turnkeeper.actors.model.words import StreamEnd

from .connection import Connection
from .errors import ClientError, Refused
from .resuming import resumed
from .sse_parser import StreamEvent

#: The code of a change to a stream that is not open.
NOT_OPEN = "UNKNOWN_STREAM"


class SessionEvent(NamedTuple):
    """An event, and the session that it is of."""

    session: str
    event: StreamEvent


class _Place:
    """Where a session goes on: after ``cursor``, or with a `snapshot` if that is empty."""

    __slots__ = ("cursor",)

    def __init__(self, cursor: str | None = None) -> None:
        self.cursor = cursor or ""


class Several:
    """Several sessions, followed over one stream. `Client.several` makes one; read its `events`, once."""

    def __init__(
        self,
        connection: Connection,
        cursors: Mapping[str, str | None],
        patience: float,
        notice: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._patience = patience
        self._notice = notice
        self._name = uuid.uuid4().hex
        self._places = {session: _Place(cursor) for session, cursor in cursors.items()}
        #: What the open stream follows, as far as that is known; `None` if none is open.
        self._open: dict[str, _Place] | None = None
        #: Whether that is known for sure: the answer to each change has come.
        self._is_sure = True
        self._telling = asyncio.Lock()

    @property
    def cursors(self) -> dict[str, str | None]:
        """The sessions that are followed, and after which event each goes on: for another `several`."""
        return {session: place.cursor or None for session, place in self._places.items()}

    # -- Which sessions -------------------------------------------------------------------------------

    async def add(self, *sessions: str) -> None:
        """Follow these too, each from its `snapshot` on. One that is followed already just goes on.

        Raises `Refused` and `Unreachable`; then, and if it is cancelled, none of the new ones is followed.
        While no stream is open it raises neither, and `events` raises what the next one is refused with.
        """
        new = {session: _Place() for session in sessions if session not in self._places}
        self._places |= new
        try:
            await self._tell()
        except BaseException:
            for session in new:
                self._places.pop(session, None)
            raise

    async def drop(self, *sessions: str) -> None:
        """Follow these no longer: none of their events comes from now on, whatever the server still sends."""
        for session in sessions:
            self._places.pop(session, None)
        with suppress(ClientError):  # then it goes on sending, until the connection ends
            await self._tell()

    async def _tell(self) -> None:
        """Tell the server what its open stream is to follow."""
        async with self._telling:
            known, places = self._open, self._places
            if known is None:
                return
            drop = [session for session, place in known.items() if places.get(session) is not place]
            new = {session: place for session, place in places.items() if known.get(session) is not place}
            if not drop and not new and self._is_sure:
                return
            change = {"add": list(new if self._is_sure else places), "drop": drop}
            self._is_sure = False
            known.update({session: place for session, place in new.items() if session not in known})
            try:
                await self._connection.ask(
                    "PATCH", "chat", "events", query={"stream": self._name}, body=change
                )
            except Refused as error:
                if error.code == NOT_OPEN:
                    return  # the next stream is asked for all of this
                self._is_sure = True
                for session in {*drop, *new}:  # it drops first, and then refuses the others
                    known.pop(session, None)
                raise
            self._is_sure = True
            for session in drop:
                known.pop(session, None)
            known.update(new)

    # -- Reading --------------------------------------------------------------------------------------

    def events(self) -> AsyncGenerator[SessionEvent, None]:
        """The events of all the sessions, each once and in the order of its session, without an end.

        A session that is closed is dropped, with its `close`; one that is lost, or whose server shuts down,
        is asked for again. A lost connection is resumed in all of them. Raises `Refused` for what the server
        refuses to follow, and `Unreachable` after ``patience`` seconds without it.
        """
        return resumed(self._connection, self._one_stream, self._patience, self._notice)

    async def _one_stream(self) -> AsyncGenerator[SessionEvent, None]:
        """What comes over one connection."""
        known = dict(self._places)

        async def on_open() -> None:
            self._open, self._is_sure = known, True
            await self._tell()

        cursor = ",".join(f"{session}={place.cursor}" for session, place in known.items())
        query = {"log_ids": ",".join(known), "stream": self._name}
        stream = self._connection.stream("chat", "events", cursor=cursor, query=query, on_open=on_open)
        try:
            async with aclosing(stream) as events:
                async for sealed in events:
                    found = self._opened(sealed)
                    if found is None:
                        continue
                    end = found.event.text if found.event.name == CLOSE else None
                    if end == StreamEnd.SESSION_CLOSED:
                        self._places.pop(found.session)
                        known.pop(found.session, None)
                    yield found
                    if end == StreamEnd.SESSION_LOST:
                        return  # this stream has dropped it, and another one goes on after its last event
        finally:
            if self._open is known:
                self._open = None

    def _opened(self, sealed: StreamEvent) -> SessionEvent | None:
        """The event as it is on its session's own stream; `None` for one that is of none that is followed."""
        what = json.loads(sealed.text)
        session: str = what["log_id"]
        place = self._places.get(session)
        if place is None or sealed.id is None:
            return None
        if not place.cursor and sealed.name != SNAPSHOT:
            return None  # from before it was dropped and added again
        cursors = dict(each.split("=", 1) for each in sealed.id.split(","))
        moved = cursors[session] != place.cursor
        place.cursor = cursors[session]
        own_id = place.cursor if moved and sealed.name != SNAPSHOT else None
        data = what["data"]
        text = data if sealed.name == CLOSE else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return SessionEvent(session, StreamEvent(own_id, sealed.name, text))
