"""Turns that are stopped because they say too much, say nothing, or have no reader."""

import asyncio
from collections.abc import AsyncIterator

from turnkeeper.actors import Agent, SessionRegistry, Turn


async def babble(turn: Turn) -> AsyncIterator[str]:
    """Never come to an end."""
    while True:
        yield "and so on, "


async def hang(turn: Turn) -> None:
    """Wait for a model that does not answer."""
    await asyncio.Event().wait()


AGENTS = {
    "babble": Agent(babble, max_events=100),
    "hang": Agent(hang, stall_timeout=0.5),
    "lonely": Agent(hang, on_disconnect="cancel", abandon_after=0.5),
}


async def main() -> None:
    """Say why each was stopped."""
    async with SessionRegistry(AGENTS) as registry:
        for name in AGENTS:
            receipt = await registry.send(name, "hello", agent=name)
            async for event in registry.events(name, after="0"):
                if name == "lonely" or event.name == "turn.cancelled":
                    break  # and leave
            # Looked at and not awaited: a caller that waits for its end would be a reader.
            while (turn := await registry.turn(name, receipt.turn_id)).ended_at is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            print(name, turn.status, turn.reason and f"{turn.reason.code}: {turn.reason.text}")


if __name__ == "__main__":
    asyncio.run(main())
