"""Send a message once, however often the request has to be made."""

import asyncio
import sys
import uuid

import aiohttp


async def send_once(url: str, session: str, text: str, pause: float = 1.0) -> str:
    """Send a text until that is answered; the id of its one turn."""
    key = str(uuid.uuid4())  # made once, and kept for all tries
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.post(
                    f"{url}/chat/{session}/send", json={"message": text}, headers={"Idempotency-Key": key}
                ) as response:
                    if response.status not in (429, 503):
                        response.raise_for_status()
                        sent = await response.json()
                        print("an earlier try had arrived" if sent["repeated"] else "sent")
                        return str(sent["task_id"])
            except aiohttp.ClientConnectionError as error:
                print(f"no answer: {error}")  # the server may have the message, or not
            await asyncio.sleep(pause)


if __name__ == "__main__":
    print(asyncio.run(send_once("http://127.0.0.1:8000", "s1", sys.argv[1])))
