"""A turn that has two other sessions do a part of its work, at once, and goes on with what they return."""

import asyncio

from turnkeeper.actors import SessionRegistry, Turn, TurnCancelled


async def look_up(turn: Turn) -> str:
    await asyncio.sleep(0.05 if turn.text == "pears" else 60)  # some shops take their time
    return f"{turn.text}: 3 per kilo"


async def shop(turn: Turn) -> str:
    async def price(fruit: str) -> str:
        try:
            return str(await turn.send(f"{turn.session_id}.{fruit}", fruit, agent="look_up", timeout=0.5))
        except TurnCancelled as stopped:
            return f"{fruit}: {stopped.reason}"

    return "; ".join(await asyncio.gather(price("pears"), price("plums")))


async def main() -> None:
    async with SessionRegistry({"shop": shop, "look_up": look_up}) as registry:
        receipt = await registry.send("s1", "fruit", user="ada")
        print(await receipt.result())
        for child in (await receipt.ended()).children:
            print(child.session_id, child.status)

        await registry.send("s1", "fruit", user="ada")
        await asyncio.sleep(0.02)
        answer = await registry.cancel("s1", user="ada")  # and of all that this turn has sent for
        plums = await registry.session("s1.plums", user="ada")
        print(answer.verdict, plums.state, plums.recent[-1].reason and plums.recent[-1].reason.code)


if __name__ == "__main__":
    asyncio.run(main())
