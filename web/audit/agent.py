"""The agent of `turnkeeper audit`: it asks the model at the address in the environment."""

import json
import os
from collections.abc import AsyncIterator

import aiohttp

from turnkeeper.actors.turn.turn import Turn

UPSTREAM_VARIABLE = "TURNKEEPER_AUDIT_UPSTREAM"
#: The agent's name for `turnkeeper serve`.
AGENT = "turnkeeper.web.audit.agent:model"


async def model(turn: Turn) -> AsyncIterator[str]:
    """Stream the model's reply to the message. Cancelling it closes the connection to the model."""
    url = os.environ[UPSTREAM_VARIABLE] + "/chat/completions"
    asked = {"model": "audit", "stream": True, "messages": [{"role": "user", "content": turn.text}]}
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as client,
        client.post(url, json=asked, raise_for_status=True) as answer,
    ):
        async for line in answer.content:
            data = line.removeprefix(b"data:").strip()
            if line.startswith(b"data:") and data != b"[DONE]":
                for choice in json.loads(data)["choices"]:
                    if text := choice["delta"].get("content"):
                        yield text
