"""Stages around the agent: a censor, a transcript that is stored, and a check before a tool is used."""

import asyncio
from typing import Any

from turnkeeper.actors import SessionRegistry, Turn, TurnFailed, timeline

STORED: list[str] = []


async def agent(turn: Turn) -> str:
    """Use a tool if the host's stages allow it, and answer."""
    turn.emit("delta", {"text": turn.text})
    asked = await turn.run_stages("before_tool", {"tool": "search", "allowed": True})
    return f"{turn.text} (searched)" if asked["allowed"] else turn.text


registry = SessionRegistry(agent)  # or registry = setup(app, agent)


@registry.stage("pre_process_msg", priority=10)
def length(data: dict[str, Any], context: Any) -> dict[str, Any]:
    """Refuse what is too long: a stage that raises fails the turn."""
    if len(data["message"]) > 40:
        raise ValueError("too long")
    return data


@registry.stage("pre_process_msg", priority=5)
def censor(data: dict[str, Any], context: Any) -> dict[str, Any]:
    """Change the message that the agent gets. A stage on the loop is short."""
    return {**data, "message": data["message"].replace("secret", "******")}


@registry.stage("before_tool")
def only_logged_in(data: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run when the agent asks for it, under a name of its own."""
    return {**data, "allowed": context.username != "guest"}


@registry.stage("process_results")
async def store(data: dict[str, Any], context: Any) -> dict[str, Any]:
    """Keep the result; a cancel here reaches the `finally`, as in any coroutine."""
    try:
        await asyncio.sleep(0)  # a database
        STORED.append(data["results"])
    finally:
        context.data["last_seen"] = len(STORED)
    return data


async def main() -> None:
    """Send a message, see what happened when, and send one that a stage refuses."""
    async with registry:
        receipt = await registry.send("s1", "tell me a secret", user="ada")
        print(await receipt.result())
        for moment in timeline(await registry.turn("s1", receipt.turn_id)):
            print(moment.step, round(moment.ms), "ms")

        refused = await registry.send("s1", "far too long " * 10, user="ada")
        try:
            await refused.result()
        except TurnFailed:
            print((await refused.ended()).error)


if __name__ == "__main__":
    asyncio.run(main())
