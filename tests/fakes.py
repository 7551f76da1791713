"""Scripted agents, a clock that jumps, and short ways to open a registry.

* `ScriptedAgent` is an agent that does what the test says: each of its runs shows by named events what
  happens to it (`started`, `cancelled`, `ended`) and goes on when the test lets it (`finish`, `fail`).
* `virtual_time` lets the loop's clock jump to its next timer whenever nothing else is left to do, so that
  graces, timeouts and nightly sweeps pass without waiting. Not for tests with threads: a thread's work is
  nothing that the loop knows to wait for.
* `opened` is ``async with SessionRegistry(...)`` with settings as keywords, and lets every stubborn run go
  at the end.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.turn import Turn

FOREVER = math.inf
#: Virtual seconds after which a test that still waits waits for something that will not come.
PATIENCE = 30 * 24 * 3600.0
#: Passes of the loop after which what was under way has come to rest.
PASSES = 30


def plain(parameter: object) -> str:
    """A parameter as the id of its test: the same in every process, so without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(parameter))


async def settle(passes: int = PASSES) -> None:
    """Let the loop do what it has to do now, without letting time pass."""
    for _ in range(passes):
        await asyncio.sleep(0)


# -- Time -------------------------------------------------------------------------------------------


class VirtualClock:
    """The time of a loop that does not wait: when nothing is left to do it is the next timer's time."""

    def __init__(self, now: float) -> None:
        self._now = self._began = now

    def time(self) -> float:
        return self._now

    @property
    def elapsed(self) -> float:
        """How many virtual seconds have passed."""
        return self._now - self._began

    def jump(self, seconds: float) -> None:
        """Let that much time pass in this very moment, as if something had blocked the loop."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Let that much time pass; whatever comes due in it happens on the way, in order."""
        await asyncio.sleep(seconds)
        await settle()


class _JumpingSelector:
    """A selector that never waits for a timer: it moves the clock there."""

    def __init__(self, selector: Any, clock: VirtualClock) -> None:
        self._selector = selector
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return self._selector.select(timeout)
        ready = self._selector.select(0)
        if not ready:
            self._clock.jump(timeout)
            if self._clock.elapsed > PATIENCE:
                raise AssertionError("a month has passed: what this test waits for does not come")
        return ready


@asynccontextmanager
async def virtual_time(began: float | None = None) -> AsyncIterator[VirtualClock]:
    """Let time jump on the running loop. ``began``: what its clock shows at first; ``None``: its own time."""
    loop: Any = asyncio.get_running_loop()
    clock = VirtualClock(loop.time() if began is None else began)
    selector = loop._selector
    loop._selector, loop.time = _JumpingSelector(selector, clock), clock.time
    try:
        yield clock
    finally:
        loop._selector = selector
        del loop.time


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
    on_rollback: Any = None,
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
        on_rollback=on_rollback,
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
