"""A message that undoes the turn before it: its order is cancelled, and it is not in the conversation."""

import asyncio

from turnkeeper.actors import SessionRegistry, Turn

orders: list[str] = []


async def agent(turn: Turn) -> str:
    orders.append(turn.text)
    turn.on_rollback(lambda: orders.remove(turn.text))  # called if the turn is undone
    await asyncio.sleep(0.1)
    return f"ordered {turn.text}"


async def main() -> None:
    async with SessionRegistry(agent) as registry:
        await registry.send("s1", "pears")
        await asyncio.sleep(0.01)
        receipt = await registry.send("s1", "apples", strategy="rollback")
        print(receipt.superseded and receipt.superseded.rolled_back, await receipt.result(), orders)
        print([message["content"] for message in (await registry.messages("s1")).messages])


if __name__ == "__main__":
    asyncio.run(main())
