"""What becomes of turns at a restart, by their agents: one goes on in the next process."""

import asyncio
from typing import Any

from turnkeeper.actors import Agent, SessionRegistry, Settings, Turn

WORDS = ["no", "work", "is", "lost", "when", "a", "server", "restarts"]


async def write(turn: Turn) -> None:
    """Go on where the text ends that readers have been shown: with a model, ask it to continue that."""
    for word in WORDS[len(turn.partial.split()) :]:
        turn.emit("delta", {"text": f"{word} "})
        await asyncio.sleep(0.05)


async def search(turn: Turn) -> str:
    """Do what may be done twice."""
    return f"nothing found, at attempt {turn.attempt}"


async def pay(turn: Turn) -> str:
    """Do what must not be done twice: its turn ends as `interrupted`, and the user looks what came of it."""
    return "paid"


AGENTS = {
    "write": Agent(write, on_restart="continue"),
    "search": Agent(search, on_restart="rerun"),
    "pay": Agent(pay, on_restart="interrupt"),  # what a bare function says, too
}


async def main(journal: Any = "turnkeeper.db") -> None:
    """Shut down in the middle of a turn, and let the next process go on with it."""
    async with SessionRegistry(AGENTS, journal=journal) as registry:
        receipt = await registry.send("s1", "write something", agent="write")
        async for event in receipt.events():
            if event.name == "delta":
                break

    # As soon as it has started; by default a second later, for an agent that brings its process down.
    soon = Settings(attempt_backoff=0.0)
    async with SessionRegistry(AGENTS, journal=journal, settings=soon) as registry:
        async for event in registry.turn_events("s1", receipt.turn_id):
            print(event.name, event.data.get("text") or event.data["status"])
        print((await registry.messages("s1")).messages[-1]["content"])


if __name__ == "__main__":
    asyncio.run(main())
