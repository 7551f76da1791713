"""Those who use a server while it is killed: users who send and cancel, readers, and the one who kills.

All of them note in the history what they ask, are answered and see. What breaks is asked again, with the same
ids.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.faults.history import (
    Broke,
    CancelAnswered,
    Connected,
    History,
    Killed,
    Looked,
    Seen,
    SendAnswered,
    SendAsked,
    SendRefused,
    Spawned,
    Stopped,
    StreamRefused,
)
from tests.faults.log import ends_turn
from tests.faults.plan import Plan
from tests.faults.process import ServerProcess
from tests.faults.readers import CLOSE, USUAL_ENDS
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.connection import JSON
from turnkeeper.web.client.errors import Refused, Unreachable
from turnkeeper.web.client.sse_parser import StreamEvent

#: Seconds for which a server lives, from when it serves: about so long, and at most.
LIFE, LONGEST = 0.8, 3.0
#: How often a server is killed before it serves, and after how many seconds at most.
YOUNG, EARLY = 0.15, 1.5
#: Seconds between two requests of one user, about.
PAUSE = 1.5
#: Seconds before a request is made again.
AGAIN = 0.05
#: What refuses a send for good. Other refusals are of the moment.
FOR_GOOD = frozenset({"SESSION_BUSY"})
#: How often a reader leaves after an event, to come back with its cursor.
LEAVES = 0.01


@dataclass
class Scene:
    """What all share: the server, a client of it, the history, and whether the play is over."""

    server: ServerProcess
    client: Client
    history: History
    incarnation: int = 0
    over: bool = False
    up: asyncio.Event = field(default_factory=asyncio.Event)

    async def persist(
        self, what: str, ask: Callable[[], Awaitable[dict[str, Any]]]
    ) -> tuple[int, dict[str, Any]]:
        """Ask until there is an answer: the incarnation when it was asked, and the answer.

        Raises `Refused` for a refusal that is not of the moment.
        """
        while True:
            asked = self.incarnation
            try:
                return asked, await ask()
            except Unreachable as error:
                self.history.add(Broke(what, asked, str(error)))
            except Refused as error:
                if error.status not in (429, 503):
                    raise
                self.history.add(Broke(what, asked, error.code))
            await self.breathe()

    async def breathe(self) -> None:
        """Wait for a moment, and then for a server."""
        await asyncio.sleep(AGAIN)
        await self.up.wait()


class Killer:
    """Starts the server and kills it, as often as it is said."""

    def __init__(self, scene: Scene, chance: random.Random) -> None:
        self._scene = scene
        self._chance = chance

    async def start(self) -> None:
        """Start the server, and wait until it serves. Raises `DidNotServe`."""
        await self._spawn()
        await self._scene.server.serving()
        self._scene.up.set()

    async def kill(self) -> None:
        """Kill it."""
        scene = self._scene
        scene.up.clear()
        await scene.server.kill()
        scene.history.add(Killed(scene.incarnation, time.time()))

    async def rage(self, kills: int) -> None:
        """Start it and kill it, so many times: most often while it serves, sometimes while it starts."""
        for _ in range(kills):
            if self._chance.random() < YOUNG:
                await self._spawn()
                await asyncio.sleep(self._chance.uniform(0.0, EARLY))
            else:
                await self.start()
                await asyncio.sleep(min(LONGEST, self._chance.expovariate(1 / LIFE)))
            await self.kill()

    async def _spawn(self) -> None:
        scene = self._scene
        # Before it can answer anything: what it answers is then noted with its own number or a later one.
        scene.incarnation += 1
        scene.history.add(Spawned(scene.incarnation, time.time()))
        await scene.server.spawn()


class User:
    """One session's user: sends, waits or does not, cancels, and looks."""

    def __init__(self, scene: Scene, session: str, agents: list[str], chance: random.Random) -> None:
        self._scene = scene
        self._session = session
        self._agents = agents
        self._chance = chance
        self._sent = 0
        #: Those who follow single turns of it.
        self.followers: list[asyncio.Task[None]] = []

    async def play(self) -> None:
        """Use the session until the play is over; what is asked is asked until it is answered."""
        deeds: list[tuple[Callable[[str], Coroutine[Any, Any, None]], float]] = [
            (self._wait, 5.0),
            (self._stop_turn, 2.0),
            (self._stop_session, 1.0),
            (self._press_on, 2.0),
            (self._look, 1.0),
            (self._stop_the_next, 0.5),
        ]
        await asyncio.sleep(self._chance.uniform(0.0, PAUSE))
        while not self._scene.over:
            task = await self._send()
            [(deed, _)] = self._chance.choices(deeds, [weight for _, weight in deeds])
            await deed(task)

    # -- What a user does after a send ---------------------------------------------------------------

    async def _wait(self, _task: str) -> None:
        await asyncio.sleep(self._chance.uniform(0.5, 2.0) * PAUSE)

    async def _press_on(self, _task: str) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.1))

    async def _stop_turn(self, task: str) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.5))
        await self._cancel(task)
        await self._wait(task)

    async def _stop_session(self, task: str) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.5))
        await self._cancel(None)
        await self._wait(task)

    async def _stop_the_next(self, task: str) -> None:
        """Cancel a turn before its send."""
        await self._wait(task)
        await self._cancel(self._task(self._sent + 1))

    async def _look(self, task: str) -> None:
        await self._wait(task)
        scene = self._scene
        try:
            asked, answer = await scene.persist("look", lambda: scene.client.turn(self._session, task))
            status = answer["status"]
        except Refused:
            asked, status = scene.incarnation, None
        scene.history.add(Looked(self._session, task, asked, scene.incarnation, status))
        await self._wait(task)

    # -- How it does it --------------------------------------------------------------------------------

    def _task(self, number: int) -> str:
        return f"{self._session}-{number}"

    def _plan(self) -> Plan:
        chance = self._chance
        self._sent += 1
        long = chance.random() < 0.25
        return Plan(
            task=self._task(self._sent),
            chunks=chance.randint(20, 40) if long else chance.randint(1, 8),
            pause=round(chance.uniform(0.02, 0.15), 3),
            deaf=chance.choice((0.0, 0.0, 0.0, 0.05, 0.5, 4.0)),
            fails=chance.random() < 0.1,
        )

    async def _send(self) -> str:
        """Send a message, until that is answered; the turn's id."""
        scene, chance, plan = self._scene, self._chance, self._plan()
        agent = chance.choice(self._agents)
        body = {"message": plan.text, "task_id": plan.task, "agent": agent}
        if chance.random() < 0.15:
            body["multitask_strategy"] = "reject"
        query = {"wait": "false"} if chance.random() < 0.3 else None

        async def ask() -> JSON:
            scene.history.add(SendAsked(self._session, plan.task, agent, plan.text, time.time()))
            return await scene.client.ask(
                "POST", "chat", self._session, "send", body=body, query=query, within=None
            )

        try:
            asked, answer = await scene.persist("send", ask)
        except Refused as error:
            if error.code not in FOR_GOOD:
                raise
            scene.history.add(SendRefused(self._session, plan.task, error.code))
            return plan.task
        superseded = answer["superseded"] or {}
        scene.history.add(
            SendAnswered(
                self._session,
                plan.task,
                asked,
                scene.incarnation,
                time.time(),
                answer["task_status"],
                answer["repeated"],
                superseded.get("task_id"),
                superseded.get("verdict"),
            )
        )
        if chance.random() < 0.2:
            reader = Reader(scene, f"{plan.task}-reader", self._session, plan.task, "0", chance)
            self.followers.append(asyncio.create_task(reader.follow()))
        return plan.task

    async def _cancel(self, task: str | None) -> None:
        """Cancel a turn, or whatever the session does, until that is answered."""
        scene, wait = self._scene, self._chance.random() < 0.7
        asked, answer = await scene.persist(
            "cancel", lambda: scene.client.cancel(self._session, task, wait=wait)
        )
        turn = answer["turn"] or {}
        scene.history.add(
            CancelAnswered(
                self._session,
                turn.get("task_id", task),
                asked,
                scene.incarnation,
                time.time(),
                answer["verdict"],
                turn.get("status"),
                bool(answer.get("remembered_for")),
            )
        )


class Reader:
    """A reader of a session, or of one turn: comes back with its cursor whenever its stream is cut."""

    def __init__(
        self,
        scene: Scene,
        name: str,
        session: str,
        task: str | None,
        after: str | None,
        chance: random.Random,
    ) -> None:
        self._scene = scene
        self.name = name
        self.session = session
        self._task = task
        #: Where it goes on.
        self.cursor = after
        self._chance = chance
        #: Whether its turn is over; a session never is.
        self.done = False

    async def follow(self) -> None:
        """Read until the turn's end, or until it is cancelled."""
        while not self.done:
            await self._scene.up.wait()
            try:
                await self._read()
            except Unreachable as error:
                self._scene.history.add(Broke(self.name, self._scene.incarnation, str(error)))
            except Refused as error:
                if error.status in (429, 503):
                    self._scene.history.add(Broke(self.name, self._scene.incarnation, error.code))
                else:
                    self._scene.history.add(StreamRefused(self.name, error.code))
                    return
            await asyncio.sleep(self._chance.uniform(0.0, 2 * AGAIN))

    async def _read(self) -> None:
        """Read one connection's events."""
        scene, session = self._scene, self.session
        scene.history.add(Connected(self.name, session, scene.incarnation, self.cursor, self._task))
        path: tuple[str, ...]
        if self._task is None:
            path, query, spent = (session, "events"), {"close_on": "never"}, StreamEnd.SESSION_CLOSED
        else:
            path, query, spent = (session, "turns", self._task, "events"), {}, StreamEnd.TASK_FINISHED
        found = scene.client.stream("chat", *path, cursor=self.cursor, query=query, spent=spent)
        async with aclosing(found) as stream:
            async for event in stream:
                scene.history.add(Seen(self.name, event.id, event.name, event.text))
                self.cursor = event.cursor or self.cursor
                self.done = self._task is not None and _is_last(event)
                if self.done:
                    scene.history.add(Stopped(self.name))
                if self.done or self._chance.random() < LEAVES:
                    return


def _is_last(event: StreamEvent) -> bool:
    """Whether nothing comes after it on the stream of one turn."""
    return event.text in USUAL_ENDS if event.name == CLOSE else ends_turn(event.name, event.data)


async def end_all(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel these tasks and wait for them. Raises what one of them raised before that."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
