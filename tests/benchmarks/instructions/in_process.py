"""Operations without HTTP, and their floors, each a few and many times. Prints the phases at the end.

Several callers work at a time, each on sessions of its own, so that a pass of the loop, which costs the same
for one turn as for many, falls on them together.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from tests.benchmarks.agents import trivial, waits
from tests.benchmarks.floor import Awaits, Overwrites
from tests.benchmarks.instructions.marks import Marks, to_line
from turnkeeper.actors import SessionRegistry, Settings, Turn
from turnkeeper.actors.turn.agent import AgentFunction

CALLERS = 25
#: How many sessions each caller has, and how many of them it works on when it is counted.
SESSIONS = 8
FEW, MANY = 2, 8
WORD = {"text": "word"}
#: Nothing ends because a counted process is slow, and nothing that goes by the clock is counted. What the
#: recorder costs has rows of its own.
SETTINGS = Settings(cancel_grace=60.0, idle_ttl=3_600.0, shutdown_deadline=60.0, slow_loop=0.0, record=False)

OWN = [[f"session-{caller}-{n}" for n in range(SESSIONS)] for caller in range(CALLERS)]
ALL = [session for sessions in OWN for session in sessions]

#: Does something, for each caller so many times.
Run: TypeAlias = Callable[[int], Awaitable[object]]


async def _nothing(_each: int) -> None:
    """There is nothing to prepare."""


class Work(NamedTuple):
    """What is counted, and what has to be done before."""

    run: Run
    prepare: Run = _nothing


def _callers(one: Callable[[str], Awaitable[object]]) -> Run:
    """All callers at once, each of which does something to one of its sessions after the other."""

    async def caller(sessions: list[str]) -> None:
        for session in sessions:
            await one(session)

    async def run(each: int) -> None:
        await asyncio.gather(*(caller(sessions[:each]) for sessions in OWN))

    return run


@asynccontextmanager
async def _raw_task() -> AsyncIterator[Work]:
    table = Overwrites(trivial)

    async def one(session: str) -> None:
        await table.run(session, "hello")

    yield Work(_callers(one))


@asynccontextmanager
async def _turn(
    agent: AgentFunction = trivial, *, record: bool = False, on_cap: str = "refuse"
) -> AsyncIterator[Work]:
    settings = replace(SETTINGS, record=record, on_cap=on_cap)
    async with SessionRegistry(agent, settings=settings) as registry:

        async def one(session: str) -> None:
            receipt = await registry.send(session, "hello")
            await receipt.result()

        yield Work(_callers(one))


@asynccontextmanager
async def _conversation(kept: int, agent: AgentFunction) -> AsyncIterator[Work]:
    """Turns of sessions that have so many messages kept, as many as they may."""

    async def fill(turn: Turn) -> None:
        turn.context.messages = ["said"] * kept

    settings = replace(SETTINGS, conversation_messages=kept)
    async with SessionRegistry({"default": agent, "fill": fill}, settings=settings) as registry:

        async def one(session: str, agent: str = "default") -> None:
            receipt = await registry.send(session, "hello", agent=agent)
            await receipt.result()

        for session in ALL:
            await one(session, "fill")
        yield Work(_callers(one))


async def _adds(turn: Turn) -> None:
    turn.context.messages += [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@asynccontextmanager
async def _raw_task_superseded() -> AsyncIterator[Work]:
    table = Awaits(waits)
    for session in ALL:
        table.start(session, "hello")

    async def one(session: str) -> None:
        await table.supersede(session, "hello")

    yield Work(_callers(one))
    await table.close()


@asynccontextmanager
async def _supersede() -> AsyncIterator[Work]:
    async with SessionRegistry(waits, settings=SETTINGS) as registry:

        async def one(session: str) -> None:
            await registry.send(session, "hello")

        for session in ALL:
            await one(session)
        yield Work(_callers(one))


@asynccontextmanager
async def _raw_task_cancelled() -> AsyncIterator[Work]:
    table = Awaits(waits)

    async def start(session: str) -> None:
        table.start(session, "hello")

    yield Work(_callers(table.cancel), _callers(start))


@asynccontextmanager
async def _cancel() -> AsyncIterator[Work]:
    async with SessionRegistry(waits, settings=SETTINGS) as registry:

        async def start(session: str) -> None:
            await registry.send(session, "hello")

        async def one(session: str) -> None:
            await registry.cancel(session)

        yield Work(_callers(one), _callers(start))


@asynccontextmanager
async def _raw_queue() -> AsyncIterator[Work]:
    async def emit(queue: asyncio.Queue[Any], count: int) -> None:
        for _ in range(count):
            queue.put_nowait(WORD)
            await asyncio.sleep(0)

    async def one(count: int) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        emitting = asyncio.create_task(emit(queue, count))
        for _ in range(count):
            await queue.get()
        await emitting

    async def run(each: int) -> None:
        await asyncio.gather(*(one(each) for _ in OWN))

    yield Work(run)


async def _says(turn: Turn) -> None:
    turn.emit("delta", WORD)


async def _emits(name: str, turn: Turn) -> None:
    for _ in range(turn.message):
        turn.emit(name, WORD)
        await asyncio.sleep(0)


@asynccontextmanager
async def _emit(name: str = "word", *, record: bool = False) -> AsyncIterator[Work]:
    agent, settings = partial(_emits, name), replace(SETTINGS, record=record)
    async with SessionRegistry(agent, settings=settings) as registry:

        async def one(session: str, count: int) -> None:
            subscription = await registry.subscribe(session)
            receipt = await registry.send(session, count)
            async for event in subscription.events():
                if event.name == name:
                    count -= 1
                    if not count:
                        break
            subscription.close()
            await receipt.result()

        async def run(each: int) -> None:
            await asyncio.gather(*(one(sessions[0], each) for sessions in OWN))

        yield Work(run)


#: The operations and floors that need no HTTP.
WORKS: dict[str, Callable[[], AbstractAsyncContextManager[Work]]] = {
    "raw task": _raw_task,
    "turn": _turn,
    "turn, 10 kept": partial(_conversation, 10, _adds),
    "turn_long": partial(_conversation, 1_000, _adds),
    "turn_capped": partial(_turn, on_cap="wait"),
    "turn_blind": partial(_conversation, 1_000, trivial),
    "raw task, superseded": _raw_task_superseded,
    "supersede": _supersede,
    "raw task, cancelled": _raw_task_cancelled,
    "cancel": _cancel,
    "raw queue": _raw_queue,
    "emit": _emit,
    "turn, not recorded": partial(_turn, _says),
    "turn_recorded": partial(_turn, _says, record=True),
    "emit, not recorded": partial(_emit, "delta"),
    "emit_recorded": partial(_emit, "delta", record=True),
}


async def _all(marks: Marks) -> None:
    gc.disable()  # a collection would fall on whatever runs when it is due
    for name, opened in WORKS.items():
        async with opened() as work:
            # Twice beforehand: every session is made then, and Python fits its code to what it sees.
            for _ in range(2):
                await work.prepare(MANY)
                await work.run(MANY)
            for each in (FEW, MANY):
                await work.prepare(each)
                with marks.phase(name, CALLERS * each):
                    await work.run(each)
        gc.collect()


if __name__ == "__main__":
    marks_ = Marks()
    asyncio.run(_all(marks_))
    print(to_line(marks_.phases))
