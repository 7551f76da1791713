"""Messages that wait for their session: sent behind each other, moved, and cleared by a Stop."""

import asyncio

from turnkeeper.actors import SessionRegistry, Turn


async def work(turn: Turn) -> None:
    """Run until it is stopped."""
    await asyncio.Event().wait()


async def main() -> None:
    """Let three messages wait, move the last one to the head, and stop them all."""
    async with SessionRegistry(work) as registry:
        first = await registry.send("trip", "Plan a trip to Rome")
        for task, message in (("food", "Where to eat?"), ("rain", "If it rains?"), ("costs", "The costs?")):
            receipt = await registry.send("trip", message, turn_id=task, strategy="enqueue")
            print(receipt.turn_id, receipt.status)

        waiting = await registry.move("trip", "costs", "first")
        print(*(f"{each.position}: {each.message}" for each in waiting), sep="\n")
        answer = await registry.cancel("trip", first.turn_id, queue="clear")
        print(answer.verdict, *answer.cleared)


if __name__ == "__main__":
    asyncio.run(main())
