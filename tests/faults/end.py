"""All that a server says at the end, once nothing runs there any more."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from tests.faults.history import AtTheEnd, Event
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.errors import Refused

#: How many sessions are asked for at a time, and how many seconds all have to come to rest.
AT_A_TIME, REST = 8, 30.0
RESTS = frozenset({"idle", "closed"})


async def at_the_end(client: Client, tasks: dict[str, list[str]]) -> dict[str, AtTheEnd]:
    """What the server says of each session, and of the turns of it that clients have named."""
    until = asyncio.get_running_loop().time() + REST
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(session: str) -> AtTheEnd:
        async with places:
            return await _session(client, session, tasks[session], until)

    found = dict(zip(tasks, await asyncio.gather(*map(one, tasks)), strict=True))
    lines = [*await client.sessions(), *await client.sessions(state="closed")]
    return {
        session: msgspec.structs.replace(
            there, listed=tuple(line for line in lines if line["log_id"] == session)
        )
        for session, there in found.items()
    }


async def _session(client: Client, session: str, tasks: list[str], until: float) -> AtTheEnd:
    try:
        state = await _at_rest(client, session, until)
    except Refused:
        return AtTheEnd(state=None, by_id=dict.fromkeys(tasks))
    by_id = {task: await _turn(client, session, task) for task in tasks}
    return AtTheEnd(
        state=state,
        turns=tuple(await _turns(client, session)),
        by_id=by_id,
        messages=tuple(await _messages(client, session)),
        events=await _events(client, session, None),
        streams={
            task: await _events(client, session, task)
            for task in tasks[-2:]
            if (turn := by_id[task]) is not None and turn["started_at"] is not None
        },
    )


async def _at_rest(client: Client, session: str, until: float) -> str:
    """The session's state, once it is at rest or has not become that in time."""
    loop = asyncio.get_running_loop()
    while (state := str((await client.session(session))["state"])) not in RESTS and loop.time() < until:
        await asyncio.sleep(0.1)
    return state


async def _turn(client: Client, session: str, task: str) -> dict[str, Any] | None:
    try:
        return await client.turn(session, task)
    except Refused:
        return None


async def _turns(client: Client, session: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        page = await client.ask("GET", "chat", session, "turns", query=query)
        found += page["turns"]
        if page["before"] is None:
            return found
        query = {"before": page["before"]}


async def _messages(client: Client, session: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        page = await client.ask("GET", "chat", session, "messages", query=query)
        found = page["messages"] + found
        if not page["messages"] or not page["omitted"]:
            return found
        query = {"before": str(page["omitted"])}


async def _events(client: Client, session: str, task: str | None) -> tuple[Event, ...]:
    return tuple(
        [
            Event(event.id, event.name, event.text)
            async for event in client.kept(session, task=task)
            if event.name != "close"
        ]
    )


def tasks_of(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The turns of each session, each once, in the order in which they were named."""
    found: dict[str, dict[str, None]] = {}
    for session, task in named:
        found.setdefault(session, {})[task] = None
    return {session: list(tasks) for session, tasks in found.items()}
