"""What all share who use a server while it is killed, and the one who kills it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.faults.history import Broke, History, Killed, Spawned, Terminated
from tests.faults.process import ServerProcess
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.connection import JSON
from turnkeeper.web.client.errors import Refused, Unreachable

#: Seconds for which a server lives, from when it serves: about so long, and at most.
LIFE, LONGEST = 0.8, 3.0
#: How often a server is killed before it serves, and after how many seconds at most.
YOUNG, EARLY = 0.15, 1.5
#: How often it is asked to end before it is killed, and how many seconds it has for that at most.
GENTLY, TO_END = 0.2, 3.0
#: Seconds before a request is made again.
AGAIN = 0.05
#: Seconds after which a request must be answered by a server that lives so long.
PATIENCE = 60.0
#: The statuses of refusals that are of the moment: what is refused with them is asked again.
OF_THE_MOMENT = frozenset({429, 503})


@dataclass
class Scene:
    """What all share: the server, a client of it, the history, and whether the play is over."""

    server: ServerProcess
    client: Client
    history: History
    incarnation: int = 0
    over: bool = False
    #: Whether sessions that are closed stay known for the whole round.
    keeps_closed: bool = True
    up: asyncio.Event = field(default_factory=asyncio.Event)

    async def persist(self, what: str, ask: Callable[[], Awaitable[JSON]]) -> tuple[float, JSON]:
        """Ask until there is an answer: when it was asked that time, and the answer.

        Raises `Refused` for a refusal that is not of the moment, and `TimeoutError`.
        """
        while True:
            asked_at = time.time()
            try:
                async with asyncio.timeout(PATIENCE):
                    return asked_at, await ask()
            except Unreachable as error:
                self.history.add(Broke(what, self.incarnation, str(error)))
            except Refused as error:
                if error.status not in OF_THE_MOMENT:
                    raise
                self.history.add(Broke(what, self.incarnation, error.code))
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
        """Kill it; now and then it is asked to end before, and may be killed amid that."""
        scene = self._scene
        if self._chance.random() < GENTLY:
            scene.history.add(Terminated(scene.incarnation, time.time()))
            await scene.server.terminate(self._chance.choice((TO_END, self._chance.uniform(0.0, 0.5))))
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


async def end_all(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel these tasks and wait for them. Raises what one of them raised before that."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
