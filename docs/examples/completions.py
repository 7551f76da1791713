"""OpenAI's own client talks to an agent: with each message it sends the conversation along."""

import asyncio
import sys

from openai import AsyncOpenAI


async def main(base_url: str = "http://127.0.0.1:8000/v1", api_key: str = "none") -> None:
    async with AsyncOpenAI(base_url=base_url, api_key=api_key) as client:
        stream = await client.chat.completions.create(
            model="default",
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello you"}],
            stream=True,
            extra_headers={"X-Turnkeeper-Session": "s1"},
        )
        async for chunk in stream:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
