"""Turns that say how many tokens they use, and one that may not use so many."""

import asyncio

from turnkeeper.actors import Agent, SessionRegistry, Turn


async def agent(turn: Turn) -> str:
    """Ask a model three times, of which this example has none."""
    for answer in ("think", "look it up", "answer"):
        await asyncio.sleep(0.01)  # the model's reply
        turn.report_usage(input_tokens=100, output_tokens=10 * len(answer), cached_tokens=80)
        turn.emit("delta", {"text": f"{answer}, "})
    return "done"


AGENTS = {"generous": Agent(agent), "thrifty": Agent(agent, max_tokens=300)}


async def main() -> None:
    async with SessionRegistry(AGENTS) as registry:
        for name in AGENTS:
            record = await (await registry.send(name, "hello", agent=name)).ended()
            used = record.usage
            assert used is not None
            print(name, record.status, used.input_tokens, used.output_tokens, used.reasoning_tokens)
            print(record.reason and f"{record.reason.code}: {record.reason.text}")


if __name__ == "__main__":
    asyncio.run(main())
