"""Those who follow: they come back with their cursors when a stream is cut, and leave now and then."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from tests.faults.history import Broke, Connected, Seen, Stopped, StreamRefused
from tests.faults.log import ends_turn
from tests.faults.readers import CLOSE, CLOSED, GAP, SNAPSHOT, USUAL_ENDS
from tests.faults.scene import AGAIN, OF_THE_MOMENT, Scene
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.web.client.errors import Refused, Unreachable
from turnkeeper.web.client.sse_parser import StreamEvent

#: How often a reader leaves after an event.
LEAVES = 0.01
#: The cursor before all events.
BEGINNING = "0"
#: What a stream says about itself: it has no place among the events.
ASIDE = frozenset({CLOSE, GAP, SNAPSHOT})


class Reader:
    """A reader of a session. It stays away for ``away`` seconds at most when it has left."""

    def __init__(
        self, scene: Scene, name: str, session: str, chance: random.Random, *, away: float = 2 * AGAIN
    ) -> None:
        self._scene = scene
        self._name = name
        self._session = session
        self._chance = chance
        self._away = away
        #: Where it goes on.
        self._cursor = BEGINNING
        #: Whether there is nothing more to come.
        self._done = False

    @property
    def cursors(self) -> Mapping[str, str]:
        """Where it goes on, in each session."""
        return {self._session: self._cursor}

    def stop(self) -> None:
        """Note that it has had the time to see everything."""
        self._scene.history.add(Stopped(self._name))

    async def follow(self) -> None:
        """Read until nothing more can come, or until it is cancelled."""
        history = self._scene.history
        while not self._done:
            await self._scene.up.wait()
            try:
                await self._read()
            except Unreachable as error:
                history.add(Broke(self._name, self._scene.incarnation, str(error)))
            except Refused as error:
                if error.status not in OF_THE_MOMENT:
                    self._refused(error.code)
                    return
                history.add(Broke(self._name, self._scene.incarnation, error.code))
            # In the end no reader stays away: all are to see everything.
            away = AGAIN if self._scene.over else self._away
            await asyncio.sleep(self._chance.uniform(0.0, away))

    async def _read(self) -> None:
        """Read one connection's events."""
        self._connect()
        async with aclosing(self._stream()) as stream:
            async for event in stream:
                self._see(event)
                if self._done or self._chance.random() < LEAVES:
                    return

    # -- What a reader of something else does otherwise ------------------------------------------------

    def _connect(self) -> None:
        self._scene.history.add(Connected(self._name, self._session, self._scene.incarnation, self._cursor))

    def _stream(self) -> AsyncGenerator[StreamEvent, None]:
        return self._scene.client.stream(
            "chat",
            self._session,
            "events",
            cursor=self._cursor,
            query={"close_on": "never"},
            spent=StreamEnd.SESSION_CLOSED,
        )

    def _see(self, event: StreamEvent) -> None:
        self._scene.history.add(Seen(self._name, event.id, event.name, event.text))
        self._cursor = event.cursor or self._cursor
        self._done = event.name == CLOSE and event.text == CLOSED

    def _refused(self, code: str) -> None:
        self._scene.history.add(StreamRefused(self._name, code))


class TurnReader(Reader):
    """A reader of one turn, until that has ended."""

    def __init__(self, scene: Scene, name: str, session: str, task: str, chance: random.Random) -> None:
        super().__init__(scene, name, session, chance)
        self._task = task

    def _connect(self) -> None:
        self._scene.history.add(
            Connected(self._name, self._session, self._scene.incarnation, self._cursor, self._task)
        )

    def _stream(self) -> AsyncGenerator[StreamEvent, None]:
        path = ("chat", self._session, "turns", self._task, "events")
        return self._scene.client.stream(*path, cursor=self._cursor, query={}, spent=StreamEnd.TASK_FINISHED)

    def _see(self, event: StreamEvent) -> None:
        super()._see(event)
        ended = event.text in USUAL_ENDS if event.name == CLOSE else ends_turn(event.name, event.data)
        if ended:
            self._done = True
            self.stop()


class Together(Reader):
    """A reader of several sessions on one stream. In the history it is one reader for each of them."""

    def __init__(self, scene: Scene, name: str, sessions: list[str], chance: random.Random) -> None:
        super().__init__(scene, name, sessions[0], chance)
        self._cursors = dict.fromkeys(sessions, BEGINNING)

    @property
    def cursors(self) -> Mapping[str, str]:
        return self._cursors

    def stop(self) -> None:
        for session in self._cursors:
            self._scene.history.add(Stopped(self._of(session)))

    def _of(self, session: str) -> str:
        return f"{self._name}/{session}"

    def _connect(self) -> None:
        for session, cursor in self._cursors.items():
            self._scene.history.add(Connected(self._of(session), session, self._scene.incarnation, cursor))

    def _stream(self) -> AsyncGenerator[StreamEvent, None]:
        cursor = ",".join(f"{session}={cursor}" for session, cursor in self._cursors.items())
        query = {"log_ids": ",".join(self._cursors), "last_event_id": cursor}
        return self._scene.client.stream(
            "chat", "events", cursor=None, query=query, spent=StreamEnd.SESSION_CLOSED
        )

    def _see(self, event: StreamEvent) -> None:
        told = json.loads(event.text)
        session, data = told["log_id"], told["data"]
        if session is None:  # about the stream itself: it ends
            return
        places = dict(part.split("=", 1) for part in (event.id or "").split(","))
        moved = event.name not in ASIDE and places[session] != self._cursors[session]
        text = data if event.name == CLOSE else json.dumps(data, ensure_ascii=False)
        self._scene.history.add(Seen(self._of(session), places[session] if moved else None, event.name, text))
        self._cursors[session] = places[session]

    def _refused(self, code: str) -> None:
        for session in self._cursors:
            self._scene.history.add(StreamRefused(self._of(session), code))
