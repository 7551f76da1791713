"""A step that must not be interrupted: what is paid is also written down, whenever the Stop comes."""

import asyncio

from turnkeeper.actors import SessionRegistry, Turn

paid: list[str] = []
written: list[str] = []


async def agent(turn: Turn) -> str:
    for item in turn.text.split():
        await asyncio.sleep(0.01)  # look for the best offer: may be stopped
        async with turn.uninterruptible(timeout=5):
            paid.append(item)
            await asyncio.sleep(0.1)  # write it down: must not be stopped
            written.append(item)
    return "ordered"


async def main() -> None:
    async with SessionRegistry(agent) as registry:
        receipt = await registry.send("s1", "pears apples plums")
        await asyncio.sleep(0.05)  # the pears are paid
        answer = await registry.cancel("s1", wait=False)
        print(answer.verdict, answer.turn and answer.turn.held)
        print((await receipt.ended()).status, paid, written)


if __name__ == "__main__":
    asyncio.run(main())
