"""An agent that takes parameters from its sends: what a client says beside the message."""

import asyncio

from turnkeeper.actors import AgentError, SessionRegistry, Turn, TurnFailed


class BadStyle(AgentError):
    """The client asks for a style that there is not."""

    code = "BAD_STYLE"
    expected = True


async def agent(turn: Turn) -> str:
    """Answer in the style that the client asks for; ``params`` is whatever it has said."""
    style = turn.params.get("style", "plain")
    if style == "plain":
        return f"{turn.text}, you said."
    if style == "loud":
        return f"{turn.text.upper()}!"
    raise BadStyle(f"there is no style {style!r:.50}")


async def main() -> None:
    async with SessionRegistry(agent) as registry:
        for params in (None, {"style": "loud"}, {"style": 7}):
            receipt = await registry.send("s1", "hello", params=params)
            try:
                print(params, await receipt.result())
            except TurnFailed:
                record = await registry.turn("s1", receipt.turn_id)
                print(record.params, record.error and record.error.code)


if __name__ == "__main__":
    asyncio.run(main())
