"""A server with four slots: one user floods it, and the message of another one hardly waits."""

import asyncio

from turnkeeper.actors import Agent, SessionRegistry, Settings, Turn


async def work(turn: Turn) -> None:
    """Take a while."""
    await asyncio.sleep(0.1)


async def main() -> None:
    """Flood the server as ada, then chat as bob."""
    agents = {
        "default": Agent(work, on_cap="wait"),
        "nightly": Agent(work, on_cap="wait", priority="background", max_of_agent=2),
    }
    async with SessionRegistry(
        agents, settings=Settings(max_in_flight_in_all=4, max_waiting=100)
    ) as registry:
        flood = [await registry.send(f"flood-{n}", "hello", user="ada") for n in range(40)]
        nightly = await registry.send("nightly", "hello", user="ada", agent="nightly")
        chat = await registry.send("chat", "hello", user="bob")
        (queued,) = await registry.queue("chat", user="bob")
        print("bob's message is", chat.status, "and waits for", queued.waits_for, queued.standing)
        await chat.result()
        turns = [await registry.turn(each.session_id, each.turn_id) for each in (*flood, nightly)]
        print("it is done;", sum(turn.started_at is None for turn in turns), "of ada's still wait")


if __name__ == "__main__":
    asyncio.run(main())
