"""Follow several chats of a server on one connection; each is dropped once it has answered."""

import asyncio
import sys
from collections.abc import Iterable
from contextlib import aclosing

from turnkeeper.web.client.client import Client


async def watch(url: str, sessions: Iterable[str], next_ones: Iterable[str] = ()) -> None:
    """Show what is said in these, and for each that has answered follow one of the next ones."""
    waiting = list(next_ones)
    async with Client(url) as client:
        several = client.several(dict.fromkeys(sessions), notice=print)
        async with aclosing(several.events()) as events:
            async for session, event in events:
                if event.name == "delta":
                    print(session, event.data["text"])
                elif event.name == "turn.completed":
                    await several.drop(session)
                    if waiting:
                        await several.add(waiting.pop(0))
                if not several.cursors:
                    return


if __name__ == "__main__":
    asyncio.run(watch("http://127.0.0.1:8000", sys.argv[1:]))
