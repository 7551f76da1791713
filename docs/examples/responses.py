"""OpenAI's own client has a conversation, goes on reading a response that it had left, and stops one."""

import asyncio
import sys

from openai import AsyncOpenAI


async def main(base_url: str = "http://127.0.0.1:8000/v1", api_key: str = "none") -> None:
    async with AsyncOpenAI(base_url=base_url, api_key=api_key) as client:
        first = await client.responses.create(model="default", input="hello you")
        print(first.output_text)

        # It goes on from there, in the background: it runs on when its client leaves.
        second = await client.responses.create(
            model="default", input="and now more", previous_response_id=first.id, background=True
        )
        seen = -1
        async with await client.responses.retrieve(second.id, stream=True) as stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    print(event.delta, end="")
                    seen = event.sequence_number
                    break  # and the connection is cut
        async for event in await client.responses.retrieve(second.id, stream=True, starting_after=seen):
            if event.type == "response.output_text.delta":
                print(event.delta, end="")
        print()

        third = await client.responses.create(
            model="default", input="wait", previous_response_id=second.id, background=True
        )
        print((await client.responses.cancel(third.id)).status)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
