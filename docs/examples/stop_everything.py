"""What a turn starts has ended when its Stop is answered: a shell with children, a thread, a task."""

import asyncio
import time

from turnkeeper.actors import SessionRegistry, Turn

seen: list[str] = []


async def watch() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        seen.append("the task has ended")


def count(turn: Turn) -> None:
    n = 0
    while not turn.cancel_requested:  # no thread can be stopped from outside
        turn.emit("count", {"n": n})
        time.sleep(0.01)
        n += 1
    seen.append("the thread has returned")


async def agent(turn: Turn) -> None:
    turn.create_task(watch())
    async with turn.process("bash", "-c", "sleep 1000 & sleep 1000 & echo ready; wait") as process:
        assert process.stdout is not None
        seen.append((await process.stdout.readline()).decode().strip())
        await turn.in_thread(count, turn)


def plain(turn: Turn) -> str:
    """An agent that is a plain function runs in a thread."""
    time.sleep(0.01)
    return f"counted {len(turn.text)}"


async def main() -> None:
    async with SessionRegistry({"default": agent, "plain": plain}) as registry:
        await registry.send("s1", "go")
        async for event in registry.events("s1", after="0"):
            if event.name == "count":
                break
        print((await registry.cancel("s1")).verdict, sorted(seen))
        print(await (await registry.send("s2", "hello", agent="plain")).result())


if __name__ == "__main__":
    asyncio.run(main())
