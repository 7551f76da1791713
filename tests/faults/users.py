"""Those who send, cancel and look, and note what they asked and were answered. What breaks is asked again."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tests.faults.following import TurnReader
from tests.faults.history import (
    CancelAnswered,
    CloseAnswered,
    CloseAsked,
    Denied,
    Looked,
    SendAnswered,
    SendAsked,
    SendRefused,
    TitleAnswered,
    TitleAsked,
)
from tests.faults.plan import Plan
from tests.faults.scene import Scene
from turnkeeper.web.client.connection import JSON
from turnkeeper.web.client.errors import Refused

#: Seconds between two requests of one user, about.
PAUSE = 1.5
#: What refuses a send for good. Other refusals are of the moment.
FOR_GOOD = frozenset({"SESSION_BUSY"})


class User:
    """One session's user: sends, waits or does not, cancels, and looks."""

    def __init__(self, scene: Scene, session: str, agents: list[str], chance: random.Random) -> None:
        self._scene = scene
        self._session = session
        self._agents = agents
        self._chance = chance
        self._sent = 0
        self._done = False
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
            (self._rename, 0.2),
            (self._close, 0.05 if self._scene.keeps_closed else 0.0),
        ]
        await asyncio.sleep(self._chance.uniform(0.0, PAUSE))
        while not (self._scene.over or self._done):
            what = "send"
            try:
                task = await self._send()
                [(deed, _)] = self._chance.choices(deeds, [weight for _, weight in deeds])
                what = deed.__name__.strip("_")
                await deed(task)
            except Refused as error:
                self._scene.history.add(Denied(self._session, what, error.code))
            except TimeoutError:
                self._scene.history.add(Denied(self._session, what, "no answer"))

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
            asked_at, answer = await scene.persist("look", lambda: scene.client.turn(self._session, task))
            status = answer["status"]
        except Refused as error:
            if error.status != 404:
                raise
            asked_at, status = time.time(), None
        scene.history.add(Looked(self._session, task, asked_at, status))
        await self._wait(task)

    async def _rename(self, task: str) -> None:
        scene, title = self._scene, f"as of {task}"

        async def ask() -> JSON:
            scene.history.add(TitleAsked(self._session, title))
            return await scene.client.set_title(self._session, title)

        await scene.persist("title", ask)
        scene.history.add(TitleAnswered(self._session, title))

    async def _close(self, _task: str) -> None:
        """Close the session, and use it no more."""
        scene = self._scene
        scene.history.add(CloseAsked(self._session))
        await scene.persist("close", lambda: scene.client.ask("DELETE", "chat", self._session))
        scene.history.add(CloseAnswered(self._session))
        self._done = True

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
            asked_at, answer = await scene.persist("send", ask)
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
                asked_at,
                time.time(),
                answer["task_status"],
                answer["repeated"],
                superseded.get("task_id"),
                superseded.get("verdict"),
            )
        )
        if chance.random() < 0.2:
            reader = TurnReader(scene, f"{plan.task}-reader", self._session, plan.task, chance)
            self.followers.append(asyncio.create_task(reader.follow()))
        return plan.task

    async def _cancel(self, task: str | None) -> None:
        """Cancel a turn, or whatever the session does, until that is answered."""
        scene, wait = self._scene, self._chance.random() < 0.7
        asked_at, answer = await scene.persist(
            "cancel", lambda: scene.client.cancel(self._session, task, wait=wait)
        )
        turn = answer["turn"] or {}
        scene.history.add(
            CancelAnswered(
                self._session,
                turn.get("task_id", task),
                asked_at,
                time.time(),
                answer["verdict"],
                turn.get("status"),
                bool(answer.get("remembered_for")),
            )
        )
