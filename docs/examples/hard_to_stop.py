"""An agent with two faults, and what the kit says about it."""

import asyncio

from turnkeeper.actors import Turn
from turnkeeper.actors.testing import cancel_at_every_await


async def agent(turn: Turn) -> str:
    turn.context.messages.append({"role": "user", "content": turn.text})
    try:
        await asyncio.sleep(1)  # the model
    except asyncio.CancelledError:
        return "stopped"
    turn.context.messages.append({"role": "assistant", "content": "yes"})
    return "done"


async def main() -> None:
    print(await cancel_at_every_await(agent))


if __name__ == "__main__":
    asyncio.run(main())
