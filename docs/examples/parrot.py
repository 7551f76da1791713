"""An agent that repeats what it heard, and remembers all of it."""

import asyncio

from turnkeeper.actors import Turn


async def parrot(turn: Turn) -> int:
    """Say everything this session has heard so far, again."""
    turn.context.messages.append({"role": "user", "content": turn.text})
    for message in turn.context.messages:
        turn.emit("delta", {"text": message["content"] + " "})
        await asyncio.sleep(0.3)
    return len(turn.context.messages)
