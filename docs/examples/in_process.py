"""Without HTTP: a registry, a send, a cancel, the events, and a message from another thread."""

import asyncio
from collections.abc import AsyncIterator

from turnkeeper.actors import Cancel, SessionRegistry, Turn


async def counter(turn: Turn) -> AsyncIterator[str]:
    """Count until stopped: each text it yields is a `delta` event."""
    for number in range(1_000_000):
        yield f"{number} "
        await asyncio.sleep(0.01)


async def main() -> None:
    """Start a turn, read three of its words, stop it, and see the rest of its events."""
    async with SessionRegistry(counter) as registry:
        receipt = await registry.send("s1", "count", user="ada")
        words = 0
        async for event in registry.events("s1"):
            print(event.id, event.name)
            words += event.name == "delta"
            if words == 3:
                break

        # Any thread may do this; here it is one of the loop's own.
        answer = await asyncio.to_thread(registry.ref.ask, Cancel("s1"), timeout=5)
        print(answer.verdict, "after", round(answer.settled_after_ms or 0), "ms")
        print((await receipt.ended()).status)


if __name__ == "__main__":
    asyncio.run(main())
