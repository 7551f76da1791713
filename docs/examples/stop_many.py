"""Stop many turns at once, and say what came of each."""

import asyncio
from collections import Counter

from turnkeeper.actors import SessionRegistry, Turn


async def work(turn: Turn) -> None:
    """Run until it is stopped."""
    await asyncio.Event().wait()


async def main() -> None:
    """Stop what two users' sessions run, one after the other."""
    async with SessionRegistry({"default": work, "coder": work}) as registry:
        for number in range(6):
            user, agent = ("ada", "bob")[number % 2], ("default", "coder")[number % 3 == 0]
            await registry.send(f"s{number}", "hello", user=user, agent=agent)

        found = await registry.cancel_many(owner="ada", agent="default", dry_run=True)
        print("would stop", *(each.session_id for each in found.results))
        for owner in ("ada", "bob"):
            answer = await registry.cancel_many(owner=owner, older_than=0)
            print(owner, dict(Counter(str(each.verdict) for each in answer.results)))


if __name__ == "__main__":
    asyncio.run(main())
