"""How turns are run: said about an agent, about a user, and by a send; and what came of it."""

import asyncio

from turnkeeper.actors import Agent, Layer, SessionRegistry, Turn


async def code(turn: Turn) -> str:
    return f"wrote {turn.text}"


async def main() -> None:
    coder = Agent(code, turn_timeout=60, strategy="reject", allow=("priority",))
    async with SessionRegistry({"coder": coder}, users={"ada": {"cancel_grace": 2}}) as registry:
        said = {"priority": "background"}
        receipt = await registry.send("s1", "tests", user="ada", timeout=600, policy=said)
        turn = await receipt.ended()
        for field in ("turn_timeout", "cancel_grace", "priority", "queue_limit"):
            value, layer, name, capped = turn.policy.decided(field)
            print(field, value, "said by", layer, name or "", f"(asked: {capped})" if capped else "")
        await registry.set_policy(Layer.USER, "ada", {"max_in_flight": 1})  # for her sends from now on


if __name__ == "__main__":
    asyncio.run(main())
