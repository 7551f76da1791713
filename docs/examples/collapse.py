"""What a person writes while the agent is busy becomes one message: the strategy collapse."""

import asyncio

from turnkeeper.actors import Agent, SessionRegistry, Turn, TurnMerged


async def answer(turn: Turn) -> str:
    await asyncio.sleep(0.2)  # a model that thinks
    messages = turn.text.split("\n\n")  # a blank line stands between those that have become one
    return f"read {len(messages)}: {' / '.join(messages)}"


async def main() -> None:
    async with SessionRegistry({"chat": Agent(answer, strategy="collapse")}) as registry:
        said = ("hello", "one more thing", "no, two", "sorry")
        receipts = [await registry.send("s1", text) for text in said]
        texts = {str(receipt.turn_id): text for text, receipt in zip(said, receipts, strict=True)}
        for text, receipt in zip(said, receipts, strict=True):
            try:
                print(f"{text}:", await receipt.result())
            except TurnMerged as error:
                print(f"{text}: joined {texts[str(error.merged_into)]!r}")


if __name__ == "__main__":
    asyncio.run(main())
