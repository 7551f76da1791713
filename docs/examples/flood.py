"""Floods a server with messages, to see what that does to others: ``python flood.py --messages 600``.

Each message opens a session of its own. The server is that of TURNKEEPER_URL, the user that of
TURNKEEPER_TOKEN. It ends when all turns are over. Ctrl-C cancels those that are left.
"""

import argparse
import asyncio
import os
import time
from collections import Counter
from uuid import uuid4

from turnkeeper.web.client.client import Client
from turnkeeper.web.client.errors import Refused

URL = os.environ.get("TURNKEEPER_URL", "http://127.0.0.1:8000")
#: How many requests are on their way at a time, and how many messages there may be.
AT_A_TIME, MOST = 50, 1_000


async def main(messages: int, text: str = "one two three") -> Counter[str]:
    """Send so many, wait until no turn of them is left, and return what the sends were answered with."""
    name, began, answers = f"flood-{uuid4().hex[:6]}", time.monotonic(), Counter[str]()
    sessions, slots = (
        [f"{name}-{number}" for number in range(min(messages, MOST))],
        asyncio.Semaphore(AT_A_TIME),
    )

    async def send(session: str) -> None:
        async with slots:
            try:
                answer = await client.send(session, uuid4().hex, text)
                answers[answer["task_status"]] += 1
            except Refused as refusal:
                answers[refusal.code] += 1

    async with Client(URL, os.environ.get("TURNKEEPER_TOKEN")) as client:
        try:
            await asyncio.gather(*map(send, sessions))
            print(f"{len(sessions)} sent in {time.monotonic() - began:.1f} s: {dict(answers)}", flush=True)
            await over(client, name)
            print(f"all are over after {time.monotonic() - began:.1f} s")
        except asyncio.CancelledError:
            await client.cancel_many(log_ids=sessions)
            raise
    return answers


async def over(client: Client, name: str) -> None:
    """Wait until no turn runs or waits in a session whose name begins like that."""
    while True:
        # Those that wait first: one that starts meanwhile is seen running.
        left = [each for state in ("queued", "running") for each in await client.sessions(state=state)]
        if not any(each["log_id"].startswith(name) for each in left):
            return
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=600)
    parser.add_argument("--text", default="one two three")
    given = parser.parse_args()
    try:
        asyncio.run(main(given.messages, given.text))
    except KeyboardInterrupt:
        print("stopped")
