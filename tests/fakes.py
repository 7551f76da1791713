"""Scripted agents, a clock that jumps, and short ways to open a registry.

* `ScriptedAgent` is an agent that does what the test says: each of its runs shows by named events what
  happens to it (`started`, `cancelled`, `ended`) and goes on when the test lets it (`finish`, `fail`).
* `virtual_time`, of the kit that hosts test their agents with, lets the loop's clock jump to its next timer
  whenever nothing else is left to do, so that graces, timeouts and nightly sweeps pass without waiting.
* `opened` is ``async with SessionRegistry(...)`` with settings as keywords, and lets every stubborn run go
  at the end.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from typing import Any

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.testing.clock import VirtualClock as VirtualClock
from turnkeeper.actors.testing.clock import settle as settle
from turnkeeper.actors.testing.clock import virtual_time as virtual_time
from turnkeeper.actors.turn.turn import Turn, current

FOREVER = math.inf


def plain(parameter: object) -> str:
    """A parameter as the id of its test: the same in every process, so without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(parameter))


# -- Agents -----------------------------------------------------------------------------------------


class Run:
    """One run of a scripted agent. Its named events are `started`, `cancelled` and `ended`."""

    def __init__(self, turn: Turn, swallows: float, on_end: Callable[["Run"], None]) -> None:
        self.turn = turn
        self.swallows = swallows
        #: How many cancellations have reached the coroutine.
        self.cancels = 0
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.ended = asyncio.Event()
        self._go_on = asyncio.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self._on_end = on_end

    def finish(self, result: Any = None) -> None:
        """Let the coroutine return."""
        self._result = result
        self._go_on.set()

    def fail(self, error: BaseException) -> None:
        """Let the coroutine raise."""
        self._error = error
        self._go_on.set()

    async def play(self) -> Any:
        self.started.set()
        try:
            while True:
                try:
                    await self._go_on.wait()
                    break
                except asyncio.CancelledError:
                    self.cancels += 1
                    self.cancelled.set()
                    if self.cancels > self.swallows:
                        raise
            if self._error is not None:
                raise self._error
            return self._result
        finally:
            self.ended.set()
            self._on_end(self)


class ScriptedAgent:
    """An agent whose runs wait for the test's word. ``swallows``: how many cancellations each ignores."""

    def __init__(self, swallows: float = 0) -> None:
        self.swallows = swallows
        self.runs: list[Run] = []
        self.running: list[Run] = []
        #: The most runs of any one session that were not over, or quarantined, at the same time.
        self.most_at_once = 0
        self._arrived = asyncio.Event()
        self._taken = 0
        self._released = False

    async def __call__(self, turn: Turn) -> Any:
        run = Run(turn, self.swallows, self.running.remove)
        self.runs.append(run)
        self.running.append(run)
        holding = [other for other in self.running if other.turn.session_id == turn.session_id]
        self.most_at_once = max(self.most_at_once, sum(not other.turn.over for other in holding))
        self._arrived.set()
        if self._released:
            run.finish()
        return await run.play()

    async def run(self) -> Run:
        """The next run that has started, in the order of their starts."""
        while len(self.runs) <= self._taken:
            self._arrived.clear()
            await self._arrived.wait()
        run = self.runs[self._taken]
        self._taken += 1
        await run.started.wait()
        return run

    @property
    def last(self) -> Run:
        """The newest run."""
        return self.runs[-1]

    def release(self) -> None:
        """Let go of every run that is left."""
        self._released = True
        for run in self.running:
            run.finish()


async def done(turn: Turn) -> str:
    """An agent that returns at once."""
    return f"done: {turn.text}"


def inside(turn: Turn) -> Context:
    """The context of a task that the turn's agent has begun."""
    context = copy_context()
    context.run(current.set, turn)
    return context


async def remembering(turn: Turn) -> list[Any]:
    """An agent that keeps what was said, and returns what had been said before."""
    said = list(turn.context.messages)
    turn.context.messages.append(turn.text)
    return said


async def chatty(turn: Turn) -> None:
    """An agent that emits as many words as the message says."""
    for n in range(int(turn.text)):
        turn.emit("word", n)


# -- Registries and readers -------------------------------------------------------------------------


@asynccontextmanager
async def opened(
    agents: Any = done,
    *,
    load_context: Any = None,
    save_context: Any = None,
    journal: Any = None,
    users: Any = None,
    on_interrupt: Any = None,
    on_rollback: Any = None,
    on_turn_end: Any = None,
    **settings: Any,
) -> AsyncIterator[SessionRegistry]:
    """An open registry; ``settings`` are those of `Settings`. Its loop is watched if they say so."""
    registry = SessionRegistry(
        agents,
        settings=Settings(**{"slow_loop": 0, **settings}),
        load_context=load_context,
        save_context=save_context,
        journal=journal,
        users=users,
        on_interrupt=on_interrupt,
        on_rollback=on_rollback,
        on_turn_end=on_turn_end,
    )
    scripted = agents.values() if isinstance(agents, dict) else (agents,)
    try:
        async with registry:
            yield registry
            for agent in scripted:
                if isinstance(agent, ScriptedAgent):
                    agent.release()
            await settle()
    finally:
        for agent in scripted:
            if isinstance(agent, ScriptedAgent):
                agent.release()
        await settle()


async def read_to_end(subscription: Subscription) -> list[Event]:
    """Everything that comes until the stream ends."""
    try:
        return [event async for event in subscription.events()]
    finally:
        subscription.close()


class CountingLoop:
    """The running loop, which counts what it is to call soon. Its clock stands still until it is moved."""

    def __init__(self) -> None:
        self.calls = 0
        self.now = 0.0

    def time(self) -> float:
        """The time, in seconds."""
        return self.now

    def call_soon(self, *call: Any, context: Context | None = None) -> Any:
        """Call something in the next pass."""
        self.calls += 1
        return asyncio.get_running_loop().call_soon(*call, context=context)


class Outlet:
    """Takes the numbers of events, unless it is shut."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.shut = False

    @staticmethod
    def encode(events: list[Event]) -> bytes:
        """Their numbers."""
        return " ".join(str(event.n) for event in events).encode()

    def write(self, data: bytes) -> bool:
        """Take it, if it may."""
        if not self.shut:
            self.taken.append(data.decode())
        return not self.shut


def waiting(subscription: Subscription) -> list[Event]:
    """Everything that waits for the reader now."""
    events: list[Event] = []
    while batch := subscription.take():
        events += batch
    return events


def names(events: list[Event]) -> list[str]:
    """The events' names."""
    return [event.name for event in events]
